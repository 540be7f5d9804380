//! `[rtc]`: under which addresses viewers are told to reach the media port.

use super::address;
use super::problem::Problems;
use super::section::Section;
use super::value::{Parsed, shown, wrong_type};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use toml::de::DeValue;

/// The media side.
#[derive(Debug, Clone, PartialEq)]
pub struct Rtc {
    /// UDP; the HTTP address unless configured.
    pub listen: SocketAddr,
    /// The listener for viewers whose network blocks UDP.
    pub tcp_listen: TcpListen,
    /// Addresses under which the daemon is reached through NAT, offered to viewers in addition to the interfaces' own.
    pub external_addresses: Vec<ExternalAddress>,
    /// The interfaces whose addresses are offered; empty for all that are not excluded.
    pub interfaces: Vec<InterfaceName>,
    /// Interfaces whose addresses are not offered.
    pub exclude_interfaces: Vec<InterfaceName>,
}

/// The listener for media over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TcpListen {
    /// The listener of HTTP: the first bytes of a connection tell the two apart.
    #[default]
    Http,
    /// There.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// Interfaces that lead nowhere but to this machine's own containers and virtual machines: of Docker, LXC, LXD, Incus,
/// Podman and the networks of Kubernetes, of libvirt, VirtualBox and VMware. Docker's own networks are `br-` and 12
/// hexadecimal digits; a plain `br-*` would take OpenWrt's `br-lan`, too.
pub const EXCLUDED_INTERFACES: [&str; 19] = [
    "docker*",
    "br-????????????",
    "veth*",
    "virbr*",
    "vnet*",
    "vmnet*",
    "vboxnet*",
    "lxc*",
    "lxdbr*",
    "incusbr*",
    "podman*",
    "cni*",
    "flannel*",
    "cali*",
    "cilium*",
    "weave*",
    "kube-*",
    "nodelocaldns*",
    "nerdctl*",
];

impl Rtc {
    /// The defaults for a media port at `listen`: every interface but [`EXCLUDED_INTERFACES`].
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tcp_listen: TcpListen::Http,
            external_addresses: Vec::new(),
            interfaces: Vec::new(),
            exclude_interfaces: excluded_by_default(),
        }
    }

    /// Whether the addresses of the interface of that name are offered, and if not, by which key.
    ///
    /// # Errors
    /// With the key that leaves it out, and its entry if that is one.
    pub fn offers(&self, interface: &str) -> Result<(), String> {
        let names =
            |list: &[InterfaceName]| list.iter().find(|name| name.matches(interface)).cloned();
        if !self.interfaces.is_empty() && names(&self.interfaces).is_none() {
            return Err("interfaces".to_owned());
        }
        match names(&self.exclude_interfaces) {
            Some(name) => Err(format!("exclude_interfaces = {name:?}")),
            None => Ok(()),
        }
    }
}

fn excluded_by_default() -> Vec<InterfaceName> {
    let names = EXCLUDED_INTERFACES.iter();
    names
        .map(|name| InterfaceName((*name).to_owned()))
        .collect()
}

/// Reads the table, of a daemon that listens there unless the table says otherwise.
pub(super) fn read(
    problems: &mut Problems<'_>,
    section: &Section<'_, '_>,
    listen: SocketAddr,
) -> Rtc {
    let listen = section
        .read(problems, "listen", address::listen)
        .unwrap_or(listen);
    let tcp_listen = section
        .read(problems, "tcp_listen", tcp_listen)
        .unwrap_or_default();
    let external = "[\"203.0.113.7\"]";
    let external_addresses =
        section.list(problems, "external_addresses", external, external_address);
    let interfaces = section.list(problems, "interfaces", "[\"eth0\"]", interface);
    // A list of `interfaces` is complete: nothing is excluded from it by default.
    let exclude_interfaces = match section.entry("exclude_interfaces") {
        Some(_) => section.list(problems, "exclude_interfaces", "[\"tun*\"]", interface),
        None if interfaces.is_empty() => excluded_by_default(),
        None => Vec::new(),
    };
    Rtc {
        listen,
        tcp_listen,
        external_addresses,
        interfaces,
        exclude_interfaces,
    }
}

fn tcp_listen(value: &DeValue<'_>) -> Parsed<TcpListen> {
    match value.as_str() {
        Some("http") => Ok(TcpListen::Http),
        Some("off") => Ok(TcpListen::Off),
        _ => address::listen(value)
            .map(TcpListen::At)
            .map_err(|message| format!("{message}; or \"http\", where HTTP is, or \"off\"")),
    }
}

/// The address at which viewers beyond a NAT reach the media port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalAddress {
    /// There, under the number that it has.
    Ip(IpAddr),
    /// Wherever this STUN server sees it.
    Stun(StunServer),
}

impl fmt::Display for ExternalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Stun(server) => write!(f, "{server}"),
        }
    }
}

/// A STUN server over UDP (RFC 7064).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunServer {
    /// A name, or an address without brackets.
    pub host: String,
    /// 3478 unless configured (RFC 8489, 14.1).
    pub port: u16,
}

impl StunServer {
    const PORT: u16 = 3478;
}

/// Writes the value as it stands in the file.
impl fmt::Display for StunServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.host {
            host if host.contains(':') => write!(f, "stun:[{host}]")?,
            host => write!(f, "stun:{host}")?,
        }
        match self.port {
            Self::PORT => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

fn external_address(value: &DeValue<'_>) -> Parsed<ExternalAddress> {
    const EXPECTED: &str =
        "an IP address without a port, such as \"203.0.113.7\", or a STUN server, \"stun:HOST\"";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    let wrong = || format!("{} is not {EXPECTED}", shown(value));
    if let Some(server) = text.strip_prefix("stun:") {
        let (host, port) = address::host_and_port(server).ok_or_else(wrong)?;
        return Ok(ExternalAddress::Stun(StunServer {
            host: host.to_owned(),
            port: port.unwrap_or(StunServer::PORT),
        }));
    }
    if text.starts_with("stuns:") || text.starts_with("turn") {
        return Err(format!(
            "{} can't be asked from the media port, which is UDP; write \"stun:HOST\" or \"stun:HOST:PORT\"",
            shown(value)
        ));
    }
    let address: IpAddr = text.parse().map_err(|_| wrong())?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!(
            "{address} is not an address that a viewer can reach"
        ));
    }
    Ok(ExternalAddress::Ip(address))
}

/// The name of an interface, or of many: `*` stands for any characters, `?` for any one.
#[derive(Clone, PartialEq, Eq)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Whether an interface of that name is meant.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes())
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        ([b'?', pattern @ ..], [_, name @ ..]) => matches(pattern, name),
        ([a, pattern @ ..], [b, name @ ..]) => a == b && matches(pattern, name),
        _ => false,
    }
}

impl FromStr for InterfaceName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        /// The greatest length of a name, in bytes (`IFNAMSIZ` of Linux, with its zero).
        const LONGEST: usize = 15;
        let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        (!text.is_empty() && text.len() <= LONGEST && text.bytes().all(is_name))
            .then(|| Self(text.to_owned()))
            .ok_or(())
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn interface(value: &DeValue<'_>) -> Parsed<InterfaceName> {
    const EXPECTED: &str =
        "the name of an interface, such as \"eth0\", or a pattern that names begin with, \"eth*\"";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    text.parse()
        .map_err(|()| format!("{} is not {EXPECTED}", shown(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn rtc(keys: &str) -> Rtc {
        Config::parse(&format!("[rtc]\n{keys}\n")).unwrap().rtc
    }

    #[test]
    fn interfaces_of_containers_are_left_out_and_those_that_lead_out_are_not() {
        let rtc = rtc("");
        for name in [
            "docker0",
            "br-0123456789ab",
            "veth1a2b3c4",
            "virbr0",
            "lxcbr0",
            "lxdbr0",
            "podman1",
            "cni-podman0",
            "cali0a1b2c3d4e5",
            "kube-ipvs0",
        ] {
            assert!(rtc.offers(name).is_err(), "{name}");
        }
        for name in [
            "lo",
            "eth0",
            "enp3s0",
            "wlan0",
            "br0",
            "br-lan",
            "wg0",
            "tun0",
            "tailscale0",
            "end0",
            "usb0",
            "bond0",
            "vlan10",
            "wwan0",
        ] {
            assert_eq!(rtc.offers(name), Ok(()), "{name}");
        }
        assert_eq!(
            rtc.offers("docker0").unwrap_err(),
            "exclude_interfaces = \"docker*\""
        );
    }

    #[test]
    fn what_is_chosen_is_offered_and_what_is_excluded_is_not() {
        let only = rtc("interfaces = [\"docker0\", \"en*0\"]");
        let offered = |rtc: &Rtc, names: &[&str]| {
            names
                .iter()
                .map(|name| rtc.offers(name).is_ok())
                .collect::<Vec<_>>()
        };
        let names = ["docker0", "enp3s0", "en0", "enp3s1", "lo"];
        assert_eq!(offered(&only, &names), [true, true, true, false, false]);
        assert_eq!(only.offers("lo").unwrap_err(), "interfaces");
        let both = rtc("interfaces = [\"eth*\"]\nexclude_interfaces = [\"eth1\"]");
        assert_eq!(
            offered(&both, &["eth0", "eth1", "lo"]),
            [true, false, false]
        );
        let none = rtc("exclude_interfaces = []");
        assert_eq!(offered(&none, &["eth0", "docker0"]), [true, true]);
    }

    #[test]
    fn a_question_mark_is_one_character_and_a_star_any_number() {
        let matches = |pattern: &str, name: &str| InterfaceName(pattern.to_owned()).matches(name);
        assert!(matches("*", "") && matches("a*", "a") && matches("*a*", "bab"));
        assert!(matches("a?c", "abc") && !matches("a?c", "ac") && !matches("a?", "abc"));
        assert!(!matches("a", "ab") && !matches("ab", "a") && !matches("", "a"));
    }

    #[test]
    fn stun_servers_are_read_and_written_as_they_are_named() {
        for text in [
            "stun:stun.example.org",
            "stun:stun.example.org:19302",
            "stun:192.0.2.1",
            "stun:[2001:db8::1]",
            "stun:[2001:db8::1]:3479",
        ] {
            let rtc = rtc(&format!("external_addresses = [{text:?}, \"203.0.113.7\"]"));
            let ExternalAddress::Stun(server) = &rtc.external_addresses[0] else {
                panic!("{text}");
            };
            assert!(!server.host.contains(['[', ']']), "{server:?}");
            assert_eq!(server.to_string(), text);
        }
        for bad in [
            "stun:", "stun://a", "stun:a:0", "stun:a:b", "stuns:a", "turn:a", "stun:a?b",
            "stun:::1",
        ] {
            let text = format!("[rtc]\nexternal_addresses = [{bad:?}]\n");
            let error = Config::parse(&text).unwrap_err().to_string();
            assert!(error.contains("\"stun:HOST\""), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_no_interface_is_refused_with_an_example() {
        for bad in ["\"\"", "\"a b\"", "\"eth0/1\"", "\"sixteen-is-a-lot\"", "5"] {
            let text = format!("[rtc]\nexclude_interfaces = [{bad}]\n");
            let error = Config::parse(&text).unwrap_err().to_string();
            assert!(error.contains("\"eth*\""), "{bad}: {error}");
        }
    }
}
