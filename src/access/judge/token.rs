//! The daemon's own token: one secret that allows everything.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use subtle::ConstantTimeEq;

/// Bytes of randomness: 192 bits, which nobody guesses at any rate.
const RANDOM: usize = 24;
/// Characters that a token must have at the least and may have at the most.
const LENGTH: std::ops::RangeInclusive<usize> = 22..=256;

/// Why a text is no token.
#[derive(Debug, thiserror::Error)]
#[error("the file does not hold a token: one line of 22 to 256 characters out of a-z A-Z 0-9 - _")]
pub struct TokenError;

/// The secret. It does not show itself in logs.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one out of the system's randomness.
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM]>()))
    }

    /// Reads one from its file.
    ///
    /// # Errors
    /// When it is short enough to be guessed, or could not stand in a URL as it is.
    pub fn parse(file: &[u8]) -> Result<Self, TokenError> {
        let text = std::str::from_utf8(file).map_err(|_| TokenError)?.trim();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if LENGTH.contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TokenError)
        }
    }

    /// The secret itself, for the file and for links.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on the length only, which is no secret.
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_is_only_itself() {
        let token = Token::generate();
        let file = format!("{}\n", token.reveal());
        let read = Token::parse(file.as_bytes()).unwrap();
        assert!(read.is(token.reveal()));
        assert!(!read.is(Token::generate().reveal()));
        assert!(!read.is("") && !read.is(&token.reveal()[1..]) && !read.is(&file));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn what_could_be_guessed_or_would_not_fit_a_url_is_no_token() {
        for bad in [
            "",
            "secret",
            "a b c d e f g h i j k l m n",
            "ä",
            &"x".repeat(257),
        ] {
            assert!(Token::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Token::parse(b"\xff\xff").is_err());
    }
}
