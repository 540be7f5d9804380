//! A viewer's end of the way to the daemon: a UDP socket, or a TCP connection with frames (RFC 4571).

use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use str0m::Candidate;
use str0m::net::{Protocol, TcpType, Transmit};

/// One of the two.
pub enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Link {
    /// A new socket for a daemon there.
    pub fn udp(to: SocketAddr) -> Self {
        Self::Udp(socket_towards(to))
    }

    /// A new connection to a daemon's listener.
    pub fn tcp(to: SocketAddr) -> Self {
        Self::Tcp(TcpStream::connect(to).unwrap(), Vec::new())
    }

    /// The same, of a machine that takes in little at once: what is not read soon stays with the daemon.
    pub fn narrow_tcp(to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&to.into()).unwrap();
        Self::Tcp(socket.into(), Vec::new())
    }

    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Udp(_) => Protocol::Udp,
            Self::Tcp(..) => Protocol::Tcp,
        }
    }

    pub fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().unwrap(),
            Self::Tcp(stream, _) => stream.local_addr().unwrap(),
        }
    }

    /// What the viewer offers.
    pub fn candidate(&self) -> Candidate {
        let address = self.local();
        match self {
            Self::Udp(_) => Candidate::host(address, "udp").unwrap(),
            Self::Tcp(..) => {
                let builder = Candidate::builder().tcp().host(address);
                builder.tcptype(TcpType::Active).build().unwrap()
            }
        }
    }

    /// Sends a datagram, unless it goes another way.
    pub fn send(&mut self, transmit: &Transmit) {
        if transmit.proto != self.protocol() || transmit.source != self.local() {
            return;
        }
        match self {
            Self::Udp(socket) => {
                // Not every address that is offered can be reached.
                let _ = socket.send_to(&transmit.contents, transmit.destination);
            }
            Self::Tcp(stream, _) => {
                let length = (transmit.contents.len() as u16).to_be_bytes();
                let frame = [&length[..], &transmit.contents].concat();
                // The daemon may have closed it.
                let _ = stream.write_all(&frame);
            }
        }
    }

    /// The next datagram and where it comes from, if there is one before that much time has passed.
    pub fn receive(&mut self, wait: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 2000];
        match self {
            Self::Udp(socket) => {
                socket.set_read_timeout(Some(wait)).unwrap();
                let (len, source) = socket.recv_from(&mut buffer).ok()?;
                Some((buffer[..len].to_vec(), source))
            }
            Self::Tcp(stream, read) => {
                let until = Instant::now() + wait;
                loop {
                    if let Some((length, rest)) = read.split_first_chunk() {
                        let len = usize::from(u16::from_be_bytes(*length));
                        if rest.len() >= len {
                            let datagram = rest[..len].to_vec();
                            read.drain(..2 + len);
                            return Some((datagram, stream.peer_addr().unwrap()));
                        }
                    }
                    let left = until.saturating_duration_since(Instant::now());
                    let left = left.max(Duration::from_millis(1));
                    stream.set_read_timeout(Some(left)).unwrap();
                    match stream.read(&mut buffer) {
                        Ok(len) if len > 0 => read.extend_from_slice(&buffer[..len]),
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        _ => return None,
                    }
                }
            }
        }
    }

    /// Whether the daemon closes the connection soon.
    pub fn is_closed(&mut self) -> bool {
        let Self::Tcp(stream, _) = self else {
            return false;
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut buffer = [0; 2000];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}

/// A socket at the address of this machine that leads there.
fn socket_towards(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let route = UdpSocket::bind((any, 0)).unwrap();
    route.connect(to).unwrap();
    UdpSocket::bind((route.local_addr().unwrap().ip(), 0)).unwrap()
}
