//! Processes that have a port or a device open, as far as this user may see (proc(5)).

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// The name of its program, 15 bytes at the most.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Its listeners.
    Tcp,
    /// Its bound sockets.
    Udp,
}

impl Transport {
    /// The name as people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// The kernel's lists of sockets.
    const fn lists(self) -> [&'static str; 2] {
        match self {
            Self::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
            Self::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        }
    }

    /// The state of sockets that keep others from the port: `TCP_LISTEN`, or `TCP_CLOSE`, which UDP has unless it is connected.
    const fn state(self) -> &'static str {
        match self {
            Self::Tcp => "0A",
            Self::Udp => "07",
        }
    }
}

/// Those that keep others from a port.
pub fn of_port(transport: Transport, address: SocketAddr) -> Vec<Holder> {
    let lists = transport.lists().into_iter();
    let texts = lists.filter_map(|list| fs::read_to_string(list).ok());
    let inodes = texts.flat_map(|text| inodes(&text, transport.state(), address.port()));
    let names: Vec<_> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    if names.is_empty() {
        return Vec::new();
    }
    with_open(|target| names.iter().any(|name| Path::new(name) == target))
}

/// The sockets of a list with that state and local port.
fn inodes(list: &str, state: &str, port: u16) -> Vec<u64> {
    let lines = list.lines().skip(1);
    let found = lines.filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == state;
        is_it.then(|| fields.get(9)?.parse().ok())?
    });
    found.collect()
}

/// Those that have a device open, save this process.
pub fn of_device(device: &Path) -> Vec<Holder> {
    let Ok(device) = fs::canonicalize(device) else {
        return Vec::new();
    };
    let mut holders = with_open(|target| target == device);
    holders.retain(|holder| holder.pid != std::process::id());
    holders
}

/// Processes with a descriptor that leads somewhere.
fn with_open(leads_there: impl Fn(&Path) -> bool) -> Vec<Holder> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let holders = processes.filter_map(|process| {
        let path = process.ok()?.path();
        let pid: u32 = path.file_name()?.to_str()?.parse().ok()?;
        // Those of other users are not told.
        let mut open = fs::read_dir(path.join("fd")).ok()?;
        let holds = open.any(|entry| {
            let target = entry.and_then(|entry| fs::read_link(entry.path()));
            target.is_ok_and(|target| leads_there(&target))
        });
        let name = || fs::read_to_string(path.join("comm")).unwrap_or_default();
        holds.then(|| Holder {
            pid,
            name: name().trim().to_owned(),
        })
    });
    holders.collect()
}

/// The holders in a sentence: `firefox (process 7) and cheese (process 9)`; `None` if there is nobody.
pub fn told(holders: &[Holder]) -> Option<String> {
    let each: Vec<_> = holders.iter().map(Holder::to_string).collect();
    (!each.is_empty()).then(|| each.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("[::1]:0").unwrap();
        let this = std::process::id();
        for (transport, address) in [
            (Transport::Tcp, tcp.local_addr().unwrap()),
            (Transport::Udp, udp.local_addr().unwrap()),
        ] {
            let holders = of_port(transport, address);
            assert!(
                holders
                    .iter()
                    .any(|holder| holder.pid == this && !holder.name.is_empty()),
                "{holders:?}"
            );
        }
        let address = tcp.local_addr().unwrap();
        drop(tcp);
        assert!(
            of_port(Transport::Tcp, address)
                .iter()
                .all(|holder| holder.pid != this)
        );
    }

    #[test]
    fn sockets_are_told_by_state_and_port() {
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x 100 0 0 10 0\n\
            2: 00000000000000000000000000000000:1F91 0:0 0A 0:0 0:0 0 0 0 4713 1\n nonsense\n";
        assert_eq!(inodes(list, "0A", 8080), [4711]);
        assert_eq!(inodes(list, "0A", 8081), [4713]);
        assert_eq!(inodes(list, "0A", 80), [0; 0]);
    }
}
