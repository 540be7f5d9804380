//! What makes a session ours: the certificate of all sessions, and the random names of each.

use rtc::crypto::providers::RingProvider;
use rtc::crypto::{RTCCryptoProvider, SignatureScheme};
use rtc::peer_connection::certificate::RTCCertificate;
use rtc::shared::error::Error as CoreError;
use std::sync::Arc;

/// The daemon's side of every session: one certificate for all viewers.
pub struct Identity {
    /// Shown to every viewer.
    pub certificate: RTCCertificate,
    /// Does the cryptography.
    pub provider: Arc<dyn RTCCryptoProvider>,
    /// Hash function and value, as in `a=fingerprint`.
    pub fingerprint: String,
}

impl Identity {
    /// A fresh certificate, ECDSA on P-256 as browsers use it.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn generate() -> Result<Self, CoreError> {
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(RingProvider::new());
        let params = rcgen::CertificateParams::new(vec!["fanlight".to_owned()])
            .map_err(|error| CoreError::Other(error.to_string()))?;
        let scheme = SignatureScheme::EcdsaP256Sha256;
        let certificate = RTCCertificate::generate(provider.crypto(), scheme, params)?;
        let fingerprints = certificate.get_fingerprints(provider.crypto())?;
        let fingerprint = fingerprints
            .first()
            .map(|f| format!("{} {}", f.algorithm, f.value.to_uppercase()))
            .ok_or_else(|| CoreError::Other("a certificate without a fingerprint".into()))?;
        Ok(Self {
            certificate,
            provider,
            fingerprint,
        })
    }
}

/// ICE credentials of our side (RFC 8445, 5.3: 24 and 128 bits at least).
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Names the session in STUN requests.
    pub ufrag: String,
    /// Proves that the sender knows the answer.
    pub password: String,
}

impl Credentials {
    /// Unguessable ones.
    pub fn generate() -> Self {
        Self {
            ufrag: format!("{:016x}", rand::random::<u64>()),
            password: format!("{:032x}", rand::random::<u128>()),
        }
    }
}

/// SSRCs of one session's streams, which differ (RFC 3550, 8.1).
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// The video's.
    pub video: u32,
    /// That of its retransmissions.
    pub rtx: u32,
}

impl Sources {
    /// Random ones.
    pub fn generate() -> Self {
        let video = rand::random();
        Self {
            video,
            rtx: u32::wrapping_add(video, 1),
        }
    }
}
