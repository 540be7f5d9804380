//! The SRTP keys of a session, which the WebRTC core keeps to itself.
//!
//! The core does all cryptography through a provider that the application supplies. The one here passes every call on and
//! notes what the DTLS exporter yields for SRTP (RFC 5764, 4.2): the core has no call that tells it. A test of a
//! whole session pins that it does, since an upgrade of the core could change how it computes.

use crate::base::sync::Mutex;
use crate::rtc::wire::srtp::{MasterKey, Profile};
use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CbcAlgorithm, CbcCipher,
    CryptoAlgorithm, CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac,
    PublicKey, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme, SigningKey, StreamCipher,
    StreamCipherAlgorithm,
};
use std::sync::{Arc, MutexGuard};

/// The exporter's label (RFC 5764, 4.2), with which its pseudo-random function's seed begins (RFC 5246, 5).
const LABEL: &[u8] = b"EXTRACTOR-dtls_srtp";

/// More than any profile needs; what an exporter would yield beyond that is not kept.
const MAX_MATERIAL: usize = 128;

/// What was noted. Shared by a provider and its MACs, all on one thread; the core wants them `Sync`.
#[derive(Clone, Default)]
struct Material(Arc<Mutex<Vec<u8>>>);

impl Material {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Appending bytes can't leave it broken.
        self.0.lock()
    }
}

/// A crypto provider for one session.
pub struct KeyTap {
    inner: Arc<dyn RTCCryptoProvider>,
    material: Material,
}

impl KeyTap {
    /// Passes everything on to `inner`.
    pub fn new(inner: Arc<dyn RTCCryptoProvider>) -> Self {
        Self {
            inner,
            material: Material::default(),
        }
    }

    /// Our master key and the viewer's, once the handshake is done; they are handed out once, and forgotten here.
    pub fn take(&self, profile: Profile, we_are_client: bool) -> Option<(MasterKey, MasterKey)> {
        let material = std::mem::take(&mut *self.material.lock());
        let of = |is_client| MasterKey::from_keying_material(profile, &material, is_client);
        Some((of(we_are_client)?, of(!we_are_client)?))
    }
}

impl RTCCryptoProvider for KeyTap {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn crypto(&self) -> &dyn RTCCrypto {
        self
    }
    fn random(&self) -> &dyn RTCRandom {
        self.inner.random()
    }
}

impl RTCCrypto for KeyTap {
    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        Ok(Box::new(TappedMac {
            inner: self.inner.crypto().new_hmac(algorithm, key)?,
            material: self.material.clone(),
        }))
    }

    // The rest is passed on as it is.

    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.inner.crypto().supports(algorithm)
    }
    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.inner.crypto().hash(algorithm, data)
    }
    fn block_encrypt(
        &self,
        algorithm: BlockCipherAlgorithm,
        key: &[u8],
        block: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.inner.crypto().block_encrypt(algorithm, key, block)
    }
    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.inner.crypto().new_stream_cipher(algorithm, key)
    }
    fn new_aead(
        &self,
        algorithm: AeadAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn AeadCipher>, CryptoError> {
        self.inner.crypto().new_aead(algorithm, key)
    }
    fn new_cbc(
        &self,
        algorithm: CbcAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn CbcCipher>, CryptoError> {
        self.inner.crypto().new_cbc(algorithm, key)
    }
    fn start_key_exchange(
        &self,
        algorithm: KeyExchangeAlgorithm,
    ) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.inner.crypto().start_key_exchange(algorithm)
    }
    fn generate_signing_key(
        &self,
        scheme: SignatureScheme,
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner.crypto().generate_signing_key(scheme)
    }
    fn import_signing_key(
        &self,
        scheme: SignatureScheme,
        pkcs8_der: &[u8],
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner.crypto().import_signing_key(scheme, pkcs8_der)
    }
    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        let crypto = self.inner.crypto();
        crypto.verify_signature(scheme, public_key, message, signature)
    }
}

struct TappedMac {
    inner: Box<dyn Mac>,
    material: Material,
}

impl Mac for TappedMac {
    fn output_len(&self) -> usize {
        self.inner.output_len()
    }

    fn sign(&mut self, input: &[&[u8]], output: &mut [u8]) -> Result<(), CryptoError> {
        self.inner.sign(input, output)?;
        // P_hash of RFC 5246, 5: each block of its output is HMAC(secret, A(i) + seed), in this order.
        if let [_, seed] = input
            && seed.starts_with(LABEL)
        {
            let mut material = self.material.lock();
            let room = MAX_MATERIAL.saturating_sub(material.len());
            material.extend(output.iter().take(room));
        }
        Ok(())
    }

    fn verify(&mut self, input: &[&[u8]], expected: &[u8]) -> Result<(), CryptoError> {
        self.inner.verify(input, expected)
    }
}
