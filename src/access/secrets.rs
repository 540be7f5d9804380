//! The secrets of the state directory, as the daemon and its commands share them.

use super::AccessError;
use super::judge::{Ledger, ShareKey, Token};
use crate::base::state_dir::{StateDir, StateError};
use std::convert::Infallible;

/// A secret in a file of the state directory. A lost one is made anew, and nothing that was handed out opens anything by the new one.
pub(super) trait Secret: Clone {
    /// The name of the file.
    const FILE: &'static str;
    /// The consequence of its loss, for the log.
    const LOST: &'static str;

    /// Reads the file's content, or says why that can't be.
    fn parse(file: &[u8]) -> Result<Self, String>;
    /// A new one, and the content of its file.
    fn make() -> (Self, Vec<u8>);

    /// The one in the directory; made if it is not there.
    ///
    /// # Errors
    /// When the file can't be read or written, or is damaged.
    fn load(state: &StateDir) -> Result<Self, StateError> {
        state.find_or_make(Self::FILE, Self::parse, Self::make)
    }

    /// For a daemon, which serves whatever is wrong with the file, and says so.
    fn obtain(state: &StateDir) -> Self {
        let make = || Ok::<_, Infallible>(Self::make());
        let Ok(obtained) = state.obtain(Self::FILE, Self::parse, make);
        if let Some(trouble) = obtained.trouble {
            tracing::error!("{}: {trouble}", Self::LOST);
        }
        obtained.value
    }
}

impl Secret for Token {
    const FILE: &'static str = "token";
    const LOST: &'static str =
        "the token is a new one; links and cookies with the old one no longer work";

    fn parse(file: &[u8]) -> Result<Self, String> {
        Self::parse(file).map_err(|error| error.to_string())
    }

    fn make() -> (Self, Vec<u8>) {
        let token = Self::generate();
        let file = line(token.reveal());
        (token, file)
    }
}

impl Secret for ShareKey {
    const FILE: &'static str = "share.key";
    const LOST: &'static str =
        "the key of shared links is a new one; links that were shared no longer work";

    fn parse(file: &[u8]) -> Result<Self, String> {
        Self::parse(file).map_err(|error| error.to_string())
    }

    fn make() -> (Self, Vec<u8>) {
        let material = Self::material();
        (Self::new(&material), line(&Self::to_file(&material)))
    }
}

impl Secret for Ledger {
    const FILE: &'static str = "shares.json";
    const LOST: &'static str =
        "the list of shared links is lost; links that were shared no longer work";

    fn parse(file: &[u8]) -> Result<Self, String> {
        Self::parse(file).map_err(|error| error.to_string())
    }

    fn make() -> (Self, Vec<u8>) {
        let ledger = Self::default();
        let file = ledger.to_file();
        (ledger, file)
    }
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

/// For the daemon's commands.
pub struct Secrets {
    /// Allows everything.
    pub token: Token,
    /// Signs links.
    pub key: ShareKey,
    /// The links.
    pub shares: Ledger,
}

impl Secrets {
    /// Reads the directory's secrets, and makes those that are missing.
    ///
    /// # Errors
    /// When a file can't be read, written or understood.
    pub fn load(state: &StateDir) -> Result<Self, AccessError> {
        Ok(Self {
            token: Secret::load(state)?,
            key: Secret::load(state)?,
            shares: Secret::load(state)?,
        })
    }

    /// Writes the list of links.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn keep_shares(&self, state: &StateDir) -> Result<(), AccessError> {
        Ok(state.write(Ledger::FILE, &self.shares.to_file())?)
    }

    /// Replaces the token: the links and cookies with the old one open nothing any more.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn renew_token(&mut self, state: &StateDir) -> Result<(), AccessError> {
        let (token, file) = Token::make();
        state.write(Token::FILE, &file)?;
        self.token = token;
        Ok(())
    }
}

/// Takes the links that have expired at `now`, in seconds since 1970, out of the list on disk.
///
/// # Errors
/// The reason, with its cure.
pub(super) fn forget(state: &StateDir, now: u64) -> Result<(), String> {
    let forget = || {
        let state = state.writing()?;
        let mut ledger = state
            .find(Ledger::FILE, <Ledger as Secret>::parse)?
            .unwrap_or_default();
        if ledger.forget(now) {
            state.write(Ledger::FILE, &ledger.to_file())?;
        }
        Ok(())
    };
    forget().map_err(|error: StateError| error.to_string())
}
