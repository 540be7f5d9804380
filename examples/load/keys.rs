//! The SRTP keys of a session, noted while the WebRTC stack learns them from its DTLS handshake.
//!
//! With them a viewer reports to the server and reads the server's reports by itself, so that the stack need not see
//! the media. Reports of ours have a source of their own: no nonce is ever used twice, though the stack has the same keys.

use dimpl::{Config, Dtls};
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::RingProvider;
use rtc::shared::error::Error;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use str0m::config::DtlsVersion;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

thread_local! {
    /// A stack is polled on one thread, and its keys are taken before the next one is polled.
    static LAST: RefCell<Option<Keys>> = const { RefCell::new(None) };
}

/// What a handshake yielded.
pub struct Keys {
    material: Vec<u8>,
    profile: ProtectionProfile,
    is_client: bool,
}

/// The two directions of a session.
pub struct Contexts {
    pub outgoing: Context,
    pub incoming: Context,
}

impl Keys {
    /// Those of the stack that was polled last on this thread, if its handshake has just yielded them.
    pub fn take() -> Option<Self> {
        LAST.take()
    }

    /// The negotiated profile, as RFC 7714 and RFC 5764 name it.
    pub const fn profile(&self) -> &'static str {
        match self.profile {
            ProtectionProfile::AeadAes128Gcm => "AEAD_AES_128_GCM",
            ProtectionProfile::AeadAes256Gcm => "AEAD_AES_256_GCM",
            _ => "AES128_CM_HMAC_SHA1_80",
        }
    }

    /// Cuts the material as RFC 5764, 4.2 has it: both keys, both salts, the client's first.
    pub fn contexts(&self) -> Result<Contexts, Error> {
        static CRYPTO: LazyLock<RingProvider> = LazyLock::new(RingProvider::new);
        let (key, salt) = (self.profile.key_len(), self.profile.salt_len());
        if self.material.len() < 2 * (key + salt) {
            return Err(Error::Other("too little keying material".to_owned()));
        }
        let (keys, salts) = self.material.split_at(2 * key);
        let context = |of_client: bool| {
            let at = usize::from(!of_client);
            let key = &keys[at * key..][..key];
            let salt = &salts[at * salt..][..salt];
            Context::new(key, salt, self.profile, None, None, CRYPTO.crypto())
        };
        Ok(Contexts {
            outgoing: context(self.is_client)?,
            incoming: context(!self.is_client)?,
        })
    }
}

/// The stack's cryptography, with its DTLS listened to.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        dtls_provider: &Tap,
        ..from_feature_flags()
    })
}

/// Makes the same DTLS as the stack's own provider, but from one configuration: the making of each tests all
/// cryptography, for a millisecond.
#[derive(Debug)]
struct Tap;

impl DtlsProvider for Tap {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
            let config = Config::builder().use_server_cookie(false).build();
            Arc::new(config.expect("defaults are valid"))
        });
        let dtls = Dtls::new_12(CONFIG.clone(), cert.clone(), now);
        Ok(Box::new(Tapped(dtls)))
    }
}

#[derive(Debug)]
struct Tapped(Dtls);

impl DtlsInstance for Tapped {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.0.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            let profile = match profile {
                SrtpProfile::AEAD_AES_128_GCM => ProtectionProfile::AeadAes128Gcm,
                SrtpProfile::AEAD_AES_256_GCM => ProtectionProfile::AeadAes256Gcm,
                // The only other one that the stack offers.
                _ => ProtectionProfile::Aes128CmHmacSha1_80,
            };
            LAST.set(Some(Keys {
                material: material.to_vec(),
                profile,
                is_client: self.0.is_active(),
            }));
        }
        output
    }

    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[cfg(test)]
impl Keys {
    /// Those of a client and its server.
    pub fn pair() -> [Self; 2] {
        [true, false].map(|is_client| Self {
            material: (0..56).collect(),
            profile: ProtectionProfile::AeadAes128Gcm,
            is_client,
        })
    }
}
