//! The addresses that viewers are told, and those that they are not.

use super::Finding;
use crate::base::addresses::{Interface, is_link_local, list};
use crate::config::{Config, ExternalAddress, Rtc};
use std::net::{IpAddr, SocketAddr};

const CHECK: &str = "addresses";

/// The addresses that an answer would offer to a viewer on another machine, besides the one that its request came to.
pub fn check(config: &Config) -> Vec<Finding> {
    match list() {
        Ok(interfaces) => judge(&config.rtc, &interfaces),
        Err(error) => vec![Finding::fail(
            CHECK,
            format!("the network interfaces can't be listed: {error}"),
            "a sandbox must allow AF_NETLINK",
        )],
    }
}

fn judge(rtc: &Rtc, interfaces: &[Interface]) -> Vec<Finding> {
    let mut offered = Vec::new();
    let mut asked = Vec::new();
    for external in &rtc.external_addresses {
        match external {
            ExternalAddress::Ip(ip) => offered.push(format!("{ip} (external)")),
            ExternalAddress::Stun(server) => asked.push(server.to_string()),
        }
    }
    let mut left_out = Vec::new();
    // Loopback is this machine to everybody.
    let others = interfaces
        .iter()
        .filter(|interface| !interface.ip.is_loopback());
    for Interface { name, ip } in others {
        let told = format!("{ip} ({name})");
        match why_not(rtc, name, *ip) {
            None => offered.push(told),
            Some(why) => left_out.push(format!("{told}: {why}")),
        }
    }
    let list = |list: &[String]| list.join(", ");
    let mut seen = match &*offered {
        [] => "viewers are offered only the address that their request arrives at".to_owned(),
        some => format!("offered: {}", list(some)),
    };
    if !asked.is_empty() {
        seen += &format!(
            "; and the address that {} reports while fanlight runs",
            list(&asked)
        );
    }
    if !left_out.is_empty() {
        seen += &format!("; left out: {}", left_out.join("; "));
    }
    let is_local = rtc.listen.ip().is_loopback();
    if !offered.is_empty() || !asked.is_empty() || is_local {
        return vec![Finding::ok(CHECK, seen)];
    }
    let cure =
        "bring a network interface up, or change interfaces and exclude_interfaces under [rtc]";
    vec![Finding::warn(CHECK, seen, cure)]
}

/// The addresses that the STUN servers have told the running daemon, as its answers offer them.
pub fn discovered(rtc: &Rtc, offered: &[SocketAddr]) -> Vec<Finding> {
    let ours: Vec<_> = list()
        .unwrap_or_default()
        .into_iter()
        .map(|one| one.ip)
        .collect();
    judge_discovered(rtc, offered, &ours).into_iter().collect()
}

fn judge_discovered(rtc: &Rtc, offered: &[SocketAddr], ours: &[IpAddr]) -> Option<Finding> {
    let mut servers = rtc.external_addresses.iter();
    if offered.is_empty() || !servers.any(|address| matches!(address, ExternalAddress::Stun(_))) {
        return None;
    }
    let is_known = |ip: IpAddr| {
        ours.contains(&ip) || rtc.external_addresses.contains(&ExternalAddress::Ip(ip))
    };
    let told: Vec<_> = offered
        .iter()
        .filter(|address| !is_known(address.ip()))
        .collect();
    let seen = format!("the STUN servers report {told:?}");
    Some(if told.is_empty() {
        Finding::warn(
            CHECK,
            "the STUN servers report no address that this machine does not have itself",
            "without a NAT router this is as it should be; otherwise see the log of fanlight, or let UDP to these servers through the firewall",
        )
    } else if told.iter().all(|address| is_private(address.ip())) {
        Finding::warn(
            CHECK,
            format!("{seen}, which is itself behind a NAT"),
            "the provider's NAT lets no viewers in: ask for a public address, or configure a TURN server ([whep] ice_servers)",
        )
    } else {
        Finding::ok(CHECK, seen)
    })
}

/// Whether nobody on the Internet can have that address (RFC 1918, RFC 6598, RFC 4193).
const fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || matches!(ip.octets(), [100, 64..=127, ..]),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Why a viewer elsewhere is not told an address.
fn why_not(rtc: &Rtc, name: &str, ip: IpAddr) -> Option<String> {
    let bound = rtc.listen.ip();
    if is_link_local(ip) {
        return Some("a link-local address is useless to other networks".to_owned());
    }
    let is_bound = match bound {
        IpAddr::V4(any) if any.is_unspecified() => ip.is_ipv4(),
        IpAddr::V6(any) if any.is_unspecified() => true,
        one => one == ip,
    };
    if !is_bound {
        return Some(format!("[rtc] listen is {bound}"));
    }
    rtc.offers(name).err()
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    fn found(keys: &str) -> Finding {
        let config = Config::parse(&format!("[rtc]\n{keys}\n")).unwrap();
        let interfaces = [
            ("lo", "127.0.0.1"),
            ("eth0", "192.168.1.5"),
            ("eth0", "fe80::5"),
            ("docker0", "172.17.0.1"),
        ];
        let interfaces = interfaces.map(|(name, ip)| Interface {
            name: name.to_owned(),
            ip: ip.parse().unwrap(),
        });
        judge(&config.rtc, &interfaces).remove(0)
    }

    #[test]
    fn each_address_is_offered_or_left_out_for_a_reason() {
        let found = found("external_addresses = [\"203.0.113.7\", \"stun:stun.example.org\"]");
        assert_eq!(found.outcome, Outcome::Ok);
        assert_eq!(
            found.seen,
            "offered: 203.0.113.7 (external), 192.168.1.5 (eth0); and the address that stun:stun.example.org reports while fanlight runs; \
             left out: fe80::5 (eth0): a link-local address is useless to \
             other networks; 172.17.0.1 (docker0): exclude_interfaces = \"docker*\""
        );
    }

    #[test]
    fn what_a_stun_server_told_is_judged_by_who_can_reach_it() {
        let config = "[rtc]\nexternal_addresses = [\"203.0.113.7\", \"stun:stun.example.org\"]\n";
        let rtc = Config::parse(config).unwrap().rtc;
        let judge = |rtc: &Rtc, last: &str| {
            let offered = ["192.168.1.5:80", "203.0.113.7:80", last].map(|a| a.parse().unwrap());
            let ours = ["192.168.1.5".parse().unwrap()];
            judge_discovered(rtc, &offered, &ours).map(|found| found.outcome)
        };
        assert_eq!(judge(&rtc, "198.51.100.1:4000"), Some(Outcome::Ok));
        assert_eq!(judge(&rtc, "[2001:db8::1]:80"), Some(Outcome::Ok));
        assert_eq!(judge(&rtc, "100.70.0.1:4000"), Some(Outcome::Warn));
        assert_eq!(judge(&rtc, "192.168.1.5:80"), Some(Outcome::Warn));
        let without = Config::default().rtc;
        assert_eq!(judge(&without, "198.51.100.1:4000"), None);
        assert_eq!(
            judge_discovered(&rtc, &[], &[]),
            None,
            "there was no answer"
        );
    }

    #[test]
    fn with_no_address_left_the_keys_to_change_are_named() {
        let none = found("interfaces = [\"wlan*\"]");
        assert_eq!(none.outcome, Outcome::Warn);
        assert!(
            none.seen.starts_with("viewers are offered only")
                && none.seen.contains("192.168.1.5 (eth0): interfaces")
        );
        assert_eq!(found("listen = \"127.0.0.1:80\"").outcome, Outcome::Ok);
        let other = found("listen = \"[::1]:80\"").seen;
        assert!(
            other.contains("192.168.1.5 (eth0): [rtc] listen is ::1"),
            "{other}"
        );
    }
}
