//! Sources of certificates, and the times at which another one is due.

use super::TlsError;
use super::authority::Authority;
use crate::base::addresses::Interfaces;
use crate::base::file_stamps::Watched;
use crate::base::os_error::plain;
use std::fmt::Debug;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

/// A certificate of our own is replaced long before it runs out.
const RENEW: Duration = Duration::from_secs(30 * 24 * 3600);

/// Gives the certificate of the moment.
pub trait Source: Debug + Send + Sync {
    /// Whether [`load`](Self::load) would give another one than it gave last, or may do so if it failed.
    fn has_changed(&mut self) -> bool;
    /// Reads or makes it.
    fn load(&mut self) -> Result<Arc<CertifiedKey>, TlsError>;
}

/// A certificate and its key in PEM files.
#[derive(Debug)]
pub struct Files {
    chain: PathBuf,
    key: PathBuf,
    watched: Watched,
}

impl Files {
    /// Those at these paths.
    pub fn new(chain: &Path, key: &Path) -> Self {
        Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            watched: Watched::paths(vec![chain.to_owned(), key.to_owned()]),
        }
    }
}

impl Source for Files {
    fn has_changed(&mut self) -> bool {
        self.watched.change().is_some()
    }

    fn load(&mut self) -> Result<Arc<CertifiedKey>, TlsError> {
        let change = self.watched.change();
        let loaded = self.read()?;
        change
            .into_iter()
            .for_each(|change| self.watched.taken(change));
        Ok(loaded)
    }
}

impl Files {
    fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let wrong = |path: &Path, reason: String| TlsError::File {
            path: path.to_owned(),
            reason,
        };
        let read = |path: &Path| {
            fs::read(path).map_err(|error| wrong(path, format!("can't be read: {}", plain(&error))))
        };
        let text = read(&self.chain)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|error| wrong(&self.chain, format!("is damaged: {error}")))?;
        if chain.is_empty() {
            let reason = "has no certificate in PEM (\"BEGIN CERTIFICATE\")";
            return Err(wrong(&self.chain, reason.into()));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|error| {
            let reason = format!("has no private key in PEM without a password: {error}");
            wrong(&self.key, reason)
        })?;
        certified(chain, key).map_err(|error| {
            wrong(
                &self.key,
                format!("is not the key of {}: {error}", self.chain.display()),
            )
        })
    }
}

/// Certificates that our own authority signs for whatever the machine is called now.
#[derive(Debug)]
pub struct OwnAuthority {
    authority: Authority,
    names: Vec<String>,
    interfaces: Interfaces,
    made_for: Vec<IpAddr>,
    made_at: SystemTime,
}

impl OwnAuthority {
    /// Makes the source for a machine with these names and interfaces.
    pub const fn new(authority: Authority, names: Vec<String>, interfaces: Interfaces) -> Self {
        Self {
            authority,
            names,
            interfaces,
            made_for: Vec::new(),
            made_at: SystemTime::UNIX_EPOCH,
        }
    }
}

impl Source for OwnAuthority {
    fn has_changed(&mut self) -> bool {
        // A clock that was set, at the start of a board without a battery for one, is off by years.
        let age = SystemTime::now().duration_since(self.made_at);
        let addresses = sorted(self.interfaces.addresses());
        age.is_err() || age.is_ok_and(|age| age > RENEW) || addresses != self.made_for
    }

    fn load(&mut self) -> Result<Arc<CertifiedKey>, TlsError> {
        let addresses = sorted(self.interfaces.addresses());
        let now = SystemTime::now();
        let (certificate, key) = self.authority.sign(&self.names, &addresses, now)?;
        (self.made_for, self.made_at) = (addresses, now);
        let chain = vec![certificate, self.authority.der().to_vec().into()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
        certified(chain, key).map_err(TlsError::Crypto)
    }
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort();
    addresses.dedup();
    addresses
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, String> {
    let provider = ring::default_provider();
    let certified = CertifiedKey::from_der(chain, key, &provider);
    certified.map(Arc::new).map_err(|error| error.to_string())
}
