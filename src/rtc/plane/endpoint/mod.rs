//! Every viewer of the daemon and the rules by which they are served, without sockets, threads or a clock: datagrams,
//! pictures and alarms come in with their time, and what is to be sent goes to an [`Outbox`].

use super::registry::Sessions;
use super::session::Viewer;
use super::session_log;
use super::timers::Timers;
use crate::metrics::{self, Histogram};
use crate::rtc::net::demux::{Demux, Kind, ViewerId, kind};
use crate::rtc::net::tcp;
use crate::rtc::peer::Event;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::peer::ice::Change;
use crate::rtc::peer::panic_guard::contained;
use crate::rtc::send::cache::Picture;
use crate::rtc::send::feed::Feed;
use crate::rtc::send::sender::PORTION_INTERVAL;
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::outbox::{ConnectionId, Outbox, Path};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Called on other threads when there is something to do.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// All state of the media plane.
pub struct Audience {
    viewers: HashMap<ViewerId, Viewer>,
    feeds: HashMap<String, Feed>,
    demux: Demux,
    timers: Timers,
    /// Origin of the RTP timestamps.
    epoch: Instant,
    sessions: Sessions,
    metrics: metrics::RtcMetrics,
    wake: Wake,
}

impl Audience {
    /// Nobody yet. `wake` is called for every picture, on the encoders' threads.
    pub fn new(now: Instant, sessions: Sessions, metrics: metrics::RtcMetrics, wake: Wake) -> Self {
        metrics.begin(EndReason::ALL.map(EndReason::as_str));
        Self {
            viewers: HashMap::new(),
            feeds: HashMap::new(),
            demux: Demux::default(),
            timers: Timers::new(now),
            epoch: now,
            sessions,
            metrics,
            wake,
        }
    }

    /// When [`fan_out`](Self::fan_out) and [`ring`](Self::ring) are due, even if nothing else happens. While the UDP socket has
    /// no room, what waits for it is due when it has.
    pub fn deadline(&mut self, has_room: bool) -> Option<Instant> {
        let waiting = |feed: &Feed| feed.waits_since.filter(|_| has_room);
        let feeds = self.feeds.values();
        let portions = feeds.flat_map(|feed| [feed.portion_at, waiting(feed)]);
        portions.flatten().chain(self.timers.next()).min()
    }

    /// Takes in a viewer that was answered.
    pub fn add(&mut self, now: Instant, mut viewer: Viewer, out: &mut impl Outbox) {
        let id = viewer.id;
        tracing::debug!(parent: &viewer.span, "answered");
        self.demux.insert(id, &viewer.ufrag);
        let channel = viewer.channel().clone();
        let feed = self
            .feeds
            .entry(channel.name().to_owned())
            .or_insert_with(|| {
                let wake = self.wake.clone();
                Feed::new(&channel, self.epoch, move || wake())
            });
        if viewer.needs_new_pictures() {
            feed.take_in(now, &channel);
            // Those who have waited for what was taken in.
            feed.portion_at = Some(now);
            let last = feed.cache.end().checked_sub(1);
            viewer.begin_after(last);
        }
        feed.viewers.push(id);
        self.viewers.insert(id, viewer);
        self.metrics.active.set(self.viewers.len() as i64);
        self.settle(id, now, out);
    }

    /// Ends a session: farewell, tables, log.
    pub fn end(&mut self, now: Instant, id: ViewerId, reason: EndReason, out: &mut impl Outbox) {
        let Some(mut viewer) = self.viewers.remove(&id) else {
            return;
        };
        // After a panic the core is not to be called again.
        if reason != EndReason::Panic {
            let farewell = || {
                viewer.close(now);
                viewer.transmit(out);
            };
            contained(&self.metrics.panics, farewell);
            out.flush();
        }
        self.demux.remove(id, viewer.paths());
        self.timers.remove(id);
        self.sessions.lock().end(&viewer.session, now, reason);
        let name = viewer.channel().name();
        if let Some(feed) = self.feeds.get_mut(name) {
            feed.viewers.retain(|other| *other != id);
            if feed.viewers.is_empty() {
                self.feeds.remove(name);
            }
        }
        self.metrics.active.set(self.viewers.len() as i64);
        self.metrics.ended(reason.as_str());
        let facts = viewer.record().read();
        session_log::ended(&viewer.span, viewer.client, &facts, reason, now);
    }

    /// Begins a further ICE session of a viewer, who goes over to it when it nominates a path there.
    pub fn restart(&mut self, id: ViewerId, local: Credentials, remote: Credentials) {
        if let Some(viewer) = self.viewers.get_mut(&id) {
            tracing::debug!(parent: &viewer.span, "ICE restart");
            self.demux.begin(id, &local.ufrag);
            viewer.restart(local, remote);
        }
    }

    /// Ends all sessions.
    pub fn end_all(&mut self, now: Instant, reason: EndReason, out: &mut impl Outbox) {
        let all: Vec<_> = self.viewers.keys().copied().collect();
        all.into_iter()
            .for_each(|id| self.end(now, id, reason, out));
    }

    /// Takes in a datagram.
    pub fn receive(&mut self, now: Instant, path: Path, datagram: &[u8], out: &mut impl Outbox) {
        let id = self.demux.find(path, datagram);
        let Some((id, viewer)) = id.and_then(|id| Some((id, self.viewers.get_mut(&id)?))) else {
            self.metrics.unmatched.inc();
            return;
        };
        match kind(datagram) {
            Some(Kind::Media) => return self.report(now, id, datagram, out),
            Some(Kind::Dtls) if !viewer.is_connected() => {
                // A keyframe that is made during the handshake is there when the viewer is.
                let feed = self.feeds.get(viewer.channel().name());
                if feed.is_some_and(|feed| feed.cache.start(now, None).is_none()) {
                    viewer.wants_keyframe(now);
                }
            }
            _ => {}
        }
        let receive = || viewer.receive(now, path, datagram);
        match contained(&self.metrics.panics, receive) {
            Some(true) => self.settle(id, now, out),
            Some(false) => {
                self.metrics.unmatched.inc();
                // A copy of a check is answered.
                if let Some(viewer) = self.viewers.get_mut(&id) {
                    viewer.transmit(out);
                }
            }
            None => self.end(now, id, EndReason::Panic, out),
        }
    }

    /// Takes in what a viewer reports on its media.
    fn report(&mut self, now: Instant, id: ViewerId, datagram: &[u8], out: &mut impl Outbox) {
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return;
        };
        let report = || viewer.reported(now, datagram);
        let Some(reported) = contained(&self.metrics.panics, report) else {
            return self.end(now, id, EndReason::Panic, out);
        };
        let Some(feedback) = reported else {
            self.metrics.unmatched.inc();
            return;
        };
        if let Some(feed) = self.feeds.get(viewer.channel().name())
            && !feedback.lost.is_empty()
            && viewer.has_room(out)
        {
            let repeated = viewer.repeat(now, &feedback.lost, &feed.cache, out);
            let metrics = viewer.channel().metrics();
            metrics.nacks.inc_by(feedback.lost.len() as u64);
            metrics.retransmissions.inc_by(repeated);
        }
        if feedback.keyframe_requests > 0 {
            let requests = feedback.keyframe_requests;
            let metrics = viewer.channel().metrics();
            metrics.keyframe_requests.inc_by(requests);
            viewer.wants_keyframe(now);
        }
    }

    /// A connection that was full has room again: its viewer is sent what it waits for.
    pub fn resume(&mut self, now: Instant, connection: ConnectionId, out: &mut impl Outbox) {
        let id = self.demux.owner(connection);
        let Some(viewer) = id.and_then(|id| self.viewers.get_mut(&id)) else {
            return;
        };
        let Some(feed) = self.feeds.get_mut(viewer.channel().name()) else {
            return;
        };
        if !viewer.is_reached_by(connection) {
            return;
        }
        let id = viewer.id;
        let show = || show(now, viewer, feed, out);
        if contained(&self.metrics.panics, show).is_none() {
            self.end(now, id, EndReason::Panic, out);
        }
    }

    /// What is known of a session.
    #[cfg(any(test, fuzzing))]
    pub fn facts(&self, id: ViewerId) -> Option<super::facts::Facts> {
        Some(self.viewers.get(&id)?.record().read())
    }

    /// Whether a connection is a viewer's.
    pub fn owns(&self, connection: ConnectionId) -> bool {
        self.demux.owner(connection).is_some()
    }

    /// For how long a connection may be silent: not at all if it is no viewer's.
    pub fn patience(&self, connection: ConnectionId) -> Duration {
        let owner = self.demux.owner(connection);
        match owner.and_then(|id| self.viewers.get(&id)) {
            None => Duration::ZERO,
            Some(viewer) if viewer.selected().is_none() => tcp::IDLE,
            Some(viewer) if viewer.is_reached_by(connection) => tcp::IDLE,
            Some(_) => tcp::SPARE,
        }
    }

    /// A connection has ended. Its viewer may go another way.
    pub fn hung_up(&mut self, now: Instant, connection: ConnectionId, out: &mut impl Outbox) {
        let owner = self.demux.owner(connection);
        self.demux.hung_up(connection);
        if let Some(viewer) = owner.and_then(|id| self.viewers.get_mut(&id)) {
            let id = viewer.id;
            viewer.hung_up(now, connection);
            self.settle(id, now, out);
        }
    }

    /// Wakes the viewers whose alarm went off.
    pub fn ring(&mut self, now: Instant, out: &mut impl Outbox) {
        while let Some(id) = self.timers.pop(now) {
            let Some(viewer) = self.viewers.get_mut(&id) else {
                continue;
            };
            let (at, reason) = viewer.end();
            if at <= now {
                self.end(now, id, reason, out);
                continue;
            }
            match contained(&self.metrics.panics, || viewer.timeout(now)) {
                Some(()) => self.settle(id, now, out),
                None => self.end(now, id, EndReason::Panic, out),
            }
        }
    }

    /// After anything was done with a viewer: what it did, what it sends, when it wants to be woken.
    fn settle(&mut self, id: ViewerId, now: Instant, out: &mut impl Outbox) {
        let panics = self.metrics.panics.clone();
        if contained(&panics, || self.try_settle(id, now, out)).is_none() {
            self.end(now, id, EndReason::Panic, out);
        }
    }

    fn try_settle(&mut self, id: ViewerId, now: Instant, out: &mut impl Outbox) {
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return;
        };
        while let Some(change) = viewer.poll_change(now) {
            match change {
                Change::Heard(path) => self.demux.learn(id, path, false),
                Change::Proven(path) => self.demux.learn(id, path, true),
                Change::Forgotten(path) => self.demux.forget(id, path),
                Change::Restarted => self.demux.take_over(id),
                Change::Selected(_) => {}
            }
        }
        viewer.transmit(out);
        let mut feed = self.feeds.get_mut(viewer.channel().name());
        while let Some(event) = viewer.poll_event() {
            match event {
                Event::Connected if viewer.connected(now, &self.metrics.viewers) => {
                    self.sessions.lock().connected(&viewer.session);
                }
                Event::Connected => return self.end(now, id, EndReason::NoMedia, out),
                Event::Ended(reason) => return self.end(now, id, reason, out),
            }
            if let Some(feed) = feed.as_deref_mut() {
                if viewer.has_room(out) {
                    show(now, viewer, feed, out);
                } else {
                    feed.waits_since = Some(now);
                }
            }
        }
        let (end, _) = viewer.end();
        let deadline = viewer.deadline().map_or(end, |at| at.min(end));
        self.timers.set(id, deadline, now);
    }

    /// Sends new pictures, and what is left of earlier ones, as far as there is room. `clock` tells the time, which
    /// passes while many are served.
    pub fn fan_out(&mut self, clock: impl Fn() -> Instant, out: &mut impl Outbox) {
        // After a panic of the core, which sends the reports.
        let mut broken = Vec::new();
        for feed in self.feeds.values_mut() {
            let now = clock();
            let viewer = feed.viewers.first().and_then(|id| self.viewers.get(id));
            let is_new = viewer.is_some_and(|viewer| feed.take_in(now, viewer.channel()));
            let is_due = feed.portion_at.is_some_and(|at| at <= now);
            let has_room_again = feed.waits_since.is_some() && !out.is_blocked();
            if !(is_new || is_due || has_room_again) {
                continue;
            }
            (feed.portion_at, feed.waits_since) = (None, None);
            let mut packets = 0;
            for (n, index) in feed.round().enumerate() {
                let Some(viewer) = self.viewers.get_mut(&feed.viewers[index]) else {
                    continue;
                };
                if out.is_blocked() && !viewer.has_room(out) {
                    feed.waits_since.get_or_insert(now);
                    continue;
                }
                let now = clock();
                let show = || show(now, viewer, feed, out);
                match contained(&self.metrics.panics, show) {
                    Some(shown) => packets += shown,
                    None => broken.push(viewer.id),
                }
                if n == 0 && is_new {
                    // It waits for no other's.
                    out.flush();
                    observe(&feed.metrics.fan_out_first, clock(), feed, |p| p.encoded_at);
                }
            }
            out.flush();
            if packets > 0 && feed.portion_at.is_none() && feed.waits_since.is_none() {
                let now = clock();
                observe(&feed.metrics.fan_out_last, now, feed, |p| p.encoded_at);
                observe(&feed.metrics.latency, now, feed, |p| p.captured_at);
            }
        }
        for id in broken {
            self.end(clock(), id, EndReason::Panic, out);
        }
    }
}

/// Sends a viewer its next portion. Returns the number of packets.
fn show(now: Instant, viewer: &mut Viewer, feed: &mut Feed, out: &mut impl Outbox) -> usize {
    let progress = viewer.show(now, &feed.cache, out);
    if progress.needs_keyframe {
        viewer.wants_keyframe(now);
    }
    if progress.is_behind {
        let at = now + PORTION_INTERVAL;
        feed.portion_at = Some(feed.portion_at.map_or(at, |other| other.min(at)));
    }
    feed.metrics.packets.inc_by(progress.packets as u64);
    feed.metrics.pictures_skipped.inc_by(progress.skipped);
    progress.packets
}

/// Notes the time since a moment in the newest picture's life.
fn observe(histogram: &Histogram, now: Instant, feed: &Feed, since: fn(&Picture) -> Instant) {
    if let Some(picture) = feed.cache.last() {
        let time = now.saturating_duration_since(since(picture));
        histogram.observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod connection_tests;

#[cfg(test)]
mod path_tests;
