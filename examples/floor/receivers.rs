//! As many sockets as there are viewers, read as the load generator reads them.

use crate::socket::{GATHER, Inbox, Receive, Socket};
use mio::{Events, Poll, Token};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// For those that wait for a datagram to see that the end has come.
const PATIENCE: Duration = Duration::from_millis(50);

/// Threads that receive.
pub struct Receivers {
    pub addresses: Vec<SocketAddr>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<u64>>>,
}

impl Receivers {
    /// Starts them.
    pub fn start(viewers: u16, threads: u8, receive: Receive) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut addresses = Vec::new();
        let threads = (0..threads).map(|thread| {
            let share = (u16::from(thread)..viewers).step_by(threads.into());
            let bind = |_| Socket::bind(Ipv4Addr::LOCALHOST.into(), receive.has_offload());
            let sockets: Vec<_> = share.map(bind).collect::<Result<_, _>>()?;
            addresses.extend(sockets.iter().map(Socket::local));
            let is_over = is_over.clone();
            Ok(thread::spawn(move || read(sockets, receive, &is_over)))
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self {
            addresses,
            is_over,
            threads,
        })
    }

    /// Ends them and tells how many datagrams they received.
    pub fn end(self) -> io::Result<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        let panicked = |_| io::Error::other("a receiver panicked");
        let counts = self.threads.into_iter();
        counts.map(|thread| thread.join().map_err(panicked)?).sum()
    }
}

fn read(mut sockets: Vec<Socket>, receive: Receive, is_over: &AtomicBool) -> io::Result<u64> {
    let mut poll = Poll::new()?;
    for (n, socket) in sockets.iter_mut().enumerate() {
        socket.register(poll.registry(), Token(n))?;
    }
    let mut events = Events::with_capacity(1024);
    let mut inbox = Inbox::new();
    let mut count = 0;
    loop {
        // Read before the sockets are, so that what was sent by then is counted.
        let is_last = is_over.load(Ordering::Relaxed);
        if receive.gathers() && !is_last {
            #[expect(clippy::disallowed_methods, reason = "arrivals gather meanwhile")]
            thread::sleep(GATHER);
        }
        let wait = if is_last { Duration::ZERO } else { PATIENCE };
        match poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            let socket = &sockets[event.token().0];
            while socket.receive(&mut inbox, |_| count += 1)? {}
        }
        if is_last && events.is_empty() {
            return Ok(count);
        }
    }
}
