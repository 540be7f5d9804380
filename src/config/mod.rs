//! The configuration: a TOML text becomes a valid [`Config`], or a list of everything that is wrong with it.
//!
//! Nothing here touches a socket or a device: what can be known from the text alone is checked, the rest shows when
//! the daemon starts. `docs/config.md` is the reference for users.

mod access;
mod address;
mod device;
mod limits;
mod locate;
mod network;
mod parse;
mod problem;
#[cfg(test)]
mod properties;
mod section;
#[cfg(test)]
mod tests;
mod value;
mod whep;

pub use address::{Prefix, listen_address};
pub use device::{Backend, Device};
pub use limits::Limits;
pub use locate::Key;
pub use network::{
    EXCLUDED_INTERFACES, ExternalAddress, InterfaceName, Rtc, StunServer, TcpListen,
};
pub use problem::{BAD_CONFIGURATION, ConfigErrors, Problem};
pub use section::KEYS;
pub use value::RESERVED_NAMES;
pub use whep::{CameraDown, IceServer, Whep};

use crate::base::os_error::plain;
use crate::media::{Flip, FrameRate, Orientation, PixelFormat, Rotation, Size, TestPicture};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that can be configured; every value is valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[http]`
    pub http: Http,
    /// `[tls]`; `None` is plain HTTP.
    pub tls: Option<Tls>,
    /// `[auth]`
    pub auth: Auth,
    /// `[rtc]`
    pub rtc: Rtc,
    /// `[state]`
    pub state: State,
    /// `[whep]`
    pub whep: Whep,
    /// `[limits]`
    pub limits: Limits,
    /// `[[stream]]`, at least one; the first is the default stream. Names are unique.
    pub streams: Vec<Stream>,
}

/// The HTTP side.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// TCP; [`DEFAULT_LISTEN`] unless configured. Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The URL at which viewers reach the page through a proxy or a router, with a slash at the end: `https://cam.example/garden/`.
    pub public_url: Option<String>,
    /// Origins whose pages may watch, in the form of an `Origin` header; `*` stands for all. None by default: the
    /// daemon's own page needs none.
    pub cors_origins: Vec<String>,
    /// Origins whose pages may show ours in a frame; `*` stands for all. None but our own by default.
    pub frame_ancestors: Vec<String>,
    /// Names by which people reach the daemon, besides those of its host; it matters without authentication only.
    pub hosts: Vec<String>,
    /// JPEG images for viewers over HTTP.
    pub mjpeg: Mjpeg,
}

/// JPEG images for viewers over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mjpeg {
    /// Images a second of a stream, at the most; 0 to 30, of which 0 is none at all.
    pub fps: u32,
    /// libjpeg's, 10 to 95.
    pub quality: u32,
}

impl Default for Mjpeg {
    fn default() -> Self {
        Self {
            fps: 5,
            quality: 75,
        }
    }
}

/// HTTP over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The source of the certificate.
    pub certificate: Certificate,
    /// TCP: another address, where plain HTTP is redirected to HTTPS. At `[http] listen` it is in any case.
    pub redirect: Option<SocketAddr>,
}

/// The source of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// PEM files, read again when they change.
    Files {
        /// The server's certificate, then those that lead to one that clients know.
        chain: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made by a certificate authority of our own, in the state directory.
    SelfSigned,
}

/// The rules of who may watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The proof that a viewer needs.
    pub mode: AuthMode,
}

/// The proof that a viewer needs to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMode {
    /// Nothing is needed.
    None,
    /// The daemon's own token, and the links that it signed.
    Token,
    /// JSON Web Tokens.
    Jwt {
        /// The issuer's public keys.
        keys: PathBuf,
        /// The `aud` that tokens must have.
        audience: Option<String>,
        /// The `iss` that they must have.
        issuer: Option<String>,
    },
}

impl Default for Auth {
    /// The daemon's own token.
    fn default() -> Self {
        Self {
            mode: AuthMode::Token,
        }
    }
}

/// The state that is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The directory, as an absolute path; `None` leaves it to the command line and the environment.
    pub directory: Option<PathBuf>,
}

/// One `[[stream]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Part of the URL: 1 to 64 of `a-z A-Z 0-9 - _`, not a reserved word.
    pub name: String,
    /// The source of the pictures.
    pub source: Source,
    /// The library that captures a camera.
    pub backend: Backend,
    /// Asked of the source; 16x16 to 3840x2160, even sides.
    pub size: Size,
    /// Asked of the source; 1 to 120.
    pub fps: FrameRate,
    /// `None` is `auto`.
    pub format: Option<PixelFormat>,
    /// The rotation of the pictures.
    pub rotate: Rotation,
    /// The mirroring of the pictures after that.
    pub flip: Flip,
    /// Whether a camera's own H.264 is passed through. Test patterns are encoded in any case.
    pub encode: Encode,
    /// The bitrate of the encoded video, in bits per second; 50 kbit/s to 100 Mbit/s.
    pub bitrate: u32,
    /// Time between keyframes that nobody asked for; 0.5 s to 60 s.
    pub keyframe_interval: Duration,
    /// The delay that viewers are asked to hold pictures back.
    pub playout_delay: PlayoutDelay,
    /// The time for which the source stays open after the last viewer; 0 s to 1 h.
    pub linger: Duration,
    /// Keep the source open without viewers.
    pub always_on: bool,
    /// Show viewers a slate while the source delivers nothing.
    pub slate: bool,
    /// Reset the camera's USB device when opening it anew does not help.
    pub usb_reset: bool,
    /// Give the process up when the source falls silent for good, for systemd to start it anew.
    pub watchdog: bool,
}

/// Whether pictures are encoded here, or the camera's own H.264 is passed through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encode {
    /// H.264 is not asked for.
    Always,
    /// H.264 is passed through where the camera has it at the size and rate, WebRTC can carry it and every viewer plays it.
    #[default]
    Auto,
    /// A camera without such H.264 can't be watched, nor can it by a viewer who doesn't play it.
    Never,
}

impl Encode {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Always, Self::Auto, Self::Never];

    /// The name that the configuration uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Auto => "auto",
            Self::Never => "never",
        }
    }
}

/// The bounds within which a viewer chooses how long it holds pictures back, so that late ones are still in time: 0 s
/// to 40.95 s each, in steps of 10 ms, the smaller first. Zero and zero, the default, mean that each is shown at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// At the least.
    pub min: Duration,
    /// At the most.
    pub max: Duration,
}

/// The source of a stream's pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A V4L2 camera.
    Device(Device),
    /// The built-in moving test pattern.
    Pattern(TestPicture),
}

/// Every address of the machine, IPv4 and IPv6, port 8080.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080);

impl Stream {
    /// A stream with the defaults for everything but its name and source: 1280x720 at 30 frames per second and
    /// 2.5 Mbit/s, any format, as the source sends it, H.264 passed through where that is possible, a keyframe every 4 s, shown at once, open on
    /// demand and for 5 s after the last viewer.
    pub fn new(name: impl Into<String>, source: Source) -> Self {
        Self {
            name: name.into(),
            source,
            backend: Backend::Auto,
            size: Size::new(1280, 720),
            fps: FrameRate::whole(30),
            format: None,
            rotate: Rotation::default(),
            flip: Flip::default(),
            encode: Encode::Auto,
            bitrate: 2_500_000,
            keyframe_interval: Duration::from_secs(4),
            playout_delay: PlayoutDelay::default(),
            linger: Duration::from_secs(5),
            always_on: false,
            slate: true,
            usb_reset: false,
            watchdog: true,
        }
    }

    /// The rotation and flip of every picture.
    pub const fn orientation(&self) -> Orientation {
        Orientation::new(self.rotate, self.flip)
    }
}

impl Default for Config {
    /// The configuration of an empty file: one stream `camera` from `/dev/video0`, HTTP and media on port 8080.
    fn default() -> Self {
        Self {
            http: Http {
                listen: DEFAULT_LISTEN,
                public_url: None,
                frame_ancestors: Vec::new(),
                hosts: Vec::new(),
                mjpeg: Mjpeg::default(),
                cors_origins: Vec::new(),
            },
            tls: None,
            auth: Auth::default(),
            rtc: Rtc::new(DEFAULT_LISTEN),
            state: State::default(),
            whep: Whep::default(),
            limits: Limits::default(),
            streams: vec![Stream::new(
                "camera",
                Source::Device(Device::from("/dev/video0")),
            )],
        }
    }
}

impl Config {
    /// Reads a configuration from TOML text.
    ///
    /// # Errors
    /// Everything that is wrong with the text, in the order of its lines.
    pub fn parse(text: &str) -> Result<Self, ConfigErrors> {
        parse::config(text)
    }

    /// Reads a configuration file. A missing file is an error: silent defaults hide a mistyped path.
    ///
    /// # Errors
    /// The file can't be read or isn't UTF-8, or everything that is wrong with its text. The errors carry the path.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let in_file = |errors: ConfigErrors| errors.in_file(path);
        let bytes = std::fs::read(path).map_err(|error| {
            in_file(ConfigErrors::of_file(format!(
                "can't be read: {}",
                plain(&error)
            )))
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
            in_file(ConfigErrors::of_file(format!(
                "line {line} is not UTF-8 text; save the file as UTF-8"
            )))
        })?;
        Self::parse(&text).map_err(in_file)
    }
}
