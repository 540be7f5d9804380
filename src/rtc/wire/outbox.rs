//! What the media plane's rules know of its sockets: where datagrams go, and whether there is room.

use crate::metrics::Transport;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Number of a TCP connection within the daemon's life.
pub type ConnectionId = u64;

/// An address, and how it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.address)
    }
}

/// A way to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The viewer's address.
    pub remote: SocketAddr,
    /// By what it is reached.
    pub via: Via,
}

/// Our end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The UDP socket, and our address to which the viewer speaks; `None` leaves that to the kernel.
    Udp(Option<IpAddr>),
    /// A TCP connection that the viewer opened.
    Tcp(ConnectionId),
}

impl Path {
    /// One over UDP.
    pub const fn udp(remote: SocketAddr, local: Option<IpAddr>) -> Self {
        let via = Via::Udp(local);
        Self { remote, via }
    }

    /// One over TCP.
    pub const fn tcp(remote: SocketAddr, connection: ConnectionId) -> Self {
        let via = Via::Tcp(connection);
        Self { remote, via }
    }

    /// The connection, if it is TCP.
    pub const fn connection(&self) -> Option<ConnectionId> {
        match self.via {
            Via::Udp(_) => None,
            Via::Tcp(connection) => Some(connection),
        }
    }

    /// For the figures.
    pub const fn transport(&self) -> Transport {
        match self.via {
            Via::Udp(_) => Transport::Udp,
            Via::Tcp(_) => Transport::Tcp,
        }
    }

    /// The viewer's end of it.
    pub const fn endpoint(&self) -> Endpoint {
        Endpoint {
            transport: self.transport(),
            address: self.remote,
        }
    }

    /// Whether both lead to the same place, whichever of our addresses the viewer speaks to. Ports of UDP and of TCP have
    /// nothing to do with each other.
    pub fn leads_as(&self, other: &Self) -> bool {
        self.remote == other.remote && self.connection() == other.connection()
    }
}

/// Takes datagrams, in order.
pub trait Outbox {
    /// Queues a datagram of `len` bytes, which `write` appends to the buffer. It leaves with [`flush`](Self::flush),
    /// or earlier. What `write` fails to make is left out.
    fn push<E>(
        &mut self,
        path: Path,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    );

    /// Sends what is queued, as far as there is room.
    fn flush(&mut self);

    /// There is no room in the UDP socket, which all share: media is to wait until what is queued has left.
    fn is_blocked(&self) -> bool;

    /// Whether media may go there. Over TCP each viewer has room of its own.
    fn has_room(&self, _: Path) -> bool {
        !self.is_blocked()
    }
}
