//! The unguessable name of a session.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

/// The name of a session in URLs: 128 random bits in hexadecimal digits. The name is the permission to change and to end the session
/// (RFC 9725, 5), so no log has it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(String);

impl SessionId {
    /// A name that nobody can guess.
    pub fn generate() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }
}

impl From<&str> for SessionId {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl Deref for SessionId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SessionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_shown() {
        let id = SessionId::generate();
        assert_eq!(id.len(), 32);
        assert!(!format!("{id:?}").contains(&*id));
    }
}
