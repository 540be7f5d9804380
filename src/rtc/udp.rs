//! The one UDP socket of the media plane: datagrams in and out in batches, with the local address of each.
//!
//! A wildcard socket must answer from the address it was spoken to, or the viewer's NAT and ICE refuse
//! the packet; `quinn-udp` reads and sets that address, and does segmentation offload.

use mio::{Interest, Registry, Token, event};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Asked of the kernel for each direction, in bytes: a keyframe to a few hundred viewers.
/// It grants up to `net.core.wmem_max` and `net.core.rmem_max`.
const SOCKET_BUFFER: usize = 4 << 20;
/// Receive buffers, each large enough for what the kernel coalesces into one (GRO).
const BATCH: usize = 8;
const BUFFER: usize = 64 << 10;
/// Bytes that one segmented send may carry: an IPv4 datagram's limit less headers.
const MAX_RUN: usize = 65_000;

/// Pause between two attempts to have segmentation offload back.
const RESTORE_INTERVAL: Duration = Duration::from_secs(60);

/// A datagram that was received.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Who sent it.
    pub remote: SocketAddr,
    /// Which of our addresses it was sent to; `None` if the kernel didn't say.
    pub local: Option<IpAddr>,
    /// Its payload.
    pub data: &'a [u8],
}

/// Where a datagram goes, and from which of our addresses; `None` leaves that to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The viewer's address.
    pub remote: SocketAddr,
    /// Ours, to which the viewer speaks.
    pub local: Option<IpAddr>,
}

/// Counts since the last [`UdpSocket::take_counts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that the kernel did not take.
    pub refused: u64,
}

/// Datagrams of one size to one destination, sent with one system call. Only the last may be shorter.
struct Run {
    path: Path,
    segment: usize,
    is_complete: bool,
    data: Vec<u8>,
}

/// A bound, non-blocking socket with its buffers.
pub struct UdpSocket {
    io: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: Vec<Vec<u8>>,
    meta: [RecvMeta; BATCH],
    run: Run,
    counts: Counts,
    /// When offload was last given another chance.
    restored: Option<Instant>,
}

impl UdpSocket {
    /// Binds. An IPv6 wildcard address takes IPv4 as well.
    ///
    /// # Errors
    /// When the address is in use, is not one of this machine's, or needs a privilege.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        // As far as the system allows; less is no fault.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = std::net::UdpSocket::from(socket);
        Ok(Self {
            local: socket.local_addr()?,
            io: mio::net::UdpSocket::from_std(socket),
            state,
            buffers: vec![vec![0; BUFFER]; BATCH],
            meta: [RecvMeta::default(); BATCH],
            run: Run {
                path: Path {
                    remote: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
                    local: None,
                },
                segment: 0,
                is_complete: true,
                data: Vec::with_capacity(MAX_RUN),
            },
            counts: Counts::default(),
            restored: None,
        })
    }

    /// What it is bound to.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives one batch without waiting. `false` when there was nothing.
    ///
    /// # Errors
    /// When the socket is broken; what the network reports of single datagrams is none.
    pub fn receive(&mut self, mut each: impl FnMut(Received<'_>)) -> io::Result<bool> {
        let mut slices = self.buffers.iter_mut().map(|b| IoSliceMut::new(b));
        // There are as many buffers as elements.
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| slices.next().expect("BATCH buffers"));
        let received = self
            .state
            .recv(UdpSockRef::from(&self.io), &mut slices, &mut self.meta);
        let count = match received {
            Ok(count) => count,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(false),
                    // An ICMP message about something sent earlier: its viewer's time-out deals with it.
                    io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::Interrupted => Ok(true),
                    _ => Err(error),
                };
            }
        };
        for (meta, buffer) in self.meta.iter().zip(&self.buffers).take(count) {
            let remote = canonical(meta.addr);
            // Nothing can be sent back there, and the attempt costs offload (see `flush`).
            if remote.port() == 0 {
                continue;
            }
            let local = meta.dst_ip.map(|ip| ip.to_canonical());
            // One by one, where the kernel coalesced several.
            for data in buffer[..meta.len].chunks(meta.stride.max(1)) {
                each(Received {
                    remote,
                    local,
                    data,
                });
            }
        }
        Ok(true)
    }

    /// Queues a datagram of `len` bytes, which `write` appends to the buffer. It leaves with [`flush`](Self::flush),
    /// or earlier. What `write` fails to make is left out.
    pub fn push<E>(
        &mut self,
        path: Path,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) {
        let run = &self.run;
        let joins = !run.is_complete
            && run.path == path
            && len <= run.segment
            && run.data.len() + len <= MAX_RUN
            && run.data.len() / run.segment < self.state.max_gso_segments();
        if !joins {
            self.flush();
            self.run.path = path;
            self.run.segment = len;
            self.run.is_complete = len == 0;
        }
        let run = &mut self.run;
        let start = run.data.len();
        let written = write(&mut run.data);
        if written.is_err() || run.data.len() != start + len {
            // A datagram of another length would shift the borders of those behind it.
            run.data.truncate(start);
            self.counts.refused += 1;
            return;
        }
        run.is_complete |= len < run.segment;
    }

    /// Sends what is queued. What the kernel refuses is dropped and counted: media that waits is stale,
    /// and the protocols above repeat what matters.
    pub fn flush(&mut self) {
        let run = &mut self.run;
        if run.data.is_empty() {
            return;
        }
        let mut transmit = Transmit {
            destination: for_family(run.path.remote, self.local),
            ecn: None,
            contents: &run.data,
            segment_size: (run.data.len() > run.segment).then_some(run.segment),
            src_ip: run.path.local,
        };
        let socket = UdpSockRef::from(&self.io);
        let segments = self.state.max_gso_segments();
        let mut sent = self.state.try_send(socket, &transmit);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::InvalidInput
            && transmit.src_ip.take().is_some()
        {
            // The address that the viewer spoke to may be gone; the kernel picks another.
            sent = self.state.try_send(UdpSockRef::from(&self.io), &transmit);
        }
        if let Err(error) = sent {
            self.counts.refused += run.data.len().div_ceil(run.segment) as u64;
            tracing::debug!(%error, remote = %run.path.remote, "not sent");
        }
        let lost_offload = self.state.max_gso_segments() < segments;
        run.data.clear();
        run.is_complete = true;
        if lost_offload {
            self.restore_offload();
        }
    }

    /// `quinn-udp` takes some failures to send for the lack of segmentation offload and does without from then on.
    /// It is given another chance, but not so often that a kernel without it would be asked for each picture.
    fn restore_offload(&mut self) {
        if self
            .restored
            .is_some_and(|at| at.elapsed() < RESTORE_INTERVAL)
        {
            return;
        }
        self.restored = Some(Instant::now());
        tracing::warn!("the kernel refused segmentation offload; trying it again");
        if let Ok(state) = UdpSocketState::new(UdpSockRef::from(&self.io)) {
            self.state = state;
        }
    }

    /// The counts, which begin anew.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

/// IPv4 as such, also where it came through an IPv6 socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address as a socket of `local`'s family takes it.
fn for_family(remote: SocketAddr, local: SocketAddr) -> SocketAddr {
    match (remote.ip(), local) {
        (IpAddr::V4(ip), SocketAddr::V6(_)) => {
            SocketAddr::new(ip.to_ipv6_mapped().into(), remote.port())
        }
        _ => remote,
    }
}

impl event::Source for UdpSocket {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.io.register(registry, token, what)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.io.reregister(registry, token, what)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.io.deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(socket: &mut UdpSocket, remote: SocketAddr, local: Option<IpAddr>, data: &[u8]) {
        let path = Path { remote, local };
        socket.push(path, data.len(), |buffer| {
            buffer.extend_from_slice(data);
            Ok::<_, ()>(())
        });
    }

    fn receive_all(socket: &mut UdpSocket, count: usize) -> Vec<(SocketAddr, Option<IpAddr>, u8)> {
        let mut all = Vec::new();
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while all.len() < count && std::time::Instant::now() < until {
            let mut each = |r: Received<'_>| all.push((r.remote, r.local, r.data[0]));
            socket.receive(&mut each).unwrap();
        }
        all
    }

    #[test]
    fn a_wildcard_socket_serves_both_families_and_answers_from_the_address_it_was_spoken_to() {
        let mut server = UdpSocket::bind("[::]:0".parse().unwrap()).unwrap();
        let port = server.local_addr().port();
        for host in ["127.0.0.1", "127.0.0.2", "::1"] {
            let ip: IpAddr = host.parse().unwrap();
            let mut client = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
            // Loopback sends to 127.0.0.2 from any 127/8 address.
            push(&mut client, SocketAddr::new(ip, port), Some(ip), &[1]);
            client.flush();
            let (remote, local, _) = receive_all(&mut server, 1)[0];
            assert_eq!((remote, local), (client.local_addr(), Some(ip)));
            push(&mut server, remote, local, &[2]);
            server.flush();
            let (from, ..) = receive_all(&mut client, 1)[0];
            assert_eq!(from, SocketAddr::new(ip, port));
        }
    }

    #[test]
    fn runs_arrive_as_the_datagrams_they_were() {
        let mut server = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = client.local_addr();
        let lengths = [1200, 1200, 1200, 300, 1200, 40, 41, 0, 9];
        for (n, len) in lengths.into_iter().enumerate() {
            push(&mut server, to, None, &vec![n as u8; len]);
        }
        server.flush();
        let received: Vec<_> = receive_all(&mut client, 8).iter().map(|r| r.2).collect();
        // An empty datagram is not sent.
        assert_eq!(received, [0, 1, 2, 3, 4, 5, 6, 8]);
        assert_eq!(server.take_counts(), Counts::default());
    }

    #[test]
    fn a_destination_that_can_not_be_sent_to_costs_nobody_the_offload() {
        let mut server = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let segments = server.state.max_gso_segments();
        let nowhere = "127.0.0.1:0".parse().unwrap();
        push(&mut server, nowhere, None, &[1; 100]);
        server.flush();
        assert_eq!(server.take_counts().refused, 1);
        assert_eq!(server.state.max_gso_segments(), segments);
    }
}
