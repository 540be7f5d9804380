//! The credentials of one side of an ICE session (RFC 8445, 5.3). They prove STUN messages.

use std::fmt;

/// The user name fragment and the password of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Names the session in STUN requests.
    pub ufrag: String,
    /// Proves that the sender of a message knows the offer or the answer.
    pub password: IcePassword,
}

/// An ICE password, which the log never shows.
#[derive(Clone, PartialEq, Eq)]
pub struct IcePassword(String);

impl Credentials {
    /// Credentials that nobody can guess: 64 and 128 random bits, where RFC 8445, 5.3 wants 24 and 128.
    pub fn generate() -> Self {
        Self::new(
            format!("{:016x}", rand::random::<u64>()),
            format!("{:032x}", rand::random::<u128>()),
        )
    }

    /// Credentials of these two parts.
    pub fn new(ufrag: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            ufrag: ufrag.into(),
            password: IcePassword(password.into()),
        }
    }
}

impl IcePassword {
    /// The password itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IcePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IcePassword(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let credentials = Credentials::new("abcd", "secret");
        let shown = format!("{credentials:?} {credentials:#?}");
        assert!(
            shown.contains("abcd") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
