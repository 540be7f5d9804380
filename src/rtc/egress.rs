//! Media from us to one viewer: packets sealed straight into the outbox, and lost packets sealed anew.
//!
//! Payloads are shared by all viewers; a viewer has its own numbers and keys. What was sent is remembered by one small
//! entry a picture, so that a NACK finds the payload in the cache.

use super::cache::{Cache, Picture};
use super::outbox::{Outbox, Path};
use super::srtp::{Header, MasterKey, Profile, Protector};
use rtc::crypto::{CryptoError, RTCCrypto};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Pictures that can be asked for again.
const MAX_SENT: usize = 64;

/// How old a picture may be that is asked for again: no player waits longer.
const MAX_REPEAT_AGE: Duration = Duration::from_secs(1);

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
    budget: Budget,
    sent: Sent,
}

impl Egress {
    /// Begins to send under a key.
    ///
    /// # Errors
    /// When the crypto library lacks the cipher.
    pub fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        key: &MasterKey,
        parameters: Parameters,
    ) -> Result<Self, CryptoError> {
        // RFC 3550, 5.1: anywhere; low, so that the first wrap-around, which a receiver must guess, is far.
        let first = || rand::random::<u16>() >> 1;
        let video = Protector::new(crypto, key, parameters.ssrc, first())?;
        let rtx = parameters.rtx_payload_type;
        let rtx = rtx.map(|_| Protector::new(crypto, key, parameters.rtx_ssrc, first()));
        Ok(Self {
            parameters,
            tag: profile.tag_len(),
            video,
            rtx: rtx.transpose()?,
            timestamp_offset: rand::random(),
            pictures: VecDeque::with_capacity(MAX_SENT),
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
        _now: Instant,
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
        }
        let mut header = Header {
            payload_type: self.parameters.payload_type,
            marker: false,
            timestamp: self.timestamp(picture.timestamp),
        };
        for index in packets {
            let payload = &picture.payloads[index];
            header.marker = index + 1 == picture.payloads.len();
            let len = RTP_HEADER + payload.len() + self.tag;
            out.push(path, len, |buffer| {
                self.video.seal(buffer, &header, [payload, &[][..]])
            });
            self.budget.earn();
            self.sent.packets = self.sent.packets.wrapping_add(1);
            self.sent.octets = self.sent.octets.wrapping_add(payload.len() as u32);
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
        let (Some(rtx), Some(payload_type)) = (&mut self.rtx, self.parameters.rtx_payload_type)
        else {
            return false;
        };
        // The picture that began last at or before the number; newer ones begin within half a cycle after it.
        let offset = |first: u16| sequence_number.wrapping_sub(first);
        let mut entries = self.pictures.iter().rev();
        let Some(&(first, number)) = entries.find(|(first, _)| offset(*first) < 0x8000) else {
            return false;
        };
        let is_young = |picture: &&Picture| {
            now.saturating_duration_since(picture.captured_at) <= MAX_REPEAT_AGE
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
            timestamp: picture.timestamp.wrapping_add(self.timestamp_offset),
        };
        let original = sequence_number.to_be_bytes();
        let len = RTP_HEADER + original.len() + payload.len() + self.tag;
        out.push(path, len, |buffer| {
            rtx.seal(buffer, &header, [&original[..], payload])
        });
        true
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
}
