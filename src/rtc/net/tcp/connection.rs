//! One viewer's TCP connection: bytes in and out without waiting, and what waits to leave.

use super::Arrival;
use super::framing::{self, Frames};
#[cfg(test)]
use crate::rtc::net::faults;
use crate::rtc::wire::outbox::{ConnectionId, Path};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::time::Instant;

/// Bytes that the kernel takes before they are on their way. More of them would be pictures that grow old: what waits
/// in the cache can still be left out.
const UNSENT: u32 = 32 << 10;

/// Bytes that are queued before they are handed over.
const BATCH_BYTES: usize = 64 << 10;

/// Bytes that wait at the most while the connection is full. Media asks for room before, and may leave a portion behind;
/// of the rest, what does not fit is dropped.
const MAX_WAITING: usize = 256 << 10;

/// Bytes read at once, before others have their turn.
const READ: usize = 16 << 10;

/// Memory that an empty queue keeps.
const KEEP: usize = 64 << 10;

/// What became of what was to be sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All there is was taken.
    Done,
    /// There is more, for which there is no room, or no time.
    More,
    /// The connection is over.
    Over,
}

/// A connection.
pub struct Connection {
    stream: mio::net::TcpStream,
    /// Where it leads.
    pub path: Path,
    /// What came in.
    pub frames: Frames,
    /// Framed datagrams, from the first byte that has not left.
    queue: Vec<u8>,
    sent: usize,
    /// The kernel took less than it was given: nothing but what can't wait is queued until it has taken all.
    pub is_full: bool,
    /// It is to be forgotten.
    pub is_over: bool,
    /// It is among those that have something to send.
    pub is_queued: bool,
    /// It is among those that may have something to read.
    pub is_readable: bool,
    /// When it last brought a whole frame.
    pub heard: Instant,
    /// What counts it, as long as it lives.
    _place: Box<dyn Send>,
}

impl Connection {
    /// Takes over a connection.
    ///
    /// # Errors
    /// When the system can't.
    pub fn new(now: Instant, id: ConnectionId, arrival: Arrival) -> io::Result<Self> {
        let Arrival {
            stream,
            remote,
            place,
            ..
        } = arrival;
        #[cfg(test)]
        faults::injected(faults::Call::TakeOver)?;
        stream.set_nonblocking(true)?;
        // Media is sent in portions that are whole; waiting to fill packets only delays them.
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)?;
        Ok(Self {
            stream: mio::net::TcpStream::from_std(stream),
            path: Path::tcp(remote, id),
            frames: Frames::default(),
            queue: Vec::new(),
            sent: 0,
            is_full: false,
            is_over: false,
            is_queued: false,
            is_readable: false,
            heard: now,
            _place: place,
        })
    }

    /// For the poller.
    pub const fn source(&mut self) -> &mut mio::net::TcpStream {
        &mut self.stream
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len() - self.sent
    }

    /// Queues a datagram. `false` if there is no room for it: it is left out as a whole.
    pub fn push<E>(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> bool {
        if self.waiting() >= BATCH_BYTES && !self.is_full {
            self.flush();
        }
        let fits = self.waiting() + len <= MAX_WAITING;
        !self.is_over && fits && framing::append(&mut self.queue, len, write)
    }

    /// Hands over what waits, as far as the kernel takes it.
    pub fn flush(&mut self) -> Outcome {
        while self.sent < self.queue.len() && !self.is_over {
            match self.write() {
                Ok(0) => self.is_over = true,
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_full = true;
                    // What has left would otherwise stay as long as something waits.
                    self.queue.drain(..self.sent);
                    self.sent = 0;
                    return Outcome::More;
                }
                Err(_) => self.is_over = true,
            }
        }
        if self.is_over {
            return Outcome::Over;
        }
        self.is_full = false;
        self.queue.clear();
        self.queue.shrink_to(KEEP);
        self.sent = 0;
        Outcome::Done
    }

    fn write(&mut self) -> io::Result<usize> {
        #[cfg(test)]
        faults::injected(faults::Call::Write)?;
        self.stream.write(&self.queue[self.sent..])
    }

    fn read_into(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(test)]
        faults::injected(faults::Call::Read)?;
        self.stream.read(buffer)
    }

    /// Takes in some of what has come.
    pub fn read(&mut self) -> Outcome {
        if self.is_over {
            return Outcome::Over;
        }
        let mut buffer = [0; READ];
        match self.read_into(&mut buffer) {
            Ok(0) => self.is_over = true,
            Ok(count) => {
                self.frames.extend(&buffer[..count]);
                return Outcome::More;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Outcome::More,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Outcome::Done,
            Err(_) => self.is_over = true,
        }
        Outcome::Over
    }
}
