//! One viewer on the media thread: its peer, its paths, and its media.

use super::facts::Record;
use super::session_log;
use crate::base::rounded::Rounded;
use crate::metrics;
use crate::rtc::net::demux::{Kind, ViewerId, is_nomination, kind, request_ufrag};
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::peer::ice::{Change, Ice, Received};
use crate::rtc::peer::{Event, Peer};
use crate::rtc::plane::session_id::SessionId;
use crate::rtc::receive::feedback::{Feedback, Ingress};
use crate::rtc::send::cache::Cache;
use crate::rtc::send::keyframe_throttle::Wishes;
use crate::rtc::send::sender::{Delivery, Progress};
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::outbox::{ConnectionId, Outbox, Path};
use crate::stream::{Channel, Demand};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A viewer that has not connected by then is given up: its handshake may have failed without a word.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Without an answer to a check of ours, or a report, for so long a viewer is gone. Without an answer on the path that its media takes it
/// is gone too, after 30 s (RFC 7675, 5.1); that path is checked every five seconds.
const SILENCE: Duration = Duration::from_secs(25);

/// A session.
pub struct Viewer {
    /// For logs and tables.
    pub id: ViewerId,
    /// For URLs.
    pub session: SessionId,
    /// Names the session in STUN requests.
    pub ufrag: String,
    /// Its side of the connection.
    peer: Peer,
    ice: Ice,
    /// For its log lines.
    pub span: tracing::Span,
    /// The other end of the HTTP request that began it: the viewer, or a proxy.
    pub client: IpAddr,
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
    /// When it last answered a check of ours, or sent a report that the session's keys opened. Its own checks tell nothing:
    /// anybody can send them again.
    heard: Instant,
    wishes: Wishes,
    record: Record,
}

impl Viewer {
    /// A viewer that is about to connect, with both sides' names in its ICE session, and the stream that it watches.
    pub fn new(
        now: Instant,
        id: ViewerId,
        session: SessionId,
        client: IpAddr,
        (local, remote): (Credentials, Credentials),
        peer: Peer,
        (channel, demand): (Arc<Channel>, Option<Demand>),
    ) -> Self {
        let span = tracing::info_span!("viewer", id, stream = channel.name());
        Self {
            id,
            session,
            ufrag: local.ufrag.clone(),
            ice: Ice::new(id, local, remote),
            peer,
            span,
            client,
            channel,
            demand,
            after: None,
            delivery: None,
            ingress: None,
            stats: None,
            created: now,
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
        let Some(path) = self.selected() else {
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
        session_log::connected(&self.span, self.client, path.endpoint(), self.age(now), now);
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
    pub fn end(&self) -> (Instant, EndReason) {
        if self.is_connected() {
            let silent = self.heard + SILENCE;
            let consent = self.ice.consent_ends();
            (
                consent.map_or(silent, |end| end.min(silent)),
                EndReason::Lost,
            )
        } else {
            (self.created + CONNECT_TIMEOUT, EndReason::ConnectTimeout)
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
            let after = Rounded(self.age(now));
            tracing::debug!(parent: &self.span, %after, "begins");
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
        self.transmit(out);
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

    /// Takes in a datagram. `false` if it is not the viewer's, and was dropped.
    pub fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        match kind(datagram) {
            Some(Kind::Stun) => self.receive_stun(now, path, datagram),
            Some(Kind::Dtls) => {
                self.ice.note_received(&path, datagram.len());
                if !self.is_connected() {
                    self.record.handshake(1, 0);
                }
                self.peer.receive(now, datagram)
            }
            Some(Kind::Media) | None => false,
        }
    }

    fn receive_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        if request_ufrag(datagram).is_some() {
            self.record.check(&path);
        }
        let crypto = self.peer.crypto();
        match self.ice.receive(now, path, datagram, crypto) {
            Received::Refused | Received::Copy => return false,
            Received::Check => self.record.proved(now, &path, is_nomination(datagram)),
            Received::Answer => {
                self.record.answered(now);
                self.heard(now);
            }
        }
        true
    }

    /// Lets the timers run, as far as one is due.
    pub fn timeout(&mut self, now: Instant) {
        self.ice.timeout(now, self.peer.crypto());
        if self.peer.deadline().is_some_and(|at| at <= now) {
            self.peer.timeout(now);
        }
    }

    /// When [`timeout`](Self::timeout) is due.
    pub fn deadline(&mut self) -> Option<Instant> {
        let ice = self.ice.deadline();
        self.peer.deadline().into_iter().chain(ice).min()
    }

    /// The next change of its paths.
    pub fn poll_change(&mut self, now: Instant) -> Option<Change> {
        let change = self.ice.poll_change()?;
        match change {
            Change::Selected(path) => self.go(now, path),
            Change::Restarted => {
                // A viewer can restart as often as it likes: no line of the log for each.
                tracing::debug!(parent: &self.span, "goes on after an ICE restart");
            }
            Change::Heard(_) | Change::Proven(_) | Change::Forgotten(_) => {}
        }
        Some(change)
    }

    /// The next thing that its peer did.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.peer.poll_event()
    }

    /// Begins a further ICE session.
    pub fn restart(&mut self, local: Credentials, remote: Credentials) {
        self.ice.restart(local, remote);
    }

    /// A connection of its has ended.
    pub fn hung_up(&mut self, now: Instant, connection: ConnectionId) {
        self.ice.hung_up(now, connection, self.peer.crypto());
    }

    /// All its paths.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        self.ice.paths()
    }

    /// Says goodbye.
    pub fn close(&mut self, now: Instant) {
        self.peer.close(now);
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

    /// Media and the handshake take this path from now on.
    fn go(&mut self, now: Instant, path: Path) {
        tracing::debug!(parent: &self.span, to = %path.endpoint(), "path selected");
        self.record.selected(&path);
        self.peer.start(now);
        if let Some(delivery) = &mut self.delivery {
            delivery.path = path;
        }
        if let Some(stats) = &self.stats {
            stats.set_transport(path.transport());
        }
    }

    /// Where its media goes.
    pub fn selected(&self) -> Option<Path> {
        self.ice.selected()
    }

    /// Whether media may go to it.
    pub fn has_room(&self, out: &impl Outbox) -> bool {
        self.selected().is_some_and(|path| out.has_room(path))
    }

    /// Whether its media goes by that connection.
    pub fn is_reached_by(&self, connection: ConnectionId) -> bool {
        let selected = self.selected().and_then(|path| path.connection());
        selected == Some(connection)
    }

    /// Queues what there is to send: answers and checks where they belong, all else on the selected path.
    pub fn transmit(&mut self, out: &mut impl Outbox) {
        while let Some((path, datagram)) = self.ice.poll_transmit() {
            push(out, path, &datagram);
        }
        while let Some(datagram) = self.peer.poll_transmit() {
            let Some(path) = self.selected() else {
                continue;
            };
            if !self.is_connected() {
                self.record.handshake(0, 1);
            }
            push(out, path, &datagram);
        }
        if !self.is_connected()
            && let Some(alert) = self.peer.take_alert()
        {
            self.record.alerted(alert);
        }
    }
}

fn push(out: &mut impl Outbox, path: Path, datagram: &[u8]) {
    out.push(path, datagram.len(), |buffer| {
        buffer.extend_from_slice(datagram);
        Ok::<_, std::convert::Infallible>(())
    });
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if self.is_connected() {
            self.channel.metrics().viewers.dec();
        }
    }
}
