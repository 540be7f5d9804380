//! One viewer on the media thread: its peer, its paths, and its media.

use super::cache::Cache;
use super::delivery::{Delivery, Progress};
use super::demux::{Kind, MAX_PATHS, ViewerId, is_nomination, kind, request_ufrag};
use super::facts::Record;
use super::feedback::{Feedback, Ingress};
use super::outbox::{ConnectionId, Outbox, Path};
use super::peer::Peer;
use super::wishes::Wishes;
use crate::metrics;
use crate::stream::{Channel, Demand};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A viewer that has not connected by then is given up: its handshake may have failed without a word.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Without an answered datagram for so long a viewer is gone (RFC 7675 allows 30 s without consent). Browsers check
/// the connection every few seconds.
const SILENCE: Duration = Duration::from_secs(25);

/// A session.
pub struct Viewer {
    /// For logs and tables.
    pub id: ViewerId,
    /// For URLs.
    pub session: String,
    /// Names the session in STUN requests.
    pub ufrag: String,
    /// Its side of the connection.
    pub peer: Peer,
    /// For its log lines.
    pub span: tracing::Span,
    channel: Arc<Channel>,
    /// Keeps the source open; a channel that is filled unasked needs none.
    demand: Option<Demand>,
    /// It is shown nothing up to that picture.
    after: Option<u64>,
    /// There is one once the handshake is done.
    delivery: Option<Box<Delivery>>,
    /// As long as there is a delivery.
    ingress: Option<Ingress>,
    /// As long as there is a delivery.
    stats: Option<metrics::Viewer>,
    created: Instant,
    /// Which of our addresses each of its addresses speaks to, and its connections, [`MAX_PATHS`] at the most; the one heard
    /// last is the last.
    paths: Vec<Path>,
    /// Where all but connectivity checks go: the path that the viewer nominated last, or, before that, the one that
    /// the core selected. The core itself never leaves its first one.
    selected: Option<Path>,
    /// When it last sent something that was answered, or that the session's keys opened.
    heard: Instant,
    wishes: Wishes,
    record: Record,
}

impl Viewer {
    /// A viewer that is about to connect.
    pub fn new(
        now: Instant,
        id: ViewerId,
        session: String,
        ufrag: String,
        peer: Peer,
        channel: Arc<Channel>,
        demand: Option<Demand>,
    ) -> Self {
        let span = tracing::info_span!("viewer", id, stream = channel.name());
        Self {
            id,
            session,
            ufrag,
            peer,
            span,
            channel,
            demand,
            after: None,
            delivery: None,
            ingress: None,
            stats: None,
            created: now,
            paths: Vec::new(),
            selected: None,
            heard: now,
            wishes: Wishes::default(),
            record: Record::new(now),
        }
    }

    /// What is noted of it.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// What it watches.
    pub const fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// Whether it is no use to it what was made before it came.
    pub fn needs_new_pictures(&self) -> bool {
        self.demand.as_ref().is_some_and(Demand::is_unserved)
    }

    /// Has it shown nothing up to that picture.
    pub const fn begin_after(&mut self, picture: Option<u64>) {
        self.after = picture;
    }

    /// The handshake is done: media may flow. `false` if it can't.
    pub fn connected(&mut self, now: Instant, viewers: &metrics::Viewers) -> bool {
        if self.is_connected() {
            return true;
        }
        let Some(path) = self.selected else {
            return false;
        };
        let (egress, ingress) = match self.peer.media(now) {
            Ok(media) => media,
            Err(error) => {
                tracing::error!(parent: &self.span, %error, "no media");
                return false;
            }
        };
        self.delivery = Some(Box::new(Delivery::new(now, egress, path, self.after)));
        self.ingress = Some(ingress);
        let stats = viewers.add(self.channel.name(), self.id);
        stats.set_transport(path.transport());
        self.record.connected(stats.stats());
        self.stats = Some(stats);
        self.channel.metrics().viewers.inc();
        let after = self.age(now);
        tracing::info!(parent: &self.span, ?after, "connected");
        true
    }

    /// Whether it was ever connected.
    pub const fn is_connected(&self) -> bool {
        self.delivery.is_some()
    }

    /// Age of the session.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created)
    }

    /// When it is given up: unless it connects, or unless it is heard of again. And the reason.
    pub fn end(&self) -> (Instant, &'static str) {
        if self.is_connected() {
            (self.heard + SILENCE, "lost")
        } else {
            (self.created + CONNECT_TIMEOUT, "connect_timeout")
        }
    }

    /// Asks the stream for the keyframe that the viewer wants, unless it asks too often or in vain.
    pub fn wants_keyframe(&mut self, now: Instant) {
        let delivery = self.delivery.as_ref();
        let may_ask = delivery.is_none_or(|delivery| delivery.may_ask(now));
        if may_ask && self.wishes.wish(now) {
            self.channel.request_keyframe();
        }
    }

    /// Sends the next portion of what the viewer is to be shown.
    pub fn show(&mut self, now: Instant, cache: &Cache, out: &mut impl Outbox) -> Progress {
        let Some(delivery) = &mut self.delivery else {
            return Progress::default();
        };
        let progress = delivery.advance(now, cache, out);
        if progress.keyframe {
            self.wishes.fulfilled();
        } else if delivery.may_ask(now) && self.wishes.retry(now) {
            self.channel.request_keyframe();
        }
        if progress.begins {
            let after = self.age(now);
            tracing::debug!(parent: &self.span, ?after, "begins");
        }
        if progress.skipped > 0 {
            let skipped = progress.skipped;
            tracing::debug!(parent: &self.span, skipped, "can't keep up");
        }
        if let Some(stats) = &self.stats {
            stats.packets.add(progress.packets as u64);
            stats.pictures.add(progress.pictures);
            stats.pictures_skipped.add(progress.skipped);
        }
        if progress.packets > 0 {
            self.report(now, cache, out);
        }
        progress
    }

    /// Once a second, tells the viewer what it was sent, and notes what its path carries.
    fn report(&mut self, now: Instant, cache: &Cache, out: &mut impl Outbox) {
        let Some(delivery) = &mut self.delivery else {
            return;
        };
        let report = cache.last().and_then(|last| delivery.report(now, last));
        let Some(report) = report else {
            return;
        };
        if let Some(stats) = &mut self.stats {
            stats.set_sent(now, report.sent.octets);
            if let Some(estimate) = delivery.estimate() {
                stats.set_estimate(estimate);
            }
        }
        self.peer.report(now, self.channel.name(), report);
        self.transmit(out, |_| ());
    }

    /// Sends lost packets again. Returns how many.
    pub fn repeat(
        &mut self,
        now: Instant,
        lost: &[u16],
        cache: &Cache,
        out: &mut impl Outbox,
    ) -> u64 {
        let delivery = self.delivery.as_mut();
        let repeated = delivery.map_or(0, |delivery| delivery.repeat(now, lost, cache, out));
        if let Some(stats) = &self.stats {
            stats.nacks.add(lost.len() as u64);
            stats.retransmissions.add(repeated);
            stats.packets.add(repeated);
        }
        repeated
    }

    /// Takes in a datagram. `false` if it is not the viewer's, or came from one address too many, and was dropped.
    pub fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        match kind(datagram) {
            Some(Kind::Stun) if request_ufrag(datagram).is_some() => self.record.check(&path),
            Some(Kind::Dtls) if !self.is_connected() => self.record.handshake(1, 0),
            _ => {}
        }
        let known = self.paths.iter().position(|known| known.leads_as(&path));
        let is_full = known.is_none() && self.paths.len() == MAX_PATHS;
        // While it connects, each costs the core memory.
        if is_full && !self.is_connected() || !self.peer.receive(now, path.remote, datagram) {
            return false;
        }
        let is_used = |path: &Path| self.selected.is_some_and(|used| used.leads_as(path));
        let oldest = || self.paths.iter().position(|path| !is_used(path));
        if let Some(place) = known.or_else(|| is_full.then(oldest)?) {
            self.paths.remove(place);
        }
        self.paths.push(path);
        true
    }

    /// Lets the core's timers run, as far as one is due.
    pub fn timeout(&mut self, now: Instant) {
        if self.peer.deadline().is_some_and(|at| at <= now) {
            self.peer.timeout(now);
        }
    }

    /// The viewer was heard of.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        if let Some(delivery) = &mut self.delivery {
            delivery.heard(now);
        }
    }

    /// Reads a report on what the viewer receives; `None` if it is none of the viewer's.
    pub fn reported(&mut self, now: Instant, datagram: &[u8]) -> Option<Feedback> {
        let feedback = self.ingress.as_mut()?.read(datagram)?;
        self.heard(now);
        if let (Some(delivery), Some(stats)) = (&mut self.delivery, &self.stats) {
            delivery.reported(now, &feedback);
            stats.keyframe_requests.add(feedback.keyframe_requests);
            if let Some(reception) = &feedback.reception {
                stats.set_loss(reception.fraction_lost);
                if let Some(time) = delivery.round_trip() {
                    stats.set_round_trip(time);
                }
            }
        }
        Some(feedback)
    }

    /// The viewer proved `datagram`, which came by `path`, to be its own.
    pub fn proved(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.heard(now);
        if kind(datagram) == Some(Kind::Stun) {
            self.record.proved(&path, datagram);
        }
        if is_nomination(datagram) {
            self.select(path);
        }
    }

    /// The viewer goes on in a new ICE session: its addresses in the last one are no longer its own.
    pub fn restarted(&mut self) {
        tracing::info!(parent: &self.span, "goes on after an ICE restart");
        let selected = self.selected;
        let is_selected = |path: &Path| selected.is_some_and(|selected| selected.leads_as(path));
        self.paths.retain(is_selected);
    }

    fn select(&mut self, path: Path) {
        self.selected = Some(path);
        if let Some(delivery) = &mut self.delivery {
            delivery.path = path;
        }
        if let Some(stats) = &self.stats {
            stats.set_transport(path.transport());
        }
    }

    /// Where its media goes.
    pub const fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// Whether media may go to it.
    pub fn has_room(&self, out: &impl Outbox) -> bool {
        self.selected.is_some_and(|path| out.has_room(path))
    }

    /// Whether its media goes by that connection.
    pub fn is_reached_by(&self, connection: ConnectionId) -> bool {
        let selected = self.selected.and_then(|path| path.connection());
        selected == Some(connection)
    }

    /// Queues what the peer has to say. Calls `each` with every path that the peer chose.
    pub fn transmit(&mut self, out: &mut impl Outbox, mut each: impl FnMut(Path)) {
        while let Some((remote, datagram)) = self.peer.poll_transmit() {
            // The core knows nothing of connections. Where one has the address of a UDP path, an answer goes the way that
            // the check came: it was heard last.
            let mut known = self.paths.iter().rev();
            let known = known.find(|path| path.remote == remote);
            let proved = known.copied().unwrap_or(Path::udp(remote, None));
            let mut path = proved;
            if kind(&datagram) != Some(Kind::Stun) {
                if !self.is_connected() {
                    self.record.handshake(0, 1);
                }
                path = *self.selected.get_or_insert(path);
            }
            out.push(path, datagram.len(), |buffer| {
                buffer.extend_from_slice(&datagram);
                Ok::<_, std::convert::Infallible>(())
            });
            each(proved);
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if self.is_connected() {
            self.channel.metrics().viewers.dec();
        }
    }
}
