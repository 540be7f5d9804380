//! One viewer of a thread: a socket, and the peer behind it.

use crate::counts::Counts;
use crate::frames::Ended;
use crate::join::Session;
use crate::peer::{Milestones, Peer};
use crate::socket::{self, Inbox, Socket};
use crate::trace::Trace;
use crate::verify::Checks;
use mio::{Registry, Token};
use std::io;
use std::time::{Duration, Instant};

/// What became of a viewer.
pub struct Outcome {
    pub milestones: Milestones,
    /// From the mark to the end.
    pub marked: Counts,
    pub total: Counts,
    pub checks: Option<Checks>,
    pub trace: Option<Trace>,
    /// The SRTP profile.
    pub profile: Option<&'static str>,
    /// How much the server's sender reports disagreed.
    pub clock_error: Duration,
    /// Why it ended before the end.
    pub fault: Option<String>,
}

/// A viewer with its socket, which is read while the peer takes in what it yields.
pub struct Viewer {
    socket: Socket,
    peer: Peer,
    mark: Counts,
    /// Set when no more is measured.
    marked: Option<Counts>,
}

impl Viewer {
    /// Begins the handshakes.
    pub fn new(session: Session) -> io::Result<Self> {
        let mut viewer = Self {
            socket: session.socket,
            peer: Peer::new(session.agreed).map_err(io::Error::other)?,
            mark: Counts::default(),
            marked: None,
        };
        viewer.timeout(Instant::now());
        Ok(viewer)
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register(registry, token)
    }

    /// A keyframe was seen.
    pub const fn is_playing(&self) -> bool {
        self.peer.milestones().first_keyframe.is_some()
    }

    pub const fn has_failed(&self) -> bool {
        self.peer.fault().is_some()
    }

    /// When it wants to be woken.
    pub const fn deadline(&self) -> Instant {
        self.peer.deadline()
    }

    /// From here on it is measured, and noted what it is sent.
    pub fn mark(&mut self, trace: bool) {
        self.mark = self.peer.counts();
        if trace {
            self.peer.begin_trace();
        }
    }

    /// What was received since is what was measured.
    pub fn freeze(&mut self) {
        self.marked = Some(self.peer.counts() - self.mark);
    }

    /// Reads one batch. `false` when the socket is empty.
    pub fn receive(&mut self, inbox: &mut Inbox, mut ended: impl FnMut(Ended)) -> bool {
        let Self { socket, peer, .. } = self;
        let now = Instant::now();
        let received = socket.receive(inbox, |datagram| {
            if let Some(frame) = peer.datagram(socket, &datagram, now) {
                ended(frame);
            }
        });
        received.unwrap_or_else(|error| {
            peer.fail(format!("its socket: {error}"));
            false
        })
    }

    /// Lets the stack's timers run.
    pub fn timeout(&mut self, now: Instant) {
        self.peer.timeout(&self.socket, now, socket::now());
    }

    /// Says goodbye and tells what was measured.
    pub fn end(mut self) -> Outcome {
        let total = self.peer.counts();
        let fault = self.peer.fault().cloned();
        self.peer.close(&self.socket, socket::now());
        Outcome {
            milestones: *self.peer.milestones(),
            marked: self.marked.unwrap_or(total - self.mark),
            total,
            checks: self.peer.checks(),
            trace: self.peer.take_trace(),
            profile: self.peer.profile(),
            clock_error: self.peer.clock_error(),
            fault,
        }
    }
}
