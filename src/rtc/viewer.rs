//! One viewer on the media thread: its peer, its paths, and whether it is ready for pictures.

use super::demux::ViewerId;
use super::feed::Picture;
use super::peer::Peer;
use super::udp::UdpSocket;
use crate::stream::{Demand, Stream};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A viewer that has not connected by then is given up: its handshake may have failed without a word.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Remote addresses of one viewer whose local side is remembered; the oldest is forgotten.
const MAX_PATHS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    /// The handshakes are under way.
    Connecting,
    /// Connected; the next picture it can decode is a keyframe.
    NeedsKeyframe,
    /// Every picture is sent.
    Live,
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
    media: Media,
    created: Instant,
    /// Which of our addresses each of its addresses speaks to.
    paths: Vec<(SocketAddr, Option<IpAddr>)>,
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
            media: Media::Connecting,
            created: now,
            paths: Vec::new(),
        }
    }

    /// What it watches.
    pub fn stream(&self) -> &Arc<Stream> {
        self.demand.stream()
    }

    /// Media may flow now.
    pub fn connected(&mut self, now: Instant) {
        if self.media != Media::Connecting {
            return;
        }
        self.media = Media::NeedsKeyframe;
        self.stream().metrics().viewers.inc();
        let after = now.saturating_duration_since(self.created);
        tracing::info!(parent: &self.span, ?after, "connected");
    }

    /// Whether it was ever connected.
    pub fn is_connected(&self) -> bool {
        self.media != Media::Connecting
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
        if self.media == Media::Live {
            self.media = Media::NeedsKeyframe;
        }
    }

    /// Sends a picture if the viewer can decode it. Returns the number of packets.
    pub fn show(&mut self, now: Instant, picture: &Picture) -> usize {
        if self.media == Media::NeedsKeyframe && picture.keyframe {
            self.media = Media::Live;
            let after = self.age(now);
            tracing::debug!(parent: &self.span, ?after, "first picture sent");
        }
        if self.media != Media::Live {
            return 0;
        }
        self.peer.send(now, picture.timestamp, &picture.payloads);
        picture.payloads.len()
    }

    /// Remembers which of our addresses a remote one spoke to.
    pub fn heard(&mut self, remote: SocketAddr, local: Option<IpAddr>) {
        if let Some(path) = self.paths.iter_mut().find(|path| path.0 == remote) {
            path.1 = local;
            return;
        }
        if self.paths.len() == MAX_PATHS {
            self.paths.remove(0);
        }
        self.paths.push((remote, local));
    }

    /// Queues what the peer has to say. Calls `each` with every destination.
    pub fn transmit(&mut self, socket: &mut UdpSocket, mut each: impl FnMut(SocketAddr)) {
        while let Some((remote, datagram)) = self.peer.poll_transmit() {
            let path = self.paths.iter().find(|path| path.0 == remote);
            socket.push(remote, path.and_then(|path| path.1), &datagram);
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
