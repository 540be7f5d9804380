//! A stream, the audience, and viewers on an independent WebRTC stack, joined by a simulated network: virtual time, no
//! sockets, faults out of a seeded generator. For tests.

use super::answer::{Addresses, Local, answer};
use super::audience::Audience;
use super::identity::{Credentials, Identity, Sources};
use super::offer::Offer;
use super::outbox::{ConnectionId, Outbox, Path};
use super::peer::Peer;
use super::sessions::Sessions;
use super::udp::Batch;
use super::viewer::Viewer;
use crate::config::{Limits, PlayoutDelay};
use crate::h264::nal;
use crate::media::{AccessUnit, Profiles};
use crate::metrics::{self, Metrics};
use crate::stream::{Channel, Keyframes, Terms};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use str0m::media::{Direction, KeyframeRequestKind, MediaData, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

const SERVER: &str = "10.0.0.1:8080";
/// How long a datagram waits before a narrow way.
const QUEUE: Duration = Duration::from_millis(100);
/// Datagrams that are kept to be sent again.
const HEARD: usize = 64;
const STEP: Duration = Duration::from_millis(1);
const FRAME: Duration = Duration::from_nanos(33_333_333);

const TERMS: Terms = Terms {
    bitrate: 2_500_000,
    playout_delay: PlayoutDelay {
        min: Duration::ZERO,
        max: Duration::ZERO,
    },
};

/// What the network does to datagrams, in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Lost, 0 to 1.
    pub loss: f64,
    /// From one end to the other.
    pub delay: Duration,
    /// Up to so much longer, each on its own: they overtake each other.
    pub jitter: Duration,
    /// Delivered twice, 0 to 1.
    pub duplicates: f64,
    /// What the way to the viewer carries, in bits per second; what would wait longer than 100 ms for it is lost.
    pub rate: Option<u32>,
}

impl Faults {
    /// A good line.
    pub const NONE: Self = Self {
        loss: 0.0,
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        duplicates: 0.0,
        rate: None,
    };
}

/// Answers an offer as the daemon does.
pub fn answered(now: Instant, offer: &str) -> (Peer, Credentials, String) {
    let offer = Offer::parse(offer, Profiles::ENCODED).unwrap();
    let identity = Identity::load(None, SystemTime::now()).unwrap();
    let credentials = Credentials::generate();
    let sources = Sources::generate();
    let peer = Peer::new(now, &identity, &credentials, &offer, sources, TERMS).unwrap();
    let local = Local {
        ufrag: &credentials.ufrag,
        password: &credentials.password,
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
    (peer, credentials, text)
}

/// A picture as a viewer received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Counts the encoder's pictures.
    pub number: u32,
    pub keyframe: bool,
    pub at: Instant,
}

/// A viewer.
pub struct Client {
    rtc: Rtc,
    mid: Mid,
    /// Where its stack believes to be.
    local: SocketAddr,
    /// Where the daemon sees it.
    address: SocketAddr,
    /// Its way is TCP, as far as the daemon knows: the network is the same.
    pub connection: Option<ConnectionId>,
    /// Where the daemon saw it before.
    former: Vec<SocketAddr>,
    /// The daemon's names in the ICE session, and the viewer's user name fragment.
    pub names: (Credentials, String),
    pub faults: Faults,
    pub joined: Instant,
    /// Whole pictures, in the order of their arrival.
    pub frames: Vec<Frame>,
    /// Those that a decoder could show: a keyframe, or the one after the last.
    pub shown: Vec<Frame>,
    /// Times when RTP packets left for it.
    pub sent: Vec<Instant>,
    /// How many of them left by TCP.
    pub sent_by_tcp: usize,
    pub keyframe_requests: usize,
    /// Its checks went without an answer.
    pub lost_ice: bool,
    /// Its stack gave up.
    pub is_broken: bool,
    /// When the way to it has room for the next datagram.
    free: Instant,
    last_request: Option<Instant>,
    numbers: Numbers,
}

/// Checks what the numbers of sent packets must be: gapless for each SSRC, and the timestamp never going back.
#[derive(Default)]
struct Numbers(HashMap<u32, (u16, u32)>);

impl Numbers {
    fn check(&mut self, packet: &[u8]) {
        let at = |n: usize| u32::from_be_bytes(packet[n..n + 4].try_into().unwrap());
        let (number, timestamp, ssrc) = (at(0) as u16, at(4), at(8));
        let Some((last, last_timestamp)) = self.0.insert(ssrc, (number, timestamp)) else {
            return;
        };
        assert_eq!(
            number,
            last.wrapping_add(1),
            "sequence numbers have no gaps"
        );
        if self.0.len() == 1 {
            let step = timestamp.wrapping_sub(last_timestamp);
            assert!(step < 1 << 31, "the timestamp goes back by {step}");
        }
    }
}

impl Client {
    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It says goodbye.
    pub fn close(&mut self) {
        self.rtc.close().unwrap();
    }

    /// Its NAT sends from another port from now on.
    pub fn rebind(&mut self, port: u16) {
        self.former.push(self.address);
        self.address.set_port(port);
    }

    fn send(&mut self, now: Instant, to_server: bool, data: &[u8], network: &mut Network) {
        let mut now = now;
        if let Some(rate) = self.faults.rate.filter(|_| !to_server) {
            self.free = self.free.max(now);
            if self.free > now + QUEUE {
                return;
            }
            self.free += Duration::from_secs(8) * data.len() as u32 / rate;
            now = self.free;
        }
        network.send(now, &self.faults, self.address, to_server, data);
    }

    fn poll(&mut self, now: Instant, network: &mut Network) {
        while !self.is_broken {
            let Ok(output) = self.rtc.poll_output() else {
                self.is_broken = true;
                return;
            };
            match output {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    let data = transmit.contents.to_vec();
                    self.send(now, true, &data, network);
                }
                Output::Event(Event::MediaData(data)) => self.received(now, &data),
                Output::Event(Event::IceConnectionStateChange(state)) => {
                    self.lost_ice |= state == IceConnectionState::Disconnected;
                }
                Output::Event(_) => {}
            }
        }
    }

    fn received(&mut self, now: Instant, data: &MediaData) {
        let (number, keyframe) = read_picture(&data.data);
        let frame = Frame {
            number,
            keyframe,
            at: now,
        };
        self.frames.push(frame);
        let follows = |last: &Frame| last.number + 1 == number;
        if keyframe || self.shown.last().is_some_and(follows) {
            self.shown.push(frame);
        } else if self
            .last_request
            .is_none_or(|last| now >= last + Duration::from_millis(100))
        {
            self.last_request = Some(now);
            self.keyframe_requests += 1;
            let mut api = self.rtc.direct_api();
            let stream = api.stream_rx_by_mid(self.mid, None).unwrap();
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }
}

/// Datagrams on their way, by the time of arrival.
struct Network {
    random: StdRng,
    wire: BTreeMap<(Instant, u64), (SocketAddr, bool, Vec<u8>)>,
    count: u64,
}

impl Network {
    fn send(
        &mut self,
        now: Instant,
        faults: &Faults,
        client: SocketAddr,
        to_server: bool,
        data: &[u8],
    ) {
        if self.random.random_bool(faults.loss) {
            return;
        }
        let copies = 1 + usize::from(self.random.random_bool(faults.duplicates));
        for _ in 0..copies {
            let extra = faults.jitter.mul_f64(self.random.random());
            self.count += 1;
            let key = (now + faults.delay + extra, self.count);
            self.wire.insert(key, (client, to_server, data.to_vec()));
        }
    }
}

/// What the audience sends, until it is put on the wire.
#[derive(Default)]
pub struct Sent {
    batch: Batch,
    is_blocked: bool,
    /// Connections without room.
    full: HashSet<ConnectionId>,
}

impl Sent {
    /// Throws it away.
    pub fn clear(&mut self) {
        let count = self.batch.waiting().len();
        self.batch.advance(count);
    }
}

impl Outbox for Sent {
    fn push<E>(
        &mut self,
        path: Path,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) {
        assert!(len <= 1200, "{len} bytes are too long for some paths");
        assert!(self.batch.push(path, len, 64, write));
    }

    fn flush(&mut self) {}

    fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    fn has_room(&self, path: Path) -> bool {
        match path.connection() {
            Some(connection) => !self.full.contains(&connection),
            None => !self.is_blocked,
        }
    }
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
            audience: Audience::new(now, 8080, sessions, metrics.rtc(), wake),
            metrics,
            sent: Sent::default(),
            network: Network {
                random: StdRng::seed_from_u64(seed),
                wire: BTreeMap::new(),
                count: 0,
            },
            heard: VecDeque::new(),
            policy: Keyframes::new(Duration::from_secs(3600)),
            next_frame: now,
            pictures: 0,
            // Small, since the viewers' stack asks again only for what is missing from the last hundred packets.
            picture_len: 4_000,
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
        let (peer, credentials, text) = answered(self.now, &offer);
        let theirs = Offer::parse(&offer, Profiles::ENCODED).unwrap().video.ice.0;
        let names = (credentials.clone(), theirs);
        let text = str0m::change::SdpAnswer::from_sdp_string(&text).unwrap();
        rtc.sdp_api().accept_answer(pending, text).unwrap();
        let viewer = Viewer::new(
            self.now,
            index as u64,
            index.to_string(),
            credentials.ufrag,
            peer,
            self.channel.clone(),
            None,
        );
        self.audience.add(self.now, viewer, &mut self.sent);
        self.clients.push(Client {
            rtc,
            mid,
            local: address,
            address,
            connection: None,
            former: Vec::new(),
            names,
            faults,
            joined: self.now,
            frames: Vec::new(),
            shown: Vec::new(),
            sent: Vec::new(),
            sent_by_tcp: 0,
            keyframe_requests: 0,
            lost_ice: false,
            is_broken: false,
            free: self.now,
            last_request: None,
            numbers: Numbers::default(),
        });
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
        self.metrics.render()
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
                continue;
            };
            let is_rtcp = (192..=223).contains(&data[1]);
            if (128..=191).contains(&data[0]) && !is_rtcp {
                client.numbers.check(data);
                client.sent.push(self.now);
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
        self.audience.hung_up(connection);
    }

    /// A datagram arrives that no viewer's stack has sent.
    pub fn inject(&mut self, remote: SocketAddr, data: &[u8]) {
        self.receive(Path::udp(remote, None), data);
        self.carry();
    }

    /// A check comes from that port that names a viewer's session, with these attributes and an integrity that is wrong.
    pub fn forge(&mut self, index: usize, port: u16, attributes: &[u8]) {
        let (names, theirs) = &self.clients[index].names;
        let check = super::fuzz::check(&names.ufrag, theirs, attributes);
        let check = super::fuzz::with_integrity(&check, "no password of ours");
        let check = check.expect("a message");
        self.inject(([10, 9, 9, 9], port).into(), &check);
    }

    /// A session is deleted.
    pub fn end(&mut self, index: usize) {
        let id = index as u64;
        self.audience.end(self.now, id, "deleted", &mut self.sent);
    }

    /// A datagram that arrived before: the last one, or so many before it.
    pub fn heard(&self, ago: usize) -> Option<Vec<u8>> {
        self.heard.iter().rev().nth(ago).cloned()
    }

    /// A viewer asks for an ICE restart, and the answer never reaches it.
    pub fn restart_in_vain(&mut self, index: usize) {
        let local = Credentials::generate();
        self.audience.restart(index as u64, local, "away".into());
    }

    /// How many pictures the encoder made.
    pub fn pictures(&self) -> u32 {
        self.pictures
    }
}

/// An access unit of that number; its bytes follow from it. A keyframe has 60 kB, the others `len` bytes.
fn write_picture(number: u32, keyframe: bool, len: u32) -> Bytes {
    const START: [u8; 4] = [0, 0, 0, 1];
    let mut unit = Vec::new();
    let (kind, len) = if keyframe {
        (0x65, 60_000)
    } else {
        (0x41, len)
    };
    if keyframe {
        unit.extend([&START[..], &[0x67, 66, 192, 31, 1], &START, &[0x68, 2]].concat());
    }
    unit.extend(START);
    unit.extend([kind, b'#']);
    unit.extend(number.to_string().bytes());
    unit.push(b'.');
    // No zeros, hence no start codes.
    unit.extend((0..len).map(|n: u32| (number.wrapping_mul(31).wrapping_add(n) % 255 + 1) as u8));
    unit.into()
}

/// The number of a picture that must be whole, and whether it is a keyframe.
fn read_picture(data: &[u8]) -> (u32, bool) {
    let nals: Vec<_> = nal::units(data).collect();
    let slice = nals.last().unwrap();
    let keyframe = slice[0] == 0x65;
    let end = slice.iter().position(|byte| *byte == b'.').unwrap();
    let number = std::str::from_utf8(&slice[2..end]).unwrap();
    let number = number.parse().unwrap();
    let expected = write_picture(number, keyframe, (slice.len() - end - 1) as u32);
    assert!(
        nal::units(&expected).eq(nals),
        "picture {number} is damaged"
    );
    (number, keyframe)
}
