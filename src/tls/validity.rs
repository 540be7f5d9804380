//! The time in which a certificate is valid.

use super::TlsError;
use super::source::{Files, Source};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// When a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: SystemTime,
    /// Until then.
    pub until: SystemTime,
}

impl Validity {
    /// The validity of a certificate in DER; `None` if it is none.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let validity = certificate.validity();
        let time = |seconds: i64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default())
        };
        Some(Self {
            from: time(validity.not_before.timestamp()),
            until: time(validity.not_after.timestamp()),
        })
    }

    /// The validity of the first certificate in a PEM file, which must go with the key in the other.
    ///
    /// # Errors
    /// As the daemon would have them at its start.
    pub fn of_files(chain: &Path, key: &Path) -> Result<Option<Self>, TlsError> {
        let certified = Source::load(&mut Files::new(chain, key))?;
        Ok(certified.cert.first().and_then(|first| Self::of(first)))
    }
}
