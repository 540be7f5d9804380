//! What proves a STUN message of an ICE session (RFC 8445, 5.3).

use std::fmt;

/// ICE credentials of our side (RFC 8445, 5.3: 24 and 128 bits at least).
#[derive(Clone)]
pub struct Credentials {
    /// Names the session in STUN requests.
    pub ufrag: String,
    /// Proves that the sender knows the answer.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
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
