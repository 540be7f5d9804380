//! The networks whose addresses our own authority may vouch for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Every address.
pub const ALL: [Network; 2] = [v4([0, 0, 0, 0], 0), v6([0; 8], 0)];

/// Those that no public site has: private use (RFC 1918, RFC 4193), carriers' and VPNs' (RFC 6598), link-local (RFC 3927, RFC
/// 4291), and the machine itself.
const PRIVATE: [Network; 9] = [
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v4([169, 254, 0, 0], 16),
    v4([127, 0, 0, 0], 8),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
];
/// Bits of an IPv6 address that name the network: the others change from day to day (RFC 8981).
const LINK: u8 = 64;

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Network {
    Network {
        address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        prefix,
    }
}

const fn v6(parts: [u16; 8], prefix: u8) -> Network {
    let [a, b, c, d, e, f, g, h] = parts;
    Network {
        address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)),
        prefix,
    }
}

/// The private ones, and the machine's public addresses: an IPv4 address alone, an IPv6 address with its link.
pub fn of_machine(addresses: &[IpAddr]) -> Vec<Network> {
    let mut networks = PRIVATE.to_vec();
    for address in addresses {
        if !networks.iter().any(|network| network.has(*address)) {
            let prefix = if address.is_ipv4() { 32 } else { LINK };
            networks.push(Network::of(*address, prefix));
        }
    }
    networks
}

impl Network {
    /// The one that an address is in.
    fn of(address: IpAddr, prefix: u8) -> Self {
        let address = match address {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix));
                Ipv4Addr::from_bits(ip.to_bits() & mask.unwrap_or_default()).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix));
                Ipv6Addr::from_bits(ip.to_bits() & mask.unwrap_or_default()).into()
            }
        };
        Self { address, prefix }
    }

    /// Whether an address is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && Self::of(address, self.prefix) == *self
    }

    /// The first address, and the bits that all have in common.
    pub const fn parts(&self) -> (IpAddr, u8) {
        (self.address, self.prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            (prefix <= most).then(|| Self::of(address, prefix))
        };
        parsed().ok_or_else(|| format!("{text:?} is not a network"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_networks_are_the_private_ones_and_its_own() {
        let own = ["192.168.1.5", "203.0.113.9", "2001:db8:1:2:3::4", "fe80::1"];
        let networks = of_machine(&own.map(|ip| ip.parse().unwrap()));
        let has = |ip: &str| {
            networks
                .iter()
                .any(|network| network.has(ip.parse().unwrap()))
        };
        for ip in [
            "10.1.2.3",
            "172.31.0.1",
            "203.0.113.9",
            "2001:db8:1:2::9",
            "fd00::1",
            "::1",
        ] {
            assert!(has(ip), "{ip}");
        }
        for ip in [
            "172.32.0.1",
            "203.0.113.8",
            "2001:db8:1:3::9",
            "8.8.8.8",
            "::",
            "::2",
        ] {
            assert!(!has(ip), "{ip}");
        }
        assert!(
            ALL.iter()
                .any(|network| network.has("8.8.8.8".parse().unwrap()))
        );
    }

    #[test]
    fn a_network_is_read_as_it_is_written() {
        for network in of_machine(&["203.0.113.9".parse().unwrap()])
            .iter()
            .chain(&ALL)
        {
            assert_eq!(network.to_string().parse::<Network>().as_ref(), Ok(network));
        }
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "a/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
