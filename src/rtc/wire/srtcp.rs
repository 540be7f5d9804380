//! SRTCP from a viewer (RFC 3711, 3.4, RFC 7714, 9): authenticated, decrypted in place, and each packet taken once.
//!
//! Reports are read here and not by the core: it spends three times as much on each, and it remembers every SSRC that a
//! stranger makes up.

use super::srtp::{Cipher, Labels, MasterKey, Profile};
use rtc::crypto::{CryptoError, RTCCrypto};

/// Labels of the key derivation (RFC 3711, 4.3.2).
const LABELS: Labels = Labels {
    encryption: 3,
    authentication: 4,
    salt: 5,
};

/// What is sent in the clear: the first header and the sender's SSRC.
const HEADER: usize = 8;
/// The packet's index behind its E bit.
const INDEX: usize = 4;
/// Whether the packet is encrypted; WebRTC encrypts all (RFC 8827, 6.5).
const ENCRYPTED: u32 = 1 << 31;

/// SSRCs that a viewer may report from. Reports of further ones are dropped.
const MAX_SOURCES: usize = 8;

/// Opens what one viewer sends.
pub struct Opener {
    cipher: Cipher,
    sources: Vec<(u32, Window)>,
}

impl Opener {
    /// With the viewer's key.
    ///
    /// # Errors
    /// When the crypto library lacks the cipher.
    pub fn new(crypto: &dyn RTCCrypto, master: &MasterKey) -> Result<Self, CryptoError> {
        Ok(Self {
            cipher: Cipher::new(crypto, master, LABELS)?,
            sources: Vec::new(),
        })
    }

    /// Makes of an SRTCP packet the RTCP packet in it. `false` if it is not the viewer's, or was opened before; the
    /// buffer is of no use then.
    pub fn open(&mut self, packet: &mut Vec<u8>) -> bool {
        self.try_open(packet).is_some()
    }

    fn try_open(&mut self, packet: &mut Vec<u8>) -> Option<()> {
        let profile = self.cipher.profile();
        let end = packet.len().checked_sub(profile.tag_len() + INDEX)?;
        let ssrc = u32::from_be_bytes(*packet.get(4..HEADER)?.first_chunk()?);
        // RFC 7714, 9.3, has the index behind the tag, RFC 3711, 3.4, before it.
        let index_at = match profile {
            Profile::Gcm => end + profile.tag_len(),
            Profile::Cm => end,
        };
        let trailer = u32::from_be_bytes(*packet.get(index_at..)?.first_chunk()?);
        let index = trailer & !ENCRYPTED;
        let known = self.sources.iter().position(|(source, _)| *source == ssrc);
        let is_new = match known {
            Some(source) => self.sources[source].1.is_new(index),
            None => self.sources.len() < MAX_SOURCES,
        };
        if trailer & ENCRYPTED == 0 || end < HEADER || !is_new {
            return None;
        }
        self.cipher.open(packet, HEADER, end, ssrc, trailer)?;
        packet.truncate(end);
        // Only what is authentic is remembered.
        let source = known.unwrap_or_else(|| {
            self.sources.push((ssrc, Window::default()));
            self.sources.len() - 1
        });
        self.sources[source].1.note(index);
        Some(())
    }
}

/// Which of the last indices were there already (RFC 3711, 3.3.2).
#[derive(Debug, Default)]
struct Window {
    /// One more than the highest.
    end: u64,
    /// Bit `n`: the index `n + 1` below `end` was there.
    seen: u64,
}

impl Window {
    const SIZE: u64 = u64::BITS as u64;

    fn is_new(&self, index: u32) -> bool {
        match self.end.checked_sub(u64::from(index) + 1) {
            None => true,
            Some(age) => age < Self::SIZE && self.seen >> age & 1 == 0,
        }
    }

    fn note(&mut self, index: u32) {
        let end = u64::from(index) + 1;
        if let Some(ahead) = end.checked_sub(self.end).filter(|ahead| *ahead > 0) {
            self.seen = if ahead < Self::SIZE {
                self.seen << ahead
            } else {
                0
            };
            self.end = end;
        }
        self.seen |= 1 << (self.end - end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc::crypto::RTCCryptoProvider;
    use rtc::crypto::providers::RingProvider;
    use rtc::srtp::context::Context;
    use rtc::srtp::protection_profile::ProtectionProfile;

    /// An opener and an independent sender with the same key.
    fn pair(profile: Profile) -> (Opener, Context) {
        let provider = RingProvider::new();
        let crypto = provider.crypto();
        let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
        let master = MasterKey::from_keying_material(profile, &material, true).unwrap();
        let core = match profile {
            Profile::Gcm => ProtectionProfile::AeadAes128Gcm,
            Profile::Cm => ProtectionProfile::Aes128CmHmacSha1_80,
        };
        let (key, salt) = (&material[..16], &material[32..32 + profile.salt_len()]);
        let sender = Context::new(key, salt, core, None, None, crypto).unwrap();
        (Opener::new(crypto, &master).unwrap(), sender)
    }

    /// A receiver report of that SSRC.
    fn report(ssrc: u32) -> Vec<u8> {
        [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat()
    }

    fn sealed(sender: &mut Context, ssrc: u32) -> Vec<u8> {
        sender.encrypt_rtcp(&report(ssrc)).unwrap().to_vec()
    }

    const BOTH: [Profile; 2] = [Profile::Gcm, Profile::Cm];

    #[test]
    fn what_an_independent_sender_seals_is_opened_once() {
        for profile in BOTH {
            let (mut opener, mut sender) = pair(profile);
            for ssrc in [1, 2, 1, 1] {
                let packet = sealed(&mut sender, ssrc);
                let mut opened = packet.clone();
                assert!(opener.open(&mut opened), "{profile:?}");
                assert_eq!(opened, report(ssrc));
                assert!(!opener.open(&mut packet.clone()), "a second time");
            }
        }
    }

    #[test]
    fn what_was_changed_on_the_way_is_refused_and_not_remembered() {
        for profile in BOTH {
            let (mut opener, mut sender) = pair(profile);
            let packet = sealed(&mut sender, 1);
            for at in 0..packet.len() {
                let mut changed = packet.clone();
                changed[at] ^= 1;
                assert!(!opener.open(&mut changed), "{profile:?}, byte {at}");
            }
            for len in 0..packet.len() {
                assert!(!opener.open(&mut packet[..len].to_vec()), "{len} bytes");
            }
            assert!(opener.sources.is_empty());
            assert!(opener.open(&mut packet.clone()));
        }
    }

    #[test]
    fn a_viewer_reports_from_a_few_sources() {
        let (mut opener, mut sender) = pair(Profile::Gcm);
        let opened = (0..20).filter(|ssrc| opener.open(&mut sealed(&mut sender, *ssrc)));
        assert_eq!(opened.count(), MAX_SOURCES);
    }

    proptest! {
        #[test]
        fn each_index_is_new_once_unless_it_is_too_old(indices in proptest::collection::vec(0..200u32, 0..400)) {
            let mut window = Window::default();
            let mut seen = std::collections::BTreeSet::new();
            for index in indices {
                let oldest = seen.last().map_or(0, |last: &u32| (last + 1).saturating_sub(64));
                prop_assert_eq!(window.is_new(index), index >= oldest && !seen.contains(&index));
                if window.is_new(index) {
                    window.note(index);
                    seen.insert(index);
                }
            }
        }
    }
}
