//! A certificate authority of our own, for networks where no other can vouch for a machine: made once, kept in the state
//! directory, to be trusted by those who watch.
//!
//! Whoever trusts it trusts it in all it says, so it can say little: it is constrained (RFC 5280, 4.2.1.10) to IP
//! addresses, to names that no public site has, and to the machine's own. A box that is broken into can't pose as a bank.

use super::TlsError;
use crate::state::State;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType, date_time_ymd,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// The authority's certificate and its key in the state directory, as PEM (RFC 7468), after a line with its names.
const FILE: &str = "ca.pem";
const NAMES: &str = "names:";

/// Below these no public site can be (RFC 6761, RFC 6762, RFC 8375, and what home routers use).
const PRIVATE: [&str; 5] = ["localhost", "local", "lan", "internal", "home.arpa"];

/// How long a server's certificate is good for: Apple's devices take no more than 825 days.
const VALIDITY: Duration = Duration::from_secs(397 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The authority.
#[derive(Debug, Clone)]
pub struct Authority {
    key: Arc<KeyPair>,
    der: CertificateDer<'static>,
    /// Besides [`PRIVATE`].
    names: Vec<String>,
}

impl Authority {
    /// The one in the state directory; made for these names if there is none.
    ///
    /// # Errors
    /// When it is damaged, or can't be kept.
    pub fn load(state: &State, names: &[String]) -> Result<Self, TlsError> {
        if let Some(kept) = Self::kept(state)? {
            return Ok(kept);
        }
        let made = Self::make(names)?;
        state.write(FILE, made.to_file().as_bytes())?;
        Ok(made)
    }

    /// The one in the state directory, if there is one.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn kept(state: &State) -> Result<Option<Self>, TlsError> {
        let Some(file) = state.read(FILE)? else {
            return Ok(None);
        };
        let damaged = |reason| TlsError::File {
            path: state.path(FILE),
            reason: format!(
                "{reason}; delete it, and a new one is made, which everybody has to trust anew"
            ),
        };
        Self::read(&file).map(Some).map_err(damaged)
    }

    fn make(names: &[String]) -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(|error| TlsError::Crypto(error.to_string()))?;
        let mut params = params(&key);
        let own = names.iter().filter(|name| !is_private(name));
        let names: Vec<String> = own.cloned().collect();
        let suffixes = PRIVATE.iter().map(|name| (*name).to_owned());
        let suffixes = suffixes.chain(names.iter().cloned());
        let mut permitted: Vec<_> = suffixes.map(GeneralSubtree::DnsName).collect();
        for any in [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ] {
            permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                any, 0,
            )));
        }
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: permitted,
            excluded_subtrees: Vec::new(),
        });
        let certificate = params.self_signed(&key);
        let certificate = certificate.map_err(|error| TlsError::Crypto(error.to_string()))?;
        Ok(Self {
            key: Arc::new(key),
            der: certificate.der().clone(),
            names,
        })
    }

    fn read(file: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(file).map_err(|error| error.to_string())?;
        let names = text.lines().find_map(|line| line.strip_prefix(NAMES));
        let key = PrivatePkcs8KeyDer::from_pem_slice(file).map_err(|error| error.to_string())?;
        let key = KeyPair::try_from(&key).map_err(|error| error.to_string())?;
        let der = CertificateDer::from_pem_slice(file).map_err(|error| error.to_string())?;
        Ok(Self {
            key: Arc::new(key),
            der,
            names: names
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        })
    }

    fn to_file(&self) -> String {
        let certificate = pem("CERTIFICATE", &self.der);
        let names = self.names.join(" ");
        format!("{NAMES} {names}\n{}{certificate}", self.key.serialize_pem())
    }

    /// Has it sign these names too, as who has stolen its key would.
    #[cfg(test)]
    pub fn pretend(&mut self, names: &[String]) {
        self.names.extend_from_slice(names);
    }

    /// Its certificate, which others are to trust.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// A server's certificate, and its key as PKCS #8, for those of the names that the authority may vouch for, and for
    /// the addresses.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn sign(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        now: SystemTime,
    ) -> Result<(CertificateDer<'static>, Vec<u8>), TlsError> {
        let failed = |error: rcgen::Error| TlsError::Crypto(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("fanlight");
        let (may, may_not): (Vec<_>, Vec<_>) = names
            .iter()
            .partition(|name| is_private(name) || self.names.contains(name));
        if !may_not.is_empty() {
            tracing::warn!(
                "the certificate leaves out {may_not:?}: the authority was made before the machine had that name; delete \
                 {FILE} in the state directory for a new one, which everybody has to trust anew"
            );
        }
        for name in may.into_iter().map(String::as_str).chain(["localhost"]) {
            params
                .subject_alt_names
                .push(SanType::DnsName(name.try_into().map_err(failed)?));
        }
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        let addresses = addresses.iter().filter(|ip| !ip.is_loopback());
        let addresses = addresses.copied().chain(loopback);
        params
            .subject_alt_names
            .extend(addresses.map(SanType::IpAddress));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // A viewer's clock may be behind.
        params.not_before = (now - DAY).into();
        params.not_after = (now + VALIDITY).into();
        let issuer = Issuer::new(self::params(&self.key), &*self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
        Ok((certificate.der().clone(), key.serialize_der()))
    }
}

/// What the authority says of itself. It follows from the key alone, so that it is the same when it is read again; and no
/// clock has a part in it, since a board without a battery may not know the time yet.
fn params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let print = sha256(key.public_key_raw());
    params.distinguished_name = name(&format!("fanlight {}", &print[..11]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2055, 1, 1);
    params
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// Whether no public site can have that name.
fn is_private(name: &str) -> bool {
    PRIVATE.iter().any(|suffix| {
        let rest = name.strip_suffix(suffix);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// The hash as hexadecimal pairs with colons, as browsers and openssl show it.
pub fn sha256(bytes: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    let pairs = hash.as_ref().iter().map(|byte| format!("{byte:02X}"));
    pairs.collect::<Vec<_>>().join(":")
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        // Base64 is ASCII.
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}
