//! A certificate authority of our own, for networks where no other can vouch for a machine: made once, kept in the state
//! directory, to be trusted by viewers.
//!
//! A device that trusts it trusts it in all it says, so it can say little: it is constrained (RFC 5280, 4.2.1.10) to addresses and
//! names that no public site has, and to those that the machine had when the authority was made. A box that is broken into
//! can't pose as a bank.

use super::TlsError;
use super::network::{self, Network};
use crate::base::state_dir::{StateDir, StateError};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType, date_time_ymd,
};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// The authority's certificate and its key in the state directory, as PEM (RFC 7468), after a line with its names and one with
/// its networks.
const FILE: &str = "ca.pem";
const NAMES: &str = "names:";
/// Files of earlier versions lack it: their authorities may vouch for every address.
const NETWORKS: &str = "networks:";

/// Below these no public site can be (RFC 6761, RFC 6762, RFC 8375, and what home routers use).
const PRIVATE: [&str; 5] = ["localhost", "local", "lan", "internal", "home.arpa"];

/// The lifetime of a server's certificate: Apple's devices take no more than 825 days.
const VALIDITY: Duration = Duration::from_secs(397 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The authority.
#[derive(Debug, Clone)]
pub struct Authority {
    key: Arc<KeyPair>,
    der: CertificateDer<'static>,
    /// Besides [`PRIVATE`].
    names: Vec<String>,
    /// Those whose addresses it may vouch for.
    networks: Vec<Network>,
}

impl Authority {
    /// The one in the state directory. One is made for these names and addresses if there is none or it is damaged. The log
    /// tells what can't be kept.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn load(
        state: Option<&StateDir>,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<Self, TlsError> {
        let Some(state) = state else {
            tracing::warn!(
                "the certificate authority is a new one at each start, and devices have to trust it again: there is no state directory \
                 to keep it in"
            );
            return Self::make(names, addresses);
        };
        let obtained = state.obtain(FILE, Self::read, || {
            let made = Self::make(names, addresses)?;
            let file = made.to_file().into_bytes();
            Ok::<_, TlsError>((made, file))
        })?;
        if let Some(trouble) = obtained.trouble {
            tracing::error!(
                "the certificate authority is a new one, which every device has to trust again: {trouble}"
            );
        }
        Ok(obtained.value)
    }

    /// The one in the state directory, if there is one.
    ///
    /// # Errors
    /// When it can't be read, or is damaged.
    pub fn kept(state: &StateDir) -> Result<Option<Self>, StateError> {
        state.find(FILE, Self::read)
    }

    fn make(names: &[String], addresses: &[IpAddr]) -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(|error| TlsError::Crypto(error.to_string()))?;
        let mut params = params(&key);
        let own = names.iter().filter(|name| !is_private(name));
        let names: Vec<String> = own.cloned().collect();
        let suffixes = PRIVATE.iter().map(|name| (*name).to_owned());
        let suffixes = suffixes.chain(names.iter().cloned());
        let mut permitted: Vec<_> = suffixes.map(GeneralSubtree::DnsName).collect();
        let networks = network::of_machine(addresses);
        permitted.extend(networks.iter().map(|network| {
            let (address, prefix) = network.parts();
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, prefix))
        }));
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
            networks,
        })
    }

    fn read(file: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(file).map_err(|error| error.to_string())?;
        let line = |label| text.lines().find_map(|line| line.strip_prefix(label));
        let names = line(NAMES).unwrap_or_default().split_whitespace();
        let networks = line(NETWORKS).map_or_else(
            || Ok(network::ALL.to_vec()),
            |line| line.split_whitespace().map(str::parse).collect(),
        )?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(file).map_err(|error| error.to_string())?;
        let key = KeyPair::try_from(&key).map_err(|error| error.to_string())?;
        let der = CertificateDer::from_pem_slice(file).map_err(|error| error.to_string())?;
        Ok(Self {
            key: Arc::new(key),
            der,
            names: names.map(str::to_owned).collect(),
            networks,
        })
    }

    fn to_file(&self) -> String {
        let certificate = pem("CERTIFICATE", &self.der);
        let names = self.names.join(" ");
        let networks: Vec<_> = self.networks.iter().map(Network::to_string).collect();
        let networks = networks.join(" ");
        let key = self.key.serialize_pem();
        format!("{NAMES} {names}\n{NETWORKS} {networks}\n{key}{certificate}")
    }

    /// Has it sign these names and every address, as a thief of its key would.
    #[cfg(test)]
    pub fn pretend(&mut self, names: &[String]) {
        self.names.extend_from_slice(names);
        self.networks = network::ALL.to_vec();
    }

    /// Its certificate, which others are to trust.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// A server's certificate, and its key as PKCS #8, for those of the names and addresses that the authority may vouch for:
    /// with another among them, clients would take none.
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
        left_out(&may_not);
        for name in may.into_iter().map(String::as_str).chain(["localhost"]) {
            params
                .subject_alt_names
                .push(SanType::DnsName(name.try_into().map_err(failed)?));
        }
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        let (may, may_not): (Vec<_>, Vec<_>) = addresses
            .iter()
            .filter(|ip| !ip.is_loopback())
            .partition(|ip| self.networks.iter().any(|network| network.has(**ip)));
        left_out(&may_not);
        let addresses = may.into_iter().copied().chain(loopback);
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

fn left_out<T: fmt::Debug>(what: &[T]) {
    if what.is_empty() {
        return;
    }
    tracing::warn!(
        "the certificate leaves out {what:?}: the authority was made before the machine had that; delete {FILE} in the state \
         directory for a new one, which everybody has to trust anew"
    );
}

/// The subject and properties of the authority. They follow from the key alone, so they are the same when it is read again. No
/// clock has a part in them, since a board without a battery may not know the time yet.
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
