//! Parts of the media plane outside of sessions and sockets, for `benches/`.

use crate::media::AccessUnit;
use crate::rtc::net::udp::Batch;
use crate::rtc::send::cache::{Cache, Picture};
use crate::rtc::send::egress::{Egress, Parameters};
use crate::rtc::send::sender::Delivery;
use crate::rtc::wire::extensions::Extensions;
use crate::rtc::wire::outbox::{Outbox, Path};
pub use crate::rtc::wire::packetize::packetize;
pub use crate::rtc::wire::srtp::Profile;
use crate::rtc::wire::srtp::{Header, MasterKey, Protector};
use crate::stream::Terms;
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::RingProvider;
use std::time::Instant;

/// Bytes that are collected before they are thrown away; as many as the socket would send at once.
const BATCH: usize = 64 << 10;

fn master_key(profile: Profile) -> MasterKey {
    let material = vec![7; profile.keying_material_len()];
    MasterKey::from_keying_material(profile, &material, true).expect("as long as it has to be")
}

/// Seals packets of one SSRC.
pub struct Sealer {
    protector: Protector,
    buffer: Vec<u8>,
}

impl Sealer {
    /// With some key.
    ///
    /// # Panics
    /// When the crypto library lacks the cipher.
    pub fn new(profile: Profile) -> Self {
        let provider = RingProvider::new();
        let protector = Protector::new(provider.crypto(), &master_key(profile), 1, 0);
        Self {
            protector: protector.expect("a cipher"),
            buffer: Vec::with_capacity(1500),
        }
    }

    /// Returns the packet's length.
    pub fn seal(&mut self, payload: &[u8]) -> usize {
        let header = Header {
            payload_type: 96,
            marker: false,
            timestamp: 0,
        };
        self.buffer.clear();
        let parts = [payload, &[][..]];
        let sealed = self
            .protector
            .seal(&mut self.buffer, &header, &[0; 8], parts);
        debug_assert!(sealed.is_ok());
        self.buffer.len()
    }
}

/// Collects what a socket would send, and throws it away.
#[derive(Default)]
struct Discard(Batch);

impl Outbox for Discard {
    fn push<E>(
        &mut self,
        path: Path,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) {
        if self.0.len() >= BATCH {
            self.flush();
        }
        self.0.push(path, len, 64, write);
    }

    fn flush(&mut self) {
        self.0.advance(self.0.waiting().len());
    }

    fn is_blocked(&self) -> bool {
        false
    }
}

/// A stream and its viewers.
pub struct FanOut {
    cache: Cache,
    viewers: Vec<Delivery>,
    outbox: Discard,
    epoch: Instant,
    now: Instant,
}

impl FanOut {
    /// With so many viewers, all with retransmission and transport-wide numbers.
    ///
    /// # Panics
    /// When the crypto library lacks the cipher.
    pub fn new(profile: Profile, viewers: u16) -> Self {
        let now = Instant::now();
        let provider = RingProvider::new();
        let parameters = Parameters {
            payload_type: 96,
            rtx_payload_type: Some(97),
            ssrc: 1,
            rtx_ssrc: 2,
            extensions: Extensions {
                transport_cc: Some(1),
                capture_time: Some(2),
                playout_delay: Some(3),
            },
            terms: Terms::default(),
        };
        let viewer = |n: u16| {
            let path = Path::udp(([127, 0, 0, 1], n).into(), None);
            let crypto = provider.crypto();
            let egress = Egress::new(now, crypto, profile, master_key(profile), parameters);
            Delivery::new(now, egress.expect("a cipher"), path, None)
        };
        Self {
            cache: Cache::default(),
            viewers: (1..=viewers).map(viewer).collect(),
            outbox: Discard::default(),
            epoch: now,
            now,
        }
    }

    /// Packetizes a picture and sends it to all. Returns the number of packets.
    pub fn show(&mut self, unit: &AccessUnit) -> usize {
        self.now = unit.captured_at;
        self.cache.push(Picture::new(self.now, unit, self.epoch));
        let Self {
            cache,
            viewers,
            outbox,
            now,
            ..
        } = self;
        let mut packets = 0;
        loop {
            let progress = viewers
                .iter_mut()
                .map(|viewer| viewer.advance(*now, cache, outbox));
            let (sent, behind) = progress.fold((0, 0), |(sent, behind), progress| {
                (
                    sent + progress.packets,
                    behind + usize::from(progress.is_behind),
                )
            });
            packets += sent;
            if behind == 0 {
                return packets;
            }
        }
    }

    /// Packets of the picture that was shown so many pictures ago, if it is still kept.
    pub fn look_up(&self, ago: u64) -> Option<usize> {
        let number = self.cache.end().checked_sub(ago)?;
        Some(self.cache.get(number)?.payloads.len())
    }
}
