//! Links to share: signed, so that they can't be changed or made up; expiring; and each with an entry in a ledger, so
//! that it can be taken back.
//!
//! The text of a link's token is `s.ID.EXPIRY.SCOPES.STREAM[.STREAM…].MAC`, in characters that no URL, header or cookie
//! has to quote: the expiry in seconds since 1970, the scopes as letters, no stream for all of them, and HMAC-SHA256
//! (RFC 2104) of all before it, base64url.

use super::{Basis, Flaw, Grant, KeyPrint, Scopes, Streams};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::fmt;

const KEY: usize = 32;
/// What a link's token may be long, so that a long text costs no hashing.
const LONGEST: usize = 4096;
/// Links that can exist at a time.
const MOST: usize = 10_000;

/// A link to share, but for its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Names it, in lists and logs; no secret.
    pub id: String,
    /// Seconds since 1970.
    pub expires: u64,
    /// What it allows, as letters.
    pub scopes: String,
    /// For which streams; none means all.
    pub streams: Vec<String>,
    /// For whom, as the user says. It stands in the ledger only, not in the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was made, in seconds since 1970. It stands in the ledger only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<u64>,
}

impl Share {
    /// A new one.
    pub fn new(scopes: Scopes, streams: Vec<String>, expires: u64) -> Self {
        Self {
            id: format!("{:08x}", rand::random::<u32>()),
            expires,
            scopes: scopes.letters(),
            streams,
            name: None,
            made: None,
        }
    }

    /// The same, as it stands in the ledger: made at `now`, in seconds since 1970, perhaps for somebody.
    #[must_use]
    pub fn made_for(self, name: Option<String>, now: u64) -> Self {
        Self {
            name,
            made: Some(now),
            ..self
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("s.")?.split('.');
        let share = Self {
            id: parts.next()?.to_owned(),
            expires: parts.next()?.parse().ok()?,
            scopes: parts.next()?.to_owned(),
            streams: parts.map(str::to_owned).collect(),
            name: None,
            made: None,
        };
        Scopes::of_letters(&share.scopes).map(|_| share)
    }

    fn text(&self) -> String {
        let mut text = format!("s.{}.{}.{}", self.id, self.expires, self.scopes);
        for stream in &self.streams {
            text.push('.');
            text.push_str(stream);
        }
        text
    }

    /// Whether both say the same in a link.
    fn is_same_link(&self, other: &Self) -> bool {
        (&self.id, self.expires, &self.scopes, &self.streams)
            == (&other.id, other.expires, &other.scopes, &other.streams)
    }

    /// What it allows, signed by that key.
    pub fn grant(self, key: KeyPrint) -> Grant {
        Grant {
            scopes: Scopes::of_letters(&self.scopes).unwrap_or_default(),
            streams: if self.streams.is_empty() {
                Streams::All
            } else {
                Streams::Only(self.streams.clone())
            },
            expires: Some(self.expires),
            basis: Basis::Share { share: self, key },
            besides: Vec::new(),
        }
    }
}

/// Signs links.
#[derive(Clone)]
pub struct ShareKey {
    key: hmac::Key,
    print: KeyPrint,
}

impl ShareKey {
    /// Material for a new one, from the system's randomness.
    pub fn material() -> [u8; KEY] {
        rand::random()
    }

    /// The key of that material.
    pub fn new(material: &[u8; KEY]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, material),
            print: KeyPrint::of(&[material]),
        }
    }

    /// Tells it from another.
    pub const fn print(&self) -> KeyPrint {
        self.print
    }

    /// The key whose material stands in a file, base64url.
    ///
    /// # Errors
    /// [`LedgerError::Key`].
    pub fn parse(file: &[u8]) -> Result<Self, LedgerError> {
        let material = URL_SAFE_NO_PAD.decode(file.trim_ascii());
        let material = material.ok().and_then(|material| material.try_into().ok());
        material
            .map(|material| Self::new(&material))
            .ok_or(LedgerError::Key)
    }

    /// What [`ShareKey::parse`] reads.
    pub fn to_file(material: &[u8; KEY]) -> String {
        URL_SAFE_NO_PAD.encode(material)
    }

    /// The token that stands in a link.
    pub fn sign(&self, share: &Share) -> String {
        let text = share.text();
        let mac = hmac::sign(&self.key, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// What a token says, if this key signed it. The ledger and the clock are still to be asked.
    ///
    /// # Errors
    /// [`Flaw::Unknown`].
    pub fn verify(&self, token: &str) -> Result<Share, Flaw> {
        let verified = || {
            let (text, mac) = (token.len() <= LONGEST).then(|| token.rsplit_once('.'))??;
            let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
            // In constant time.
            hmac::verify(&self.key, text.as_bytes(), &mac).ok()?;
            Share::read(text)
        };
        verified().ok_or(Flaw::Unknown)
    }
}

impl fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareKey(…)")
    }
}

/// Why the ledger is not changed, or can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LedgerError {
    /// It has `MOST` links.
    #[error("there are {MOST} links already; revoke some, or let them expire")]
    Full,
    /// There is one of that name.
    #[error(
        "a link named {0:?} exists already; revoke it first (`fanlight share --revoke {1}`), or choose another name"
    )]
    Named(String, String),
    /// There is none of that id or name.
    #[error("there is no link {0}; `fanlight share --list` shows the valid links")]
    Unknown(String),
    /// The key's file is not one of ours.
    #[error("the file does not hold a key of 32 bytes")]
    Key,
    /// The file is not one of ours.
    #[error("the file is not a list of links: {0}")]
    Malformed(String),
}

/// The links that were made and neither expired nor revoked. A link that is not in it is worth nothing, so that a lost
/// ledger revokes all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger(Vec<Share>);

impl Ledger {
    /// Reads its file.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`].
    pub fn parse(file: &[u8]) -> Result<Self, LedgerError> {
        serde_json::from_slice(file).map_err(|error| LedgerError::Malformed(error.to_string()))
    }

    /// The content of its file.
    pub fn to_file(&self) -> Vec<u8> {
        // Only maps with keys that are not strings fail, and nothing here has such.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Every link, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Share> {
        self.0.iter()
    }

    /// Adds a link, and forgets those that have expired at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Named`].
    pub fn add(&mut self, share: Share, now: u64) -> Result<(), LedgerError> {
        self.forget(now);
        if self.0.len() >= MOST {
            return Err(LedgerError::Full);
        }
        if let Some(name) = &share.name
            && let Some(same) = self
                .0
                .iter()
                .find(|other| other.name.as_ref() == Some(name))
        {
            return Err(LedgerError::Named(name.clone(), same.id.clone()));
        }
        self.0.push(share);
        Ok(())
    }

    /// Forgets the links that have expired at `now`, in seconds since 1970: they stay expired when the clock is set back.
    /// Whether there were any.
    pub fn forget(&mut self, now: u64) -> bool {
        let before = self.0.len();
        self.0.retain(|share| share.expires > now);
        self.0.len() < before
    }

    /// Whether [`forget`](Self::forget) would forget a link.
    pub fn has_expired(&self, now: u64) -> bool {
        self.0.iter().any(|share| share.expires <= now)
    }

    /// Revokes the link of that id, or else of that name, and returns it.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`].
    pub fn revoke(&mut self, id_or_name: &str) -> Result<Share, LedgerError> {
        let position = |is_it: &dyn Fn(&Share) -> bool| self.0.iter().position(is_it);
        let at = position(&|share| share.id == id_or_name)
            .or_else(|| position(&|share| share.name.as_deref() == Some(id_or_name)))
            .ok_or_else(|| LedgerError::Unknown(id_or_name.to_owned()))?;
        Ok(self.0.remove(at))
    }

    /// The entry of a link whose signature is good and that may be used at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, share: &Share, now: u64) -> Result<&Share, Flaw> {
        if now >= share.expires {
            return Err(Flaw::Expired);
        }
        let mut entries = self.0.iter();
        entries
            .find(|kept| kept.is_same_link(share))
            .ok_or(Flaw::Revoked)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Scope, Target};
    use super::*;
    use proptest::prelude::*;

    fn key() -> ShareKey {
        ShareKey::new(&[7; KEY])
    }

    fn view(streams: &[&str]) -> Share {
        let streams = streams.iter().map(|name| (*name).to_owned()).collect();
        Share::new(Scopes::from_iter([Scope::View]), streams, 1000)
    }

    #[test]
    fn a_link_is_good_until_it_expires_or_is_revoked() {
        let (key, share) = (key(), view(&["cam"]));
        let token = key.sign(&share);
        let read = key.verify(&token).unwrap();
        assert_eq!(read, share);
        let mut ledger = Ledger::default();
        assert_eq!(ledger.admits(&read, 5), Err(Flaw::Revoked));
        ledger.add(share.clone(), 5).unwrap();
        assert_eq!(ledger.admits(&read, 999), Ok(&share));
        assert_eq!(ledger.admits(&read, 1000), Err(Flaw::Expired));
        let mut ledger = Ledger::parse(&ledger.to_file()).unwrap();
        ledger.revoke(&share.id).unwrap();
        assert_eq!(ledger.admits(&read, 5), Err(Flaw::Revoked));
        let unknown = LedgerError::Unknown(share.id.clone());
        assert_eq!(ledger.revoke(&share.id), Err(unknown));
    }

    #[test]
    fn a_link_is_named_in_the_ledger_alone_and_ledgers_without_names_are_read() {
        let (key, share) = (key(), view(&["cam"]));
        let named = share.clone().made_for(Some("grandma".to_owned()), 5);
        assert_eq!(key.sign(&named), key.sign(&share));
        let mut ledger = Ledger::default();
        ledger.add(named.clone(), 5).unwrap();
        let mut ledger = Ledger::parse(&ledger.to_file()).unwrap();
        assert_eq!(ledger.iter().next(), Some(&named));
        let read = key.verify(&key.sign(&named)).unwrap();
        assert_eq!(ledger.admits(&read, 5), Ok(&named));
        let other = view(&[]).made_for(Some("grandma".to_owned()), 6);
        let taken = LedgerError::Named("grandma".to_owned(), named.id.clone());
        assert_eq!(ledger.add(other.clone(), 6), Err(taken));
        assert_eq!(ledger.revoke("grandma"), Ok(named));
        assert_eq!(ledger.admits(&read, 5), Err(Flaw::Revoked));
        ledger.add(other, 6).unwrap();

        let old = br#"[{"id":"0000002a","expires":1000,"scopes":"v","streams":["cam"]}]"#;
        let old = Ledger::parse(old).unwrap();
        let first = old.iter().next().unwrap();
        assert_eq!((&first.name, first.made), (&None, None));
        assert_eq!(
            old.admits(&key.verify(&key.sign(first)).unwrap(), 5),
            Ok(first)
        );
        assert!(!String::from_utf8(old.to_file()).unwrap().contains("name"));
    }

    #[test]
    fn the_ledger_forgets_what_has_expired_and_has_an_end() {
        let mut ledger = Ledger::default();
        for _ in 0..MOST {
            ledger.add(view(&[]), 999).unwrap();
        }
        assert_eq!(ledger.add(view(&[]), 999), Err(LedgerError::Full));
        ledger.add(view(&[]), 1000).unwrap();
        assert_eq!(ledger.iter().count(), 1);
        assert!(Ledger::parse(b"{").is_err());
    }

    #[test]
    fn what_a_link_says_is_what_it_grants() {
        let some = view(&["cam", "door"]).grant(key().print());
        assert!(some.allows(Scope::View, Target::Stream("door")));
        assert!(
            !some.allows(Scope::View, Target::Stream("attic"))
                && !some.allows(Scope::View, Target::Daemon)
        );
        assert!(!some.allows(Scope::Admin, Target::Stream("cam")));
        assert!(
            view(&[])
                .grant(key().print())
                .allows(Scope::View, Target::Daemon)
        );
    }

    #[test]
    fn another_key_knows_nothing_of_it() {
        let other = ShareKey::new(&[8; KEY]);
        let token = other.sign(&view(&["cam"]));
        assert_eq!(key().verify(&token), Err(Flaw::Unknown));
        let file = ShareKey::to_file(&[7; KEY]) + "\n";
        let token = key().sign(&view(&[]));
        assert!(
            ShareKey::parse(file.as_bytes())
                .unwrap()
                .verify(&token)
                .is_ok()
        );
        for bad in ["", &file[1..], "ä"] {
            assert!(ShareKey::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_link_that_was_changed_is_no_link(at: prop::sample::Index, put in "[ -~]") {
            let token = key().sign(&view(&["cam"]));
            let at = at.index(token.len());
            let changed = format!("{}{put}{}", &token[..at], &token[at + 1..]);
            prop_assume!(changed != token);
            // The last letter of a MAC has two bits of no meaning, and those must be zero.
            prop_assert_eq!(key().verify(&changed), Err(Flaw::Unknown));
        }

        #[test]
        fn no_text_is_a_link(text in "(s\\.)?\\PC{0,80}") {
            prop_assert_eq!(key().verify(&text), Err(Flaw::Unknown));
        }
    }
}
