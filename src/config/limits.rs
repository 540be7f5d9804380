//! `[limits]`: how much the daemon takes on, in all and from one address.

use super::address::{self, Prefix};
use super::problem::Problems;
use super::section::Section;
use super::value;
use std::net::IpAddr;
use std::time::Duration;

/// Bounds on viewers, connections and requests.
///
/// Addresses are counted as [`crate::base::addresses::client`] tells them apart: an IPv6 network of 56 bits is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sessions, connected or not.
    pub viewers: u32,
    /// The same of one stream.
    pub viewers_per_stream: u32,
    /// The same from one address.
    pub viewers_per_address: u32,
    /// Sessions that are not connected yet.
    pub setups: u32,
    /// HTTP connections.
    pub connections: u32,
    /// The same from one address.
    pub connections_per_address: u32,
    /// POST, PUT and DELETE requests and ICE restarts a second from one address, in the long run.
    pub request_rate: u32,
    /// The number of requests that may come at once after a pause.
    pub request_burst: u32,
    /// Bytes of a request's body.
    pub request_size: u32,
    /// The time for a request's head, from its first byte or the connection's opening; and for the beginning of a body.
    pub header_time: Duration,
    /// The time for the first byte of a connection's next request.
    pub idle_time: Duration,
    /// Bytes a second that a body must make, after `header_time`.
    pub body_rate: u32,
    /// Addresses that many viewers share, such as a reverse proxy's: nothing is counted by them.
    pub shared_addresses: Vec<Prefix>,
}

impl Limits {
    /// Whether requests from there are counted by address.
    pub fn counts(&self, ip: IpAddr) -> bool {
        !self
            .shared_addresses
            .iter()
            .any(|shared| shared.contains(ip))
    }
}

impl Default for Limits {
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1"].map(str::parse);
        Self {
            viewers: 10_000,
            viewers_per_stream: 10_000,
            viewers_per_address: 500,
            setups: 1000,
            connections: 1000,
            connections_per_address: 250,
            request_rate: 10,
            request_burst: 100,
            request_size: 128 << 10,
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(30),
            body_rate: 1 << 10,
            shared_addresses: loopback.into_iter().flatten().collect(),
        }
    }
}

/// Reads the table.
pub(super) fn read(problems: &mut Problems<'_>, section: &Section<'_, '_>) -> Limits {
    let mut limits = Limits::default();
    for (key, limit, most) in [
        ("viewers", &mut limits.viewers, 100_000),
        (
            "viewers_per_stream",
            &mut limits.viewers_per_stream,
            100_000,
        ),
        (
            "viewers_per_address",
            &mut limits.viewers_per_address,
            100_000,
        ),
        ("setups", &mut limits.setups, 100_000),
        ("connections", &mut limits.connections, 100_000),
        (
            "connections_per_address",
            &mut limits.connections_per_address,
            100_000,
        ),
        ("request_rate", &mut limits.request_rate, 10_000),
        ("request_burst", &mut limits.request_burst, 10_000),
    ] {
        let read = section.read(problems, key, |value| value::whole(value, 1..=most));
        *limit = read.unwrap_or(*limit);
    }
    let size = section.read(problems, "request_size", |value| {
        value::bytes(value, 4 << 10..=1 << 20)
    });
    limits.request_size = size.unwrap_or(limits.request_size);
    let rate = section.read(problems, "body_rate", |value| {
        value::bytes(value, 1..=1 << 20)
    });
    limits.body_rate = rate.unwrap_or(limits.body_rate);
    let time = section.read(problems, "header_time", |value| {
        value::duration(value, 0.1..=60.0, "0.1 s to 60 s")
    });
    limits.header_time = time.unwrap_or(limits.header_time);
    let time = section.read(problems, "idle_time", |value| {
        value::duration(value, 0.1..=3600.0, "0.1 s to 1 h")
    });
    limits.idle_time = time.unwrap_or(limits.idle_time);
    if section.entry("shared_addresses").is_some() {
        limits.shared_addresses = section.list(
            problems,
            "shared_addresses",
            "[\"127.0.0.0/8\", \"::1\"]",
            address::prefix,
        );
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_shared_and_a_prefix_means_its_leading_bits() {
        let limits = Limits::default();
        let counts = |ip: &str| limits.counts(ip.parse().unwrap());
        for shared in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(!counts(shared), "{shared}");
        }
        for counted in ["128.0.0.1", "192.168.1.5", "::2", "2001:db8::1"] {
            assert!(counts(counted), "{counted}");
        }
        let all: Prefix = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.7".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        for bad in ["", "a", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
