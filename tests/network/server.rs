//! A STUN server (RFC 8489) that says what a test wants it to.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// A server, until it is dropped.
pub struct StunServer {
    pub address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StunServer {
    /// One at that address, in the network of this thread. `each` is given the server's socket, who asks, and the transaction.
    pub fn start(
        address: &str,
        mut each: impl FnMut(&UdpSocket, SocketAddr, [u8; 12]) + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let end = is_over.clone();
        let serve = move || {
            let mut request = [0; 100];
            while !end.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut request) else {
                    continue;
                };
                // A binding request, with nothing in it.
                assert_eq!(
                    (len, &request[..4], &request[4..8]),
                    (20, &[0, 1, 0, 0][..], &COOKIE[..])
                );
                each(&socket, from, request[8..20].try_into().unwrap());
            }
        };
        Self {
            address,
            is_over,
            thread: Some(thread::spawn(serve)),
        }
    }

    /// One that says who asks.
    pub fn honest(address: &str) -> Self {
        Self::start(address, |socket, from, transaction| {
            socket.send_to(&success(transaction, from), from).unwrap();
        })
    }
}

impl Drop for StunServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

/// An answer with XOR-MAPPED-ADDRESS (RFC 8489, 14.2).
pub fn success(transaction: [u8; 12], mapped: SocketAddr) -> Vec<u8> {
    let mask = [&COOKIE[..], &transaction].concat();
    let (family, ip) = match mapped.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let xor = |bytes: &[u8]| {
        bytes
            .iter()
            .zip(&mask)
            .map(|(a, b)| a ^ b)
            .collect::<Vec<_>>()
    };
    let value = [
        &[0, family],
        &*xor(&mapped.port().to_be_bytes()),
        &*xor(&ip),
    ]
    .concat();
    let len = value.len() as u8;
    [&[1, 1, 0, len + 4], &*mask, &[0, 0x20, 0, len], &*value].concat()
}
