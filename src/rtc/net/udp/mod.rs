//! The one UDP socket of the media plane: datagrams in and out in batches, with the local address of each.
//!
//! A wildcard socket must answer from the address it was spoken to, or the viewer's NAT and ICE refuse
//! the packet. `quinn-udp` sets the socket up for that and receives; `send` sends.

mod batch;
mod send;

#[cfg(test)]
use super::faults;
use crate::rtc::wire::outbox::{Outbox, Path, Via};
pub use batch::Batch;
use mio::{Interest, Registry, Token, event};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use send::MESSAGES;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

/// Asked of the kernel for each direction, in bytes: a keyframe to a few hundred viewers.
/// It grants up to `net.core.wmem_max` and `net.core.rmem_max`.
const SOCKET_BUFFER: usize = 4 << 20;
/// Receive buffers, each large enough for what the kernel coalesces into one (GRO).
const BATCH: usize = 8;
const BUFFER: usize = 64 << 10;
/// Bytes that are queued before they are sent: enough for a few viewers with one system call, little enough to be in the
/// processor's cache still.
const BATCH_BYTES: usize = 64 << 10;
/// Bytes that wait at the most while there is no room.
const MAX_WAITING: usize = 1 << 20;

/// Failures to receive, one behind the other, by which a socket counts as broken: some seconds of them, while somebody
/// watches.
const MAX_FAILURES: u32 = 1000;

/// Paths without segmentation offload that are remembered one by one; with so many it is the device that lacks it.
const MAX_WITHOUT_OFFLOAD: usize = 1024;

/// Counts since the last [`UdpSocket::take_counts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that the kernel did not take.
    pub refused: u64,
    /// Times when the kernel did not say what had come.
    pub unread: u64,
}

/// A bound, non-blocking socket with its buffers.
pub struct UdpSocket {
    io: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: Vec<Vec<u8>>,
    meta: [RecvMeta; BATCH],
    batch: Batch,
    counts: Counts,
    max_segments: usize,
    /// Viewers on whose path the kernel refused segmentation offload. When they are [`MAX_WITHOUT_OFFLOAD`], nobody is sent
    /// by it any more.
    without_offload: HashSet<IpAddr>,
    is_blocked: bool,
    /// Since the last datagram was received.
    failures: u32,
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
        size_buffers(&socket);
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = std::net::UdpSocket::from(socket);
        Ok(Self {
            local: socket.local_addr()?,
            io: mio::net::UdpSocket::from_std(socket),
            max_segments: state.max_gso_segments(),
            state,
            buffers: vec![vec![0; BUFFER]; BATCH],
            meta: [RecvMeta::default(); BATCH],
            batch: Batch::default(),
            counts: Counts::default(),
            without_offload: HashSet::new(),
            is_blocked: false,
            failures: 0,
        })
    }

    /// What it is bound to.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives one batch without waiting. `false` when there was nothing, or it could not be read: then it is there the next
    /// time.
    ///
    /// # Errors
    /// When the socket is broken. What the network reports of single datagrams is no such error, nor is a kernel that lacks
    /// memory for a moment.
    pub fn receive(&mut self, mut each: impl FnMut(Path, &[u8])) -> io::Result<bool> {
        let mut slices = self.buffers.iter_mut().map(|b| IoSliceMut::new(b));
        // There are as many buffers as elements.
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| slices.next().expect("BATCH buffers"));
        #[cfg(test)]
        let injected = faults::injected(faults::Call::Receive);
        #[cfg(not(test))]
        let injected = Ok(());
        let received = injected.and_then(|()| {
            let io = UdpSockRef::from(&self.io);
            self.state.recv(io, &mut slices, &mut self.meta)
        });
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
                    _ => {
                        self.failures += 1;
                        self.counts.unread += 1;
                        tracing::debug!(%error, "nothing received");
                        (self.failures < MAX_FAILURES).then_some(false).ok_or(error)
                    }
                };
            }
        };
        self.failures = 0;
        for (meta, buffer) in self.meta.iter().zip(&self.buffers).take(count) {
            let remote = canonical(meta.addr);
            // Nothing can be sent back there.
            if remote.port() == 0 {
                continue;
            }
            let local = meta.dst_ip.map(|ip| ip.to_canonical());
            // One by one, where the kernel coalesced several.
            for data in buffer[..meta.len].chunks(meta.stride.max(1)) {
                each(Path::udp(remote, local), data);
            }
        }
        Ok(true)
    }

    /// Deals with the first waiting run, which the kernel did not take. `false` if there is no room for it.
    fn refused(&mut self, error: &io::Error) -> bool {
        let Some(run) = self.batch.waiting().first() else {
            return true;
        };
        let remote = run.path.remote;
        match error.raw_os_error() {
            Some(libc::EAGAIN) => return false,
            Some(libc::EINTR) => {}
            // A device without checksum offload, or a path with a smaller MTU.
            Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE) if run.datagrams() > 1 => {
                tracing::debug!(%error, %remote, "sending without segmentation offload");
                self.without_offload.insert(remote.ip());
                if self.without_offload.len() == MAX_WITHOUT_OFFLOAD {
                    tracing::warn!("segmentation offload is refused on many paths: doing without");
                    self.max_segments = 1;
                    self.without_offload.clear();
                }
                self.batch.split_first();
            }
            // The address that the viewer spoke to may be gone; the kernel picks another.
            Some(libc::EINVAL | libc::ENETUNREACH | libc::EADDRNOTAVAIL)
                if run.path.via != Via::Udp(None) =>
            {
                self.batch.forget_source();
            }
            _ => {
                tracing::debug!(%error, %remote, "not sent");
                self.counts.refused += run.datagrams() as u64;
                self.batch.advance(1);
            }
        }
        true
    }

    /// The counts, which begin anew.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}

/// As far as the system allows; less is no fault, but pictures to many viewers then leave in more pieces.
fn size_buffers(socket: &Socket) {
    // Linux tells twice of what it was asked for, for its own bookkeeping.
    let granted = |size: io::Result<usize>| size.is_ok_and(|size| size / 2 >= SOCKET_BUFFER);
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    if !granted(socket.recv_buffer_size()) || !granted(socket.send_buffer_size()) {
        tracing::info!(
            "the kernel grants small socket buffers: for hundreds of viewers, allow larger ones with \
             `sysctl -w net.core.rmem_max={SOCKET_BUFFER} net.core.wmem_max={SOCKET_BUFFER}`"
        );
    }
}

/// IPv4 as such, also where it came through an IPv6 socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Outbox for UdpSocket {
    /// What does not fit while there is no room is dropped and counted: it is the protocols' that repeat what matters,
    /// since media asks for room first.
    fn push<E>(
        &mut self,
        path: Path,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) {
        let has_offload = !self.without_offload.contains(&path.remote.ip());
        let max_segments = if has_offload { self.max_segments } else { 1 };
        let is_full = self.batch.len() >= BATCH_BYTES || self.batch.waiting().len() >= MESSAGES;
        if is_full && !self.is_blocked && !self.batch.joins(path, len, max_segments) {
            self.flush();
        }
        let fits = self.batch.len() < MAX_WAITING;
        if !(fits && self.batch.push(path, len, max_segments, write)) {
            self.counts.refused += 1;
        }
    }

    fn flush(&mut self) {
        self.is_blocked = false;
        while !self.batch.is_empty() {
            let waiting = self.batch.waiting();
            let runs = waiting.iter().map(|run| (run, self.batch.data(run)));
            match send::send(self.io.as_fd(), self.local.is_ipv6(), runs) {
                Ok(count) => self.batch.advance(count),
                Err(error) => {
                    if !self.refused(&error) {
                        self.is_blocked = true;
                        return;
                    }
                }
            }
        }
    }

    fn is_blocked(&self) -> bool {
        self.is_blocked
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
    use std::time::{Duration, Instant};

    fn push(socket: &mut UdpSocket, remote: SocketAddr, local: Option<IpAddr>, data: &[u8]) {
        let path = Path::udp(remote, local);
        socket.push(path, data.len(), |buffer| {
            buffer.extend_from_slice(data);
            Ok::<_, ()>(())
        });
    }

    fn receive_all(socket: &mut UdpSocket, count: usize) -> Vec<(SocketAddr, Option<IpAddr>, u8)> {
        let mut all = Vec::new();
        let until = Instant::now() + Duration::from_secs(10);
        while all.len() < count && Instant::now() < until {
            let mut each = |path: Path, data: &[u8]| {
                let Via::Udp(local) = path.via else {
                    unreachable!("a datagram of UDP");
                };
                all.push((path.remote, local, data[0]));
            };
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
        // An empty datagram means nothing to anybody here.
        assert_eq!(received, [0, 1, 2, 3, 4, 5, 6, 8]);
        assert_eq!(
            server.take_counts(),
            Counts {
                refused: 1,
                unread: 0
            }
        );
    }

    #[test]
    fn what_can_not_be_sent_is_counted_and_costs_nobody_else_anything() {
        let mut server = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let to = client.local_addr();
        for n in 0..4 {
            push(&mut server, nowhere, None, &[n; 100]);
            push(&mut server, to, None, &[n; 100]);
        }
        server.flush();
        assert_eq!(server.take_counts().refused, 4);
        let received = receive_all(&mut client, 4);
        assert_eq!(
            received.iter().map(|r| r.2).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        assert!(!server.is_blocked());
    }

    #[test]
    fn a_source_address_that_is_gone_is_replaced() {
        let mut server = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let mut client = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let gone = Some("192.0.2.7".parse().unwrap());
        push(&mut server, client.local_addr(), gone, &[7; 10]);
        server.flush();
        assert_eq!(receive_all(&mut client, 1)[0].2, 7);
    }

    #[test]
    fn a_path_without_segmentation_offload_is_served_without_and_remembered() {
        let mut server = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        refuse_offload(&server);
        let to = client.local_addr();
        (0..3).for_each(|n| push(&mut server, to, None, &[n; 100]));
        server.flush();
        assert!(server.without_offload.contains(&to.ip()));
        (3..6).for_each(|n| push(&mut server, to, None, &[n; 100]));
        assert_eq!(server.batch.waiting().len(), 3);
        server.flush();
        let received = receive_all(&mut client, 6);
        assert_eq!(
            received.iter().map(|r| r.2).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5]
        );
        assert_eq!(server.take_counts(), Counts::default());
    }

    /// Without checksums there is no segmentation offload: the kernel refuses it.
    #[allow(unsafe_code, reason = "no library has this option")]
    fn refuse_offload(socket: &UdpSocket) {
        use std::os::fd::AsRawFd;
        let on: libc::c_int = 1;
        // SAFETY: the option's value is an int, which outlives the call.
        let result = unsafe {
            libc::setsockopt(
                socket.io.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        assert_eq!(result, 0);
    }

    #[test]
    fn while_there_is_no_room_a_bounded_number_of_bytes_waits_in_order() {
        let mut server = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = client.local_addr();
        push(&mut server, to, None, &[0; 100]);
        let no_room = io::Error::from_raw_os_error(libc::EAGAIN);
        assert!(!server.refused(&no_room), "it waits");
        server.is_blocked = true;
        push(&mut server, to, None, &[1; 90]);
        push(&mut server, to, None, &[2; 80]);
        assert_eq!(server.batch.waiting().len(), 2, "nothing was sent");
        server.flush();
        let received = receive_all(&mut client, 3);
        assert_eq!(received.iter().map(|r| r.2).collect::<Vec<_>>(), [0, 1, 2]);

        server.is_blocked = true;
        let many = MAX_WAITING / 1000 + 10;
        (0..many).for_each(|_| push(&mut server, to, None, &[3; 1000]));
        assert!(server.batch.len() < MAX_WAITING + 1000);
        assert!(server.take_counts().refused >= 9);
    }
}
