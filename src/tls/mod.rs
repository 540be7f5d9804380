//! HTTP over TLS: the only folder that names rustls. The certificate comes from files, or from an authority of our own;
//! either way a new one is taken up by the next handshake, and connections that exist go on.

mod authority;
mod network;
mod source;
mod validity;

pub use authority::{Authority, sha256};
pub use validity::Validity;

use crate::base::addresses::Interfaces;
use crate::base::os_error::plain;
use crate::base::state_dir::StateDir;
use crate::base::sync::Mutex;
use crate::config;
use source::{Files, OwnAuthority, Source};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// A connection over TLS.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// The time for which a change of certificate may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The reason for which there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file that can't be used.
        path: PathBuf,
        /// The reason and the cure.
        reason: String,
    },
    /// The crypto library fails.
    #[error("can't make a certificate: {0}")]
    Crypto(String),
}

/// The problems of a certificate and its key in PEM files: each file that can't be used, with the reason.
pub fn check_files(chain: &Path, key: &Path) -> Vec<(PathBuf, String)> {
    let Err(error) = Files::new(chain, key).load() else {
        return Vec::new();
    };
    let mut wrong = match error {
        TlsError::File { path, reason } => vec![(path, reason)],
        other => vec![(chain.to_owned(), other.to_string())],
    };
    // The key is looked at only after the certificate was found good.
    if wrong.iter().all(|(path, _)| path != key)
        && let Err(error) = std::fs::read(key)
    {
        wrong.push((key.to_owned(), format!("can't be read: {}", plain(&error))));
    }
    wrong
}

/// The server side of TLS.
pub struct Tls {
    acceptor: TlsAcceptor,
    authority: Option<Authority>,
}

impl Tls {
    /// Loads the certificate, or makes one. `names` are those that the machine goes by, beside the addresses
    /// of its interfaces.
    ///
    /// # Errors
    /// When there is none that can be used.
    pub fn start(
        certificate: &config::Certificate,
        state: Option<&StateDir>,
        names: Vec<String>,
        interfaces: &Interfaces,
    ) -> Result<Self, TlsError> {
        let (source, authority): (Box<dyn Source>, _) = match certificate {
            config::Certificate::Files { chain, key } => (Box::new(Files::new(chain, key)), None),
            config::Certificate::SelfSigned => {
                let authority = Authority::load(state, &names, &interfaces.addresses())?;
                let own = OwnAuthority::new(authority.clone(), names, interfaces.clone());
                (Box::new(own), Some(authority))
            }
        };
        let resolver = Arc::new(Resolver::start(source)?);
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Crypto(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority,
        })
    }

    /// Does the handshake on a new connection.
    ///
    /// # Errors
    /// When the client does not speak TLS, or does not trust the certificate.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        self.acceptor.accept(stream).await
    }

    /// The authority that signs the certificate, if it is our own.
    pub const fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }
}

/// Gives each handshake the certificate of the moment.
#[derive(Debug)]
struct Resolver(Mutex<CurrentCertificate>);

#[derive(Debug)]
struct CurrentCertificate {
    key: Arc<CertifiedKey>,
    source: Box<dyn Source>,
    looked: Instant,
    /// The reason for which there is no newer one, as it was last logged.
    told: Option<String>,
}

impl CurrentCertificate {
    /// Takes up another certificate. One that can't be used is tried again.
    fn refresh(&mut self) {
        match self.source.load() {
            Ok(key) => {
                tracing::info!("a new certificate is in use");
                (self.key, self.told) = (key, None);
            }
            Err(error) => {
                let reason = error.to_string();
                if self.told.as_ref() != Some(&reason) {
                    tracing::error!("the old certificate stays in use: {reason}");
                    self.told = Some(reason);
                }
            }
        }
    }
}

impl Resolver {
    fn start(mut source: Box<dyn Source>) -> Result<Self, TlsError> {
        let key = source.load()?;
        Ok(Self(Mutex::new(CurrentCertificate {
            key,
            source,
            looked: Instant::now(),
            told: None,
        })))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A loaded certificate replaces the old one at once, so a panic can't leave half of it.
        let mut current = self.0.lock();
        let now = Instant::now();
        if now.saturating_duration_since(current.looked) >= LOOK_AGAIN {
            current.looked = now;
            if current.source.has_changed() {
                current.refresh();
            }
        }
        Some(current.key.clone())
    }
}

#[cfg(test)]
mod tests;
