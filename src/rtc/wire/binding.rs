//! STUN binding messages of ICE under short-term credentials (RFC 8489, 9.1; RFC 8445, 7): reading and writing them.

use crate::rtc::wire::credentials::{Credentials, IcePassword};
use bytes::BytesMut;
use rtc::crypto::RTCCrypto;
use rtc::ice::attributes::control::{AttrControlled, AttrControlling};
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

/// The priority of a peer-reflexive candidate (RFC 8445, 5.1.2.1): ours would be none better.
const PRIORITY: u32 = (110 << 24) | 0xff_ffff;

/// Reads a STUN message whose integrity is right under a password (RFC 8489, 14.5), and its fingerprint, if it has one.
///
/// # Errors
/// When it is no such message.
pub fn authentic(
    datagram: &[u8],
    password: &IcePassword,
    crypto: &dyn RTCCrypto,
) -> Result<Message, CoreError> {
    let mut message = Message {
        raw: datagram.to_vec(),
        ..Message::default()
    };
    message.decode()?;
    MessageIntegrity::check(&mut message, password.as_str().as_bytes(), crypto)?;
    if message.contains(ATTR_FINGERPRINT) {
        FINGERPRINT.check(&message)?;
    }
    Ok(message)
}

/// Answers a check of the agent `remote` to the agent `local`, which came from `from`.
///
/// # Errors
/// When the check is not authentic, or names another pair of agents.
pub fn answer(
    datagram: &[u8],
    local: &Credentials,
    remote: &Credentials,
    from: SocketAddr,
    crypto: &dyn RTCCrypto,
) -> Result<BytesMut, CoreError> {
    let request = authentic(datagram, &local.password, crypto)?;
    let mut username = Username::new(ATTR_USERNAME, String::new());
    username.get_from(&request)?;
    if username.text != username_to(local, remote) {
        return Err(CoreError::ErrMismatchUsername);
    }
    success(&request, from, &local.password, crypto)
}

/// The user name in checks to `receiver` (RFC 8445, 7.2.2).
fn username_to(receiver: &Credentials, sender: &Credentials) -> String {
    format!("{}:{}", receiver.ufrag, sender.ufrag)
}

/// The positive answer to a request that came from `from`, under the password of the agent that answers.
///
/// # Errors
/// When the message can't be built.
pub fn success(
    request: &Message,
    from: SocketAddr,
    password: &IcePassword,
    crypto: &dyn RTCCrypto,
) -> Result<BytesMut, CoreError> {
    let mapped = XorMappedAddress {
        ip: from.ip(),
        port: from.port(),
    };
    build(&[
        Box::new(request.clone()),
        Box::new(BINDING_SUCCESS),
        Box::new(mapped),
        Box::new(integrity(password, crypto)),
        Box::new(FINGERPRINT),
    ])
}

/// A check from the controlled agent `local` to the controlling agent `remote` (RFC 8445, 7.2.2).
///
/// # Errors
/// When the message can't be built.
pub fn check(
    transaction: [u8; 12],
    local: &Credentials,
    remote: &Credentials,
    crypto: &dyn RTCCrypto,
) -> Result<BytesMut, CoreError> {
    build(&[
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId(transaction)),
        Box::new(Username::new(ATTR_USERNAME, username_to(remote, local))),
        Box::new(AttrControlled(1)),
        Box::new(PriorityAttr(PRIORITY)),
        Box::new(integrity(&remote.password, crypto)),
        Box::new(FINGERPRINT),
    ])
}

/// A nominating check from the controlling agent `remote` to the controlled agent `local` (RFC 8445, 8.1.1).
///
/// # Errors
/// When the message can't be built.
pub fn nomination(
    local: &Credentials,
    remote: &Credentials,
    crypto: &dyn RTCCrypto,
) -> Result<BytesMut, CoreError> {
    build(&[
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId::new()),
        Box::new(Username::new(ATTR_USERNAME, username_to(local, remote))),
        Box::<UseCandidateAttr>::default(),
        Box::new(AttrControlling(1)),
        Box::new(PriorityAttr(PRIORITY)),
        Box::new(integrity(&local.password, crypto)),
        Box::new(FINGERPRINT),
    ])
}

fn integrity<'a>(password: &IcePassword, crypto: &'a dyn RTCCrypto) -> MessageIntegrity<'a> {
    MessageIntegrity::new_short_term_integrity_with_provider(password.as_str().to_owned(), crypto)
}

fn build(parts: &[Box<dyn Setter + '_>]) -> Result<BytesMut, CoreError> {
    let mut message = Message::new();
    message.build(parts)?;
    Ok(BytesMut::from(&message.raw[..]))
}
