//! The secrets that decide who may watch: on disk, made at the first start, and in use, where a change of the files is
//! taken up without a restart. `access/judge/` decides.

mod clock;
mod current;
pub mod identity;
pub mod judge;
mod look;
pub mod permissions;
mod secrets;
mod sources;

pub use secrets::Secrets;

use self::judge::{
    Failures, Flaw, Grant, Guard, Now, Policy, Proof, Refusal, Request, Scope, Target, Token,
};
use crate::base::addresses::client;
use crate::base::log_limit::LogLimit;
use crate::base::state_dir::{StateDir, StateError};
use crate::base::sync::Mutex;
use crate::config::{Auth, AuthMode};
use crate::metrics;
use clock::Clock;
use look::Looking;
use sources::Sources;
use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

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
    state: Option<Arc<StateDir>>,
    /// The secrets in use. No thread waits for the disk while it holds this lock.
    judging: Mutex<Judging>,
    /// The secrets on disk. A thread may hold this lock for as long as the disk hangs, so no request waits for it.
    kept: Mutex<Kept>,
    looking: Looking,
    failures: Mutex<Failures>,
    metrics: metrics::AuthMetrics,
}

struct Judging {
    guard: Arc<Guard>,
    /// For proofs of others, which say when they expire: of links there is a list.
    clock: Option<Clock>,
}

struct Kept {
    sources: Sources,
    /// The links that had expired then were forgotten, and the file still lists them.
    forgotten: Option<u64>,
    /// Why something could not be written, as it was told last.
    unwritten: Option<String>,
}

impl Access {
    /// Reads the secrets, and makes those that are not there yet. The log tells what is wrong with the state directory.
    ///
    /// # Errors
    /// When the file with an issuer's keys can't be read or understood.
    pub fn start(
        auth: &Auth,
        policy: Policy,
        state: Option<Arc<StateDir>>,
        metrics: metrics::AuthMetrics,
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
            judging: Mutex::new(Judging {
                guard: Arc::new(guard),
                clock,
            }),
            kept: Mutex::new(Kept {
                sources,
                forgotten: None,
                unwritten: None,
            }),
            looking: Looking::new(now),
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

    /// Whether the request may use `scope` on `target`, by what the files say now, or said when they could last be read.
    ///
    /// # Errors
    /// Why not. What proves nothing is counted and logged, without what it was.
    pub async fn judge(
        self: &Arc<Self>,
        request: &Request<'_>,
        scope: Scope,
        target: Target<'_>,
        now: Now,
    ) -> Result<Grant, Denial> {
        self.look_if_due(now.instant).await;
        let mut judged = self.decide(request, scope, target, now);
        // A link that was made a moment ago.
        if judged == Err(Refusal::Invalid(Flaw::Revoked)) && self.look_now(now.instant).await {
            judged = self.decide(request, scope, target, now);
        }
        judged.map_err(|refusal| Denial {
            refusal,
            wait: self.note(refusal, request.peer, now.instant),
        })
    }

    /// The same by what is known, without a look at the files.
    fn decide(
        &self,
        request: &Request<'_>,
        scope: Scope,
        target: Target<'_>,
        now: Now,
    ) -> Result<Grant, Refusal> {
        let (guard, now) = self.guard(now);
        let judged = guard.judge(request, scope, target, now);
        if judged == Err(Refusal::Invalid(Flaw::Expired)) {
            self.note_expiry();
        }
        judged
    }

    /// Whether what was granted still holds, by what is known.
    pub fn still_holds(&self, grant: &Grant, now: Now) -> bool {
        let (guard, now) = self.guard(now);
        let holds = guard.still_holds(grant, now);
        if !holds {
            self.note_expiry();
        }
        holds
    }

    /// Whether the request has a cookie that one for what was granted would take the place of, and that is good for longer.
    pub fn has_longer_cookie(&self, request: &Request<'_>, granted: &Grant, now: Now) -> bool {
        let (guard, now) = self.guard(now);
        guard.has_longer_cookie(request, granted, now)
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
        let noted = self.failures.lock().note(client(peer), now);
        if noted.is_ok()
            && let Some(left_out) = REFUSED.admit(now)
        {
            tracing::warn!(%peer, reason = flaw.name(), left_out, "a token or link was refused");
        }
        noted.err()
    }

    /// The guard in use, and the time by which it judges expiry.
    fn guard(&self, now: Now) -> (Arc<Guard>, Now) {
        let mut judging = self.lock();
        let clock = judging.clock.as_mut();
        let now = clock.map_or(now, |clock| clock.judge_by(now));
        (judging.guard.clone(), now)
    }

    fn note_expiry(&self) {
        self.lock().clock.iter_mut().for_each(Clock::expired);
    }

    /// Takes up changes on disk, which may be waited for. True if there was one.
    fn look(&self, now: Instant) -> bool {
        let mut kept = self.kept.lock();
        let proof = kept.sources.refresh(now);
        let is_new = proof.is_some();
        proof.into_iter().for_each(|proof| self.put(proof));
        is_new
    }

    fn put(&self, proof: Proof) {
        let policy = self.policy.clone();
        self.lock().guard = Arc::new(Guard { policy, proof });
    }

    /// Forgets the links that have expired, for good, and keeps the time. To be called now and then, where the disk may be
    /// waited for.
    pub fn tend(&self, now: Now) {
        let Some(state) = &self.state else {
            return;
        };
        let mut kept = self.kept.lock();
        self.forget(&mut kept, now);
        let time = {
            let mut judging = self.lock();
            judging.clock.as_mut().and_then(|clock| clock.due(now))
        };
        let outcome = (kept.forgotten)
            .map_or(Ok(()), |then| secrets::forget(state, then))
            .and_then(|()| time.map_or(Ok(()), |time| clock::write(state, time)));
        if let Err(reason) = outcome {
            if kept.unwritten.as_ref() != Some(&reason) {
                tracing::warn!(
                    "expired links or tokens may become valid again after the next start: {reason}"
                );
            }
            kept.unwritten = Some(reason);
            return;
        }
        (kept.unwritten, kept.forgotten) = (None, None);
        if let (Some(clock), Some(time)) = (&mut self.lock().clock, time) {
            clock.wrote(time);
        }
    }

    /// Forgets the links that have expired, but for the file.
    fn forget(&self, kept: &mut Kept, now: Now) {
        if let Some(proof) = kept.sources.forget(now.unix) {
            kept.forgotten = kept.forgotten.max(Some(now.unix));
            self.put(proof);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Judging> {
        self.judging.lock()
    }
}

#[cfg(test)]
mod tests;
