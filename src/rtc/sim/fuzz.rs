//! What strangers send to the media plane, as fuzz targets; see [`crate::fuzz`].

use super::simulation::{Faults, Sent, Simulation};
use crate::media::{AccessUnit, Profiles};
use crate::rtc::net::demux::{binding_success, is_nomination, kind, request_ufrag};
use crate::rtc::peer::Peer;
use crate::rtc::peer::ice::{Ice, Received};
use crate::rtc::peer::identity::{Identity, Sources};
use crate::rtc::receive::feedback::Ingress;
use crate::rtc::sdp::answer::{Addresses, Local, answer};
use crate::rtc::sdp::offer::Offer;
use crate::rtc::sdp::sdpfrag::{Fragment, Frame};
use crate::rtc::sdp::text::Description;
use crate::rtc::send::cache::{Cache, Picture};
use crate::rtc::send::egress::{Egress, Parameters};
use crate::rtc::send::sender::Delivery;
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::extensions::Extensions;
use crate::rtc::wire::outbox::Path;
use crate::rtc::wire::srtcp::Opener;
use crate::rtc::wire::srtp::{MasterKey, Profile};
use crate::rtc::wire::stun::{Answer, answer as answer_to};
use crate::stream::Terms;
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::RingProvider;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{Message, Setter};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

const ADDRESS: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    8080,
);

fn addresses() -> Addresses {
    Addresses {
        udp: vec![ADDRESS],
        tcp: vec![ADDRESS],
    }
}

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| Identity::load(None, SystemTime::now()).expect("a certificate"))
}

/// The processor time that an offer may take: 30 ms, and 1 µs for each byte. That is six times what an unoptimized build
/// needs, and a hundred times what an optimized one does.
fn time_for(len: usize) -> Duration {
    Duration::from_millis(30) + len as u32 * Duration::from_micros(1)
}

/// The time that this thread has had a processor for: no other load of the machine adds to it.
pub fn processor_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock)
        .expect("a clock that Linux has")
        .into()
}

/// An offer: read, given to the core, answered. An answer has the offer's sections, and nothing that the offer smuggled in.
/// All that takes time in proportion to the offer's length.
pub fn offer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = identity();
    let start = processor_time();
    answer_offer(text);
    let took = processor_time().saturating_sub(start);
    assert!(
        took <= time_for(data.len()),
        "{took:?} for {} bytes",
        data.len()
    );
}

fn answer_offer(text: &str) {
    let Ok(offer) = Offer::parse(text, Profiles::ENCODED) else {
        return;
    };
    // RFC 8839, 5.4: a session keeps them.
    assert!(offer.video.ice.ufrag.len() <= 256 && offer.video.ice.password.as_str().len() <= 256);
    let (credentials, sources) = (Credentials::generate(), Sources::generate());
    let (now, terms) = (Instant::now(), Terms::default());
    if Peer::new(now, identity(), &credentials, &offer, sources, terms).is_err() {
        return;
    }
    let local = Local {
        ufrag: &credentials.ufrag,
        password: credentials.password.as_str(),
        fingerprint: &identity().fingerprint,
        ssrc: sources.video,
        rtx_ssrc: sources.rtx,
        stream: "cam",
        profile: "42c01f".parse().expect("a profile"),
        addresses: &addresses(),
    };
    let text = answer(&offer, &local);
    check_lines(&text);
    let read = Description::parse(&text).expect("an answer is SDP");
    assert_eq!(read.sections.len(), offer.sections.len(), "{text}");
    assert_eq!(text.matches("\r\na=sendonly\r\n").count(), 1, "{text}");
    check_lines(&Frame::new(&offer).answer(&credentials, &addresses()));
}

fn check_lines(text: &str) {
    let lines = text
        .strip_suffix("\r\n")
        .expect("whole lines")
        .split("\r\n");
    for line in lines {
        let bytes = line.as_bytes();
        assert!(
            bytes[0].is_ascii_lowercase() && bytes[1] == b'=',
            "{line:?}"
        );
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    }
}

/// An ICE fragment.
pub fn fragment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Fragment::parse(text) {
        Ok(Fragment { ice: Some(ice) }) => {
            let (ufrag, password) = (&ice.ufrag, ice.password.as_str());
            // RFC 8839, 5.4.
            assert!((4..=256).contains(&ufrag.len()) && (22..=256).contains(&password.len()));
            assert!(text.contains(ufrag) && text.contains(password));
        }
        Ok(Fragment { ice: None }) => {}
        Err(sentence) => assert!(!sentence.is_empty()),
    }
}

/// Our side of the session that [`stun`] speaks to.
fn names() -> Credentials {
    Credentials::new("ours", "0123456789abcdefghijkl")
}

/// Any datagram: told apart, read as what a STUN server answers, and answered as a check of a second ICE session, whose integrity
/// is right if the datagram is a message at all.
pub fn stun(data: &[u8]) {
    let transaction = data.get(8..20).and_then(|bytes| bytes.try_into().ok());
    if let Some(Answer::Mapped(address)) = answer_to(data, transaction.unwrap_or_default()) {
        assert!(
            binding_success(data).is_some(),
            "nothing else tells an address"
        );
        assert!(address.port() != 0 && !address.ip().is_unspecified());
        let mut other = transaction.unwrap_or_default();
        other[0] ^= 1;
        assert_eq!(answer_to(data, other), None, "of another transaction");
    }
    let is_known = kind(data).is_some();
    assert!(is_known || request_ufrag(data).is_none());
    assert!(!(is_nomination(data) && binding_success(data).is_some()));
    let theirs = Credentials::new("theirs", "lkjihgfedcba9876543210");
    let mut ice = Ice::new(1, names(), theirs);
    let provider = RingProvider::new();
    let (now, path) = (Instant::now(), Path::udp(ADDRESS, None));
    let received = ice.receive(now, path, data, provider.crypto());
    assert_eq!(received, Received::Refused, "nobody guesses the password");
    assert!(ice.poll_transmit().is_none());
    if let Some(message) = with_integrity(data, names().password.as_str()) {
        let received = ice.receive(now, path, &message, provider.crypto());
        let sent: Vec<_> = std::iter::from_fn(|| ice.poll_transmit()).collect();
        assert_eq!(received == Received::Check, !sent.is_empty());
        if let [(_, answer), ..] = &sent[..] {
            assert!(binding_success(answer).is_some());
        }
        let bytes: usize = sent.iter().map(|(_, datagram)| datagram.len()).sum();
        assert!(bytes <= 3 * message.len().max(64), "it amplifies");
        assert_eq!(ice.selected(), None, "nobody has answered");
    }
}

/// A STUN message with the integrity that belongs to it.
pub fn with_integrity(datagram: &[u8], password: &str) -> Option<Vec<u8>> {
    let mut message = Message {
        raw: datagram.to_vec(),
        ..Message::default()
    };
    message.decode().ok()?;
    let provider = RingProvider::new();
    let crypto = provider.crypto();
    let key = password.to_owned();
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(key, crypto);
    integrity.add_to(&mut message).ok()?;
    Some(message.raw)
}

/// What a connected viewer reports by RTCP, in packets that its keys seal: for each, how much later, its length, itself.
pub fn reports(data: &[u8]) {
    let mut viewer = Reporter::new();
    let mut rest = data;
    while let [later, len, tail @ ..] = rest {
        // Units of four bytes, as RTCP counts.
        let (packet, tail) = tail.split_at(tail.len().min(4 * usize::from(*len)));
        viewer.report(Duration::from_millis(u64::from(*later)), packet);
        rest = tail;
    }
}

const VIDEO: u32 = 1;

/// A viewer that is sent pictures, and both ends' keys.
struct Reporter {
    epoch: Instant,
    now: Instant,
    cache: Cache,
    delivery: Delivery,
    ingress: Ingress,
    sender: Context,
    out: Sent,
}

impl Reporter {
    fn new() -> Self {
        let now = Instant::now();
        let provider = RingProvider::new();
        let crypto = provider.crypto();
        let profile = Profile::Gcm;
        let material = vec![7; profile.keying_material_len()];
        let key = || {
            let key = MasterKey::from_keying_material(profile, &material, true);
            key.expect("as long as it has to be")
        };
        let parameters = Parameters {
            payload_type: 96,
            rtx_payload_type: Some(97),
            ssrc: VIDEO,
            rtx_ssrc: 2,
            extensions: Extensions {
                transport_cc: Some(1),
                capture_time: Some(2),
                playout_delay: Some(3),
            },
            terms: Terms::default(),
        };
        let path = Path::udp(ADDRESS, None);
        let (key_part, salt) = (&material[..16], &material[32..32 + profile.salt_len()]);
        let sealing = ProtectionProfile::AeadAes128Gcm;
        let sender = Context::new(key_part, salt, sealing, None, None, crypto);
        let egress = Egress::new(now, crypto, profile, key(), parameters).expect("a cipher");
        let mut viewer = Self {
            epoch: now,
            now,
            cache: Cache::default(),
            delivery: Delivery::new(now, egress, path, None),
            ingress: Ingress::new(Opener::new(crypto, &key()).expect("a cipher"), VIDEO),
            sender: sender.expect("a cipher"),
            out: Sent::default(),
        };
        viewer.picture(true);
        viewer.picture(false);
        viewer
    }

    /// The viewer is sent a picture.
    fn picture(&mut self, keyframe: bool) {
        let data = [
            &[0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }][..],
            &[7; 3000],
        ]
        .concat();
        let unit = AccessUnit {
            data: data.into(),
            keyframe,
            temporal_layer: 0,
            captured_at: self.now,
            encoded_at: self.now,
        };
        self.cache.push(Picture::new(self.now, &unit, self.epoch));
        let Self {
            now,
            cache,
            delivery,
            out,
            ..
        } = self;
        delivery.advance(*now, cache, out);
        if let Some(last) = cache.last() {
            let _ = delivery.report(*now, last);
        }
        out.clear();
    }

    fn report(&mut self, later: Duration, packet: &[u8]) {
        self.now += later;
        self.picture(false);
        let Ok(sealed) = self.sender.encrypt_rtcp(packet) else {
            return;
        };
        let Some(feedback) = self.ingress.read(&sealed) else {
            return;
        };
        self.delivery.heard(self.now);
        self.delivery.reported(self.now, &feedback);
        let lost = &feedback.lost;
        let repeated = self
            .delivery
            .repeat(self.now, lost, &self.cache, &mut self.out);
        assert!(repeated <= lost.len() as u64);
        self.out.clear();
        let _ = (self.delivery.estimate(), self.delivery.round_trip());
    }
}

/// Inputs that one connected viewer is used for: a handshake takes longer than all else.
const USES: usize = 200;

thread_local! {
    static CONNECTED: RefCell<Option<(Simulation, usize)>> = const { RefCell::new(None) };
}

/// Datagrams to the daemon while a viewer of an independent stack watches, or, if the first byte is odd, joins. A stranger can
/// do nothing to a session, even with the viewer's password and with copies of its checks: the viewer gets its pictures
/// whatever comes.
pub fn datagrams(data: &[u8]) {
    let [first, rest @ ..] = data else { return };
    if first & 1 == 1 {
        let mut network = joined();
        network.run(Duration::from_millis(u64::from(first >> 1)));
        attack(&mut network, rest);
        return;
    }
    let kept = CONNECTED.take();
    let (mut network, uses) = kept.unwrap_or_else(|| (connected(), 0));
    attack(&mut network, rest);
    let before = network.clients[0].frames.len();
    network.run(Duration::from_millis(120));
    let frames = network.clients[0].frames.len();
    assert!(frames > before, "the viewer sees nothing any more");
    // Its time is virtual, and what it was told accumulates.
    if uses < USES {
        CONNECTED.set(Some((network, uses + 1)));
    }
}

fn joined() -> Simulation {
    let mut network = Simulation::new(1).with_pictures_of(300);
    network.join(Faults {
        delay: Duration::from_millis(1),
        ..Faults::NONE
    });
    network
}

fn connected() -> Simulation {
    let mut network = joined();
    network.run(Duration::from_millis(400));
    let frames = network.clients[0].frames.len();
    assert!(frames > 0, "the viewer watches");
    network
}

/// Reads what to do: kind, length, bytes.
fn attack(network: &mut Simulation, mut rest: &[u8]) {
    // As many as a minute of a slow attack has: the work for one input is bounded.
    for _ in 0..64 {
        let [kind, len, tail @ ..] = rest else { return };
        let (bytes, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        step(network, *kind, bytes);
        rest = tail;
    }
}

fn step(network: &mut Simulation, kind: u8, bytes: &[u8]) {
    let own = network.clients[0].address();
    let stranger = SocketAddr::from(([10, 9, 0, 1], 1000 + u16::from(kind)));
    let from = if kind & 8 == 0 { own } else { stranger };
    let at = |n: usize| bytes.get(n).copied().map_or(0, usize::from);
    match kind & 7 {
        0 => network.run(Duration::from_millis(bytes.len() as u64)),
        1 | 2 => network.inject(from, bytes),
        // What the viewer sent, again: cut, or changed.
        3 | 4 => {
            let Some(mut datagram) = network.heard(at(0)) else {
                return;
            };
            if kind & 7 == 4 {
                datagram.truncate(at(1));
            }
            for change in bytes.get(2..).unwrap_or_default().chunks_exact(2) {
                if let Some(byte) = datagram.get_mut(usize::from(change[0])) {
                    *byte ^= change[1];
                }
            }
            network.inject(from, &datagram);
        }
        kind => {
            let (ours, theirs) = network.clients[0].names.clone();
            let check = check(&ours.ufrag, &theirs.ufrag, bytes);
            let password = if kind == 7 {
                "wrong"
            } else {
                ours.password.as_str()
            };
            if let Some(check) = with_integrity(&check, password) {
                network.inject(from, &check);
            }
        }
    }
}

/// A binding request with the right user name, and these attributes behind it (RFC 8489, 5 and 14).
pub fn check(ours: &str, theirs: &str, attributes: &[u8]) -> Vec<u8> {
    let name = format!("{ours}:{theirs}");
    let mut body = [
        &[0, 6][..],
        &(name.len() as u16).to_be_bytes(),
        name.as_bytes(),
    ]
    .concat();
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend_from_slice(&attributes[..attributes.len() & !3]);
    let len = (body.len() as u16).to_be_bytes();
    [
        &[0, 1][..],
        &len,
        &[0x21, 0x12, 0xa4, 0x42],
        &[7; 12],
        &body,
    ]
    .concat()
}
