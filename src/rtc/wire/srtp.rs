//! SRTP for what we send (RFC 3711, RFC 7714): one stream's packets, numbered and sealed in place.
//!
//! A nonce must never repeat under a key. It is made of the SSRC and the packet index here, and both are private to
//! [`Protector`]: it can't be cloned, sealing takes `&mut self`, and each packet takes the next index. So
//! two packets of one protector never share a nonce, and those of different protectors differ in the SSRC.

use rtc::crypto::{
    AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CryptoError, HmacAlgorithm, Mac, RTCCrypto,
    StreamCipher, StreamCipherAlgorithm,
};

/// How packets are protected; the two that browsers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// AEAD_AES_128_GCM (RFC 7714).
    Gcm,
    /// AES128_CM_HMAC_SHA1_80 (RFC 3711).
    Cm,
}

const KEY: usize = 16;
const GCM_SALT: usize = 12;
const GCM_TAG: usize = 16;
const CM_SALT: usize = 14;
const CM_AUTH_KEY: usize = 20;
const CM_TAG: usize = 10;
const SHA1: usize = 20;

/// Labels of the key derivation (RFC 3711, 4.3.2).
#[derive(Debug, Clone, Copy)]
pub struct Labels {
    pub encryption: u8,
    pub authentication: u8,
    pub salt: u8,
}

const LABELS: Labels = Labels {
    encryption: 0,
    authentication: 1,
    salt: 2,
};

impl Profile {
    /// Bytes of a master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::Gcm => GCM_SALT,
            Self::Cm => CM_SALT,
        }
    }

    /// Bytes that a packet grows by.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::Gcm => GCM_TAG,
            Self::Cm => CM_TAG,
        }
    }

    /// Bytes of the keys for both directions that DTLS exports (RFC 5764, 4.2).
    pub const fn keying_material_len(self) -> usize {
        2 * (KEY + self.salt_len())
    }
}

/// The master key and salt of one direction. There is one of it, so that no two egresses have the same nonces.
pub struct MasterKey {
    profile: Profile,
    key: [u8; KEY],
    salt: Vec<u8>,
}

impl MasterKey {
    /// One side's part of what DTLS exported: client key, server key, client salt, server salt (RFC 5764, 4.2).
    pub fn from_keying_material(
        profile: Profile,
        material: &[u8],
        is_client: bool,
    ) -> Option<Self> {
        let side = usize::from(!is_client);
        let salt_len = profile.salt_len();
        let material = material.get(..profile.keying_material_len())?;
        let (keys, salts) = material.split_at(2 * KEY);
        Some(Self {
            profile,
            key: keys[side * KEY..][..KEY].try_into().ok()?,
            salt: salts[side * salt_len..][..salt_len].to_vec(),
        })
    }

    /// A session key (RFC 3711, 4.3.1, with a key derivation rate of zero).
    fn derive(&self, crypto: &dyn RTCCrypto, label: u8, out: &mut [u8]) -> Result<(), CryptoError> {
        for (counter, out) in (0u16..).zip(out.chunks_mut(16)) {
            let mut block = [0; 16];
            block[..self.salt.len()].copy_from_slice(&self.salt);
            block[7] ^= label;
            block[14..].copy_from_slice(&counter.to_be_bytes());
            crypto.block_encrypt(BlockCipherAlgorithm::Aes128, &self.key, &mut block)?;
            out.copy_from_slice(&block[..out.len()]);
        }
        Ok(())
    }
}

/// The session keys of one direction, for RTP or for RTCP.
pub enum Cipher {
    /// See [`Profile::Gcm`].
    Gcm {
        cipher: Box<dyn AeadCipher>,
        salt: [u8; GCM_SALT],
    },
    /// See [`Profile::Cm`].
    Cm {
        cipher: Box<dyn StreamCipher>,
        salt: [u8; CM_SALT],
        mac: Box<dyn Mac>,
    },
}

/// Seals the packets of one SSRC.
pub struct Protector {
    cipher: Cipher,
    ssrc: u32,
    /// Of the next packet: roll-over counter and, in the low 16 bits, sequence number (RFC 3711, 3.3.1).
    index: u64,
}

impl Protector {
    /// Begins at a sequence number, with a roll-over counter of zero, as the receiver assumes it.
    ///
    /// # Errors
    /// When the crypto library lacks the cipher.
    pub fn new(
        crypto: &dyn RTCCrypto,
        master: &MasterKey,
        ssrc: u32,
        first: u16,
    ) -> Result<Self, CryptoError> {
        let cipher = Cipher::new(crypto, master, LABELS)?;
        Ok(Self {
            cipher,
            ssrc,
            index: u64::from(first),
        })
    }

    /// The sequence number that the next packet gets.
    pub const fn next_sequence_number(&self) -> u16 {
        self.index as u16
    }

    /// Appends a sealed packet: its header, the block of header extensions if that is not empty, and the payload in two
    /// parts.
    ///
    /// # Errors
    /// When the crypto library fails, which leaves the buffer as it was.
    pub fn seal(
        &mut self,
        buffer: &mut Vec<u8>,
        header: &Header,
        extensions: &[u8],
        payload: [&[u8]; 2],
    ) -> Result<(), CryptoError> {
        let start = buffer.len();
        buffer.extend_from_slice(&self.header(header, !extensions.is_empty()));
        buffer.extend_from_slice(extensions);
        let body = buffer.len();
        payload
            .iter()
            .for_each(|part| buffer.extend_from_slice(part));
        let index = self.index;
        self.index += 1;
        let sealed = self.cipher.seal(buffer, start, body, self.ssrc, index);
        if sealed.is_err() {
            buffer.truncate(start);
        }
        sealed
    }

    /// RFC 3550, 5.1.
    fn header(&self, header: &Header, has_extensions: bool) -> [u8; 12] {
        const VERSION: u8 = 0x80;
        const EXTENSION: u8 = 0x10;
        const MARKER: u8 = 0x80;
        let extension = if has_extensions { EXTENSION } else { 0 };
        let marker = if header.marker { MARKER } else { 0 };
        let mut bytes = [0; 12];
        bytes[0] = VERSION | extension;
        bytes[1] = marker | header.payload_type;
        bytes[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
        bytes[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

/// What a packet's header says besides what its [`Protector`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The negotiated one.
    pub payload_type: u8,
    /// The last packet of a picture.
    pub marker: bool,
    /// In 90 kHz ticks.
    pub timestamp: u32,
}

impl Cipher {
    /// Derives the session keys of those labels.
    ///
    /// # Errors
    /// When the crypto library lacks the cipher.
    pub fn new(
        crypto: &dyn RTCCrypto,
        master: &MasterKey,
        labels: Labels,
    ) -> Result<Self, CryptoError> {
        let mut key = [0; KEY];
        master.derive(crypto, labels.encryption, &mut key)?;
        Ok(match master.profile {
            Profile::Gcm => {
                let mut salt = [0; GCM_SALT];
                master.derive(crypto, labels.salt, &mut salt)?;
                let cipher = crypto.new_aead(AeadAlgorithm::Aes128Gcm, &key)?;
                Self::Gcm { cipher, salt }
            }
            Profile::Cm => {
                let mut salt = [0; CM_SALT];
                master.derive(crypto, labels.salt, &mut salt)?;
                let mut auth = [0; CM_AUTH_KEY];
                master.derive(crypto, labels.authentication, &mut auth)?;
                Self::Cm {
                    cipher: crypto.new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &key)?,
                    salt,
                    mac: crypto.new_hmac(HmacAlgorithm::Sha1, &auth)?,
                }
            }
        })
    }

    /// How it protects.
    pub const fn profile(&self) -> Profile {
        match self {
            Self::Gcm { .. } => Profile::Gcm,
            Self::Cm { .. } => Profile::Cm,
        }
    }

    /// Encrypts `buffer[body..]`, authenticates `buffer[start..]`, and appends the tag.
    fn seal(
        &mut self,
        buffer: &mut Vec<u8>,
        start: usize,
        body: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), CryptoError> {
        match self {
            Self::Gcm { cipher, salt } => {
                let nonce = gcm_nonce(salt, ssrc, index);
                let (head, payload) = buffer.split_at_mut(body);
                let mut tag = [0; GCM_TAG];
                cipher.seal_in_place(&nonce, &head[start..], payload, &mut tag)?;
                buffer.extend_from_slice(&tag);
            }
            Self::Cm { cipher, salt, mac } => {
                let iv = cm_iv(salt, ssrc, index);
                cipher.apply_keystream(&iv, &mut buffer[body..])?;
                // RFC 3711, 4.2: the tag covers the packet and the roll-over counter.
                let roll_over = ((index >> 16) as u32).to_be_bytes();
                let mut tag = [0; SHA1];
                mac.sign(&[&buffer[start..], &roll_over], &mut tag)?;
                buffer.extend_from_slice(&tag[..CM_TAG]);
            }
        }
        Ok(())
    }

    /// Authenticates an SRTCP packet with that header and that word of E bit and index, and decrypts `packet[body..end]`.
    pub fn open(
        &mut self,
        packet: &mut [u8],
        body: usize,
        end: usize,
        ssrc: u32,
        trailer: u32,
    ) -> Option<()> {
        let index = u64::from(trailer & !(1 << 31));
        match self {
            Self::Gcm { cipher, salt } => {
                let nonce = gcm_nonce(salt, ssrc, index);
                // RFC 7714, 9.2: header, E bit and index.
                let mut associated = [0; 12];
                associated[..8].copy_from_slice(packet.get(..body)?);
                associated[8..].copy_from_slice(&trailer.to_be_bytes());
                let (data, rest) = packet.get_mut(body..)?.split_at_mut_checked(end - body)?;
                let tag = rest.get(..GCM_TAG)?;
                cipher.open_in_place(&nonce, &associated, data, tag).ok()
            }
            Self::Cm { cipher, salt, mac } => {
                // RFC 3711, 4.2: all before the tag.
                let (data, tag) = packet.split_last_chunk_mut::<CM_TAG>()?;
                let mut expected = [0; SHA1];
                mac.sign(&[data], &mut expected).ok()?;
                // Without a branch that would tell how much is right.
                let differences = tag.iter().zip(expected).fold(0, |d, (a, b)| d | (a ^ b));
                if differences != 0 {
                    return None;
                }
                let iv = cm_iv(salt, ssrc, index);
                cipher.apply_keystream(&iv, data.get_mut(body..end)?).ok()
            }
        }
    }
}

/// RFC 7714, 8.1 and 9.1: two zero bytes, SSRC, packet index.
fn gcm_nonce(salt: &[u8; GCM_SALT], ssrc: u32, index: u64) -> [u8; GCM_SALT] {
    let mut nonce = *salt;
    let ssrc = ssrc.to_be_bytes();
    let index = index.to_be_bytes();
    let bytes = ssrc.iter().chain(&index[2..]);
    nonce[2..].iter_mut().zip(bytes).for_each(|(n, b)| *n ^= b);
    nonce
}

/// RFC 3711, 4.1.1: salt, SSRC at bytes 4 to 7, packet index at bytes 8 to 13.
fn cm_iv(salt: &[u8; CM_SALT], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..CM_SALT].copy_from_slice(salt);
    let ssrc = ssrc.to_be_bytes();
    let index = index.to_be_bytes();
    let bytes = ssrc.iter().chain(&index[2..]);
    iv[4..14].iter_mut().zip(bytes).for_each(|(i, b)| *i ^= b);
    iv
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::crypto::RTCCryptoProvider;
    use rtc::crypto::providers::RingProvider;
    use rtc::srtp::context::Context;
    use rtc::srtp::protection_profile::ProtectionProfile;
    use std::collections::HashSet;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .filter_map(|c| c.to_digit(16))
            .map(|digit| digit as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    fn master(profile: Profile, key: &str, salt: &str) -> MasterKey {
        MasterKey {
            profile,
            key: hex(key).try_into().unwrap(),
            salt: hex(salt),
        }
    }

    #[test]
    fn session_keys_are_those_of_rfc_3711_appendix_b_3() {
        let master = master(
            Profile::Cm,
            "E1F97A0D3E018BE0D64FA32C06DE4139",
            "0EC675AD498AFEEBB6960B3AABE6",
        );
        let provider = RingProvider::new();
        let derive = |label, len| {
            let mut out = vec![0; len];
            master.derive(provider.crypto(), label, &mut out).unwrap();
            out
        };
        assert_eq!(
            derive(LABELS.encryption, 16),
            hex("C61E7A93744F39EE10734AFE3FF7A087")
        );
        assert_eq!(derive(LABELS.salt, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(
            derive(LABELS.authentication, 20),
            hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
        );
    }

    #[test]
    fn gcm_packets_are_those_of_rfc_7714_section_16_1_1() {
        let provider = RingProvider::new();
        let key = hex("000102030405060708090a0b0c0d0e0f");
        let mut cipher = Cipher::Gcm {
            cipher: provider
                .crypto()
                .new_aead(AeadAlgorithm::Aes128Gcm, &key)
                .unwrap(),
            salt: hex("517569642070726f2071756f").try_into().unwrap(),
        };
        let mut packet = hex("8040f17b8041f8d35501a0b2");
        packet.extend(b"Gallia est omnis divisa in partes tres");
        cipher
            .seal(&mut packet, 0, 12, 0x5501_a0b2, 0xf17b)
            .unwrap();
        let expected = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5\
            0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
        assert_eq!(packet, hex(expected));
    }

    #[test]
    fn the_keystream_is_that_of_rfc_3711_appendix_b_2() {
        let provider = RingProvider::new();
        let crypto = provider.crypto();
        let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
        let mut cipher = Cipher::Cm {
            cipher: crypto
                .new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &key)
                .unwrap(),
            salt: hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap(),
            mac: crypto.new_hmac(HmacAlgorithm::Sha1, &[0; 20]).unwrap(),
        };
        let mut packet = vec![0; 32];
        cipher.seal(&mut packet, 0, 0, 0, 0).unwrap();
        assert_eq!(
            packet[..32],
            hex("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB")
        );
    }

    /// An independent receiver of the same key.
    fn receiver(master: &MasterKey) -> Context {
        let profile = match master.profile {
            Profile::Gcm => ProtectionProfile::AeadAes128Gcm,
            Profile::Cm => ProtectionProfile::Aes128CmHmacSha1_80,
        };
        let provider = RingProvider::new();
        let (key, salt) = (&master.key, &master.salt);
        Context::new(key, salt, profile, None, None, provider.crypto()).unwrap()
    }

    #[test]
    fn an_independent_receiver_opens_what_is_sealed_through_the_wrap_of_the_sequence_number() {
        let provider = RingProvider::new();
        for profile in [Profile::Gcm, Profile::Cm] {
            let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
            let master = MasterKey::from_keying_material(profile, &material, false).unwrap();
            let mut protector = Protector::new(provider.crypto(), &master, 0xfeed, 0xff00).unwrap();
            let mut receiver = receiver(&master);
            for n in 0..140_000u32 {
                let header = Header {
                    payload_type: 96,
                    marker: n.is_multiple_of(7),
                    timestamp: n,
                };
                let mut packet = Vec::new();
                let number = protector.next_sequence_number();
                let payload = [&n.to_be_bytes()[..], b"rest"];
                protector.seal(&mut packet, &header, &[], payload).unwrap();
                assert_eq!(packet.len(), 12 + 8 + profile.tag_len());
                let opened = receiver.decrypt_rtp(&packet).unwrap();
                assert_eq!(opened[2..4], number.to_be_bytes());
                assert_eq!(opened[12..16], n.to_be_bytes(), "{profile:?}");
            }
        }
    }

    #[test]
    fn no_two_packets_share_a_nonce() {
        // Equal plaintexts under equal nonces would give equal packets, but for the header.
        let provider = RingProvider::new();
        let master = master(
            Profile::Gcm,
            "000102030405060708090a0b0c0d0e0f",
            "517569642070726f2071756f",
        );
        let mut bodies = HashSet::new();
        for ssrc in [1, 2] {
            let mut protector = Protector::new(provider.crypto(), &master, ssrc, 0).unwrap();
            for _ in 0..70_000 {
                let mut packet = Vec::new();
                let header = Header {
                    payload_type: 96,
                    marker: false,
                    timestamp: 0,
                };
                protector
                    .seal(&mut packet, &header, &[], [&[0; 16][..], &[]])
                    .unwrap();
                assert!(bodies.insert(packet[12..28].to_vec()));
            }
        }
    }
}
