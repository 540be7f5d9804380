//! The command line: what can be said, and what it makes of the configuration.

use crate::auth::Scope;
use crate::config::{Config, ConfigErrors, Device, Source, Stream, listen_address};
use crate::media::TestPicture;
use crate::state;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The camera that is used unless another is named.
pub const DEFAULT_DEVICE: &str = "/dev/video0";

/// A camera streaming daemon: one camera, encoded once, watched over WebRTC by any number of browsers.
///
/// Without a command it runs. Without --config it shows /dev/video0, or a test pattern if there is no such camera.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Exit status: 0 clean end, 1 fault, 2 wrong usage, 78 bad configuration.\n\
    The environment variable RUST_LOG sets what is logged, such as RUST_LOG=fanlight=debug."
)]
pub struct Cli {
    /// What to do; to run if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub run: Run,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until a signal ends it
    Run(Run),
    /// List the cameras of this machine with their formats, sizes and rates
    Cameras {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// List the controls of a camera, such as brightness and focus, after setting those that are said
    Controls(ControlsArguments),
    /// Print the links that open the page, with the token that it needs, and a QR code
    Url(UrlArguments),
    /// Print the token alone, for programs: curl -H "authorization: Bearer $(fanlight token)" http://localhost:8080/metrics
    Token(Place),
    /// Make a link that is good for a time, list those that there are, or take one back
    Share(ShareArguments),
    /// Look for what keeps people from watching, and say what to do: cameras, ports, encoder, clock, addresses, certificate, and a
    /// session of its own with the daemon that runs, or with one made for it
    Doctor(DoctorArguments),
    /// Check a configuration file and say everything that is wrong with it
    CheckConfig {
        /// The file, in TOML
        file: PathBuf,
    },
}

/// Which daemon a command is about.
#[derive(Debug, Default, Args)]
pub struct Place {
    /// The daemon that keeps its state in this directory; the user's own, or else the service's, unless given
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The daemon with this configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "state_dir")]
    pub config: Option<PathBuf>,
}

/// `fanlight controls`
#[derive(Debug, Default, Args)]
pub struct ControlsArguments {
    /// Which daemon.
    #[command(flatten)]
    pub place: Place,
    /// For programs
    #[arg(long)]
    pub json: bool,
    /// The camera, as a device such as /dev/video0 or as a daemon's stream, the daemon's first camera unless given; then
    /// NAME=VALUE for each control to set: a number, on, off, a menu's label, `default`, or `push` for a button
    #[arg(value_name = "DEVICE|STREAM|NAME=VALUE")]
    pub words: Vec<String>,
}

/// `fanlight url`
#[derive(Debug, Default, Args)]
pub struct UrlArguments {
    /// Which daemon.
    #[command(flatten)]
    pub place: Place,
    /// Make a new token first: who had the old one needs the new link
    #[arg(long)]
    pub renew: bool,
    /// Draw the QR code even if this is no terminal
    #[arg(long)]
    pub qr: bool,
}

/// `fanlight share`
#[derive(Debug, Default, Args)]
pub struct ShareArguments {
    /// Which daemon.
    #[command(flatten)]
    pub place: Place,
    /// A stream to share; may be given several times. Every stream unless given
    #[arg(long, value_name = "NAME")]
    pub stream: Vec<String>,
    /// How long it is good for: 30m, 2h, 7d, 4w; a day unless given
    #[arg(long = "for", value_name = "TIME", value_parser = share_time)]
    pub duration: Option<Duration>,
    /// What it allows: view, publish, talk, admin; may be given several times
    #[arg(long, value_name = "SCOPE", default_value = "view")]
    pub scope: Vec<Scope>,
    /// Draw the QR code even if this is no terminal
    #[arg(long)]
    pub qr: bool,
    /// List the links that are good
    #[arg(long, conflicts_with_all = ["stream", "duration", "revoke"])]
    pub list: bool,
    /// Take the link of this id back
    #[arg(long, value_name = "ID", conflicts_with_all = ["stream", "duration"])]
    pub revoke: Option<String>,
}

/// `fanlight doctor`
#[derive(Debug, Default, Args)]
pub struct DoctorArguments {
    /// The daemon that is meant: as it is started.
    #[command(flatten)]
    pub run: Run,
    /// For programs
    #[arg(long)]
    pub json: bool,
}

/// Reads a time from one minute to ten years.
fn share_time(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [
        ("s", 1),
        ("m", 60),
        ("h", 3600),
        ("d", 86_400),
        ("w", 604_800),
    ];
    const RANGE: std::ops::RangeInclusive<u64> = 60..=10 * 365 * 86_400;
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit));
    let seconds = unit.and_then(|(unit, size)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(*size)
    });
    let seconds = seconds.ok_or("a time is a number and a unit, such as 30m, 2h, 7d or 4w")?;
    if !RANGE.contains(&seconds) {
        return Err("a link is good for a minute at the least and ten years at the most".into());
    }
    Ok(Duration::from_secs(seconds))
}

/// How to run.
#[derive(Debug, Default, Args)]
pub struct Run {
    /// Read the configuration from this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show this camera, in place of the first stream's: a path, usb:VVVV:PPPP, usb:VVVV:PPPP:SERIAL, name:NAME or auto
    #[arg(long, value_name = "CAMERA", conflicts_with = "test_pattern")]
    pub device: Option<Device>,
    /// Show a moving test pattern, in place of the first stream's camera: `bars` if nothing is said, or `noise`, which takes
    /// the whole bitrate, as a camera does: plan capacity with it
    #[arg(long, value_name = "PICTURE", num_args = 0..=1, require_equals = true, default_missing_value = "bars")]
    #[arg(value_parser = test_picture())]
    pub test_pattern: Option<TestPicture>,
    /// Serve HTTP on this TCP address, and media on the same UDP address; port 8080 everywhere unless given
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Serve media on this UDP address
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub rtc_listen: Option<SocketAddr>,
    /// Keep in this directory what is to survive a restart; `~/.local/state/fanlight` unless given
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How to log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Where log lines go, and in which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, on standard error
    #[default]
    Text,
    /// One JSON object a line, on standard error
    Json,
    /// The systemd journal, with its fields
    Journal,
}

fn test_picture() -> impl TypedValueParser<Value = TestPicture> {
    let names = PossibleValuesParser::new(TestPicture::ALL.map(TestPicture::name));
    // None but the names comes through.
    names.map(|name| {
        let mut all = TestPicture::ALL.into_iter();
        all.find(|picture| picture.name() == name)
            .unwrap_or_default()
    })
}

impl Run {
    /// The configuration: the file's or the built-in one, changed by what the command line says.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn configuration(&self) -> Result<Config, ConfigErrors> {
        self.configuration_of(self.config.as_deref())
    }

    /// The same with another file, or with none.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn configuration_of(&self, file: Option<&Path>) -> Result<Config, ConfigErrors> {
        let mut config = match file {
            Some(file) => Config::load(file)?,
            None => Config {
                streams: vec![Stream::new("camera", self.built_in_source())],
                ..Config::default()
            },
        };
        if let Some(source) = self.named_source()
            && let Some(first) = config.streams.first_mut()
        {
            first.source = source;
        }
        if let Some(address) = self.listen {
            config.http.listen = address;
            config.rtc.listen = address;
        }
        if let Some(address) = self.rtc_listen {
            config.rtc.listen = address;
        }
        let said = self.state_dir.clone().or(config.state.directory);
        let usual = || state::default_directory(|name| std::env::var_os(name));
        config.state.directory = said.or_else(usual);
        Ok(config)
    }

    /// Whether it says nothing of what is served, where and from what.
    pub const fn names_nothing(&self) -> bool {
        self.config.is_none()
            && self.device.is_none()
            && self.test_pattern.is_none()
            && self.listen.is_none()
            && self.rtc_listen.is_none()
            && self.state_dir.is_none()
    }

    fn named_source(&self) -> Option<Source> {
        match &self.device {
            Some(device) => Some(Source::Device(device.clone())),
            None => self.test_pattern.map(Source::Pattern),
        }
    }

    fn built_in_source(&self) -> Source {
        if self.is_fallback() {
            Source::Pattern(TestPicture::default())
        } else {
            Source::Device(DEFAULT_DEVICE.into())
        }
    }

    /// Whether the test pattern is shown because there is no camera, which deserves a word.
    pub fn is_fallback(&self) -> bool {
        self.config.is_none()
            && self.named_source().is_none()
            && !Path::new(DEFAULT_DEVICE).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_LISTEN;
    use clap::CommandFactory;

    fn run(arguments: &[&str]) -> Run {
        Cli::try_parse_from([&["fanlight"], arguments].concat())
            .unwrap()
            .run
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn running_needs_no_command() {
        let bars = Some(TestPicture::Bars);
        assert_eq!(run(&["--test-pattern"]).test_pattern, bars);
        let cli = Cli::try_parse_from(["fanlight", "run", "--test-pattern"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Run(run)) if run.test_pattern == bars));
    }

    #[test]
    fn the_address_is_for_both_ports_unless_media_has_its_own() {
        let config = run(&["--listen", "127.0.0.1:9000"]).configuration();
        let config = config.unwrap();
        assert_eq!(config.http.listen, config.rtc.listen);
        let config = run(&["--rtc-listen", "127.0.0.1:9001"]).configuration();
        let config = config.unwrap();
        assert_eq!(config.http.listen, DEFAULT_LISTEN);
        assert_eq!(config.rtc.listen.port(), 9001);
    }

    #[test]
    fn a_link_is_shared_for_a_time_with_a_unit() {
        assert_eq!(share_time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(share_time("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(share_time("4 w"), Ok(Duration::from_secs(2_419_200)));
        for bad in [
            "",
            "2",
            "h",
            "2y",
            "-1h",
            "1.5h",
            "59s",
            "3651d",
            "99999999999999999999w",
        ] {
            assert!(share_time(bad).is_err(), "{bad}");
        }
        let arguments = [
            "fanlight", "share", "--stream", "a", "--for", "2h", "--scope", "admin",
        ];
        let cli = Cli::try_parse_from(arguments).unwrap();
        let Some(Command::Share(share)) = cli.command else {
            panic!("{cli:?}");
        };
        assert_eq!(
            (share.stream, share.scope),
            (vec!["a".to_owned()], vec![Scope::Admin])
        );
    }

    #[test]
    fn the_state_directory_can_be_named() {
        let config = run(&["--state-dir", "here"]).configuration().unwrap();
        assert_eq!(config.state.directory, Some("here".into()));
    }

    #[test]
    fn the_source_can_be_named() {
        let config = run(&["--device", "/dev/video7"]).configuration().unwrap();
        let device = Source::Device("/dev/video7".into());
        assert_eq!(config.streams[0].source, device);
        let config = run(&["--test-pattern"]).configuration().unwrap();
        let pattern = |picture| Source::Pattern(picture);
        assert_eq!(config.streams[0].source, pattern(TestPicture::Bars));
        let config = run(&["--test-pattern=noise"]).configuration().unwrap();
        assert_eq!(config.streams[0].source, pattern(TestPicture::Noise));
        assert!(Cli::try_parse_from(["fanlight", "--test-pattern=snow"]).is_err());
        assert!(
            Cli::try_parse_from(["fanlight", "--test-pattern", "--device", "/dev/video0"]).is_err()
        );
    }
}
