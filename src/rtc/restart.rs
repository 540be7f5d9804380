//! ICE restarts (RFC 8445, 9) as a lite agent does them, beside the core.
//!
//! The core could restart by itself, but would give up the ICE session that works for one that may never: a viewer
//! that does not hear of its restart's success would be lost. So the core keeps its first ICE session for good, and
//! checks of later ones are answered here, which is all that a lite agent does (RFC 8445, 2.5). So are those of the first
//! once the core has its pair: it remembers every address that it was ever checked from.

use super::demux::{is_nomination, request_ufrag};
use super::identity::Credentials;
use bytes::BytesMut;
use rtc::crypto::RTCCrypto;
use rtc::ice::attributes::control::AttrControlling;
use rtc::ice::attributes::priority::PriorityAttr;
use rtc::ice::attributes::use_candidate::UseCandidateAttr;
use rtc::shared::error::Error as CoreError;
use rtc::stun::attributes::{ATTR_FINGERPRINT, ATTR_USERNAME};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{
    BINDING_REQUEST, BINDING_SUCCESS, Getter as _, Message, Setter, TransactionId,
};
use rtc::stun::textattrs::Username;
use rtc::stun::xoraddr::XorMappedAddress;
use std::net::SocketAddr;

/// The ICE sessions of a viewer after its first.
#[derive(Default)]
pub struct Restarts {
    /// The one that the viewer nominated a pair in; none while the core is still to find its first pair.
    current: Option<IceSession>,
    /// Begun, and without a nominated pair so far. The one before it goes on until there is one (RFC 8445, 9).
    next: Option<IceSession>,
}

struct IceSession {
    local: Credentials,
    remote_ufrag: String,
}

/// What became of a datagram.
pub enum Outcome {
    /// It does not belong to one of these sessions.
    NotOurs,
    /// It does, and proves nothing.
    Refused,
    /// The reply to it.
    Reply {
        /// To be sent where the check came from.
        message: BytesMut,
        /// The check nominated the first pair of the newest session, which takes over.
        takes_over: bool,
    },
}

impl Restarts {
    /// The core has its pair: its session's checks are answered here from now on, unless there is a later one already.
    pub fn take_first(&mut self, local: &Credentials, remote_ufrag: &str) {
        self.current.get_or_insert_with(|| IceSession {
            local: local.clone(),
            remote_ufrag: remote_ufrag.to_owned(),
        });
    }

    /// Begins an ICE session. One that was begun before and has no nominated pair is forgotten.
    pub fn begin(&mut self, local: Credentials, remote_ufrag: String) {
        self.next = Some(IceSession {
            local,
            remote_ufrag,
        });
    }

    /// Answers a check (RFC 8445, 7.3).
    pub fn answer(
        &mut self,
        datagram: &[u8],
        remote: SocketAddr,
        crypto: &dyn RTCCrypto,
    ) -> Outcome {
        let Some(ufrag) = request_ufrag(datagram) else {
            return Outcome::NotOurs;
        };
        let is_of = |session: &Option<IceSession>| {
            let session = session.as_ref();
            session.is_some_and(|session| session.local.ufrag == ufrag)
        };
        let is_next = is_of(&self.next);
        let session = match (is_next, is_of(&self.current)) {
            (true, _) => &self.next,
            (_, true) => &self.current,
            _ => return Outcome::NotOurs,
        };
        let reply = session
            .as_ref()
            .and_then(|session| session.reply(datagram, remote, crypto).ok());
        let Some(message) = reply else {
            return Outcome::Refused;
        };
        let takes_over = is_next && is_nomination(datagram);
        if takes_over {
            self.current = self.next.take();
        }
        Outcome::Reply {
            message,
            takes_over,
        }
    }
}

impl IceSession {
    fn reply(
        &self,
        datagram: &[u8],
        remote: SocketAddr,
        crypto: &dyn RTCCrypto,
    ) -> Result<BytesMut, CoreError> {
        let request = authentic(datagram, &self.local.password, crypto)?;
        let mut username = Username::new(ATTR_USERNAME, String::new());
        username.get_from(&request)?;
        if username.text != username_of(&self.local.ufrag, &self.remote_ufrag) {
            return Err(CoreError::ErrMismatchUsername);
        }
        success(&request, remote, &self.local.password, crypto)
    }
}

/// Reads a STUN message whose integrity is right under a password (RFC 8489, 14.5), and its fingerprint, if it has one.
pub fn authentic(
    datagram: &[u8],
    password: &str,
    crypto: &dyn RTCCrypto,
) -> Result<Message, CoreError> {
    let mut message = Message {
        raw: datagram.to_vec(),
        ..Message::default()
    };
    message.decode()?;
    MessageIntegrity::check(&mut message, password.as_bytes(), crypto)?;
    if message.contains(ATTR_FINGERPRINT) {
        FINGERPRINT.check(&message)?;
    }
    Ok(message)
}

/// The user name in checks of the agent called `theirs` to the one called `ours` (RFC 8445, 7.2.2).
fn username_of(ours: &str, theirs: &str) -> String {
    format!("{ours}:{theirs}")
}

/// The positive answer to a request that came from `remote`, under the password of the one who answers.
pub fn success(
    request: &Message,
    remote: SocketAddr,
    password: &str,
    crypto: &dyn RTCCrypto,
) -> Result<BytesMut, CoreError> {
    let mapped = XorMappedAddress {
        ip: remote.ip(),
        port: remote.port(),
    };
    build(&[
        Box::new(request.clone()),
        Box::new(BINDING_SUCCESS),
        Box::new(mapped),
        Box::new(integrity(password, crypto)),
        Box::new(FINGERPRINT),
    ])
}

/// A nominating check as the viewer would send it to the core (RFC 8445, 7.2.2).
pub fn nomination(
    local: &Credentials,
    remote_ufrag: &str,
    crypto: &dyn RTCCrypto,
) -> Result<BytesMut, CoreError> {
    let username = username_of(&local.ufrag, remote_ufrag);
    build(&[
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId::new()),
        Box::new(Username::new(ATTR_USERNAME, username)),
        Box::<UseCandidateAttr>::default(),
        Box::new(AttrControlling(1)),
        Box::new(PriorityAttr(1)),
        Box::new(integrity(&local.password, crypto)),
        Box::new(FINGERPRINT),
    ])
}

fn integrity<'a>(password: &str, crypto: &'a dyn RTCCrypto) -> MessageIntegrity<'a> {
    MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto)
}

fn build(parts: &[Box<dyn Setter + '_>]) -> Result<BytesMut, CoreError> {
    let mut message = Message::new();
    message.build(parts)?;
    Ok(BytesMut::from(&message.raw[..]))
}
