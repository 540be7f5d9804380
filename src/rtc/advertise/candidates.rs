//! The addresses that an answer offers: where a viewer can reach the media socket.

use crate::base::addresses::is_link_local;
use std::net::{IpAddr, SocketAddr};

/// What decides which addresses are offered to one viewer.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// What the media socket is bound to.
    pub bound: SocketAddr,
    /// The address under which the viewer reached the HTTP server, if known.
    pub reached: Option<IpAddr>,
    /// For viewers beyond a NAT, with the ports that it has for ours.
    pub external: &'a [SocketAddr],
    /// The addresses of those of this machine's interfaces that are offered.
    pub interfaces: &'a [IpAddr],
}

/// The addresses to offer, best first.
///
/// An address that the viewer's HTTP request came to is one that it can reach, so it leads. Loopback is offered
/// to nobody else, since to another machine it is another machine.
pub fn addresses(situation: &Situation<'_>) -> Vec<SocketAddr> {
    let bound = situation.bound.ip().to_canonical();
    let usable = |ip: &IpAddr| {
        let is_reached = situation.reached == Some(*ip);
        let is_bound = match bound {
            IpAddr::V4(any) if any.is_unspecified() => ip.is_ipv4(),
            // Both families: the socket is opened for IPv4 as well.
            IpAddr::V6(any) if any.is_unspecified() => true,
            one => *ip == one,
        };
        is_bound && !ip.is_unspecified() && (is_reached || !ip.is_loopback()) && !is_link_local(*ip)
    };
    let ours = |ip: &IpAddr| SocketAddr::new(*ip, situation.bound.port());
    let reached = situation.reached.iter().filter(|ip| usable(ip)).map(ours);
    // Every external address is offered, whatever the socket is bound to: a NAT forwards it.
    let external = situation.external.iter().copied();
    let interfaces = situation
        .interfaces
        .iter()
        .filter(|ip| usable(ip))
        .map(ours);
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in reached.chain(external).chain(interfaces) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() && !bound.is_unspecified() {
        addresses.push(ours(&bound));
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(bound: &str, reached: Option<&str>, external: &[&str]) -> Vec<String> {
        let ip = |text: &&str| text.parse::<IpAddr>().unwrap();
        let interfaces = ["127.0.0.1", "::1", "192.168.1.5", "fd00::5", "fe80::5"];
        let situation = Situation {
            bound: bound.parse().unwrap(),
            reached: reached.as_ref().map(ip),
            external: &external
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<_>>(),
            interfaces: &interfaces.iter().map(ip).collect::<Vec<_>>(),
        };
        let addresses = addresses(&situation);
        addresses.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn a_viewer_on_the_network_gets_the_address_it_used_and_then_the_others() {
        assert_eq!(
            offered("[::]:8080", Some("fd00::5"), &[]),
            ["[fd00::5]:8080", "192.168.1.5:8080"]
        );
    }

    #[test]
    fn loopback_is_offered_to_those_who_used_it() {
        assert_eq!(
            offered("[::]:8080", Some("127.0.0.1"), &[]),
            ["127.0.0.1:8080", "192.168.1.5:8080", "[fd00::5]:8080"]
        );
    }

    #[test]
    fn a_socket_bound_to_one_address_offers_that_one() {
        for reached in [Some("192.168.1.5"), Some("127.0.0.1"), None] {
            assert_eq!(
                offered("192.168.1.5:9", reached, &[]),
                ["192.168.1.5:9"],
                "reached at {reached:?}"
            );
        }
        assert_eq!(offered("127.0.0.1:9", None, &[]), ["127.0.0.1:9"]);
    }

    #[test]
    fn an_ipv4_socket_offers_no_ipv6() {
        assert_eq!(
            offered("0.0.0.0:9", Some("fd00::5"), &[]),
            ["192.168.1.5:9"]
        );
    }

    #[test]
    fn external_addresses_come_before_the_interfaces() {
        assert_eq!(
            offered(
                "0.0.0.0:9",
                None,
                &["203.0.113.7:9", "203.0.113.7:4000", "203.0.113.7:9"]
            ),
            ["203.0.113.7:9", "203.0.113.7:4000", "192.168.1.5:9"]
        );
    }
}
