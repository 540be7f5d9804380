//! The addresses of this machine, and the URLs under which it is reached.

mod changes;
mod host;
mod interfaces;

pub use host::host_names;
pub use interfaces::{Interface, Interfaces, list};

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Whether an address means something only together with an interface (RFC 4291), which neither a URL
/// nor SDP can name (RFC 8839, 5.1).
pub fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The address that stands for a client where clients are counted by their addresses: its own, or of IPv6 its network of 56
/// bits, all of which providers give to one customer (RIPE-690, 4.2).
pub fn client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => network(ip, 56),
        v4 => v4,
    }
}

/// The IPv6 network of 48 bits that an address belongs to, the largest that providers give to one customer.
pub fn site(ip: IpAddr) -> Option<IpAddr> {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Some(network(ip, 48)),
        IpAddr::V4(_) => None,
    }
}

/// The leading bits of an address, 1 to 128.
fn network(ip: Ipv6Addr, bits: u32) -> IpAddr {
    let rest = 128 - bits;
    IpAddr::V6((ip.to_bits() >> rest << rest).into())
}

/// The URLs to open for a server that listens on `http` of a machine with these addresses, with TLS or without.
pub fn urls(http: SocketAddr, is_secure: bool, interfaces: &[IpAddr]) -> Vec<String> {
    let port = http.port();
    let scheme = if is_secure { "https" } else { "http" };
    let url = |ip| format!("{scheme}://{}/", SocketAddr::new(ip, port));
    if !http.ip().is_unspecified() {
        return vec![url(http.ip())];
    }
    let is_reachable =
        |ip: &IpAddr| !ip.is_loopback() && !is_link_local(*ip) && (ip.is_ipv4() || http.is_ipv6());
    let reachable = interfaces.iter().copied().filter(is_reachable);
    std::iter::once(format!("{scheme}://localhost:{port}/"))
        .chain(reachable.map(url))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client() {
        let of = |text: &str| client(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:234:3:4:5:6"), "2001:db8:1:200::");
        assert_ne!(of("2001:db8:1:2ff::1"), of("2001:db8:1:300::1"));
        let site = |text: &str| site(text.parse().unwrap()).map(|ip| ip.to_string());
        assert_eq!(site("2001:db8:1:2::1").as_deref(), Some("2001:db8:1::"));
        assert_eq!(site("::ffff:192.0.2.1"), None);
    }

    #[test]
    fn the_urls_are_those_that_can_be_opened() {
        let interfaces = ["127.0.0.1", "192.168.1.5", "::1", "fe80::1", "fd00::5"];
        let interfaces = interfaces.map(|ip| ip.parse().unwrap());
        let of = |address: &str| urls(address.parse().unwrap(), false, &interfaces).join(" ");
        assert_eq!(of("127.0.0.1:80"), "http://127.0.0.1:80/");
        assert_eq!(
            of("0.0.0.0:80"),
            "http://localhost:80/ http://192.168.1.5:80/"
        );
        assert_eq!(
            of("[::]:80"),
            "http://localhost:80/ http://192.168.1.5:80/ http://[fd00::5]:80/"
        );
        let secure = urls("[::1]:443".parse().unwrap(), true, &interfaces);
        assert_eq!(secure, ["https://[::1]:443/"]);
    }
}
