//! Signatures of JSON Web Tokens by ring, the one crypto library of the daemon, for `jsonwebtoken`, which has others.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::{hmac, signature as sign};

/// Verifies only: nothing here makes such tokens.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Ring {
            algorithm: *algorithm,
            key: key.clone(),
        }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has `jsonwebtoken` use ring, in the whole process.
pub fn install() {
    // It was done before, by another instance of the daemon in a test.
    let _ = PROVIDER.install_default();
}

struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.check(message, signature).map_err(Error::from_source)
    }
}

impl Ring {
    fn check(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let wrong = |_| ErrorKind::InvalidSignature.into();
        match algorithm(self.algorithm)? {
            How::Hmac(digest) => {
                let key = hmac::Key::new(digest, self.key.try_get_as_bytes()?);
                hmac::verify(&key, message, signature).map_err(wrong)
            }
            How::Rsa(parameters) => match self.key.kind() {
                DecodingKeyKind::RsaModulusExponent { n, e } => {
                    let key = sign::RsaPublicKeyComponents { n, e };
                    key.verify(parameters, message, signature).map_err(wrong)
                }
                DecodingKeyKind::SecretOrDer(der) => sign::UnparsedPublicKey::new(parameters, der)
                    .verify(message, signature)
                    .map_err(wrong),
            },
            How::Curve(curve) => sign::UnparsedPublicKey::new(curve, self.key.try_get_as_bytes()?)
                .verify(message, signature)
                .map_err(wrong),
        }
    }
}

enum How {
    Hmac(hmac::Algorithm),
    Rsa(&'static sign::RsaParameters),
    Curve(&'static dyn sign::VerificationAlgorithm),
}

/// RFC 7518, 3.1, and RFC 8037, 3.1.
fn algorithm(algorithm: Algorithm) -> Result<How> {
    Ok(match algorithm {
        Algorithm::HS256 => How::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => How::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => How::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => How::Rsa(&sign::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => How::Rsa(&sign::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => How::Rsa(&sign::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => How::Rsa(&sign::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => How::Rsa(&sign::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => How::Rsa(&sign::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => How::Curve(&sign::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => How::Curve(&sign::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => How::Curve(&sign::ED25519),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    })
}
