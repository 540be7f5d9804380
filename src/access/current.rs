//! A secret in use: a change of its file is taken up without a restart, and a change that can't be read closes what it is for.

use super::judge::JwtKeys;
use super::secrets::Secret;
use crate::base::file_stamps::Watched;
use crate::base::state_dir::StateDir;
use std::fs;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the secret of before is good while the changed file can't be read: it may have been changed to take that away.
const GOOD_AFTER_CHANGE: Duration = Duration::from_secs(60);

/// Where a secret is read.
pub(super) trait Origin {
    /// Its type.
    type Secret: Clone;

    /// Its file.
    fn watched(&self) -> Watched;
    /// The file's content.
    ///
    /// # Errors
    /// The reason why it can't be used, with the cure.
    fn read(&self) -> Result<Self::Secret, String>;
    /// A substitute while the file can't be used. No secret that was handed out opens anything by it.
    fn instead(&self) -> Self::Secret;
}

/// A file of the state directory.
pub(super) struct InState<S> {
    state: Arc<StateDir>,
    secret: PhantomData<fn() -> S>,
}

impl<S> InState<S> {
    /// In that directory.
    pub const fn new(state: Arc<StateDir>) -> Self {
        Self {
            state,
            secret: PhantomData,
        }
    }
}

impl<S: Secret> Origin for InState<S> {
    type Secret = S;

    fn watched(&self) -> Watched {
        Watched::state(self.state.clone(), S::FILE)
    }

    fn read(&self) -> Result<S, String> {
        S::load(&self.state).map_err(|error| error.to_string())
    }

    fn instead(&self) -> S {
        S::obtain(&self.state)
    }
}

/// The file with an issuer's keys.
pub(super) struct JwtFile {
    pub path: PathBuf,
    pub audience: Option<String>,
    pub issuer: Option<String>,
}

impl Origin for JwtFile {
    type Secret = JwtKeys;

    fn watched(&self) -> Watched {
        Watched::paths(vec![self.path.clone()])
    }

    fn read(&self) -> Result<JwtKeys, String> {
        let path = self.path.display();
        let file = fs::read(&self.path).map_err(|error| format!("{path}: can't be read: {error}"));
        let keys = JwtKeys::parse(&file?, self.audience.as_deref(), self.issuer.as_deref());
        keys.map_err(|error| format!("{path}: {error}"))
    }

    fn instead(&self) -> JwtKeys {
        JwtKeys::default()
    }
}

/// A secret in use.
pub(super) struct Current<O: Origin> {
    origin: O,
    value: O::Secret,
    watched: Watched,
    /// The value is not the file's.
    is_instead: bool,
}

impl<O: Origin> Current<O> {
    /// Reads the file.
    ///
    /// # Errors
    /// The reason why it can't be used.
    pub fn open(origin: O) -> Result<Self, String> {
        let mut watched = origin.watched();
        let change = watched.change();
        let value = origin.read()?;
        change.into_iter().for_each(|change| watched.taken(change));
        Ok(Self {
            origin,
            value,
            watched,
            is_instead: false,
        })
    }

    /// Reads the file, or makes a substitute; a later change is taken up either way.
    pub fn start(origin: O, now: Instant) -> Self {
        let mut watched = origin.watched();
        let change = watched.change();
        let read = origin.read();
        let is_instead = read.is_err();
        let value = match read {
            Ok(value) => {
                change.into_iter().for_each(|change| watched.taken(change));
                value
            }
            Err(reason) => {
                // `instead` logs it.
                watched.failed(&reason, now);
                origin.instead()
            }
        };
        Self {
            origin,
            value,
            watched,
            is_instead,
        }
    }

    /// The value to judge by.
    pub const fn value(&self) -> &O::Secret {
        &self.value
    }

    /// Uses another until the file changes.
    pub fn replace(&mut self, value: O::Secret) {
        self.value = value;
    }

    /// Takes up a change of the file; whether the value may be another now.
    pub fn refresh(&mut self, now: Instant) -> bool {
        let Some(change) = self.watched.change() else {
            return false;
        };
        let reason = match self.origin.read() {
            Ok(value) => {
                self.watched.taken(change);
                (self.value, self.is_instead) = (value, false);
                return true;
            }
            Err(reason) => reason,
        };
        let failure = self.watched.failed(&reason, now);
        if failure.is_new {
            tracing::error!(
                "a changed secret can't be read, so the old one stays valid for up to a minute: {reason}"
            );
        }
        let is_over = failure.lasts >= GOOD_AFTER_CHANGE && !self.is_instead;
        if is_over {
            tracing::error!(
                "a changed secret could not be read for a minute, so the old one is no longer valid: {reason}"
            );
            (self.value, self.is_instead) = (self.origin.instead(), true);
        }
        is_over
    }
}
