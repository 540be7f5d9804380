//! Viewers' TCP connections (RFC 6544, passive candidates), for networks that block UDP: datagrams in and out, each
//! connection with its own bounded queue. Nothing waits, and what one connection can't take costs no other anything.
//!
//! A connection is only taken over with a check in it that its viewer answers, and it is let go when it is silent, when
//! its viewer is gone or goes another way, or when it sends what no viewer sends.

mod connection;
mod framing;

use crate::rtc::wire::outbox::{ConnectionId, Path};
use connection::{Connection, Outcome};
pub use framing::{HEADER, announced};
use mio::event::Event;
use mio::{Interest, Registry, Token};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Tokens below belong to others.
const FIRST_TOKEN: usize = 16;

/// A connection without a whole frame for so long is let go: its viewer goes another way, or not at all. Consent to send
/// there has then expired (RFC 7675, 5.1).
pub const IDLE: Duration = Duration::from_secs(30);

/// The same for one whose viewer has chosen another path. Browsers connect to every candidate, check each once, and then keep
/// the one they chose: the others are nothing but places that are taken.
pub const SPARE: Duration = Duration::from_secs(5);

/// How often connections are looked over while there are some.
const SWEEP: Duration = Duration::from_secs(1);

/// A connection that begins with a check, as it comes from the listener.
pub struct Arrival {
    /// The connection, behind its first frame.
    pub stream: std::net::TcpStream,
    /// The viewer's end.
    pub remote: SocketAddr,
    /// The first frame's datagram.
    pub check: Vec<u8>,
    /// Dropped with the connection: whatever counts it.
    pub place: Box<dyn Send>,
}

/// All connections. How many there may be is the listener's to say.
pub struct Connections {
    registry: Registry,
    table: HashMap<ConnectionId, Connection>,
    next: ConnectionId,
    /// Those that may have something to read, once each.
    readable: VecDeque<ConnectionId>,
    /// Those that have something to send, once each.
    queued: Vec<ConnectionId>,
    sweep_at: Option<Instant>,
    /// Datagrams left out since the last [`take_refused`](Self::take_refused).
    refused: u64,
}

impl Connections {
    /// None yet; the poller of that registry is told of them.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            table: HashMap::new(),
            next: 0,
            readable: VecDeque::new(),
            queued: Vec::new(),
            sweep_at: None,
            refused: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Takes in a connection. Its check is for the caller to deal with.
    ///
    /// # Errors
    /// When the system can't watch it.
    pub fn add(&mut self, now: Instant, arrival: Arrival) -> io::Result<(ConnectionId, Path)> {
        let id = self.next;
        self.next += 1;
        let mut connection = Connection::new(now, id, arrival)?;
        let path = connection.path;
        let both = Interest::READABLE | Interest::WRITABLE;
        let token = Token(FIRST_TOKEN + id as usize);
        self.registry.register(connection.source(), token, both)?;
        self.table.insert(id, connection);
        self.sweep_at.get_or_insert(now + SWEEP);
        // Something may have come before the poller knew of it.
        self.note_readable(id);
        Ok((id, path))
    }

    /// Takes note of what the poller says. Returns the connection that has room again.
    pub fn ready(&mut self, event: &Event) -> Option<ConnectionId> {
        let id = event.token().0.checked_sub(FIRST_TOKEN)? as ConnectionId;
        // An end or an error shows when it is read.
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.note_readable(id);
        }
        let connection = self.table.get_mut(&id)?;
        if event.is_writable() && connection.is_full {
            return (connection.flush() == Outcome::Done).then_some(id);
        }
        None
    }

    fn note_readable(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(&id)
            && !connection.is_readable
        {
            connection.is_readable = true;
            self.readable.push_back(id);
        }
    }

    /// How many may have something to read.
    pub fn readable(&self) -> usize {
        self.readable.len()
    }

    /// Reads some of what came by the one whose turn it is.
    pub fn read(&mut self) -> Option<ConnectionId> {
        let id = self.readable.pop_front()?;
        let connection = self.table.get_mut(&id)?;
        connection.is_readable = false;
        if connection.read() == Outcome::More {
            // The poller tells of it only once.
            self.note_readable(id);
        }
        Some(id)
    }

    /// The next datagram that was read, and the way that it came; `None` when there is no more.
    pub fn next(&mut self, now: Instant, id: ConnectionId, datagram: &mut Vec<u8>) -> Option<Path> {
        let connection = self.table.get_mut(&id)?;
        datagram.clear();
        match connection.frames.next() {
            Ok(Some(frame)) => datagram.extend_from_slice(frame),
            Ok(None) => return None,
            Err(framing::TooLong) => {
                connection.is_over = true;
                return None;
            }
        }
        connection.heard = now;
        Some(connection.path)
    }

    /// Closes a connection.
    pub fn close(&mut self, id: ConnectionId) {
        self.table.remove(&id);
    }

    /// When [`sweep`](Self::sweep) is due.
    pub const fn deadline(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// Lets go of those that are over, or silent for longer than each may be, if it is time to look. Returns them.
    pub fn sweep(
        &mut self,
        now: Instant,
        patience: impl Fn(ConnectionId) -> Duration,
    ) -> Vec<ConnectionId> {
        if self.sweep_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let is_done = |(id, connection): (&ConnectionId, &Connection)| {
            let silence = now.saturating_duration_since(connection.heard);
            (connection.is_over || silence >= patience(*id)).then_some(*id)
        };
        let done: Vec<_> = self.table.iter().filter_map(is_done).collect();
        done.iter().for_each(|id| self.close(*id));
        self.sweep_at = (!self.table.is_empty()).then_some(now + SWEEP);
        done
    }

    /// Datagrams left out for lack of room, counted anew afterwards.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Queues a datagram for a connection.
    pub fn push<E>(
        &mut self,
        id: ConnectionId,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) {
        let Some(connection) = self.table.get_mut(&id) else {
            // It ended under a viewer who has not gone another way yet.
            self.refused += 1;
            return;
        };
        if !connection.push(len, write) {
            self.refused += 1;
        }
        if !connection.is_queued {
            connection.is_queued = true;
            self.queued.push(id);
        }
    }

    /// Sends what is queued, as far as there is room.
    pub fn flush(&mut self) {
        for id in self.queued.drain(..) {
            if let Some(connection) = self.table.get_mut(&id) {
                connection.is_queued = false;
                // One that is full is waited for.
                if !connection.is_full {
                    connection.flush();
                }
            }
        }
    }

    /// Whether a connection takes media.
    pub fn has_room(&self, id: ConnectionId) -> bool {
        let connection = self.table.get(&id);
        connection.is_some_and(|connection| !connection.is_full && !connection.is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    /// Connections, their poller, and what is counted with each.
    struct Setup {
        poll: Poll,
        connections: Connections,
        counted: Arc<()>,
        now: Instant,
    }

    impl Setup {
        fn new() -> Self {
            let poll = Poll::new().unwrap();
            let registry = poll.registry().try_clone().unwrap();
            Self {
                poll,
                connections: Connections::new(registry),
                counted: Arc::new(()),
                now: Instant::now(),
            }
        }

        /// A connection, and the viewer's end of it.
        fn connect(&mut self) -> (ConnectionId, TcpStream) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, remote) = listener.accept().unwrap();
            let arrival = Arrival {
                stream,
                remote,
                check: Vec::new(),
                place: Box::new(self.counted.clone()),
            };
            let (id, path) = self.connections.add(self.now, arrival).unwrap();
            assert_eq!(path, Path::tcp(client.local_addr().unwrap(), id));
            (id, client)
        }

        fn push(&mut self, id: ConnectionId, number: u32) {
            self.connections.push(id, 1200, |out| {
                out.extend_from_slice(&number.to_be_bytes());
                out.resize(out.len() + 1196, 7);
                Ok::<_, ()>(())
            });
        }

        /// Reads until a connection has nothing more, and returns what came by it.
        fn received(&mut self, id: ConnectionId) -> Vec<Vec<u8>> {
            let mut all = Vec::new();
            let mut datagram = Vec::new();
            self.wait();
            while self.connections.read().is_some() {
                while self.connections.next(self.now, id, &mut datagram).is_some() {
                    all.push(datagram.clone());
                }
            }
            all
        }

        /// Waits for the poller's word. Returns those that have room again.
        fn wait(&mut self) -> Vec<ConnectionId> {
            let mut events = Events::with_capacity(16);
            let most = Some(Duration::from_secs(20));
            self.poll.poll(&mut events, most).unwrap();
            let ready = events
                .iter()
                .filter_map(|event| self.connections.ready(event));
            ready.collect()
        }
    }

    /// The number of the next datagram.
    fn read_one(client: &mut TcpStream) -> u32 {
        let mut frame = [0; 1202];
        client.read_exact(&mut frame).unwrap();
        assert_eq!(frame[..2], 1200u16.to_be_bytes());
        assert!(frame[6..].iter().all(|byte| *byte == 7));
        u32::from_be_bytes(frame[2..6].try_into().unwrap())
    }

    #[test]
    fn a_full_connection_keeps_a_bounded_number_of_whole_datagrams_and_has_room_when_they_left() {
        let mut setup = Setup::new();
        let (id, mut client) = setup.connect();
        let (other, mut quick) = setup.connect();
        assert!(setup.connections.has_room(id));
        let mut pushed = 0;
        while setup.connections.has_room(id) {
            (0..24).for_each(|n| setup.push(id, pushed + n));
            pushed += 24;
            setup.connections.flush();
        }
        assert_eq!(setup.connections.take_refused(), 0);
        assert!(
            pushed < 10_000,
            "the kernel takes what is on its way, and little more"
        );
        // What can't wait is queued still, up to a bound.
        (0..1000).for_each(|n| setup.push(id, pushed + n));
        setup.connections.flush();
        let refused = setup.connections.take_refused() as u32;
        assert!((700..1000).contains(&refused), "{refused}");
        // Another one has room all the while.
        setup.push(other, 1);
        setup.connections.flush();
        assert_eq!(read_one(&mut quick), 1);

        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let kept = pushed + 1000 - refused;
        let reader = std::thread::spawn(move || {
            let numbers: Vec<_> = (0..kept).map(|_| read_one(&mut client)).collect();
            (numbers, client)
        });
        while !setup.wait().contains(&id) {}
        assert!(setup.connections.has_room(id));
        let (numbers, mut client) = reader.join().unwrap();
        assert_eq!(numbers, (0..kept).collect::<Vec<_>>());
        setup.push(id, 9);
        setup.connections.flush();
        assert_eq!(read_one(&mut client), 9);
    }

    #[test]
    fn silent_connections_those_of_nobody_and_those_that_ended_are_let_go() {
        let mut setup = Setup::new();
        let start = setup.now;
        let [silent, heard, nobodys, ended] = [(); 4].map(|()| setup.connect());
        assert_eq!(Arc::strong_count(&setup.counted), 5);
        let nobody = nobodys.0;
        let owned = move |id| if id == nobody { Duration::ZERO } else { IDLE };
        assert_eq!(setup.connections.deadline(), Some(start + SWEEP));
        assert!(setup.connections.sweep(start, owned).is_empty(), "not yet");
        drop(ended.1);
        while !setup.connections.table[&ended.0].is_over {
            setup.received(ended.0);
        }
        let mut gone = setup.connections.sweep(start + SWEEP, owned);
        gone.sort_unstable();
        assert_eq!(gone, [nobodys.0, ended.0]);
        setup.now = start + IDLE / 2;
        (&heard.1).write_all(&[0, 1, 7]).unwrap();
        assert_eq!(setup.received(heard.0), [[7]]);
        // Half a frame is no sign of life.
        (&silent.1).write_all(&[0, 9, 7]).unwrap();
        assert!(setup.received(silent.0).is_empty());
        assert_eq!(setup.connections.sweep(start + IDLE, owned), [silent.0]);
        setup.now = start + IDLE / 2 + IDLE;
        assert_eq!(setup.connections.sweep(setup.now, owned), [heard.0]);
        assert_eq!(setup.connections.deadline(), None, "none is left");
        assert_eq!(Arc::strong_count(&setup.counted), 1);
        setup.push(heard.0, 1);
        assert_eq!(setup.connections.take_refused(), 1);
        assert!(!setup.connections.has_room(heard.0));
    }

    #[test]
    fn who_announces_too_long_a_frame_is_not_read_any_more() {
        let mut setup = Setup::new();
        let (id, mut client) = setup.connect();
        let long = (framing::LONGEST as u16 + 1).to_be_bytes();
        client
            .write_all(&[&[0, 1, 7], &long[..], &[0, 1, 8]].concat())
            .unwrap();
        assert_eq!(setup.received(id), [[7]]);
        assert!(!setup.connections.has_room(id));
        let _ = client.write_all(&[0, 1, 9]);
        let after = setup.now + SWEEP;
        assert_eq!(setup.connections.sweep(after, |_| IDLE), [id]);
        assert!(matches!(client.read(&mut [0; 9]), Ok(0) | Err(_)));
    }
}
