//! Addresses in the configuration: where the daemon listens, under which it is reached, whose they are, and who may use it.

use super::value::{Parsed, shown, wrong_type};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use toml::de::DeValue;

pub(super) fn listen(value: &DeValue<'_>) -> Parsed<SocketAddr> {
    match value {
        DeValue::Integer(port) => listen_address(&port.to_string()),
        DeValue::String(text) => listen_address(text),
        _ => Err(wrong_type(value, LISTEN)),
    }
}

const LISTEN: &str = "ADDRESS:PORT, :PORT or PORT, such as \"192.168.1.5:8080\" or 8080";

/// Reads an address to listen on: `192.0.2.1:8080`, `[::1]:8080`, or `:8080` and `8080` for every address of the machine.
///
/// # Errors
/// A sentence that says what is wrong. Names such as `localhost` are refused: nothing is looked up.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    let quoted = shown(&DeValue::String(text.into()));
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let with_port = SocketAddr::new(address, 8080);
        return Err(format!("{quoted} has no port; write \"{with_port}\""));
    }
    match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_err() => Err(format!(
            "{quoted} has no port from 0 to 65535; write {LISTEN}"
        )),
        Some(("localhost", port)) => Err(format!(
            "{quoted} is a name; write \"127.0.0.1:{port}\" or \"[::1]:{port}\""
        )),
        Some(("*", port)) => Err(format!(
            "{quoted} is not an address; write \":{port}\" for every address of the machine"
        )),
        _ => Err(format!("{quoted} is not {LISTEN}")),
    }
}

/// The two parts of `HOST` or `HOST:PORT`, where an IPv6 address stands in brackets (RFC 3986, 3.2.2), which are not part
/// of it; `None` if that is neither. Port 0 is none.
pub(super) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, rest) = rest.split_once(']')?;
            ip.parse::<Ipv6Addr>().ok()?;
            let port = if rest.is_empty() {
                None
            } else {
                Some(rest.strip_prefix(':')?)
            };
            (ip, port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(is_host) {
                return None;
            }
            (host, port)
        }
    };
    match port.map(str::parse) {
        None => Some((host, None)),
        Some(Ok(port)) if port != 0 => Some((host, Some(port))),
        Some(_) => None,
    }
}

/// The name of a host, without a port.
pub(super) fn host(value: &DeValue<'_>) -> Parsed<String> {
    const EXPECTED: &str =
        "the name of a host without scheme and port, such as \"cam.example.org\"";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    match host_and_port(text) {
        Some((host, None)) if host == text => Ok(text.to_owned()),
        _ => Err(format!("{} is not {EXPECTED}", shown(value))),
    }
}

/// A page's origin (RFC 6454), or `*` for all.
pub(super) fn origin(value: &DeValue<'_>) -> Parsed<String> {
    const EXPECTED: &str = "an origin, such as \"https://example.org\", or \"*\" for all";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    // Browsers send it in lower case.
    let text = text.to_ascii_lowercase();
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match host {
        Some(host) if host.contains(['/', '?', '#', '@']) => Err(format!(
            "{} is more than an origin; write only the scheme, host and port, without a slash at the end",
            shown(value)
        )),
        Some(host) if !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic()) => Ok(text),
        None if text == "*" => Ok(text),
        _ => Err(format!("{} is not {EXPECTED}", shown(value))),
    }
}

/// Where viewers reach the page: scheme, host and perhaps a path (RFC 3986), which is given a slash at its end.
pub(super) fn public_url(value: &DeValue<'_>) -> Parsed<String> {
    const EXPECTED: &str =
        "a URL, such as \"https://cam.example\" or \"https://example.org/garden\"";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    let wrong = || format!("{} is not {EXPECTED}", shown(value));
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let scheme = scheme.to_ascii_lowercase();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if text.contains(['?', '#', '@']) {
        return Err(format!(
            "{} has more than a scheme, host, port and path; links add the rest",
            shown(value)
        ));
    }
    let is_path = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '`');
    if !matches!(&*scheme, "http" | "https")
        || host_and_port(host).is_none()
        || !path.chars().all(is_path)
    {
        return Err(wrong());
    }
    let host = host.to_ascii_lowercase();
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(format!("{scheme}://{host}/{path}{slash}"))
}

pub(super) fn prefix(value: &DeValue<'_>) -> Parsed<Prefix> {
    const EXPECTED: &str = "an address or a network, such as \"192.168.1.5\" or \"10.0.0.0/8\"";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    text.parse()
        .map_err(|()| format!("{} is not {EXPECTED}", shown(value)))
}

/// A network: all addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    /// How many leading bits are compared.
    length: u8,
}

impl Prefix {
    /// Whether an address lies in it. An IPv4 address mapped into IPv6 is the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let differs = own.to_bits() ^ ip.to_bits();
                differs.leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let differs = own.to_bits() ^ ip.to_bits();
                differs.leading_zeros() >= u32::from(self.length)
            }
            _ => false,
        }
    }
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| ())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(most);
        (length <= most)
            .then_some(Self { address, length })
            .ok_or(())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}
