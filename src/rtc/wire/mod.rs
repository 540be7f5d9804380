//! The bytes of single packets: sealed, opened, built and read, without a session.

pub mod binding;
pub mod credentials;
pub mod dtls;
pub mod extensions;
pub mod outbox;
pub mod packetize;
pub mod srtcp;
pub mod srtp;
pub mod stun;
