//! One viewer on the media thread: its peer, its paths, and its media.

use super::demux::{Kind, ViewerId, is_nomination, kind};
use super::egress::Egress;
use super::feed::{Feed, Picture};
use super::peer::Peer;
use super::udp::{Path, UdpSocket};
use crate::stream::{Demand, Stream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A viewer that has not connected by then is given up: its handshake may have failed without a word.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Remote addresses that one viewer may have in its session; datagrams from further ones are dropped.
const MAX_PATHS: usize = 32;

/// Time between two sender reports (RFC 3550, 6.2, for a session of this bandwidth).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Without an answered datagram for so long a viewer is gone (RFC 7675 allows 30 s without consent). Browsers check
/// the connection every few seconds.
const SILENCE: Duration = Duration::from_secs(25);

/// What there is once the handshake is done.
struct Media {
    egress: Egress,
    /// Where pictures go.
    path: Path,
    /// The next picture that the viewer can decode is a keyframe.
    needs_keyframe: bool,
    next_report: Instant,
}

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
    demand: Demand,
    media: Option<Box<Media>>,
    created: Instant,
    /// Which of our addresses each of its addresses speaks to.
    paths: Vec<Path>,
    /// Where all but connectivity checks go: the path that the viewer nominated last, or, before that, the one that
    /// the core selected. The core itself never leaves its first one.
    selected: Option<Path>,
    /// When it last sent something that was answered, or that the session's keys opened.
    heard: Instant,
    wishes: Wishes,
}

impl Viewer {
    /// A viewer that is about to connect.
    pub fn new(
        now: Instant,
        id: ViewerId,
        session: String,
        ufrag: String,
        peer: Peer,
        demand: Demand,
    ) -> Self {
        let span = tracing::info_span!("viewer", id, stream = demand.stream().name());
        Self {
            id,
            session,
            ufrag,
            peer,
            span,
            demand,
            media: None,
            created: now,
            paths: Vec::new(),
            selected: None,
            heard: now,
            wishes: Wishes::default(),
        }
    }

    /// What it watches.
    pub fn stream(&self) -> &Arc<Stream> {
        self.demand.stream()
    }

    /// The handshake is done: media may flow. `false` if it can't.
    pub fn connected(&mut self, now: Instant) -> bool {
        if self.is_connected() {
            return true;
        }
        let Some(path) = self.selected else {
            return false;
        };
        let egress = match self.peer.egress(now) {
            Ok(egress) => egress,
            Err(error) => {
                tracing::error!(parent: &self.span, %error, "no media");
                return false;
            }
        };
        self.media = Some(Box::new(Media {
            egress,
            path,
            needs_keyframe: true,
            next_report: now,
        }));
        self.stream().metrics().viewers.inc();
        let after = self.age(now);
        tracing::info!(parent: &self.span, ?after, "connected");
        true
    }

    /// Whether it was ever connected.
    pub const fn is_connected(&self) -> bool {
        self.media.is_some()
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

    /// Asks the stream for the keyframe that the viewer wants, unless it asks too often.
    pub fn wants_keyframe(&mut self, now: Instant) {
        if self.wishes.grants(now) {
            self.stream().request_keyframe();
        }
    }

    /// Pictures were lost on the way to the media thread.
    pub fn pictures_lost(&mut self) {
        if let Some(media) = &mut self.media {
            media.needs_keyframe = true;
        }
    }

    /// Sends a picture if the viewer can decode it. Returns the number of packets.
    pub fn show(&mut self, now: Instant, picture: &Picture, socket: &mut UdpSocket) -> usize {
        let Some(media) = &mut self.media else {
            return 0;
        };
        if media.needs_keyframe {
            if !picture.keyframe {
                return 0;
            }
            media.needs_keyframe = false;
            let after = now.saturating_duration_since(self.created);
            let span = &self.span;
            tracing::debug!(parent: span, ?after, "begins");
        }
        media.egress.show(picture, media.path, socket);
        if now >= media.next_report {
            media.next_report = now + REPORT_INTERVAL;
            let timestamp = media.egress.timestamp(picture.timestamp);
            let ntp = ntp(picture.captured_at.elapsed());
            let name = self.demand.stream().name();
            let sent = media.egress.sent();
            self.peer.report(now, name, ntp, timestamp, sent);
            self.transmit(socket, |_| ());
        }
        picture.payloads.len()
    }

    /// Sends lost packets again. Returns how many.
    pub fn repeat(
        &mut self,
        now: Instant,
        lost: &[u16],
        feed: &Feed,
        socket: &mut UdpSocket,
    ) -> u64 {
        let Some(media) = &mut self.media else {
            return 0;
        };
        let Media { egress, path, .. } = &mut **media;
        let repeated = lost
            .iter()
            .filter(|number| egress.repeat(now, **number, feed, *path, socket));
        repeated.count() as u64
    }

    /// Takes in a datagram. `false` if it came from one address too many, and was dropped: each costs the core memory
    /// for good.
    pub fn receive(&mut self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        let Path { remote, local } = path;
        if let Some(known) = self.paths.iter_mut().find(|known| known.remote == remote) {
            known.local = local;
        } else if self.paths.len() == MAX_PATHS {
            return false;
        } else {
            self.paths.push(path);
        }
        self.peer.receive(now, remote, datagram);
        true
    }

    /// The viewer was heard of.
    pub const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The viewer proved `datagram`, which came by `path`, to be its own.
    pub fn proved(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.heard(now);
        if is_nomination(datagram) {
            self.select(path);
        }
    }

    fn select(&mut self, path: Path) {
        self.selected = Some(path);
        if let Some(media) = &mut self.media {
            media.path = path;
        }
    }

    /// Queues what the peer has to say. Calls `each` with every destination.
    pub fn transmit(&mut self, socket: &mut UdpSocket, mut each: impl FnMut(SocketAddr)) {
        while let Some((remote, datagram)) = self.peer.poll_transmit() {
            let known = self.paths.iter().find(|path| path.remote == remote);
            let local = None;
            let mut path = known.copied().unwrap_or(Path { remote, local });
            if kind(&datagram) != Some(Kind::Stun) {
                path = *self.selected.get_or_insert(path);
            }
            socket.push(path, datagram.len(), |buffer| {
                buffer.extend_from_slice(&datagram);
                Ok::<_, std::convert::Infallible>(())
            });
            each(remote);
        }
    }
}

/// How often one viewer's wishes for a keyframe are passed on: at once at first, then less and less, since each costs
/// every other viewer of the stream picture quality.
#[derive(Debug, Default)]
struct Wishes {
    last: Option<Instant>,
    gap: Duration,
}

impl Wishes {
    const FIRST: Duration = Duration::from_millis(400);
    const LONGEST: Duration = Duration::from_secs(4);
    /// After so long without a wish, the next is the first again.
    const QUIET: Duration = Duration::from_secs(10);

    fn grants(&mut self, now: Instant) -> bool {
        let since = |last| now.saturating_duration_since(last);
        match self.last.map(since) {
            Some(since) if since < self.gap => return false,
            Some(since) if since < Self::QUIET => self.gap = (self.gap * 2).min(Self::LONGEST),
            _ => self.gap = Self::FIRST,
        }
        self.last = Some(now);
        true
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if self.is_connected() {
            self.stream().metrics().viewers.dec();
        }
    }
}

/// The wall clock that long ago as an NTP timestamp: seconds since 1900, 32 bits of fraction (RFC 5905, 6).
fn ntp(ago: Duration) -> u64 {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(ago);
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (since_1970.as_secs() + FROM_1900_TO_1970) << 32 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wish_for_a_keyframe_is_granted_and_then_fewer_and_fewer() {
        let start = Instant::now();
        let mut wishes = Wishes::default();
        let at = |ms| start + Duration::from_millis(ms);
        // A viewer that asks ten times a second for a minute.
        let granted = (0..600).filter(|n| wishes.grants(at(n * 100))).count();
        assert!((15..=20).contains(&granted), "{granted}");
        let later = 60_000 + Wishes::QUIET.as_millis() as u64;
        assert!(wishes.grants(at(later)));
        assert!(!wishes.grants(at(later + 300)));
        assert!(wishes.grants(at(later + 400)), "it begins anew");
    }
}
