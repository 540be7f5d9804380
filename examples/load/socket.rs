//! A viewer's own UDP socket, read in batches that many viewers share.

use clap::ValueEnum;
use mio::{Interest, Registry, Token};
use nix::sys::socket::{setsockopt, sockopt::UdpGroSegment};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use serde::Serialize;
use socket2::{Domain, Protocol, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// Datagrams for each system call; with receive offload each of them can be a whole frame.
const BATCH: usize = 16;
const BUFFER: usize = 64 << 10;
/// Asked of the kernel, in bytes: what a viewer gets while its thread serves the others.
const RECEIVE_BUFFER: usize = 1 << 20;

/// How long arrivals gather.
pub const GATHER: Duration = Duration::from_millis(5);

/// How packets are received, which on the server's own machine is part of what sending costs: there the kernel delivers
/// them within the server's system call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Receive {
    /// What was sent in one segmented call in one piece, every few milliseconds: the cheapest for both
    #[default]
    Offload,
    /// Each packet alone, as most viewers' sockets do it, but every few milliseconds
    Single,
    /// Each packet alone and at once, as the machines of many viewers would
    Eager,
}

impl Receive {
    /// Whether the kernel hands over in one piece what was sent in one segmented call.
    pub const fn has_offload(self) -> bool {
        matches!(self, Self::Offload)
    }

    /// Whether arrivals gather for [`GATHER`] before they are read. They are timed by the kernel, so that nothing is lost by
    /// waiting for more of them, but wake-ups that would cost this program and, on the same machine, the server.
    pub const fn gathers(self) -> bool {
        !matches!(self, Self::Eager)
    }
}

/// Buffers to receive into, one set for all sockets of a thread.
pub struct Inbox {
    buffers: Vec<Vec<u8>>,
    meta: [RecvMeta; BATCH],
}

impl Inbox {
    pub fn new() -> Self {
        Self {
            buffers: vec![vec![0; BUFFER]; BATCH],
            meta: [RecvMeta::default(); BATCH],
        }
    }
}

/// A datagram that was received.
pub struct Datagram<'a> {
    pub from: SocketAddr,
    /// When the kernel got it, since the Unix epoch.
    pub arrived: Duration,
    pub data: &'a [u8],
}

/// A bound, non-blocking socket.
pub struct Socket {
    io: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl Socket {
    /// Binds to any port of an address of this machine. With `offload` the kernel hands over what was sent in one
    /// segmented call in one piece, which costs sender and receiver less.
    pub fn bind(ip: IpAddr, offload: bool) -> io::Result<Self> {
        let address = SocketAddr::new(ip, 0);
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        // As far as the system allows; what does not fit is counted by the kernel and shown.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        if !offload {
            setsockopt(&socket, UdpGroSegment, &false)?;
        }
        let socket = std::net::UdpSocket::from(socket);
        Ok(Self {
            local: socket.local_addr()?,
            io: mio::net::UdpSocket::from_std(socket),
            state,
        })
    }

    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.io, token, Interest::READABLE)
    }

    /// Receives one batch. `false` when the socket is empty, so that the next datagram is an event.
    pub fn receive(
        &self,
        inbox: &mut Inbox,
        mut each: impl FnMut(Datagram<'_>),
    ) -> io::Result<bool> {
        let mut slices = inbox.buffers.iter_mut().map(|b| IoSliceMut::new(b));
        // There are as many buffers as elements.
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| slices.next().expect("BATCH buffers"));
        let io = UdpSockRef::from(&self.io);
        let count = match self.state.recv(io, &mut slices, &mut inbox.meta) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => {
                return match error.kind() {
                    // An ICMP message about something sent earlier; behind it may be datagrams.
                    io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::Interrupted => Ok(true),
                    _ => Err(error),
                };
            }
        };
        for (meta, buffer) in inbox.meta.iter().zip(&inbox.buffers).take(count) {
            let arrived = meta.timestamp.unwrap_or_else(now);
            for data in buffer[..meta.len].chunks(meta.stride.max(1)) {
                each(Datagram {
                    from: meta.addr,
                    arrived,
                    data,
                });
            }
        }
        Ok(count == BATCH)
    }

    /// Sends; what the kernel refuses is lost, as on the way.
    pub fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.io.send_to(datagram, to);
    }
}

/// The time since the Unix epoch, which the kernel's times of arrival count from.
pub fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock that stands before 1970 makes all arrivals simultaneous.
    now.unwrap_or_default()
}
