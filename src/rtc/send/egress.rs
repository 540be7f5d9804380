//! Media from us to one viewer: packets sealed straight into the outbox, and lost packets sealed anew.
//!
//! Payloads are shared by all viewers; a viewer has its own numbers and keys. What was sent is remembered by one small
//! entry a picture, so that a NACK finds the payload in the cache.

use super::cache::{Cache, Picture};
use crate::rtc::receive::estimate::Estimator;
use crate::rtc::wire::extensions::{Block, Details, Extensions};
use crate::rtc::wire::outbox::{Outbox, Path};
use crate::rtc::wire::srtp::{Header, MasterKey, Profile, Protector};
use crate::stream::Terms;
use rtc::crypto::{CryptoError, RTCCrypto};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Pictures that can be asked for again.
const MAX_SENT: usize = 64;

/// How old a picture may be that is asked for again. No player waits for one so long, but a newcomer may begin with one
/// that is two seconds old.
const MAX_REPEAT_AGE: Duration = Duration::from_millis(2500);

/// Capture time and playout delay are told with each keyframe, and again after so long.
const DETAILS_INTERVAL: Duration = Duration::from_secs(1);

/// More than so many times the stream's bitrate is not estimated: it is not tested either.
const ESTIMATE_CEILING: u32 = 4;

const RTP_HEADER: usize = 12;

/// What was negotiated, and the numbers of the session.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Of the video.
    pub payload_type: u8,
    /// Of its retransmissions, where they are negotiated.
    pub rtx_payload_type: Option<u8>,
    /// SSRC of the video.
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx_ssrc: u32,
    /// Header extensions.
    pub extensions: Extensions,
    /// The stream's.
    pub terms: Terms,
}

/// Counts for a sender report (RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets.
    pub packets: u32,
    /// Bytes of their payloads.
    pub octets: u32,
}

/// One viewer's outgoing media.
pub struct Egress {
    parameters: Parameters,
    tag: usize,
    video: Protector,
    rtx: Option<Protector>,
    timestamp_offset: u32,
    /// Sequence number of a picture's first packet, and the picture's number; the oldest is forgotten.
    pictures: VecDeque<(u16, u64)>,
    /// Of the next packet, whatever its SSRC.
    transport_sequence: u16,
    /// Where the viewer reports on the packets by these numbers.
    estimator: Option<Box<Estimator>>,
    /// Number of the picture that told the details last, and when.
    details: Option<(u64, Instant)>,
    budget: Budget,
    sent: Sent,
}

impl Egress {
    /// Begins to send under a key.
    ///
    /// # Errors
    /// When the crypto library lacks the cipher.
    pub fn new(
        now: Instant,
        crypto: &dyn RTCCrypto,
        profile: Profile,
        key: MasterKey,
        parameters: Parameters,
    ) -> Result<Self, CryptoError> {
        // RFC 3550, 5.1: anywhere; low, so that the first wrap-around, which a receiver must guess, is far.
        let first = || rand::random::<u16>() >> 1;
        let video = Protector::new(crypto, &key, parameters.ssrc, first())?;
        let rtx = parameters.rtx_payload_type;
        let rtx = rtx.map(|_| Protector::new(crypto, &key, parameters.rtx_ssrc, first()));
        let ceiling = parameters.terms.bitrate.saturating_mul(ESTIMATE_CEILING);
        let has_feedback = parameters.extensions.transport_cc.is_some();
        Ok(Self {
            estimator: has_feedback.then(|| Box::new(Estimator::new(now, ceiling))),
            parameters,
            tag: profile.tag_len(),
            video,
            rtx: rtx.transpose()?,
            timestamp_offset: rand::random(),
            pictures: VecDeque::with_capacity(MAX_SENT),
            transport_sequence: 0,
            details: None,
            budget: Budget::default(),
            sent: Sent::default(),
        })
    }

    /// What was sent so far.
    pub const fn sent(&self) -> Sent {
        self.sent
    }

    /// This viewer's timestamp for a time of the feed's clock.
    pub const fn timestamp(&self, timestamp: u32) -> u32 {
        timestamp.wrapping_add(self.timestamp_offset)
    }

    /// Queues some of a picture's packets: those after the ones that were queued last.
    pub fn send(
        &mut self,
        now: Instant,
        number: u64,
        picture: &Picture,
        packets: Range<usize>,
        path: Path,
        out: &mut impl Outbox,
    ) {
        if packets.start == 0 {
            if self.pictures.len() == MAX_SENT {
                self.pictures.pop_front();
            }
            let first = self.video.next_sequence_number();
            self.pictures.push_back((first, number));
            let is_due = |told: Instant| now.saturating_duration_since(told) >= DETAILS_INTERVAL;
            if picture.keyframe || self.details.is_none_or(|(_, told)| is_due(told)) {
                self.details = Some((number, now));
            }
        }
        let has_details = self.details.is_some_and(|(of, _)| of == number);
        let mut block = self.block(has_details.then_some(picture));
        let mut header = Header {
            payload_type: self.parameters.payload_type,
            marker: false,
            timestamp: self.timestamp(picture.timestamp),
        };
        for index in packets {
            let payload = &picture.payloads[index];
            header.marker = index + 1 == picture.payloads.len();
            let len = RTP_HEADER + block.len() + payload.len() + self.tag;
            let extensions = block.numbered(self.next_transport_sequence(now, len));
            let payload = [payload, &[][..]];
            out.push(path, len, |buffer| {
                self.video.seal(buffer, &header, extensions, payload)
            });
            self.budget.earn();
            self.sent.packets = self.sent.packets.wrapping_add(1);
            self.sent.octets = self.sent.octets.wrapping_add(payload[0].len() as u32);
        }
    }

    /// Queues a lost packet again (RFC 4588), if it is known, young and within the budget. Whether it is.
    pub fn repeat(
        &mut self,
        now: Instant,
        sequence_number: u16,
        cache: &Cache,
        path: Path,
        out: &mut impl Outbox,
    ) -> bool {
        let Some(payload_type) = self.parameters.rtx_payload_type else {
            return false;
        };
        let ago = self
            .video
            .next_sequence_number()
            .wrapping_sub(sequence_number);
        if !(1..0x8000).contains(&ago) {
            return false;
        }
        // The picture that began last at or before the number; newer ones begin within half a cycle after it.
        let offset = |first: u16| sequence_number.wrapping_sub(first);
        let mut entries = self.pictures.iter().rev();
        let Some(&(first, number)) = entries.find(|(first, _)| offset(*first) < 0x8000) else {
            return false;
        };
        let is_young = |picture: &&Picture| {
            now.saturating_duration_since(picture.encoded_at) <= MAX_REPEAT_AGE
        };
        let Some(picture) = cache.get(number).filter(is_young) else {
            return false;
        };
        let index = usize::from(offset(first));
        let Some(payload) = picture.payloads.get(index) else {
            return false;
        };
        if !self.budget.spend() {
            return false;
        }
        let header = Header {
            payload_type,
            marker: index + 1 == picture.payloads.len(),
            timestamp: self.timestamp(picture.timestamp),
        };
        let original = sequence_number.to_be_bytes();
        let mut block = self.parameters.extensions.block(None);
        let len = RTP_HEADER + block.len() + original.len() + payload.len() + self.tag;
        let extensions = block.numbered(self.next_transport_sequence(now, len));
        let Some(rtx) = &mut self.rtx else {
            return false;
        };
        out.push(path, len, |buffer| {
            rtx.seal(buffer, &header, extensions, [&original[..], payload])
        });
        true
    }

    /// The number of a packet of that length that leaves now.
    fn next_transport_sequence(&mut self, now: Instant, len: usize) -> u16 {
        let number = self.transport_sequence;
        self.transport_sequence = number.wrapping_add(1);
        if let Some(estimator) = &mut self.estimator {
            estimator.sent(now, number, len);
        }
        number
    }

    /// Takes in when packets arrived.
    pub fn arrived(&mut self, now: Instant, arrivals: &[TransportLayerCc]) {
        if let Some(estimator) = &mut self.estimator {
            arrivals.iter().for_each(|a| estimator.feedback(now, a));
        }
    }

    /// What the viewer's path carries, in bits per second, where that is known.
    pub fn estimate(&self) -> Option<u64> {
        self.estimator.as_ref()?.bits_per_second()
    }

    /// Header extensions of a picture's packets; those of `detailed` tell its details.
    fn block(&self, detailed: Option<&Picture>) -> Block {
        let details = detailed.map(|picture| Details {
            capture_ntp: picture.ntp,
            playout_delay: self.parameters.terms.playout_delay,
        });
        self.parameters.extensions.block(details.as_ref())
    }
}

/// Limits retransmissions to half of the media: a viewer that loses more needs less data, not more.
#[derive(Debug)]
struct Budget {
    /// In halves of a packet.
    halves: u16,
}

impl Budget {
    /// Saved up at the most: a burst of 128 packets.
    const MOST: u16 = 256;

    fn earn(&mut self) {
        self.halves = (self.halves + 1).min(Self::MOST);
    }

    fn spend(&mut self) -> bool {
        let left = self.halves.checked_sub(2);
        self.halves = left.unwrap_or(self.halves);
        left.is_some()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { halves: Self::MOST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PlayoutDelay;
    use bytes::Bytes;
    use rtc::crypto::RTCCryptoProvider;
    use rtc::crypto::providers::RingProvider;
    use rtc::srtp::context::Context;
    use rtc::srtp::protection_profile::ProtectionProfile;

    #[test]
    fn half_of_what_was_sent_can_be_repeated() {
        let mut budget = Budget::default();
        let saved = (0..1000).filter(|_| budget.spend()).count();
        assert_eq!(saved, 128);
        (0..100).for_each(|_| budget.earn());
        assert_eq!((0..1000).filter(|_| budget.spend()).count(), 50);
        (0..10_000).for_each(|_| budget.earn());
        assert_eq!((0..1000).filter(|_| budget.spend()).count(), 128);
    }

    const PARAMETERS: Parameters = Parameters {
        payload_type: 96,
        rtx_payload_type: Some(97),
        ssrc: 1,
        rtx_ssrc: 2,
        extensions: Extensions {
            transport_cc: Some(1),
            capture_time: Some(2),
            playout_delay: Some(3),
        },
        terms: Terms {
            bitrate: 1_000_000,
            playout_delay: PlayoutDelay {
                min: Duration::ZERO,
                max: Duration::ZERO,
            },
        },
    };

    /// Opens what it is sent, as an independent receiver does.
    struct Receiver(Context, Vec<Vec<u8>>);

    impl Outbox for Receiver {
        fn push<E>(
            &mut self,
            _: Path,
            _: usize,
            write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
        ) {
            let mut packet = Vec::new();
            assert!(write(&mut packet).is_ok());
            self.1.push(self.0.decrypt_rtp(&packet).unwrap().to_vec());
        }
        fn flush(&mut self) {}
        fn is_blocked(&self) -> bool {
            false
        }
    }

    /// An egress and its receiver; the payload of packet `n` is `n`.
    struct Setup {
        egress: Egress,
        receiver: Receiver,
        cache: Cache,
        now: Instant,
        path: Path,
        /// Of the last packet that arrived.
        transport_sequence: Option<u16>,
    }

    impl Setup {
        fn new() -> Self {
            let provider = RingProvider::new();
            let material: Vec<u8> = (0..56).collect();
            let key = MasterKey::from_keying_material(Profile::Gcm, &material, true).unwrap();
            let profile = ProtectionProfile::AeadAes128Gcm;
            let (master, salt) = (&material[..16], &material[32..44]);
            let context = Context::new(master, salt, profile, None, None, provider.crypto());
            let egress = Egress::new(
                Instant::now(),
                provider.crypto(),
                Profile::Gcm,
                key,
                PARAMETERS,
            );
            Self {
                egress: egress.unwrap(),
                receiver: Receiver(context.unwrap(), Vec::new()),
                cache: Cache::default(),
                now: Instant::now(),
                path: Path::udp(([127, 0, 0, 1], 9).into(), None),
                transport_sequence: None,
            }
        }

        /// Sends the next picture of that many packets, and returns what arrived: number, timestamp, rest.
        fn send(&mut self, packets: usize) -> Vec<(u16, u32, Vec<u8>)> {
            self.next(packets);
            self.received()
        }

        /// Sends the next picture and returns its packets.
        fn send_raw(&mut self, packets: usize) -> Vec<Vec<u8>> {
            self.next(packets);
            std::mem::take(&mut self.receiver.1)
        }

        fn next(&mut self, packets: usize) {
            let number = self.cache.end();
            self.now += Duration::from_millis(10);
            let payload = |n: usize| Bytes::from(format!("{number}.{n}"));
            self.cache.push(Picture {
                keyframe: false,
                timestamp: (number as u32).wrapping_mul(900),
                ntp: 0,
                payloads: (0..packets).map(payload).collect::<Vec<_>>().into(),
                captured_at: self.now,
                encoded_at: self.now,
            });
            let Self {
                egress,
                receiver,
                cache,
                now,
                path,
                ..
            } = self;
            let picture = cache.last().unwrap();
            // In two portions.
            for packets in [0..packets / 2, packets / 2..packets] {
                egress.send(*now, number, picture, packets, *path, receiver);
            }
        }

        fn repeat(&mut self, number: u16) -> bool {
            let Self {
                egress,
                receiver,
                cache,
                now,
                path,
                ..
            } = self;
            egress.repeat(*now, number, cache, *path, receiver)
        }

        fn received(&mut self) -> Vec<(u16, u32, Vec<u8>)> {
            let packets = self.receiver.1.drain(..);
            let last = &mut self.transport_sequence;
            let read = packets.map(|packet| {
                let word = |at| u16::from_be_bytes([packet[at], packet[at + 1]]);
                let timestamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
                let payload = 16 + 4 * usize::from(word(14));
                // One count for all packets of the session.
                let transport_sequence = word(17);
                assert!(last.is_none_or(|last| transport_sequence == last.wrapping_add(1)));
                *last = Some(transport_sequence);
                (word(2), timestamp, packet[payload..].to_vec())
            });
            read.collect()
        }
    }

    #[test]
    fn numbers_go_on_through_the_wrap_of_sequence_number_and_timestamp() {
        let mut setup = Setup::new();
        setup.egress.timestamp_offset = u32::MAX - 100_000;
        let mut last: Option<(u16, u32)> = None;
        let mut wraps = 0;
        for _ in 0..300 {
            for (number, timestamp, _) in setup.send(500) {
                if let Some((last_number, last_timestamp)) = last {
                    assert_eq!(number, last_number.wrapping_add(1));
                    assert!(timestamp.wrapping_sub(last_timestamp) <= 900);
                    wraps += usize::from(timestamp < last_timestamp);
                }
                last = Some((number, timestamp));
            }
        }
        assert_eq!(wraps, 1);
    }

    #[test]
    fn what_was_lost_is_repeated_also_across_the_wrap_and_after_65_536_repetitions() {
        let mut setup = Setup::new();
        let mut repeated = 0u32;
        let mut last: Option<u16> = None;
        while repeated < 70_000 {
            for (number, timestamp, payload) in setup.send(200) {
                if repeated >= 70_000 || !setup.repeat(number) {
                    continue;
                }
                repeated += 1;
                let (rtx, rtx_timestamp, rtx_payload) = setup.received().remove(0);
                // RFC 4588, 4: the original's timestamp, its number before its payload.
                assert_eq!(rtx_timestamp, timestamp);
                assert_eq!(rtx_payload[..2], number.to_be_bytes());
                assert_eq!(rtx_payload[2..], payload);
                assert!(last.is_none_or(|last| rtx == last.wrapping_add(1)));
                last = Some(rtx);
            }
        }
    }

    #[test]
    fn all_packets_of_some_pictures_tell_their_details() {
        let mut setup = Setup::new();
        let mut lengths = Vec::new();
        for _ in 0..250 {
            let packets = setup.send_raw(4);
            // Equal lengths within a picture: they are sent as one.
            assert!(
                packets
                    .iter()
                    .all(|packet| packet[14..16] == packets[0][14..16])
            );
            lengths.push(packets[0][15]);
        }
        // At first, and then once a second, each 100 pictures.
        let detailed = lengths.iter().enumerate().filter(|(_, words)| **words == 4);
        assert_eq!(detailed.map(|(n, _)| n).collect::<Vec<_>>(), [0, 100, 200]);
        assert!(lengths.iter().all(|words| [1, 4].contains(words)));
    }

    #[test]
    fn what_is_unknown_or_too_old_is_not_repeated() {
        let mut setup = Setup::new();
        let first = setup.send(10)[0].0;
        assert!(!setup.repeat(first.wrapping_sub(1)));
        assert!(!setup.repeat(first + 10));
        assert!(setup.repeat(first));
        setup.now += MAX_REPEAT_AGE;
        assert!(setup.repeat(first));
        setup.now += Duration::from_millis(1);
        assert!(!setup.repeat(first));
    }
}
