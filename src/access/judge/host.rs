//! The `Host` of a request (RFC 9110, 7.2): its name or address, and its port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A `Host` that names a host, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// The name or address; an IPv6 address with its brackets.
    pub name: &'a str,
    /// The port, if one is written.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `NAME`, `NAME:PORT`, `[IPV6]` or `[IPV6]:PORT` (RFC 3986, 3.2.2). `None` for anything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let end = match text.strip_prefix('[') {
            Some(rest) => {
                let (ip, _) = rest.split_once(']')?;
                ip.parse::<Ipv6Addr>().ok()?;
                ip.len() + 2
            }
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, rest) = text.split_at(end);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if !name.starts_with('[') && (name.is_empty() || !name.chars().all(is_plain)) {
            return None;
        }
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self { name, port })
    }

    /// Whether the host is an address and no name: nothing was looked up for it.
    pub fn is_address(&self) -> bool {
        self.name.starts_with('[') || self.name.parse::<Ipv4Addr>().is_ok()
    }

    /// Whether the host is that name, or that IP address without brackets. Case and a dot at the end do not matter.
    pub fn is(&self, name: &str) -> bool {
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        let bare = self.name.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(ip) => name.parse() == Ok(ip),
            Err(_) => plain(self.name) == plain(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for (text, name, port) in [
            ("cam.lan", "cam.lan", None),
            ("cam_1.lan:8080", "cam_1.lan", Some(8080)),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[fd00::1]", "[fd00::1]", None),
            ("[::1]:65535", "[::1]", Some(65535)),
        ] {
            assert_eq!(Host::parse(text), Some(Host { name, port }), "{text}");
        }
        for text in [
            "", ":80", "[evil", "[evil]", "evil]", "[::1", "[::1]80", "[]", "a:", "a:b", "a:65536",
            "a:-1", "a:+1", "a b", "a/b", "user@a", "a:1:2", "::1", "a\u{e4}",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_addresses_by_value() {
        let is = |text: &str, name: &str| Host::parse(text).unwrap().is(name);
        assert!(is("CAM.lan.:80", "cam.LAN") && is("[fd00:0::1]", "fd00::1"));
        assert!(!is("cam.lan.evil.example", "cam.lan") && !is("127.0.0.1", "localhost"));
        let is_address = |text: &str| Host::parse(text).unwrap().is_address();
        assert!(is_address("[::1]:80") && is_address("10.0.0.1"));
        // Resolvers read these as addresses, and so they are names that somebody may look up.
        assert!(!is_address("127.1") && !is_address("0x7f000001") && !is_address("localhost"));
    }
}
