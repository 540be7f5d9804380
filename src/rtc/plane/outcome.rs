//! What comes of a request to the media plane: a session, a restart, or why there is none.

use super::reactor::Command;
use super::registry::Limit;
use crate::rtc::plane::session_id::SessionId;
use crate::rtc::sdp::offer::OfferError;
use std::sync::mpsc::TrySendError;

/// A command that the media thread was not given.
pub type Undelivered = TrySendError<Command>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The offer is at fault.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// There is no place for another viewer.
    #[error(transparent)]
    Full(#[from] Limit),
    /// The media thread can't take another viewer now.
    #[error("the server is overloaded; try again soon")]
    Overloaded,
    /// The daemon is ending.
    #[error("the server is stopping")]
    Stopping,
}

/// A session that was made.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// The SDP answer.
    pub answer: String,
    /// Names its ICE session.
    pub tag: String,
}

/// An ICE session that took the place of another.
#[derive(Debug, Clone)]
pub struct Restarted {
    /// Names it.
    pub tag: String,
    /// Our side, as an ICE fragment.
    pub fragment: String,
}

/// Why a session was not ended, or a fragment not taken. It goes on as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// There is no session of that name.
    #[error("there is no such session")]
    NoSession,
    /// The caller meant another ICE session.
    #[error("the ICE session has changed since then")]
    OtherIceSession,
    /// RFC 8839, 4.4.1.1.1.
    #[error(
        "an ICE restart must change both a=ice-ufrag and a=ice-pwd, but the fragment changes only one"
    )]
    HalfRestart,
    /// The media thread can't take it now.
    #[error("the server is overloaded; try again soon")]
    Overloaded,
    /// The daemon is ending.
    #[error("the server is stopping")]
    Stopping,
}

impl From<Undelivered> for AnswerError {
    fn from(error: Undelivered) -> Self {
        match error {
            TrySendError::Full(_) => Self::Overloaded,
            TrySendError::Disconnected(_) => Self::Stopping,
        }
    }
}

impl From<Undelivered> for SessionError {
    fn from(error: Undelivered) -> Self {
        match error {
            TrySendError::Full(_) => Self::Overloaded,
            TrySendError::Disconnected(_) => Self::Stopping,
        }
    }
}
