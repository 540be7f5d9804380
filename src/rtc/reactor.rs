//! The media thread's loop: commands, datagrams, access units and alarms in; datagrams out.
//!
//! It owns every viewer, so there are no locks, no task and no channel per viewer. It sleeps until something happens.

use super::Sessions;
use super::demux::{Demux, ViewerId};
use super::feed::{Feed, Picture};
use super::peer::Event;
use super::timers::Timers;
use super::udp::{Path, Received, UdpSocket};
use super::viewer::Viewer;
use crate::metrics;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Batches of datagrams read before pictures and alarms have their turn again.
const MAX_BATCHES: usize = 16;

/// What the rest of the daemon asks for.
pub enum Command {
    /// A viewer that was answered.
    Add(Box<Viewer>),
    /// End one.
    End(ViewerId),
    /// End all, and the thread.
    Stop,
}

/// All state of the media thread.
pub struct Reactor {
    poll: Poll,
    waker: Arc<Waker>,
    socket: UdpSocket,
    inbox: Receiver<Command>,
    sessions: Sessions,
    metrics: metrics::Rtc,
    viewers: HashMap<ViewerId, Viewer>,
    feeds: HashMap<String, Feed>,
    demux: Demux,
    timers: Timers,
    /// Origin of the RTP timestamps.
    epoch: Instant,
    /// Datagrams of the batch at hand, copied out of the socket's buffers: the socket is needed to answer them.
    batch: Vec<(SocketAddr, Option<IpAddr>, Vec<u8>)>,
}

impl Reactor {
    /// Takes over the socket.
    ///
    /// # Errors
    /// When the system has no poller.
    pub fn new(
        mut socket: UdpSocket,
        inbox: Receiver<Command>,
        sessions: Sessions,
        metrics: metrics::Rtc,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut socket, SOCKET, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            poll,
            waker,
            socket,
            inbox,
            sessions,
            metrics,
            viewers: HashMap::new(),
            feeds: HashMap::new(),
            demux: Demux::default(),
            timers: Timers::default(),
            epoch: Instant::now(),
            batch: Vec::new(),
        })
    }

    /// Ends the loop's sleep after a command was sent.
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Until [`Command::Stop`].
    ///
    /// # Errors
    /// When the socket or the poller is broken.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(16);
        let mut has_more = false;
        loop {
            let timeout = if has_more {
                Some(Duration::ZERO)
            } else {
                let next = self.timers.next();
                next.map(|at| at.saturating_duration_since(Instant::now()))
            };
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            if !self.obey() {
                return Ok(());
            }
            self.fan_out();
            has_more = self.receive()?;
            self.ring();
            let counts = self.socket.take_counts();
            self.metrics.send_errors.inc_by(counts.refused);
        }
    }

    /// Carries out the commands. `false` after the last one.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Add(viewer) => self.add(*viewer),
                Command::End(id) => self.end(id, "deleted"),
                Command::Stop => {
                    let all: Vec<_> = self.viewers.keys().copied().collect();
                    all.into_iter().for_each(|id| self.end(id, "shutdown"));
                    return false;
                }
            }
        }
        true
    }

    fn add(&mut self, viewer: Viewer) {
        let id = viewer.id;
        tracing::debug!(parent: &viewer.span, "answered");
        self.demux.insert(id, &viewer.ufrag);
        let feed = self
            .feeds
            .entry(viewer.stream().name().to_owned())
            .or_insert_with(|| {
                let waker = self.waker.clone();
                Feed::new(viewer.stream(), self.epoch, move || {
                    // It fails only without a poller, and then nobody reads anyway.
                    let _ = waker.wake();
                })
            });
        feed.viewers.push(id);
        self.viewers.insert(id, viewer);
        self.metrics.active.set(self.viewers.len() as i64);
        self.settle(id, Instant::now(), None);
    }

    /// Ends a session: farewell, tables, log.
    fn end(&mut self, id: ViewerId, reason: &'static str) {
        let Some(mut viewer) = self.viewers.remove(&id) else {
            return;
        };
        let now = Instant::now();
        // After a panic the core is not to be called again.
        if reason != "panic" {
            viewer.peer.close(now);
            viewer.transmit(&mut self.socket, |_| ());
            self.socket.flush();
        }
        self.demux.remove(id, &viewer.ufrag);
        self.timers.remove(id);
        self.sessions.lock().remove(&viewer.session);
        let name = viewer.stream().name();
        if let Some(feed) = self.feeds.get_mut(name) {
            feed.viewers.retain(|other| *other != id);
            if feed.viewers.is_empty() {
                self.feeds.remove(name);
            }
        }
        self.metrics.active.set(self.viewers.len() as i64);
        self.metrics.ended(reason);
        let after = viewer.age(now);
        let span = &viewer.span;
        if reason == "connect_timeout" {
            let port = self.socket.local_addr().port();
            tracing::warn!(parent: span, "never connected: is UDP port {port} open for it?");
        } else if viewer.is_connected() {
            tracing::info!(parent: span, reason, ?after, "left");
        } else {
            tracing::debug!(parent: span, reason, ?after, "left before it connected");
        }
    }

    /// Reads what came in. Whether more may wait.
    fn receive(&mut self) -> io::Result<bool> {
        for _ in 0..MAX_BATCHES {
            let mut batch = std::mem::take(&mut self.batch);
            let mut count = 0;
            let has_more = self.socket.receive(
                |Received {
                     remote,
                     local,
                     data,
                 }| {
                    // The buffers are reused from batch to batch.
                    if count == batch.len() {
                        batch.push((remote, local, Vec::new()));
                    }
                    let slot = &mut batch[count];
                    slot.0 = remote;
                    slot.1 = local;
                    slot.2.clear();
                    slot.2.extend_from_slice(data);
                    count += 1;
                },
            )?;
            for (remote, local, datagram) in &batch[..count] {
                self.datagram(*remote, *local, datagram);
            }
            self.socket.flush();
            self.batch = batch;
            if !has_more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn datagram(&mut self, remote: SocketAddr, local: Option<IpAddr>, datagram: &[u8]) {
        let now = Instant::now();
        let id = self.demux.find(remote, datagram);
        let Some((id, viewer)) = id.and_then(|id| Some((id, self.viewers.get_mut(&id)?))) else {
            self.metrics.unmatched.inc();
            return;
        };
        let path = Path { remote, local };
        let received = catch_unwind(AssertUnwindSafe(|| viewer.receive(now, path, datagram)));
        match received {
            Ok(true) => self.settle(id, now, Some((path, datagram))),
            Ok(false) => {
                self.metrics.unmatched.inc();
            }
            Err(_) => self.end(id, "panic"),
        }
    }

    /// Wakes the viewers whose alarm went off.
    fn ring(&mut self) {
        let now = Instant::now();
        while let Some(id) = self.timers.pop(now) {
            let Some(viewer) = self.viewers.get_mut(&id) else {
                continue;
            };
            let (at, reason) = viewer.end();
            if at <= now {
                self.end(id, reason);
                continue;
            }
            match catch_unwind(AssertUnwindSafe(|| viewer.peer.timeout(now))) {
                Ok(()) => self.settle(id, now, None),
                Err(_) => self.end(id, "panic"),
            }
        }
        self.socket.flush();
    }

    /// After anything was done with a viewer: what it did, what it sends, when it wants to be woken. `received` is the
    /// datagram that it was given, if it was that.
    fn settle(&mut self, id: ViewerId, now: Instant, received: Option<(Path, &[u8])>) {
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return;
        };
        // The core answers only what proves to be the viewer's.
        let mut is_answered = false;
        let demux = &mut self.demux;
        viewer.transmit(&mut self.socket, |remote| {
            demux.learn(id, remote);
            is_answered |= received.is_some_and(|(path, _)| path.remote == remote);
        });
        if let Some((path, datagram)) = received.filter(|_| is_answered) {
            viewer.proved(now, path, datagram);
        }
        while let Some(event) = viewer.peer.poll_event() {
            match event {
                Event::Connected if !viewer.connected(now) => return self.end(id, "no_media"),
                Event::Connected => {
                    let feed = self.feeds.get(viewer.stream().name());
                    let recent = feed.into_iter().flat_map(|feed| feed.recent(now));
                    let socket = &mut self.socket;
                    let shown = recent.map(|picture| viewer.show(now, picture, socket));
                    let packets: usize = shown.sum();
                    if packets == 0 {
                        viewer.stream().request_keyframe();
                    }
                    self.metrics.packets.inc_by(packets as u64);
                }
                Event::Ended(reason) => return self.end(id, reason),
            }
        }
        let feedback = viewer.peer.feedback();
        if feedback.heard {
            viewer.heard(now);
        }
        if !feedback.lost.is_empty()
            && let Some(feed) = self.feeds.get(viewer.stream().name())
        {
            self.metrics.nacks.inc_by(feedback.lost.len() as u64);
            let repeated = viewer.repeat(now, &feedback.lost, feed, &mut self.socket);
            self.metrics.retransmissions.inc_by(repeated);
        }
        if feedback.keyframe_requests > 0 {
            let requests = feedback.keyframe_requests;
            self.metrics.keyframe_requests.inc_by(requests);
            viewer.wants_keyframe(now);
        }
        let (end, _) = viewer.end();
        let deadline = viewer.peer.deadline().map_or(end, |at| at.min(end));
        self.timers.set(id, deadline, now);
    }

    /// Sends every new picture to every viewer of its stream.
    fn fan_out(&mut self) {
        let mut feeds = std::mem::take(&mut self.feeds);
        for feed in feeds.values_mut() {
            loop {
                match feed.next() {
                    Ok(Some(picture)) => {
                        // Nobody is always the last, whom a full socket buffer would hit.
                        let first = feed.viewers.len().min(1);
                        feed.viewers.rotate_left(first);
                        self.show(&picture, &feed.viewers);
                    }
                    Ok(None) => break,
                    Err(lagged) => {
                        tracing::warn!(%lagged, "the media thread is overloaded");
                        self.pictures_lost(&feed.viewers);
                    }
                }
            }
        }
        self.feeds = feeds;
    }

    fn show(&mut self, picture: &Picture, ids: &[ViewerId]) {
        let mut packets = 0;
        for id in ids {
            let Some(viewer) = self.viewers.get_mut(id) else {
                continue;
            };
            packets += viewer.show(Instant::now(), picture, &mut self.socket);
        }
        self.socket.flush();
        if packets > 0 {
            self.metrics.packets.inc_by(packets as u64);
            let latency = picture.captured_at.elapsed();
            self.metrics.latency.observe(latency.as_secs_f64());
        }
    }

    fn pictures_lost(&mut self, ids: &[ViewerId]) {
        for id in ids {
            if let Some(viewer) = self.viewers.get_mut(id) {
                viewer.pictures_lost();
                viewer.stream().request_keyframe();
            }
        }
    }
}
