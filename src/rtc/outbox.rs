//! What the media plane's rules know of a socket: where datagrams go, and whether there is room.

use std::net::{IpAddr, SocketAddr};

/// Where a datagram goes, and from which of our addresses; `None` leaves that to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The viewer's address.
    pub remote: SocketAddr,
    /// Ours, to which the viewer speaks.
    pub local: Option<IpAddr>,
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

    /// There is no room: media is to wait until what is queued has left.
    fn is_blocked(&self) -> bool;
}
