//! One viewer on the media thread: its peer, its paths, and its media.

use super::demux::{Kind, ViewerId, kind};
use super::egress::Egress;
use super::feed::{Feed, Picture};
use super::peer::Peer;
use super::udp::{Path, UdpSocket};
use crate::stream::{Demand, Stream};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A viewer that has not connected by then is given up: its handshake may have failed without a word.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Remote addresses of one viewer whose local side is remembered; the oldest is forgotten.
const MAX_PATHS: usize = 16;

/// Time between two sender reports (RFC 3550, 6.2, for a session of this bandwidth).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

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
    /// The path that ICE selected: the core sends all but connectivity checks there.
    selected: Option<Path>,
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

    /// When it is given up, unless it connects.
    pub fn connect_deadline(&self) -> Option<Instant> {
        (!self.is_connected()).then_some(self.created + CONNECT_TIMEOUT)
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
            self.peer.report(now, ntp, timestamp, media.egress.sent());
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

    /// Remembers which of our addresses a remote one spoke to.
    pub fn heard(&mut self, remote: SocketAddr, local: Option<IpAddr>) {
        if let Some(path) = self.paths.iter_mut().find(|path| path.remote == remote) {
            path.local = local;
            return;
        }
        if self.paths.len() == MAX_PATHS {
            self.paths.remove(0);
        }
        self.paths.push(Path { remote, local });
    }

    /// Queues what the peer has to say. Calls `each` with every destination.
    pub fn transmit(&mut self, socket: &mut UdpSocket, mut each: impl FnMut(SocketAddr)) {
        while let Some((remote, datagram)) = self.peer.poll_transmit() {
            let known = self.paths.iter().find(|path| path.remote == remote);
            let path = known.copied().unwrap_or(Path {
                remote,
                local: None,
            });
            if kind(&datagram) != Some(Kind::Stun) {
                self.selected = Some(path);
                if let Some(media) = &mut self.media {
                    media.path = path;
                }
            }
            socket.push(path, datagram.len(), |buffer| {
                buffer.extend_from_slice(&datagram);
                Ok::<_, std::convert::Infallible>(())
            });
            each(remote);
        }
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
