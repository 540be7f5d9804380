//! All sockets of the media plane as one [`Outbox`]: each datagram goes the way that its path says.

use super::tcp::Connections;
use super::udp::UdpSocket;
use crate::rtc::wire::outbox::{Outbox, Path, Via};

/// The UDP socket that all share, and the TCP connections of single viewers.
pub struct Network {
    /// For all who can.
    pub udp: UdpSocket,
    /// For those whose network blocks UDP.
    pub tcp: Connections,
}

impl Outbox for Network {
    fn push<E>(
        &mut self,
        path: Path,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) {
        match path.via {
            Via::Udp(_) => self.udp.push(path, len, write),
            Via::Tcp(connection) => self.tcp.push(connection, len, write),
        }
    }

    fn flush(&mut self) {
        self.udp.flush();
        self.tcp.flush();
    }

    fn is_blocked(&self) -> bool {
        self.udp.is_blocked()
    }

    fn has_room(&self, path: Path) -> bool {
        match path.via {
            Via::Udp(_) => !self.udp.is_blocked(),
            Via::Tcp(connection) => self.tcp.has_room(connection),
        }
    }
}
