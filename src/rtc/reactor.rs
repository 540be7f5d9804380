//! The media thread's loop: commands, datagrams, access units and alarms in; datagrams out.
//!
//! It owns every viewer, so there are no locks, no task and no channel per viewer. It sleeps until something happens.

use super::Sessions;
use super::demux::{Demux, ViewerId};
use super::packetize::packetize;
use super::peer::Event;
use super::timers::Timers;
use super::udp::{Received, UdpSocket};
use super::viewer::Viewer;
use crate::hub::Subscription;
use crate::media::AccessUnit;
use crate::metrics;
use crate::stream::Stream;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
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

/// A stream that somebody watches.
struct Feed {
    subscription: Subscription,
    viewers: Vec<ViewerId>,
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
            .or_insert_with(|| Feed {
                subscription: subscribe(viewer.stream(), self.waker.clone()),
                viewers: Vec::new(),
            });
        feed.viewers.push(id);
        self.viewers.insert(id, viewer);
        self.metrics.active.set(self.viewers.len() as i64);
        self.settle(id, Instant::now());
    }

    /// Ends a session: farewell, tables, log.
    fn end(&mut self, id: ViewerId, reason: &'static str) {
        let Some(mut viewer) = self.viewers.remove(&id) else {
            return;
        };
        let now = Instant::now();
        viewer.peer.close(now);
        viewer.transmit(&mut self.socket, |_| ());
        self.socket.flush();
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
        if viewer.is_connected() {
            tracing::info!(parent: &viewer.span, reason, ?after, "left");
        } else {
            tracing::warn!(parent: &viewer.span, reason, ?after, "never connected: is UDP port {} open for it?",
                self.socket.local_addr().port());
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
        viewer.heard(remote, local);
        viewer.peer.receive(now, remote, datagram);
        self.settle(id, now);
    }

    /// Wakes the viewers whose alarm went off.
    fn ring(&mut self) {
        let now = Instant::now();
        while let Some(id) = self.timers.pop(now) {
            let Some(viewer) = self.viewers.get_mut(&id) else {
                continue;
            };
            if viewer.connect_deadline().is_some_and(|at| at <= now) {
                self.end(id, "connect_timeout");
                continue;
            }
            viewer.peer.timeout(now);
            self.settle(id, now);
        }
        self.socket.flush();
    }

    /// After anything was done with a viewer: what it did, what it sends, when it wants to be woken.
    fn settle(&mut self, id: ViewerId, now: Instant) {
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return;
        };
        while let Some(event) = viewer.peer.poll_event() {
            match event {
                Event::Connected => viewer.connected(now),
                Event::KeyframeWanted => {
                    self.metrics.keyframe_requests.inc();
                    viewer.stream().request_keyframe();
                }
                Event::Lost(packets) => {
                    self.metrics.nacks.inc_by(packets);
                }
                Event::Ended(reason) => return self.end(id, reason),
            }
        }
        let demux = &mut self.demux;
        viewer.transmit(&mut self.socket, |remote| demux.learn(id, remote));
        let deadline = viewer
            .connect_deadline()
            .into_iter()
            .chain(viewer.peer.deadline())
            .min();
        if let Some(at) = deadline {
            self.timers.set(id, at, now);
        }
    }

    /// Sends every new picture to every viewer of its stream.
    fn fan_out(&mut self) {
        let mut feeds = std::mem::take(&mut self.feeds);
        for feed in feeds.values_mut() {
            loop {
                match feed.subscription.try_next() {
                    Ok(Some(unit)) => self.picture(&unit, &feed.viewers),
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

    fn picture(&mut self, unit: &AccessUnit, ids: &[ViewerId]) {
        let payloads = packetize(&unit.data);
        let timestamp = rtp_timestamp(unit.captured_at, self.epoch);
        let mut packets = 0;
        for id in ids {
            let Some(viewer) = self.viewers.get_mut(id) else {
                continue;
            };
            packets += viewer.send(Instant::now(), unit, timestamp, &payloads);
            viewer.transmit(&mut self.socket, |_| ());
        }
        self.socket.flush();
        if packets > 0 {
            self.metrics.packets.inc_by(packets as u64);
            let latency = unit.captured_at.elapsed();
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

fn subscribe(stream: &Stream, waker: Arc<Waker>) -> Subscription {
    stream.subscribe(Box::new(move || {
        // It fails only without a poller, and then nobody reads anyway.
        let _ = waker.wake();
    }))
}

/// The 90 kHz clock of RFC 6184, run by the capture times and wrapping at 32 bits.
fn rtp_timestamp(at: Instant, epoch: Instant) -> u32 {
    let ticks = |since: Duration| (since.as_micros() * 9 / 100) as u32;
    // A frame may have been captured before the thread was started.
    match at.checked_duration_since(epoch) {
        Some(since) => ticks(since),
        None => 0u32.wrapping_sub(ticks(epoch - at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rtp_clock_runs_at_90_khz_from_before_the_epoch_through_its_wrap() {
        let epoch = Instant::now() + Duration::from_secs(10);
        let at = |ms: u64| rtp_timestamp(epoch + Duration::from_millis(ms), epoch);
        assert_eq!(at(1000), 90_000);
        let before = rtp_timestamp(epoch - Duration::from_secs(1), epoch);
        assert_eq!(before.wrapping_add(90_000), 0);
        // 2^32 ticks take 13 hours and a quarter.
        let wrap = (1u64 << 32) * 1000 / 90_000;
        assert_eq!(at(wrap + 1000).wrapping_sub(at(wrap)), 90_000);
    }
}
