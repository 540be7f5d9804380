//! The ports beside those of HTTP and UDP, which the configuration may ask for.

use super::Fault;
use crate::base::holders::Transport;
use crate::config::{Config, TcpListen};
use crate::http;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Where the system has no IPv6, its wildcard address means all of IPv4.
pub fn without_ipv6(config: &mut Config) {
    let any: SocketAddr = (std::net::Ipv6Addr::LOCALHOST, 0).into();
    let is_missing = std::net::UdpSocket::bind(any).is_err();
    let redirect = config.tls.as_mut().and_then(|tls| tls.redirect.as_mut());
    let media = match &mut config.rtc.tcp_listen {
        TcpListen::At(address) => Some(address),
        TcpListen::Http | TcpListen::Off => None,
    };
    let addresses = [&mut config.http.listen, &mut config.rtc.listen];
    for address in addresses.into_iter().chain(redirect).chain(media) {
        if is_missing && address.is_ipv6() && address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
        }
    }
}

/// Whether media over TCP comes to the listener of HTTP.
pub fn has_media(config: &Config) -> bool {
    match config.rtc.tcp_listen {
        TcpListen::Http => true,
        TcpListen::At(address) => address == config.http.listen && address.port() != 0,
        TcpListen::Off => false,
    }
}

/// Binds the address for media over TCP, unless that is HTTP's.
pub fn bind_media(config: &Config) -> Result<Option<TcpListener>, Fault> {
    match config.rtc.tcp_listen {
        TcpListen::At(address) if !has_media(config) => bind_tcp(Some(address)),
        _ => Ok(None),
    }
}

/// Binds the address where plain HTTP is redirected to HTTPS.
pub fn bind_redirect(config: &Config) -> Result<Option<TcpListener>, Fault> {
    bind_tcp(config.tls.as_ref().and_then(|tls| tls.redirect))
}

fn bind_tcp(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Fault> {
    let bound =
        address.map(|address| http::bind(address).map_err(Fault::bind(Transport::Tcp, address)));
    bound.transpose()
}
