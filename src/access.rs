//! The secrets that decide who may watch: on disk, made at the first start, and in use, where a change of the files is
//! taken up without a restart. `auth/` decides.

use crate::addresses::client;
use crate::auth::{
    Failures, Flaw, Grant, Guard, JwtKeys, Ledger, Now, Policy, Proof, Refusal, Request, Scope,
    ShareKey, Target, Token,
};
use crate::config::{Auth, AuthMode};
use crate::metrics;
use crate::state::{State, StateError};
use crate::watched::Watched;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The files in the state directory.
const TOKEN: &str = "token";
const SHARE_KEY: &str = "share.key";
const SHARES: &str = "shares.json";

/// How long a change of a file may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The state directory is at fault.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file can't be used; the sentence ends with the cure.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
}

/// What the daemon and its commands share of secrets.
pub struct Secrets {
    /// Allows everything.
    pub token: Token,
    /// Signs links.
    pub key: ShareKey,
    /// The links.
    pub shares: Ledger,
}

impl Secrets {
    /// Those in the directory; what is not there yet is made.
    ///
    /// # Errors
    /// When a file can't be read, written or understood.
    pub fn load(state: &State) -> Result<Self, AccessError> {
        let token = kept(state, TOKEN, || Token::generate().reveal().to_owned())?;
        let key = kept(
            state,
            SHARE_KEY,
            || ShareKey::to_file(&ShareKey::material()),
        )?;
        let shares = match state.read(SHARES)? {
            Some(file) => Ledger::parse(&file).map_err(|error| at(state, SHARES, error))?,
            None => Ledger::default(),
        };
        Ok(Self {
            token: Token::parse(&token).map_err(|error| at(state, TOKEN, error))?,
            key: ShareKey::parse(&key).map_err(|error| at(state, SHARE_KEY, error))?,
            shares,
        })
    }

    /// Writes the list of links.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn keep_shares(&self, state: &State) -> Result<(), AccessError> {
        Ok(state.write(SHARES, &self.shares.to_file())?)
    }

    /// Replaces the token: whoever had it needs the new one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn renew_token(&mut self, state: &State) -> Result<(), AccessError> {
        self.token = Token::generate();
        Ok(state.write(TOKEN, format!("{}\n", self.token.reveal()).as_bytes())?)
    }

    /// For a daemon that can keep nothing: nobody will ever know them.
    fn forgotten() -> Self {
        Self {
            token: Token::generate(),
            key: ShareKey::new(&ShareKey::material()),
            shares: Ledger::default(),
        }
    }

    fn proof(self) -> Proof {
        Proof::Token {
            token: self.token,
            key: self.key,
            shares: self.shares,
        }
    }
}

/// A secret of one line, made if it is not there.
fn kept(state: &State, name: &str, make: impl Fn() -> String) -> Result<Vec<u8>, AccessError> {
    if let Some(file) = state.read(name)? {
        return Ok(file);
    }
    let made = format!("{}\n", make()).into_bytes();
    state.write(name, &made)?;
    Ok(made)
}

fn at(state: &State, name: &str, reason: impl ToString) -> AccessError {
    AccessError::File {
        path: state.path(name),
        reason: reason.to_string(),
    }
}

/// Why a request is refused, and how long its address has to wait if that happens too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub refusal: Refusal,
    /// Too many failures: only after this time the next one is told why.
    pub wait: Option<Duration>,
}

/// Who may watch, as long as the daemon runs.
pub struct Access {
    auth: Auth,
    policy: Policy,
    state: Option<Arc<State>>,
    inner: Mutex<Inner>,
    failures: Mutex<Failures>,
    metrics: metrics::Auth,
}

struct Inner {
    guard: Arc<Guard>,
    watched: Watched,
    looked: Instant,
}

impl Access {
    /// Reads the secrets, and makes those that are not there yet.
    ///
    /// # Errors
    /// When a file can't be read, written or understood.
    pub fn start(
        auth: &Auth,
        policy: Policy,
        state: Option<Arc<State>>,
        metrics: metrics::Auth,
    ) -> Result<Self, AccessError> {
        if auth.mode == AuthMode::Token && state.is_none() {
            tracing::warn!(
                "the token can't be kept, so each start makes a new one, which is told on a terminal only"
            );
        }
        let mut watched = Watched::new(files(auth, state.as_deref()));
        watched.note();
        let guard = Guard {
            proof: proof(auth, state.as_deref())?,
            policy: policy.clone(),
        };
        Ok(Self {
            auth: auth.clone(),
            policy,
            inner: Mutex::new(Inner {
                guard: Arc::new(guard),
                watched,
                looked: Instant::now(),
            }),
            state,
            failures: Mutex::default(),
            metrics,
        })
    }

    /// Whether the request may use `scope` on `target`.
    ///
    /// # Errors
    /// Why not. What proves nothing is counted and logged, without what it was.
    pub fn judge(
        &self,
        request: &Request<'_>,
        scope: Scope,
        target: Target<'_>,
        now: Now,
    ) -> Result<Grant, Denial> {
        let mut judged = self.guard(now.instant).judge(request, scope, target, now);
        // A link that was made a moment ago.
        if judged == Err(Refusal::Invalid(Flaw::Revoked)) && self.look(now.instant) {
            judged = self.guard(now.instant).judge(request, scope, target, now);
        }
        judged.map_err(|refusal| Denial {
            refusal,
            wait: self.note(refusal, request.peer, now.instant),
        })
    }

    /// Whether what was granted still holds.
    pub fn still_holds(&self, grant: &Grant, now: Now) -> bool {
        self.guard(now.instant).still_holds(grant, now)
    }

    /// The daemon's own token, if that opens it.
    pub fn token(&self) -> Option<String> {
        match &self.lock().guard.proof {
            Proof::Token { token, .. } => Some(token.reveal().to_owned()),
            Proof::None | Proof::Jwt(_) => None,
        }
    }

    /// Whether everybody may watch.
    pub const fn is_open(&self) -> bool {
        matches!(self.auth.mode, AuthMode::None)
    }

    /// Counts what proves nothing. The time to wait, if there was too much of it.
    fn note(&self, refusal: Refusal, peer: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let Refusal::Invalid(flaw) = refusal else {
            return None;
        };
        self.metrics.failed(flaw.name());
        let peer = peer?;
        let noted = lock(&self.failures).note(client(peer), now);
        if noted.is_ok() {
            tracing::warn!(%peer, reason = flaw.name(), "a token or link was refused");
        }
        noted.err()
    }

    /// What decides now.
    fn guard(&self, now: Instant) -> Arc<Guard> {
        let is_time = now.saturating_duration_since(self.lock().looked) >= LOOK_AGAIN;
        if is_time {
            self.look(now);
        }
        self.lock().guard.clone()
    }

    /// Takes up what has changed on disk; whether anything has. What can't be used leaves things as they are.
    fn look(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.looked = now;
        if !inner.watched.has_changed() {
            return false;
        }
        inner.watched.note();
        match proof(&self.auth, self.state.as_deref()) {
            Ok(proof) => {
                let policy = self.policy.clone();
                inner.guard = Arc::new(Guard { policy, proof });
                true
            }
            Err(error) => {
                tracing::error!("who may watch stays as it was: {error}");
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section leaves the value whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files that the secrets are in.
fn files(auth: &Auth, state: Option<&State>) -> Vec<PathBuf> {
    match (&auth.mode, state) {
        (AuthMode::Jwt { keys, .. }, _) => vec![keys.clone()],
        (AuthMode::Token, Some(state)) => {
            let names = [TOKEN, SHARE_KEY, SHARES];
            names.map(|name| state.path(name)).to_vec()
        }
        _ => Vec::new(),
    }
}

fn proof(auth: &Auth, state: Option<&State>) -> Result<Proof, AccessError> {
    match &auth.mode {
        AuthMode::None => Ok(Proof::None),
        AuthMode::Token => {
            let secrets = state.map_or_else(|| Ok(Secrets::forgotten()), Secrets::load);
            Ok(secrets?.proof())
        }
        AuthMode::Jwt {
            keys,
            audience,
            issuer,
        } => {
            let failed = |reason| AccessError::File {
                path: keys.clone(),
                reason,
            };
            let file = fs::read(keys).map_err(|error| failed(format!("can't be read: {error}")))?;
            let keys = JwtKeys::parse(&file, audience.as_deref(), issuer.as_deref());
            keys.map(Proof::Jwt)
                .map_err(|error| failed(error.to_string()))
        }
    }
}
