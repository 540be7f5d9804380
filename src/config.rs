//! The configuration: a TOML text becomes a valid [`Config`], or a list of everything that is wrong with it.

use crate::media::{FrameRate, PixelFormat, Size};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be configured; every value is valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[http]`
    pub http: Http,
    /// `[rtc]`
    pub rtc: Rtc,
    /// `[[stream]]`, at least one; the first is the default stream. Names are unique.
    pub streams: Vec<Stream>,
}

/// The HTTP side.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// `[::]` with port 8080 unless configured: IPv4 and IPv6.
    pub listen: SocketAddr,
}

/// The media side.
#[derive(Debug, Clone, PartialEq)]
pub struct Rtc {
    /// UDP; the HTTP address unless configured.
    pub listen: SocketAddr,
    /// Addresses under which the daemon is reached through NAT, offered to viewers in addition to the interfaces' own.
    pub external_addresses: Vec<IpAddr>,
}

/// One `[[stream]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Part of the URL: 1 to 64 of `a-z A-Z 0-9 - _`, not a reserved word.
    pub name: String,
    /// Where the pictures come from.
    pub source: Source,
    /// Asked of the source; 16x16 to 3840x2160, even sides.
    pub size: Size,
    /// Asked of the source; 1 to 120.
    pub fps: FrameRate,
    /// `None` is `auto`.
    pub format: Option<PixelFormat>,
    /// Of the encoded video, in bits per second; 50 kbit/s to 100 Mbit/s.
    pub bitrate: u32,
    /// Time between keyframes that nobody asked for; 0.5 s to 60 s.
    pub keyframe_interval: Duration,
    /// How long the source stays open after the last viewer; 0 s to 1 h.
    pub linger: Duration,
    /// Keep the source open without viewers.
    pub always_on: bool,
}

/// Where a stream's pictures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A V4L2 device node.
    Device(PathBuf),
    /// The built-in moving test pattern.
    Pattern,
}
