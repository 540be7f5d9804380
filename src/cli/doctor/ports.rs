//! The ports: free, or the daemon's own.

use super::{Finding, Patient};
use crate::base::holders::{self, Transport, told};
use crate::base::os_error::plain;
use crate::config::TcpListen;
use crate::http;
use crate::rtc::UdpSocket;
use std::io;
use std::net::SocketAddr;

const CHECK: &str = "port";

/// Tries every address that the configuration has a daemon listen on. To be called within a tokio runtime.
pub fn check(patient: &Patient) -> Vec<Finding> {
    let config = &patient.config;
    let (http, mut media) = (config.http.listen, config.rtc.listen);
    if let Some(running) = &patient.daemon
        && running.serving.http.port() != http.port()
        && http.port() != 0
    {
        let seen = format!(
            "the running fanlight is at {}, not at {http}",
            running.serving.http
        );
        let cure =
            "restart it if the configuration has changed, or name its configuration with --config";
        return vec![Finding::warn(CHECK, seen, cure)];
    }
    if let Some(running) = &patient.daemon
        && media.port() == 0
    {
        media.set_port(running.serving.http.port());
    }
    let redirect = config.tls.as_ref().and_then(|tls| tls.redirect);
    let media_tcp = match config.rtc.tcp_listen {
        TcpListen::At(address) if address != http => Some(address),
        // At HTTP's port, or nowhere.
        TcpListen::At(_) | TcpListen::Http | TcpListen::Off => None,
    };
    let tcp = [Some(http), redirect, media_tcp].into_iter().flatten();
    let tcp = tcp.map(|address| (Transport::Tcp, address));
    let all = tcp.chain([(Transport::Udp, media)]);
    // Port 0 takes any that is free.
    let all = all.filter(|(_, address)| address.port() != 0);
    let has_daemon = patient.daemon.is_some();
    all.map(|(transport, address)| judge(transport, address, has_daemon))
        .collect()
}

fn judge(transport: Transport, address: SocketAddr, has_daemon: bool) -> Finding {
    let bound = match transport {
        Transport::Tcp => http::bind(address).map(drop),
        Transport::Udp => UdpSocket::bind(address).map(drop),
    };
    let name = format!("{} {address}", transport.name());
    let Err(error) = bound else {
        return match has_daemon {
            false => Finding::ok(CHECK, format!("{name} is free")),
            true => Finding::warn(
                CHECK,
                format!("{name} is free, though the running fanlight should use it"),
                "restart fanlight if the configuration has changed",
            ),
        };
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => taken(&name, &holders::of_port(transport, address), has_daemon),
        io::ErrorKind::AddrNotAvailable => Finding::fail(
            CHECK,
            format!("{name} is not an address of this machine"),
            "listen on [::] for all its addresses; `ip address` shows them",
        ),
        io::ErrorKind::PermissionDenied => Finding::fail(
            CHECK,
            format!("{name} needs a privilege that this user lacks"),
            "choose port 1024 or higher; the comments in the service's unit say how to allow a lower one",
        ),
        _ => Finding::fail(
            CHECK,
            format!("{name}: {}", plain(&error)),
            "choose another address with --listen",
        ),
    }
}

fn taken(name: &str, holders: &[holders::Holder], has_daemon: bool) -> Finding {
    let is_ours = has_daemon && holders.iter().all(|holder| holder.name == "fanlight");
    match told(holders) {
        Some(who) if is_ours => Finding::ok(CHECK, format!("{name} is used by the running {who}")),
        None if is_ours => Finding::ok(
            CHECK,
            format!("{name} is in use, apparently by the running fanlight"),
        ),
        Some(who) => Finding::fail(
            CHECK,
            format!("{name} is used by {who}"),
            "end that program, or choose another port with --listen",
        ),
        None => Finding::fail(
            CHECK,
            format!("{name} is used by a program of another user"),
            "`sudo ss -lntup` names it; end it, or choose another port with --listen",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use holders::Holder;

    #[test]
    fn a_port_is_the_daemons_or_in_the_way() {
        let holder = |name: &str| {
            vec![Holder {
                pid: 7,
                name: name.to_owned(),
            }]
        };
        let outcome = |holders: &[Holder], has_daemon| taken("TCP 1", holders, has_daemon).outcome;
        assert_eq!(outcome(&holder("fanlight"), true), Outcome::Ok);
        assert_eq!(outcome(&[], true), Outcome::Ok);
        assert_eq!(outcome(&holder("nginx"), true), Outcome::Fail);
        assert_eq!(outcome(&holder("fanlight"), false), Outcome::Fail);
        assert_eq!(outcome(&[], false), Outcome::Fail);
    }
}
