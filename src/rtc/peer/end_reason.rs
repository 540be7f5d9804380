//! The reasons for which sessions end.

use std::fmt;

/// The reason for which a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The viewer sent a DTLS `close_notify` (RFC 5246, 7.2.1).
    Closed,
    /// There was no connection in time.
    ConnectTimeout,
    /// A DELETE request ended it, or the permission to watch did.
    Deleted,
    /// Another session needed its place, and no valid check had come for some seconds.
    GaveWay,
    /// The viewer was not heard any more.
    Lost,
    /// The handshake gave no keys for media.
    NoMedia,
    /// The WebRTC core panicked.
    Panic,
    /// The daemon is stopping.
    Shutdown,
}

impl EndReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Closed,
        Self::ConnectTimeout,
        Self::Deleted,
        Self::GaveWay,
        Self::Lost,
        Self::NoMedia,
        Self::Panic,
        Self::Shutdown,
    ];

    /// The word for it in metrics, in the log and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Deleted => "deleted",
            Self::GaveWay => "gave_way",
            Self::Lost => "lost",
            Self::NoMedia => "no_media",
            Self::Panic => "panic",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
