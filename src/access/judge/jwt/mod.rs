//! JSON Web Tokens (RFC 7519) of an issuer whose keys are in a file: which algorithm a key is for says the key, never the
//! token (RFC 8725, 3.1).

use super::{Basis, Flaw, Grant, KeyPrint, Scope, Scopes, Streams, verify};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Keys of a file. More are no use, and a token that names none of them is tried with each.
const MOST: usize = 16;
/// What a token may be long.
const LONGEST: usize = 8192;
/// How far the issuer's clock may be off, in seconds.
const LEEWAY: u64 = 60;
/// Bytes of a shared secret: fewer could be found by trying (RFC 7518, 3.2).
const SHORTEST_SECRET: usize = 32;

/// Why a file has no keys for us.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeysError {
    /// It is neither.
    #[error(
        "the file is neither a JWK set in JSON nor a public key in PEM (\"BEGIN PUBLIC KEY\"): {0}"
    )]
    Malformed(String),
    /// It holds what nobody but the issuer should have.
    #[error(
        "the file holds a private key, which only the issuer of the tokens may have; use its public key instead"
    )]
    Private,
    /// A secret that is too short.
    #[error(
        "the shared secret is shorter than {SHORTEST_SECRET} bytes and could be guessed; use a longer one"
    )]
    Short,
    /// There are none.
    #[error(
        "the file has no usable key; supported are RSA of 2048 bits or more, P-256, P-384, Ed25519 and shared secrets"
    )]
    None,
    /// There are too many.
    #[error("the file has more than {MOST} keys")]
    TooMany,
}

#[derive(Clone)]
struct JwtKey {
    id: Option<String>,
    print: KeyPrint,
    key: DecodingKey,
    validation: Validation,
}

impl JwtKey {
    /// Whether a token that names `named` may be signed by it.
    fn is_named(&self, named: Option<&str>) -> bool {
        named.is_none() || self.id.is_none() || self.id.as_deref() == named
    }
}

/// The keys of an issuer, and what its tokens must say. Without keys no token is good.
#[derive(Clone, Default)]
pub struct JwtKeys(Vec<JwtKey>);

#[derive(Deserialize)]
struct JwtClaims {
    exp: f64,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    scope: Option<OneOrMany>,
    #[serde(default, deserialize_with = "present")]
    stream: Option<OneOrMany>,
}

/// A claim that is there has a value: `null` is none, and must not mean what a missing claim means.
fn present<'a, T: Deserialize<'a>, D: Deserializer<'a>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl JwtKeys {
    /// Reads a key file: a JWK set (RFC 7517), or one public key in PEM. Tokens must be for `audience` and from `issuer`,
    /// where those are given.
    ///
    /// # Errors
    /// Why the file can't be used.
    pub fn parse(
        file: &[u8],
        audience: Option<&str>,
        issuer: Option<&str>,
    ) -> Result<Self, KeysError> {
        verify::install();
        let is_json = file.trim_ascii_start().first() == Some(&b'{');
        let keys = if is_json {
            of_set(file)?
        } else {
            vec![of_pem(file)?]
        };
        let with_rules = keys.into_iter().map(|(id, algorithm, key)| JwtKey {
            id,
            print: print(algorithm, &key),
            key,
            validation: validation(algorithm, audience, issuer),
        });
        Ok(Self(with_rules.collect()))
    }

    /// What a token grants at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Why it grants nothing.
    pub fn verify(&self, token: &str, now: u64) -> Result<Grant, Flaw> {
        if token.len() > LONGEST {
            return Err(Flaw::Unknown);
        }
        let header = decode_header(token).map_err(|_| Flaw::Unknown)?;
        // Whatever it says must be understood, and we understand no extension (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(Flaw::Claims);
        }
        let named = header.kid.as_deref();
        let mut flaw = Flaw::Unknown;
        for key in self.0.iter().filter(|key| key.is_named(named)) {
            match decode::<JwtClaims>(token, &key.key, &key.validation) {
                Ok(data) => {
                    let named = header.kid.clone();
                    let key = key.print;
                    return grant(data.claims, Basis::Jwt { named, key }, now);
                }
                Err(error) => flaw = worst(flaw, error.kind()),
            }
        }
        Err(flaw)
    }

    /// Whether a reader of the file can sign tokens: it has a secret that the issuer shares.
    pub fn has_secret(&self) -> bool {
        let mut algorithms = self.0.iter().flat_map(|key| &key.validation.algorithms);
        algorithms.any(|algorithm| algorithm.family() == Algorithm::HS256.family())
    }

    /// Whether a token that was signed by that key, and names `named`, may be so still.
    pub fn has(&self, key: KeyPrint, named: Option<&str>) -> bool {
        let mut keys = self.0.iter();
        keys.any(|known| known.print == key && known.is_named(named))
    }
}

/// Of a key for that algorithm.
fn print(algorithm: Algorithm, key: &DecodingKey) -> KeyPrint {
    let algorithm = format!("{algorithm:?}");
    match key.kind() {
        DecodingKeyKind::SecretOrDer(key) => KeyPrint::of(&[algorithm.as_bytes(), key]),
        DecodingKeyKind::RsaModulusExponent { n, e } => KeyPrint::of(&[algorithm.as_bytes(), n, e]),
    }
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtKeys({})", self.0.len())
    }
}

/// The flaw to tell of: a good signature says more than a bad one.
fn worst(before: Flaw, error: &ErrorKind) -> Flaw {
    match (error, before) {
        (_, Flaw::Claims) => Flaw::Claims,
        (ErrorKind::InvalidAlgorithm, _) => Flaw::Algorithm,
        (
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidToken
            | ErrorKind::Base64(_)
            | ErrorKind::Utf8(_),
            _,
        ) => before,
        // What is left is about the claims, which are read after the signature was found good.
        _ => Flaw::Claims,
    }
}

/// The library's clock can't be set, so times are compared here.
fn validation(algorithm: Algorithm, audience: Option<&str>, issuer: Option<&str>) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    let mut required = vec!["exp"];
    if let Some(audience) = audience {
        validation.set_audience(&[audience]);
        required.push("aud");
    }
    if let Some(issuer) = issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}

fn grant(claims: JwtClaims, basis: Basis, now: u64) -> Result<Grant, Flaw> {
    // Out of range saturates, which makes it what it means: far away.
    let seconds = |time: f64| time as u64;
    let expires = seconds(claims.exp).saturating_add(LEEWAY);
    if now >= expires {
        return Err(Flaw::Expired);
    }
    if claims
        .nbf
        .is_some_and(|from| now.saturating_add(LEEWAY) < seconds(from))
    {
        return Err(Flaw::NotYet);
    }
    let words = claims.scope.map(OneOrMany::into_vec).unwrap_or_default();
    let words = words.iter().flat_map(|words| words.split(' '));
    // Others are other servers' (RFC 8693, 4.2).
    let scopes: Scopes = words
        .filter_map(|word| word.parse::<Scope>().ok())
        .collect();
    Ok(Grant {
        scopes,
        streams: match claims.stream {
            None => Streams::All,
            Some(streams) => Streams::Only(streams.into_vec()),
        },
        expires: Some(expires),
        basis,
        besides: Vec::new(),
    })
}

type ParsedKey = (Option<String>, Algorithm, DecodingKey);

fn of_set(file: &[u8]) -> Result<Vec<ParsedKey>, KeysError> {
    let malformed = |error: &dyn fmt::Display| KeysError::Malformed(error.to_string());
    let set: JwkSet = serde_json::from_slice(file).map_err(|error| malformed(&error))?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        let Some(algorithm) = algorithm_of(jwk) else {
            continue;
        };
        let key = DecodingKey::from_jwk(jwk).map_err(|error| malformed(&error))?;
        if let (AlgorithmParameters::OctetKey(_), DecodingKeyKind::SecretOrDer(secret)) =
            (&jwk.algorithm, key.kind())
            && secret.len() < SHORTEST_SECRET
        {
            return Err(KeysError::Short);
        }
        keys.push((jwk.common.key_id.clone(), algorithm, key));
    }
    match keys.len() {
        0 => Err(KeysError::None),
        1..=MOST => Ok(keys),
        _ => Err(KeysError::TooMany),
    }
}

/// The one algorithm that a key is for: what it says, if that fits what it is; if it says nothing, the commonest. Sets
/// also hold keys for other uses; those are left out.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    let is_for_signatures = jwk.common.public_key_use.as_ref();
    if is_for_signatures.is_some_and(|of| *of != PublicKeyUse::Signature) {
        return None;
    }
    let usual = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            return said(jwk, Algorithm::EdDSA).filter(|said| *said == Algorithm::EdDSA);
        }
        AlgorithmParameters::EllipticCurve(curve) => {
            let only = match curve.curve {
                EllipticCurve::P256 => Algorithm::ES256,
                EllipticCurve::P384 => Algorithm::ES384,
                _ => return None,
            };
            return said(jwk, only).filter(|said| *said == only);
        }
        _ => return None,
    };
    said(jwk, usual).filter(|said| said.family() == usual.family())
}

fn said(jwk: &Jwk, usual: Algorithm) -> Option<Algorithm> {
    match jwk.common.key_algorithm {
        None => Some(usual),
        Some(said) => <Algorithm as TryFrom<KeyAlgorithm>>::try_from(said).ok(),
    }
}

fn of_pem(file: &[u8]) -> Result<ParsedKey, KeysError> {
    let text =
        std::str::from_utf8(file).map_err(|error| KeysError::Malformed(error.to_string()))?;
    if text.contains("PRIVATE KEY") {
        return Err(KeysError::Private);
    }
    if let Ok(key) = DecodingKey::from_rsa_pem(file) {
        return Ok((None, Algorithm::RS256, key));
    }
    if let Ok(key) = DecodingKey::from_ed_pem(file) {
        return Ok((None, Algorithm::EdDSA, key));
    }
    let key =
        DecodingKey::from_ec_pem(file).map_err(|error| KeysError::Malformed(error.to_string()))?;
    // An uncompressed point: a byte and two coordinates (SEC 1, 2.3.3).
    match key.try_get_as_bytes().map(<[u8]>::len) {
        Ok(65) => Ok((None, Algorithm::ES256, key)),
        Ok(97) => Ok((None, Algorithm::ES384, key)),
        _ => Err(KeysError::None),
    }
}

#[cfg(test)]
mod tests;
