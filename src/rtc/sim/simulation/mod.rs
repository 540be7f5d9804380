//! A stream, the audience, and viewers on an independent WebRTC stack, joined by a simulated network: virtual time, no
//! sockets, faults out of a seeded generator. For tests.

mod client;
mod network;
mod picture;

pub use client::{Client, Frame};
pub use network::{Faults, Sent};

use crate::config::{Limits, PlayoutDelay};
use crate::media::{AccessUnit, Profiles};
use crate::metrics::{self, Metrics};
use crate::rtc::peer::Peer;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::peer::identity::{Identity, Sources};
use crate::rtc::plane::endpoint::Audience;
use crate::rtc::plane::facts::Facts;
use crate::rtc::plane::registry::Sessions;
use crate::rtc::plane::session::Viewer;
use crate::rtc::sdp::answer::{Addresses, Local, answer};
use crate::rtc::sdp::offer::Offer;
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::outbox::{ConnectionId, Path};
use crate::stream::{Channel, Keyframes, Terms};
use network::Network;
#[cfg(test)]
pub use picture::read_picture;
pub use picture::write_picture;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Rtc};

const SERVER: &str = "10.0.0.1:8080";
/// Datagrams that are kept to be sent again.
const HEARD: usize = 64;
const STEP: Duration = Duration::from_millis(1);
const FRAME: Duration = Duration::from_nanos(33_333_333);

/// What is sent to viewers.
pub const TERMS: Terms = Terms {
    bitrate: 2_500_000,
    playout_delay: PlayoutDelay {
        min: Duration::ZERO,
        max: Duration::ZERO,
    },
};

/// Answers an offer as the daemon does. Returns the peer, both sides' names in its ICE session, and the answer.
pub fn answered(now: Instant, offer: &str) -> (Peer, (Credentials, Credentials), String) {
    let offer = Offer::parse(offer, Profiles::ENCODED).unwrap();
    let remote = offer.video.ice.clone();
    let identity = Identity::load(None, SystemTime::now()).unwrap();
    let credentials = Credentials::generate();
    let sources = Sources::generate();
    let peer = Peer::new(now, &identity, &credentials, &offer, sources, TERMS).unwrap();
    let local = Local {
        ufrag: &credentials.ufrag,
        password: credentials.password.as_str(),
        fingerprint: &identity.fingerprint,
        ssrc: sources.video,
        rtx_ssrc: sources.rtx,
        stream: "test",
        profile: "42c01f".parse().unwrap(),
        addresses: &Addresses {
            udp: vec![SERVER.parse().unwrap()],
            tcp: Vec::new(),
        },
    };
    let text = answer(&offer, &local);
    (peer, (credentials, remote), text)
}

/// One stream and all who watch.
pub struct Simulation {
    pub now: Instant,
    pub clients: Vec<Client>,
    pub keyframes: Vec<u32>,
    /// The daemon's socket has no room.
    pub is_blocked: bool,
    audience: Audience,
    channel: Arc<Channel>,
    sent: Sent,
    network: Network,
    /// The last datagrams that arrived at the daemon.
    heard: VecDeque<Vec<u8>>,
    policy: Keyframes,
    /// What the daemon knows of its viewers.
    pub stats: metrics::Viewers,
    metrics: Metrics,
    next_frame: Instant,
    pictures: u32,
    picture_len: u32,
    /// What happens to offers on their way.
    pub tamper: fn(String) -> String,
    /// Made by [`check`](Self::check).
    checks: u64,
    /// Bytes that were sent to addresses of no viewer.
    pub strayed: HashMap<SocketAddr, usize>,
}

impl Simulation {
    pub fn new(seed: u64) -> Self {
        let now = Instant::now();
        let metrics = Metrics::new();
        let sessions = Sessions::new(Limits::default());
        let wake = Arc::new(|| ());
        Self {
            now,
            clients: Vec::new(),
            keyframes: Vec::new(),
            is_blocked: false,
            channel: Arc::new(Channel::new("test".into(), TERMS, metrics.stream("test"))),
            stats: metrics.rtc().viewers,
            audience: Audience::new(now, sessions, metrics.rtc(), wake),
            metrics,
            sent: Sent::default(),
            network: Network::new(seed),
            heard: VecDeque::new(),
            policy: Keyframes::new(Duration::from_secs(3600)),
            next_frame: now,
            pictures: 0,
            // Small, since the viewers' stack asks again only for what is missing from the last hundred packets.
            picture_len: 4_000,
            tamper: |offer| offer,
            checks: 0,
            strayed: HashMap::new(),
        }
    }

    /// With pictures of that many bytes, but for keyframes.
    pub fn with_pictures_of(self, picture_len: u32) -> Self {
        Self {
            picture_len,
            ..self
        }
    }

    /// With a keyframe after that time, even if nobody asks.
    pub fn with_keyframes_each(self, interval: Duration) -> Self {
        Self {
            policy: Keyframes::new(interval),
            ..self
        }
    }

    /// A viewer joins. Returns its index.
    pub fn join(&mut self, faults: Faults) -> usize {
        let index = self.clients.len();
        let address = SocketAddr::from(([10, 1, (index >> 8) as u8, index as u8], 5000));
        let mut rtc = Rtc::builder()
            .set_reordering_size_video(200)
            .build(self.now);
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        let offer = offer.to_sdp_string();
        let (peer, names, text) = answered(self.now, &(self.tamper)(offer));
        let text = str0m::change::SdpAnswer::from_sdp_string(&text).unwrap();
        rtc.sdp_api().accept_answer(pending, text).unwrap();
        let viewer = Viewer::new(
            self.now,
            index as u64,
            index.to_string().as_str().into(),
            address.ip(),
            names.clone(),
            peer,
            (self.channel.clone(), None),
        );
        self.audience.add(self.now, viewer, &mut self.sent);
        let client = Client::new(self.now, (rtc, mid), address, names, faults);
        self.clients.push(client);
        index
    }

    /// Lets that much time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += STEP;
            self.sent.is_blocked = self.is_blocked;
            if self.next_frame <= self.now {
                self.next_frame += FRAME;
                self.encode();
            }
            self.deliver();
            let now = self.now;
            let due = self.audience.deadline(!self.is_blocked);
            self.fan_out();
            if due.is_some_and(|at| at <= now) {
                self.ring();
            }
            self.carry();
            for client in &mut self.clients {
                client.is_broken |= client.rtc.handle_input(Input::Timeout(now)).is_err();
                client.poll(now, &mut self.network);
            }
        }
    }

    #[cfg(test)]
    /// Sends one picture more to everybody and throws it away. Returns how often memory was allocated for it.
    pub fn allocations_of_a_picture(&mut self) -> u64 {
        self.encode();
        let info = allocation_counter::measure(|| self.fan_out());
        let count = self.sent.batch.waiting().len();
        assert!(count > 0, "somebody was sent something");
        self.sent.batch.advance(count);
        info.count_total
    }

    // What the daemon does is in these three, by which `scripts/bench-instructions.sh` tells it from the rest.

    #[inline(never)]
    fn fan_out(&mut self) {
        let now = self.now;
        self.audience.fan_out(|| now, &mut self.sent);
    }

    #[inline(never)]
    fn receive(&mut self, path: Path, data: &[u8]) {
        self.audience.receive(self.now, path, data, &mut self.sent);
    }

    #[inline(never)]
    fn ring(&mut self) {
        self.audience.ring(self.now, &mut self.sent);
    }

    fn encode(&mut self) {
        if self.channel.take_keyframe_request() {
            self.policy.request();
        }
        let keyframe = self.policy.is_due(self.now);
        if keyframe {
            self.policy.made(self.now);
            self.keyframes.push(self.pictures);
        }
        self.channel.publish(Arc::new(AccessUnit {
            data: write_picture(self.pictures, keyframe, self.picture_len),
            keyframe,
            temporal_layer: 0,
            captured_at: self.now,
            encoded_at: self.now,
        }));
        self.pictures += 1;
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        self.metrics.render(metrics::Format::Text)
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.network.wire.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            let (address, to_server, data) = entry.remove();
            if to_server {
                let client = self.clients.iter().find(|c| c.address == address);
                let connection = client.and_then(|client| client.connection);
                let path = match connection {
                    Some(connection) => Path::tcp(address, connection),
                    None => Path::udp(address, None),
                };
                self.receive(path, &data);
                if self.heard.len() == HEARD {
                    self.heard.pop_front();
                }
                self.heard.push_back(data);
                continue;
            }
            let Some(client) = self.clients.iter_mut().find(|c| c.address == address) else {
                continue;
            };
            if let Ok(contents) = data[..].try_into() {
                let receive = Receive {
                    proto: Protocol::Udp,
                    source: SERVER.parse().unwrap(),
                    destination: client.local,
                    contents,
                };
                let input = Input::Receive(self.now, receive);
                // A forged alert ends a handshake, and the stack says so.
                client.is_broken |= client.rtc.handle_input(input).is_err();
                client.poll(self.now, &mut self.network);
            }
        }
    }

    /// Puts what the daemon sent on the wire.
    fn carry(&mut self) {
        let batch = &mut self.sent.batch;
        let datagrams = batch.waiting().iter().flat_map(|run| {
            let datagrams = batch.data(run).chunks(run.segment);
            datagrams.map(|data| (run.path, data))
        });
        for (path, data) in datagrams {
            let address = path.remote;
            let is_of = |c: &&mut Client| c.address == address || c.former.contains(&address);
            let Some(client) = self.clients.iter_mut().find(is_of) else {
                *self.strayed.entry(address).or_default() += data.len();
                continue;
            };
            let is_rtcp = (192..=223).contains(&data[1]);
            if (128..=191).contains(&data[0]) && !is_rtcp {
                client.numbers.check(data);
                client.sent.push(self.now);
                client.sent_to_former += usize::from(client.address != address);
                client.sent_by_tcp += usize::from(path.connection().is_some());
            }
            if client.address == address {
                client.send(self.now, false, data, &mut self.network);
            }
        }
        let count = batch.waiting().len();
        batch.advance(count);
    }

    /// A connection takes nothing more.
    pub fn fill(&mut self, connection: ConnectionId) {
        self.sent.full.insert(connection);
    }

    /// It takes everything again.
    pub fn empty(&mut self, connection: ConnectionId) {
        self.sent.full.remove(&connection);
        self.audience.resume(self.now, connection, &mut self.sent);
    }

    /// It has ended.
    pub fn hang_up(&mut self, connection: ConnectionId) {
        self.sent.full.insert(connection);
        self.audience.hung_up(self.now, connection, &mut self.sent);
    }

    /// A datagram arrives that no viewer's stack has sent.
    pub fn inject(&mut self, remote: SocketAddr, data: &[u8]) {
        self.receive(Path::udp(remote, None), data);
        self.carry();
    }

    /// A check comes from that port that names a viewer's session, with these attributes and an integrity that is wrong.
    pub fn forge(&mut self, index: usize, port: u16, attributes: &[u8]) {
        let (ours, theirs) = &self.clients[index].names;
        let check = super::fuzz::check(&ours.ufrag, &theirs.ufrag, attributes);
        let check = super::fuzz::with_integrity(&check, "no password of ours");
        let check = check.expect("a message");
        self.inject(([10, 9, 9, 9], port).into(), &check);
    }

    /// A check of a viewer's own comes by another path, with these attributes.
    pub fn check(&mut self, index: usize, path: Path, attributes: &[u8]) {
        let (ours, theirs) = &self.clients[index].names;
        let mut check = super::fuzz::check(&ours.ufrag, &theirs.ufrag, attributes);
        self.checks += 1;
        check[8..16].copy_from_slice(&self.checks.to_be_bytes());
        let check = super::fuzz::with_integrity(&check, ours.password.as_str());
        self.receive(path, &check.expect("a message"));
        self.carry();
    }

    /// For how long a connection may be silent.
    pub fn patience(&self, connection: ConnectionId) -> Duration {
        self.audience.patience(connection)
    }

    /// A session is deleted.
    pub fn end(&mut self, index: usize) {
        let id = index as u64;
        self.audience
            .end(self.now, id, EndReason::Deleted, &mut self.sent);
    }

    /// A session gives way to another.
    pub fn give_way(&mut self, index: usize) {
        let id = index as u64;
        let reason = EndReason::GaveWay;
        self.audience.end(self.now, id, reason, &mut self.sent);
    }

    /// A datagram that arrived before: the last one, or so many before it.
    pub fn heard(&self, ago: usize) -> Option<Vec<u8>> {
        self.heard.iter().rev().nth(ago).cloned()
    }

    /// A viewer asks for an ICE restart, and the answer never reaches it.
    pub fn restart_in_vain(&mut self, index: usize) {
        let [local, remote] = [0; 2].map(|_| Credentials::generate());
        self.audience.restart(index as u64, local, remote);
    }

    /// What is known of a session.
    pub fn facts(&self, index: usize) -> Option<Facts> {
        self.audience.facts(index as u64)
    }

    /// How many pictures the encoder made.
    pub fn pictures(&self) -> u32 {
        self.pictures
    }
}
