//! The secrets that decide who may watch: on disk, made at the first start, and in use, where a change of the files is
//! taken up without a restart. `access/judge/` decides.

mod clock;
mod current;
pub mod identity;
pub mod judge;
pub mod permissions;
mod secrets;

pub use secrets::Secrets;

use self::judge::{
    Failures, Flaw, Grant, Guard, Ledger, Now, Policy, Proof, Refusal, Request, Scope, ShareKey,
    Target, Token,
};
use crate::base::addresses::client;
use crate::base::log_limit::LogLimit;
use crate::base::state_dir::{State, StateError};
use crate::config::{Auth, AuthMode};
use crate::metrics;
use clock::Clock;
use current::{Current, InState, JwtFile};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a change of a file may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Strangers who guess. Metrics count them all.
static REFUSED: LogLimit = LogLimit::new(20, Duration::from_secs(60));

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The state directory is at fault.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file with an issuer's keys can't be used, as the sentence says.
    #[error("{0}")]
    Keys(String),
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
    sources: Sources,
    /// For proofs of others, which say when they expire: of links there is a list.
    clock: Option<Clock>,
    looked: Instant,
    /// The links that had expired then were forgotten, and the file still lists them.
    forgotten: Option<u64>,
    /// Why something could not be written, as it was told last.
    unwritten: Option<String>,
}

/// The sources of the proof.
enum Sources {
    /// Nothing that could change.
    Fixed,
    /// The state directory.
    Token(Box<Kept>),
    /// The file of an issuer.
    Jwt(Box<Current<JwtFile>>),
}

struct Kept {
    token: Current<InState<Token>>,
    key: Current<InState<ShareKey>>,
    shares: Current<InState<Ledger>>,
}

impl Kept {
    fn proof(&self) -> Proof {
        Proof::Token {
            token: self.token.value().clone(),
            key: self.key.value().clone(),
            shares: self.shares.value().clone(),
        }
    }
}

impl Sources {
    /// Reads what there is, and the proof that it makes.
    fn start(
        auth: &Auth,
        state: Option<&Arc<State>>,
        now: Instant,
    ) -> Result<(Self, Proof), AccessError> {
        match (&auth.mode, state) {
            (AuthMode::None, _) => Ok((Self::Fixed, Proof::None)),
            (AuthMode::Token, None) => {
                let proof = Proof::Token {
                    token: Token::generate(),
                    key: ShareKey::new(&ShareKey::material()),
                    shares: Ledger::default(),
                };
                Ok((Self::Fixed, proof))
            }
            (AuthMode::Token, Some(state)) => {
                let kept = Kept {
                    token: Current::start(InState::new(state.clone()), now),
                    key: Current::start(InState::new(state.clone()), now),
                    shares: Current::start(InState::new(state.clone()), now),
                };
                let proof = kept.proof();
                Ok((Self::Token(Box::new(kept)), proof))
            }
            (
                AuthMode::Jwt {
                    keys,
                    audience,
                    issuer,
                },
                _,
            ) => {
                let file = JwtFile {
                    path: keys.clone(),
                    audience: audience.clone(),
                    issuer: issuer.clone(),
                };
                let current = Current::open(file).map_err(AccessError::Keys)?;
                let proof = Proof::Jwt(current.value().clone());
                Ok((Self::Jwt(Box::new(current)), proof))
            }
        }
    }

    /// The proof, if a change of a file was taken up.
    fn refresh(&mut self, now: Instant) -> Option<Proof> {
        match self {
            Self::Fixed => None,
            Self::Token(kept) => {
                let changed = [
                    kept.token.refresh(now),
                    kept.key.refresh(now),
                    kept.shares.refresh(now),
                ];
                changed.contains(&true).then(|| kept.proof())
            }
            Self::Jwt(current) => {
                let is_changed = current.refresh(now);
                is_changed.then(|| Proof::Jwt(current.value().clone()))
            }
        }
    }
}

impl Access {
    /// Reads the secrets, and makes those that are not there yet. The log tells what is wrong with the state directory.
    ///
    /// # Errors
    /// When the file with an issuer's keys can't be read or understood.
    pub fn start(
        auth: &Auth,
        policy: Policy,
        state: Option<Arc<State>>,
        metrics: metrics::Auth,
    ) -> Result<Self, AccessError> {
        metrics.begin(Flaw::ALL.map(Flaw::name));
        if auth.mode == AuthMode::Token && state.is_none() {
            tracing::warn!(
                "the token is a new one at each start, and `fanlight url` and `fanlight share` do not work with this fanlight"
            );
        }
        let now = Instant::now();
        let (sources, proof) = Sources::start(auth, state.as_ref(), now)?;
        let guard = Guard {
            proof,
            policy: policy.clone(),
        };
        let has_issuer = matches!(auth.mode, AuthMode::Jwt { .. });
        let clock = has_issuer.then(|| Clock::read(state.as_deref()));
        Ok(Self {
            auth: auth.clone(),
            policy,
            inner: Mutex::new(Inner {
                guard: Arc::new(guard),
                sources,
                clock,
                looked: now,
                forgotten: None,
                unwritten: None,
            }),
            state,
            failures: Mutex::default(),
            metrics,
        })
    }

    /// The daemon's own token, if that is what opens it.
    pub fn token(&self) -> Option<Token> {
        match &self.lock().guard.proof {
            Proof::Token { token, .. } => Some(token.clone()),
            Proof::None | Proof::Jwt(_) => None,
        }
    }

    /// Why the token is not in the state directory, where `fanlight url` reads it. `None` if it is there, or none is needed.
    pub fn unkept(&self) -> Option<StateError> {
        let state = self.state.as_deref()?;
        self.token()?;
        <Token as secrets::Secret>::load(state).err()
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
        let now = self.judged_by(now);
        let mut judged = self.guard(now.instant).judge(request, scope, target, now);
        // A link that was made a moment ago.
        if judged == Err(Refusal::Invalid(Flaw::Revoked)) && self.look(now.instant) {
            judged = self.guard(now.instant).judge(request, scope, target, now);
        }
        if judged == Err(Refusal::Invalid(Flaw::Expired)) {
            self.lock().clock.iter_mut().for_each(Clock::expired);
        }
        judged.map_err(|refusal| Denial {
            refusal,
            wait: self.note(refusal, request.peer, now.instant),
        })
    }

    /// Whether what was granted still holds.
    pub fn still_holds(&self, grant: &Grant, now: Now) -> bool {
        let now = self.judged_by(now);
        let holds = self.guard(now.instant).still_holds(grant, now);
        if !holds {
            self.lock().clock.iter_mut().for_each(Clock::expired);
        }
        holds
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
        if noted.is_ok()
            && let Some(left_out) = REFUSED.admit(now)
        {
            tracing::warn!(%peer, reason = flaw.name(), left_out, "a token or link was refused");
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

    /// Takes up changes on disk. True if there was one.
    fn look(&self, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.looked = now;
        let proof = inner.sources.refresh(now);
        let is_new = proof.is_some();
        if let Some(proof) = proof {
            self.put(&mut inner, proof);
        }
        is_new
    }

    fn put(&self, inner: &mut Inner, proof: Proof) {
        let policy = self.policy.clone();
        inner.guard = Arc::new(Guard { policy, proof });
    }

    /// The time that expiry is judged by.
    fn judged_by(&self, now: Now) -> Now {
        let mut inner = self.lock();
        inner
            .clock
            .as_mut()
            .map_or(now, |clock| clock.judge_by(now))
    }

    /// Forgets the links that have expired, for good, and keeps the time. To be called now and then, where the disk may be
    /// waited for.
    pub fn tend(&self, now: Now) {
        let Some(state) = &self.state else {
            return;
        };
        let (forgotten, time) = {
            let mut inner = self.lock();
            self.forget(&mut inner, now);
            let time = inner.clock.as_mut().and_then(|clock| clock.due(now));
            (inner.forgotten, time)
        };
        let outcome = forgotten
            .map_or(Ok(()), |then| secrets::forget(state, then))
            .and_then(|()| time.map_or(Ok(()), |time| clock::write(state, time)));
        let mut inner = self.lock();
        if let Err(reason) = outcome {
            if inner.unwritten.as_ref() != Some(&reason) {
                tracing::warn!(
                    "expired links or tokens may become valid again after the next start: {reason}"
                );
            }
            inner.unwritten = Some(reason);
            return;
        }
        inner.unwritten = None;
        inner.forgotten = None;
        if let (Some(clock), Some(time)) = (&mut inner.clock, time) {
            clock.wrote(time);
        }
    }

    /// Forgets the links that have expired, but for the file.
    fn forget(&self, inner: &mut Inner, now: Now) {
        let Sources::Token(kept) = &mut inner.sources else {
            return;
        };
        if kept.shares.value().has_expired(now.unix) {
            let mut shares = kept.shares.value().clone();
            shares.forget(now.unix);
            kept.shares.replace(shares);
            inner.forgotten = inner.forgotten.max(Some(now.unix));
            let proof = kept.proof();
            self.put(inner, proof);
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

#[cfg(test)]
mod tests;
