//! The command line: commands and options, and what they make of the configuration.

pub mod cameras;
pub mod commands;
pub mod doctor;
pub mod logging;
mod usage;

use crate::access::judge::Scope;
use crate::base::state_dir;
use crate::config::{Config, ConfigErrors, Device, Source, Stream, listen_address};
use crate::media::TestPicture;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The camera that is used unless another is named.
pub const DEFAULT_DEVICE: &str = "/dev/video0";

/// Shows a camera live in web browsers: captures it, encodes it once to H.264, and sends it to every viewer over WebRTC.
///
/// Without a command, fanlight runs in the foreground until Ctrl+C. Without --config it shows the camera at /dev/video0, or a
/// test pattern if there is no such camera.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  \
    fanlight                              show /dev/video0 on port 8080\n  \
    fanlight --device /dev/video2         show another camera; `fanlight cameras` lists them\n  \
    fanlight --test-pattern               show a test pattern; no camera is needed\n  \
    fanlight url                          print the links that open the page\n  \
    fanlight share --name grandma --for 7d   make a link that expires in a week\n  \
    fanlight doctor                       find out why nobody can watch\n\n\
    Exit status: 0 normal end, 1 failure, 2 wrong usage, 78 wrong configuration.\n\
    The environment variable RUST_LOG sets the log level, as in RUST_LOG=fanlight=debug.")]
pub struct Cli {
    /// The command; to run, if there is none.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub run: Run,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server in the foreground; the same as no command
    Run(Run),
    /// List the cameras of this machine with their formats, sizes and frame rates
    Cameras {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List or set a camera's controls, such as brightness and focus
    Controls(ControlsArguments),
    /// Print the links that open the page, with the access token, and a QR code
    Url(UrlArguments),
    /// Print only the access token, for programs: curl -H "authorization: Bearer $(fanlight token)" http://localhost:8080/metrics
    Token(Place),
    /// Make a link that expires, list the valid links, or revoke one
    Share(ShareArguments),
    /// Find out why nobody can watch, and what to do about it
    ///
    /// Checks the configuration, the state directory, the clock, the cameras, the encoder, the ports, the certificate and the
    /// network addresses. Then it watches each stream as a viewer would: from the running server, or from one that it starts for
    /// the check.
    Doctor(DoctorArguments),
    /// Check a configuration file and the files that it names, and print everything that is wrong
    CheckConfig {
        /// The configuration file
        file: PathBuf,
    },
}

/// Which daemon a command is about.
#[derive(Debug, Default, Args)]
pub struct Place {
    /// The state directory of the server; by default your own server's, else the service's
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The configuration file of the server
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `fanlight controls`
#[derive(Debug, Default, Args)]
pub struct ControlsArguments {
    /// Which daemon.
    #[command(flatten)]
    pub place: Place,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// A camera or a stream, then the controls to set
    ///
    /// The camera is a device such as /dev/video0, or a stream of the server; by default the server's first camera. Each
    /// NAME=VALUE sets a control: to a number, to on or off, to the label of a menu item, to `default`, or to `push` for a button.
    #[arg(value_name = "DEVICE|STREAM|NAME=VALUE")]
    pub words: Vec<String>,
}

/// `fanlight url`
#[derive(Debug, Default, Args)]
pub struct UrlArguments {
    /// Which daemon.
    #[command(flatten)]
    pub place: Place,
    /// Make a new token first: links with the old one stop working, links from `share` do not
    #[arg(long)]
    pub renew: bool,
    /// Print the QR code even if the output is not a terminal
    #[arg(long)]
    pub qr: bool,
}

/// `fanlight share`
#[derive(Debug, Default, Args)]
pub struct ShareArguments {
    /// Which daemon.
    #[command(flatten)]
    pub place: Place,
    /// A stream that the link opens; may be repeated. Every stream by default
    #[arg(long, value_name = "STREAM")]
    pub stream: Vec<String>,
    /// How long the link is valid: 30m, 2h, 7d, 4w; a day by default
    #[arg(long = "for", value_name = "TIME", value_parser = share_time)]
    pub duration: Option<Duration>,
    /// A name for the link, such as the person who gets it; --list shows it
    #[arg(long, value_name = "NAME", value_parser = share_name)]
    pub name: Option<String>,
    /// A permission that the link grants; may be repeated
    #[arg(long, value_name = "SCOPE", default_value = "view", value_parser = offered_scope())]
    pub scope: Vec<Scope>,
    /// Print the QR code even if the output is not a terminal
    #[arg(long)]
    pub qr: bool,
    /// List the valid links
    #[arg(long, conflicts_with_all = ["stream", "duration", "name", "revoke"])]
    pub list: bool,
    /// Revoke the link with this id or name
    #[arg(long, value_name = "ID", conflicts_with_all = ["stream", "duration", "name"])]
    pub revoke: Option<String>,
}

/// `fanlight doctor`
#[derive(Debug, Default, Args)]
pub struct DoctorArguments {
    /// The daemon that is meant: as it is started.
    #[command(flatten)]
    pub run: Run,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads the name of a link: a word or a few, on one line.
fn share_name(text: &str) -> Result<String, &'static str> {
    const LONGEST: usize = 64;
    let name = text.trim();
    let is_name =
        !name.is_empty() && name.chars().count() <= LONGEST && !name.contains(char::is_control);
    is_name
        .then(|| name.to_owned())
        .ok_or("a name is 1 to 64 characters on one line")
}

/// The scopes that do something. Links and tokens may have others.
fn offered_scope() -> impl TypedValueParser<Value = Scope> {
    const OFFERED: [Scope; 2] = [Scope::View, Scope::Admin];
    let names = PossibleValuesParser::new(OFFERED.map(Scope::name));
    names.try_map(|name| name.parse::<Scope>())
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
        return Err("a link can be valid for one minute to ten years".into());
    }
    Ok(Duration::from_secs(seconds))
}

/// How to run.
#[derive(Debug, Default, Args)]
pub struct Run {
    /// Read the configuration from this file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The camera of the first stream: /dev/videoN, usb:VVVV:PPPP, usb:VVVV:PPPP:SERIAL, name:NAME or auto
    #[arg(short, long, value_name = "CAMERA", conflicts_with = "test_pattern", value_parser = Device::read)]
    pub device: Option<Device>,
    /// Show a moving test pattern in place of the first stream's camera
    ///
    /// `bars`, the default, needs almost no bitrate. `noise` needs all of it, as a camera does: use it to plan capacity.
    #[arg(long, value_name = "PICTURE", num_args = 0..=1, default_missing_value = "bars")]
    #[arg(value_parser = test_picture())]
    pub test_pattern: Option<TestPicture>,
    /// Listen on this address or port, TCP for HTTP and UDP for media; port 8080 on every address by default
    #[arg(short, long, visible_alias = "port", value_name = "ADDR", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Listen for media on this UDP address or port instead
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub rtc_listen: Option<SocketAddr>,
    /// Keep the token, links and certificates in this directory; ~/.local/state/fanlight by default
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The format of the log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Where log lines go, and in which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines, on standard error
    #[default]
    Text,
    /// One JSON object per line, on standard error
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
        let usual = || state_dir::default_directory(|name| std::env::var_os(name));
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
        // They do nothing yet.
        for scope in ["publish", "talk"] {
            let arguments = ["fanlight", "share", "--scope", scope];
            assert!(Cli::try_parse_from(arguments).is_err(), "{scope}");
        }
        let mut command = Cli::command();
        let share = command.find_subcommand_mut("share").unwrap();
        let help = share.render_long_help().to_string();
        assert!(
            !help.contains("publish") && !help.contains("talk"),
            "{help}"
        );
    }

    #[test]
    fn a_mistyped_camera_is_wrong_usage_and_says_what_was_meant() {
        for (device, part) in [
            ("video7", "did you mean \"/dev/video7\"?"),
            ("g2.toml", "`fanlight cameras` lists the cameras"),
        ] {
            let error = Cli::try_parse_from(["fanlight", "--device", device]).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_link_can_have_a_name() {
        assert_eq!(share_name(" grandma "), Ok("grandma".to_owned()));
        for bad in ["", " ", "two\nlines", &"x".repeat(65)] {
            assert!(share_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_take_the_state_directory_beside_the_configuration() {
        for command in ["url", "share", "controls"] {
            let arguments = ["fanlight", command, "-c", "a.toml", "--state-dir", "b"];
            assert!(Cli::try_parse_from(arguments).is_ok(), "{command}");
        }
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
        let config = run(&["--test-pattern", "noise"]).configuration().unwrap();
        assert_eq!(config.streams[0].source, pattern(TestPicture::Noise));
        let config = run(&["--test-pattern", "--port", "9000"])
            .configuration()
            .unwrap();
        assert_eq!(config.streams[0].source, pattern(TestPicture::Bars));
        assert_eq!(config.http.listen.port(), 9000);
        let config = run(&["-d", "usb:046d:082d", "-l", ":9000"])
            .configuration()
            .unwrap();
        let usb = Source::Device("usb:046d:082d".parse().unwrap());
        assert_eq!(config.streams[0].source, usb);
        assert!(Cli::try_parse_from(["fanlight", "--test-pattern=snow"]).is_err());
        assert!(
            Cli::try_parse_from(["fanlight", "--test-pattern", "--device", "/dev/video0"]).is_err()
        );
    }
}
