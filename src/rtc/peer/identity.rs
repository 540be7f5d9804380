//! What makes a session ours: the certificate of all sessions, and the random names of each.

use crate::base::state_dir::StateDir;
use rtc::crypto::providers::RingProvider;
use rtc::crypto::{RTCCryptoProvider, SignatureScheme};
use rtc::peer_connection::certificate::RTCCertificate;
use rtc::shared::error::Error as CoreError;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::pem::Pem;

/// The certificate and its key in the state directory, as PEM (RFC 7468).
const FILE: &str = "dtls.pem";

/// ECDSA on P-256 is what every WebRTC client takes (RFC 8827, 6.5).
const SCHEME: SignatureScheme = SignatureScheme::EcdsaP256Sha256;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a certificate is good for. Clients trust the fingerprint in the answer and no date (RFC 8122), so a short
/// life would protect nobody; a new certificate troubles whoever wrote the fingerprint down.
const VALIDITY: Duration = YEAR.saturating_mul(10);

/// A certificate with less than this left is replaced at the start, so that a long run doesn't outlive it.
const REMAINDER: Duration = YEAR;

/// The core refuses every session under a certificate that has run out, and a board without a battery learns the time
/// only after the start. So the date is looked at when the certificate is loaded, and the core is told one beyond the
/// year 4000.
const BEYOND: Duration = Duration::from_secs(1 << 36);

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
    /// The certificate that is kept in the state directory. Makes a new one, and keeps that, if there is none or it is
    /// no use, which is told in the log. Without a directory it is new each time.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn load(state: Option<&StateDir>, now: SystemTime) -> Result<Self, CoreError> {
        let Some(state) = state else {
            return Self::read(&make(now)?, now).map_err(CoreError::Other);
        };
        let obtained = state.obtain(
            FILE,
            |pem| Self::read(pem, now),
            || {
                let pem = make(now)?;
                let identity = Self::read(&pem, now).map_err(CoreError::Other)?;
                Ok::<_, CoreError>((identity, pem))
            },
        )?;
        if let Some(trouble) = obtained.trouble {
            tracing::warn!("a new DTLS certificate is used: {trouble}");
        }
        Ok(obtained.value)
    }

    /// Reads what [`make`] has written, or a sentence that says why it is no use.
    fn read(pem: &[u8], now: SystemTime) -> Result<Self, String> {
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(RingProvider::new());
        let crypto = provider.crypto();
        let blocks: Vec<_> = Pem::iter_from_buffer(pem).map_while(Result::ok).collect();
        let find = |label| blocks.iter().find(|block| block.label == label);
        let (Some(key), Some(der)) = (find("PRIVATE KEY"), find("CERTIFICATE")) else {
            return Err("it lacks a private key or a certificate in PEM".into());
        };
        let (_, x509) = x509_parser::parse_x509_certificate(&der.contents)
            .map_err(|error| format!("its certificate is damaged: {error}"))?;
        let chain = vec![der.contents.clone().into()];
        let end = UNIX_EPOCH + BEYOND;
        let certificate = RTCCertificate::from_pkcs8(crypto, SCHEME, chain, &key.contents, end)
            .map_err(|error| format!("its private key is not on the curve P-256: {error}"))?;
        // It signs itself: so this finds damage, and a key that isn't the certificate's.
        let public = certificate
            .dtls_certificate
            .private_key
            .signing_key
            .public_key();
        let (signed, signature) = (x509.tbs_certificate.as_ref(), &x509.signature_value.data);
        crypto
            .verify_signature(SCHEME, public, signed, signature)
            .map_err(|_| "certificate and key are damaged, or don't belong together")?;
        let not_after = x509.validity().not_after;
        if since_epoch(now + REMAINDER) > not_after.timestamp() {
            return Err(format!(
                "its certificate expires on {not_after}, within a year, or has expired"
            ));
        }
        let fingerprints = certificate.get_fingerprints(crypto);
        let fingerprints = fingerprints.map_err(|error| error.to_string())?;
        let fingerprint = fingerprints
            .first()
            .map(|f| format!("{} {}", f.algorithm, f.value.to_uppercase()))
            .ok_or("its certificate has no fingerprint")?;
        Ok(Self {
            certificate,
            provider,
            fingerprint,
        })
    }
}

/// A fresh key and its certificate. The certificate begins in 1970, before any clock.
fn make(now: SystemTime) -> Result<Vec<u8>, CoreError> {
    let failed = |error: rcgen::Error| CoreError::Other(error.to_string());
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = rcgen::CertificateParams::new(vec!["fanlight".to_owned()]).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "fanlight");
    params.not_before = UNIX_EPOCH.into();
    params.not_after = (now + VALIDITY).into();
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((key.serialize_pem() + &certificate.pem()).into_bytes())
}

/// In seconds, as X.509 counts time.
fn since_epoch(time: SystemTime) -> i64 {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    /// A state directory of the test's own, removed at its end.
    struct Scratch(PathBuf, StateDir);

    impl Scratch {
        fn new(test: &str) -> Self {
            let name = format!("fanlight-identity-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let state = StateDir::open(&path).unwrap();
            Self(path, state)
        }

        /// The fingerprint after a start that long after the first.
        fn start(&self, later: Duration) -> String {
            let identity = Identity::load(Some(&self.1), UNIX_EPOCH + NOW + later);
            identity.unwrap().fingerprint
        }

        fn file(&self) -> Vec<u8> {
            self.1.read(FILE).unwrap().unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_certificate_is_the_same_after_each_start_until_its_last_year() {
        let scratch = Scratch::new("same");
        let first = scratch.start(Duration::ZERO);
        assert!(
            first.starts_with("sha-256 ") && first.len() == 8 + 95,
            "{first}"
        );
        let file = scratch.file();
        assert_eq!(scratch.start(Duration::ZERO), first);
        assert_eq!(scratch.start(YEAR * 9 - Duration::from_secs(60)), first);
        assert_eq!(scratch.file(), file);
        let second = scratch.start(YEAR * 9 + Duration::from_secs(60));
        assert_ne!(second, first);
        assert_eq!(scratch.start(YEAR * 10), second);
        assert_eq!(scratch.1.read("dtls.pem.bad").unwrap().unwrap(), file);
    }

    #[test]
    fn without_a_directory_it_is_new_each_time() {
        let fingerprint = || Identity::load(None, UNIX_EPOCH + NOW).unwrap().fingerprint;
        assert_ne!(fingerprint(), fingerprint());
    }

    #[test]
    fn a_clock_that_has_never_been_set_makes_a_certificate_that_sessions_can_use() {
        let identity = Identity::load(None, UNIX_EPOCH).unwrap();
        assert!(identity.certificate.expires > SystemTime::now());
    }

    #[test]
    fn whatever_damage_a_file_has_it_is_replaced_and_kept() {
        let scratch = Scratch::new("damage");
        scratch.start(Duration::ZERO);
        let good = String::from_utf8(scratch.file()).unwrap();
        let other = String::from_utf8(make(UNIX_EPOCH + NOW).unwrap()).unwrap();
        let (key, certificate) = good.split_at(good.find("-----BEGIN CERTIFICATE").unwrap());
        let others = &other[other.find("-----BEGIN CERTIFICATE").unwrap()..];
        let line = certificate.lines().nth(3).unwrap();
        let flip = |first| if first == 'A' { "B" } else { "A" };
        let flipped = flip(line.chars().next().unwrap()).to_owned() + &line[1..];
        let flipped = good.replace(line, &flipped);
        for (bad, reason) in [
            ("", "lacks a private key or"),
            ("\0\0\0\0", "lacks a private key or"),
            (key, "lacks a private key or"),
            (certificate, "lacks a private key or"),
            (&good[..good.len() - 40], "lacks a private key or"),
            (&[key, others].concat(), "don't belong together"),
            (&flipped, "damaged"),
            (&good.replacen("MI", "MJ", 1), "private key is not"),
        ] {
            let read = Identity::read(bad.as_bytes(), UNIX_EPOCH + NOW);
            let told = read.err().unwrap_or_else(|| panic!("taken: {bad}"));
            assert!(told.contains(reason), "{told:?} for {bad}");
            scratch.1.write(FILE, bad.as_bytes()).unwrap();
            let new = scratch.start(Duration::ZERO);
            assert_eq!(scratch.start(Duration::ZERO), new, "{bad}");
            let kept = scratch.1.read("dtls.pem.bad").unwrap().unwrap();
            assert_eq!(kept, bad.as_bytes());
        }
    }

    #[test]
    fn what_can_be_neither_read_nor_written_does_not_stop_the_daemon() {
        let scratch = Scratch::new("stuck");
        std::fs::create_dir_all(scratch.0.join("dtls.pem/full")).unwrap();
        std::fs::create_dir_all(scratch.0.join("dtls.pem.bad/full")).unwrap();
        assert_ne!(scratch.start(Duration::ZERO), scratch.start(Duration::ZERO));
    }
}
