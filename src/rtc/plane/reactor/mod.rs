//! The media thread's loop: commands, connections, datagrams, access units and alarms in; datagrams out. It sleeps until something
//! happens.

use super::endpoint::Audience;
use super::registry::Sessions;
use super::session::Viewer;
use crate::metrics;
use crate::rtc::net::demux::ViewerId;
use crate::rtc::net::network::Network;
use crate::rtc::net::probes::{Probe, Probes};
use crate::rtc::net::tcp::{Arrival, Connections};
use crate::rtc::net::udp::UdpSocket;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::outbox::{Outbox, Path};
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Batches of datagrams read before pictures and alarms have their turn again.
const MAX_BATCHES: usize = 128;

/// What the rest of the daemon asks for.
pub enum Command {
    /// A viewer that was answered.
    Add {
        /// The viewer.
        viewer: Box<Viewer>,
        /// The one whose session gives way to it.
        gives_way: Option<ViewerId>,
    },
    /// A viewer's TCP connection.
    Connect(Box<Arrival>),
    /// Begin a further ICE session with one.
    Restart {
        /// Whose.
        viewer: ViewerId,
        /// Our side.
        local: Credentials,
        /// The viewer's.
        remote: Credentials,
    },
    /// Ask a STUN server.
    Probe(Probe),
    /// End one, and why.
    End(ViewerId, EndReason),
    /// End all, and the thread.
    Stop,
}

/// The media thread.
pub struct Reactor {
    poll: Poll,
    waker: Arc<Waker>,
    network: Network,
    inbox: Receiver<Command>,
    audience: Audience,
    probes: Probes,
    metrics: metrics::RtcMetrics,
    /// Datagrams of the batch at hand, copied out of the socket's buffers: the socket is needed to answer them.
    batch: Vec<(Path, Vec<u8>)>,
    /// The one at hand that came over TCP.
    datagram: Vec<u8>,
    /// The poller is to tell when the socket has room again.
    awaits_room: bool,
    /// For whoever wants to know whether it goes on.
    turns: Arc<AtomicU64>,
}

impl Reactor {
    /// Takes over the socket.
    ///
    /// # Errors
    /// When the system has no poller.
    pub fn new(
        now: Instant,
        mut socket: UdpSocket,
        inbox: Receiver<Command>,
        sessions: Sessions,
        metrics: metrics::RtcMetrics,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut socket, SOCKET, Interest::READABLE)?;
        let tcp = Connections::new(poll.registry().try_clone()?);
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let wake = {
            let waker = waker.clone();
            // It fails only without a poller, and then nobody reads anyway.
            Arc::new(move || drop(waker.wake()))
        };
        Ok(Self {
            audience: Audience::new(now, sessions, metrics.clone(), wake),
            probes: Probes::default(),
            poll,
            waker,
            network: Network { udp: socket, tcp },
            inbox,
            metrics,
            batch: Vec::new(),
            datagram: Vec::new(),
            awaits_room: false,
            turns: Arc::default(),
        })
    }

    /// Ends the loop's sleep after a command was sent.
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// How often the loop has turned.
    pub fn turns(&self) -> Arc<AtomicU64> {
        self.turns.clone()
    }

    /// Until [`Command::Stop`].
    ///
    /// # Errors
    /// When the socket or the poller is broken.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(128);
        let mut has_more = false;
        loop {
            let timeout = if has_more {
                Some(Duration::ZERO)
            } else {
                self.deadline()
                    .map(|at| at.saturating_duration_since(Instant::now()))
            };
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            match self.turn(&events, Instant::now)? {
                ControlFlow::Continue(more) => has_more = more,
                ControlFlow::Break(()) => return Ok(()),
            }
        }
    }

    /// When there is something to do, even if nothing happens.
    fn deadline(&mut self) -> Option<Instant> {
        let next = self.audience.deadline(!self.network.is_blocked());
        next.into_iter().chain(self.network.tcp.deadline()).min()
    }

    /// Does all there is to do. Whether more may wait, unless it is to end.
    fn turn(
        &mut self,
        events: &Events,
        clock: impl Fn() -> Instant + Copy,
    ) -> io::Result<ControlFlow<(), bool>> {
        self.turns.fetch_add(1, Ordering::Relaxed);
        if self.network.is_blocked() {
            self.network.udp.flush();
        }
        for event in events {
            if let Some(connection) = self.network.tcp.ready(event) {
                self.audience.resume(clock(), connection, &mut self.network);
            }
        }
        self.audience.fan_out(clock, &mut self.network);
        let ControlFlow::Continue(more) = self.receive(clock)? else {
            return Ok(ControlFlow::Break(()));
        };
        let more = self.receive_tcp(clock) | more;
        let now = clock();
        self.audience.ring(now, &mut self.network);
        self.network.flush();
        self.sweep(now);
        self.await_room()?;
        let counts = self.network.udp.take_counts();
        let refused = counts.refused + self.network.tcp.take_refused();
        self.metrics.send_errors.inc_by(refused);
        self.metrics.receive_errors.inc_by(counts.unread);
        Ok(ControlFlow::Continue(more))
    }

    /// Carries out the commands. `false` after the last one.
    fn obey(&mut self, clock: impl Fn() -> Instant) -> bool {
        while let Ok(command) = self.inbox.try_recv() {
            let now = clock();
            match command {
                Command::Add { viewer, gives_way } => {
                    if let Some(id) = gives_way {
                        let reason = EndReason::GaveWay;
                        self.audience.end(now, id, reason, &mut self.network);
                    }
                    self.audience.add(now, *viewer, &mut self.network);
                }
                Command::Connect(arrival) => self.connect(now, *arrival),
                Command::Restart {
                    viewer,
                    local,
                    remote,
                } => self.audience.restart(viewer, local, remote),
                Command::Probe(probe) => self.probes.send(probe, &mut self.network),
                Command::End(id, reason) => self.audience.end(now, id, reason, &mut self.network),
                Command::Stop => {
                    self.audience
                        .end_all(now, EndReason::Shutdown, &mut self.network);
                    return false;
                }
            }
        }
        true
    }

    /// Reads what came in, and carries out the commands. Whether more may wait, unless it is to end.
    fn receive(&mut self, clock: impl Fn() -> Instant + Copy) -> io::Result<ControlFlow<(), bool>> {
        for _ in 0..MAX_BATCHES {
            let batch = &mut self.batch;
            let mut count = 0;
            let has_more = self.network.udp.receive(|path, data| {
                // The buffers are reused from batch to batch.
                if count == batch.len() {
                    batch.push((path, Vec::new()));
                }
                let slot = &mut batch[count];
                slot.0 = path;
                slot.1.clear();
                slot.1.extend_from_slice(data);
                count += 1;
            })?;
            // A viewer may have been answered since the last look, and its first datagram be here already.
            if !self.obey(clock) {
                return Ok(ControlFlow::Break(()));
            }
            let now = clock();
            for (path, datagram) in &self.batch[..count] {
                if self.probes.receive(path.remote, datagram) {
                    continue;
                }
                self.audience
                    .receive(now, *path, datagram, &mut self.network);
            }
            self.network.flush();
            if !has_more {
                return Ok(ControlFlow::Continue(false));
            }
        }
        Ok(ControlFlow::Continue(true))
    }

    /// Takes over a connection, if its viewer answers the check that it begins with.
    fn connect(&mut self, now: Instant, mut arrival: Arrival) {
        let check = std::mem::take(&mut arrival.check);
        let (id, path) = match self.network.tcp.add(now, arrival) {
            Ok(added) => added,
            Err(error) => return tracing::debug!(%error, "a TCP connection can't be taken over"),
        };
        let network = &mut self.network;
        self.audience.receive(now, path, &check, network);
        if !self.audience.owns(id) {
            network.tcp.close(id);
        }
        self.note_connections();
    }

    /// Reads what came over TCP, from each connection a little. Whether more may wait.
    fn receive_tcp(&mut self, clock: impl Fn() -> Instant) -> bool {
        for _ in 0..self.network.tcp.readable() {
            let Some(id) = self.network.tcp.read() else {
                continue;
            };
            let (now, datagram) = (clock(), &mut self.datagram);
            while let Some(path) = self.network.tcp.next(now, id, datagram) {
                self.audience
                    .receive(now, path, datagram, &mut self.network);
            }
        }
        self.network.tcp.readable() > 0
    }

    /// Lets go of connections that are of no use any more.
    fn sweep(&mut self, now: Instant) {
        let audience = &self.audience;
        let gone = self.network.tcp.sweep(now, |id| audience.patience(id));
        if !gone.is_empty() {
            for id in gone {
                self.audience.hung_up(now, id, &mut self.network);
            }
            self.note_connections();
        }
    }

    fn note_connections(&self) {
        let count = self.network.tcp.len();
        self.metrics.tcp_connections.set(count as i64);
    }

    /// Has the poller tell of room in the socket only while there is none: each datagram that leaves makes some.
    fn await_room(&mut self) -> io::Result<()> {
        let is_blocked = self.network.is_blocked();
        if is_blocked == self.awaits_room {
            return Ok(());
        }
        self.awaits_room = is_blocked;
        let interest = if is_blocked {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        let registry = self.poll.registry();
        registry.reregister(&mut self.network.udp, SOCKET, interest)
    }
}

#[cfg(test)]
mod tests;
