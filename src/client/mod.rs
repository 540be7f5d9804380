//! A viewer of our own: HTTP, TLS and WebRTC as a client, for the examination of a daemon.

pub mod http;
pub mod rtc;
pub mod tls;
