//! Sealing one frame for each viewer, and sending all of them with as few system calls as there can be.

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use rtc::crypto::providers::RingProvider;
use rtc::crypto::{AeadAlgorithm, AeadCipher, CryptoError, RTCCryptoProvider};
use socket2::{Domain, Protocol, Socket, Type};
use std::error::Error;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

const HEADER: usize = 12;
const TAG: usize = 16;
const NONCE: usize = 12;
/// Datagrams and bytes of one segmented send, by the kernel's limits.
const SEGMENTS: usize = 64;
const RUN: usize = 65_000;
/// Messages of one system call, and about how many bytes: what the processor's cache holds.
const MESSAGES: usize = 64;
const BATCH: usize = 256 << 10;
const SEND_BUFFER: usize = 4 << 20;

/// A socket, and what a viewer needs at the least: an address, a key and the next packet's number.
pub struct Sender {
    socket: Socket,
    addresses: Vec<Option<SockaddrStorage>>,
    viewers: Vec<(Box<dyn AeadCipher>, u64)>,
    headers: MultiHeaders<SockaddrStorage>,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    /// Packets handed to the kernel, those that it refused among them.
    pub sent: u64,
    pub refused: u64,
}

impl Sender {
    /// For frames of that many bytes at the most.
    pub fn new(addresses: &[SocketAddr], longest: usize) -> Result<Self, Box<dyn Error>> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).into())?;
        let provider = RingProvider::new();
        let viewer = |n: usize| {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&n.to_be_bytes());
            let cipher = provider.crypto().new_aead(AeadAlgorithm::Aes128Gcm, &key)?;
            Ok::<_, CryptoError>((cipher, 0))
        };
        Ok(Self {
            socket,
            addresses: addresses.iter().map(|a| Some((*a).into())).collect(),
            viewers: (0..addresses.len()).map(viewer).collect::<Result<_, _>>()?,
            headers: MultiHeaders::preallocate(MESSAGES, Some(cmsg_space!(u16))),
            buffer: Vec::with_capacity(BATCH + RUN),
            payload: (0..longest).map(|n| n as u8).collect(),
            sent: 0,
            refused: 0,
        })
    }

    /// Sends packets of these lengths to each viewer.
    pub fn frame(&mut self, packets: &[usize]) -> Result<(), CryptoError> {
        let mut rest = packets;
        while !rest.is_empty() {
            let (run, tail) = rest.split_at(run_len(rest));
            self.run(run)?;
            rest = tail;
        }
        Ok(())
    }

    /// Sends what one segmented send can carry to each viewer.
    fn run(&mut self, packets: &[usize]) -> Result<(), CryptoError> {
        let bytes: usize = packets.iter().sum();
        let count = (BATCH / bytes.max(1)).clamp(1, MESSAGES);
        for first in (0..self.viewers.len()).step_by(count) {
            let last = (first + count).min(self.viewers.len());
            self.buffer.clear();
            for (cipher, index) in &mut self.viewers[first..last] {
                let mut from = 0;
                for len in packets {
                    let payload = len.saturating_sub(HEADER + TAG);
                    let payload = &self.payload[from..from + payload];
                    seal(&mut **cipher, *index, payload, &mut self.buffer)?;
                    *index += 1;
                    from += payload.len();
                }
            }
            self.send(first..last, packets[0], packets.len(), bytes);
        }
        Ok(())
    }

    /// Hands over what the buffer holds for these viewers, `bytes` for each.
    fn send(
        &mut self,
        viewers: std::ops::Range<usize>,
        segment: usize,
        packets: usize,
        bytes: usize,
    ) {
        self.sent += (viewers.len() * packets) as u64;
        // Of a single datagram the kernel makes one segment.
        let segment = u16::try_from(segment).unwrap_or(u16::MAX);
        let control = [ControlMessage::UdpGsoSegments(&segment)];
        let slices: Vec<_> = self
            .buffer
            .chunks(bytes)
            .map(|b| [IoSlice::new(b)])
            .collect();
        let addresses = &self.addresses[viewers];
        let mut done = 0;
        while done < slices.len() {
            let sent = sendmmsg(
                self.socket.as_raw_fd(),
                &mut self.headers,
                &slices[done..],
                &addresses[done..],
                control,
                MsgFlags::empty(),
            );
            match sent {
                Ok(sent) => done += sent.count(),
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.refused += packets as u64;
                    done += 1;
                }
            }
        }
    }
}

/// How many of these packets one segmented send carries: of one length, and the last may be shorter.
fn run_len(packets: &[usize]) -> usize {
    let segment = packets[0];
    let most = (RUN / segment.max(1)).clamp(1, SEGMENTS);
    let same = packets.iter().take(most).take_while(|len| **len == segment);
    let same = same.count();
    let has_shorter = same < most && packets.get(same).is_some_and(|len| *len < segment);
    same + usize::from(has_shorter)
}

/// Appends a packet: a header of the right length, the payload encrypted, the tag.
fn seal(
    cipher: &mut dyn AeadCipher,
    index: u64,
    payload: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    let start = buffer.len();
    buffer.extend([0x80, 96]);
    buffer.extend((index as u16).to_be_bytes());
    buffer.resize(start + HEADER, 0);
    buffer.extend_from_slice(payload);
    let mut nonce = [0; NONCE];
    nonce[4..].copy_from_slice(&index.to_be_bytes());
    let (head, body) = buffer.split_at_mut(start + HEADER);
    let mut tag = [0; TAG];
    cipher.seal_in_place(&nonce, &head[start..], body, &mut tag)?;
    buffer.extend_from_slice(&tag);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_run_ends_where_segmentation_offload_does() {
        assert_eq!(run_len(&[1200; 70]), RUN / 1200);
        assert_eq!(run_len(&[100; 70]), SEGMENTS);
        assert_eq!(run_len(&[1200, 1200, 40, 1200]), 3);
        assert_eq!(run_len(&[40, 1200, 1200]), 1);
        assert_eq!(run_len(&[1200]), 1);
    }

    #[test]
    fn each_viewer_gets_packets_of_these_lengths_that_differ_from_the_others() {
        let sockets = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let addresses = sockets
            .each_ref()
            .map(|socket| socket.local_addr().unwrap());
        let lengths = [40, 1000, 1000, 700, 28];
        let mut sender = Sender::new(&addresses, lengths.iter().sum()).unwrap();
        sender.frame(&lengths).unwrap();
        assert_eq!((sender.sent, sender.refused), (15, 0));
        let received = sockets.map(|socket| {
            lengths.map(|_| {
                let mut buffer = [0; 2000];
                let len = socket.recv(&mut buffer).unwrap();
                buffer[..len].to_vec()
            })
        });
        for packets in &received {
            assert_eq!(packets.each_ref().map(Vec::len), lengths);
        }
        assert!(received[0][1] != received[1][1] && received[1][1] != received[2][1]);
    }
}
