//! Who may do what: the decision about a request, from what it says of itself and from the secrets of this daemon.
//!
//! Pure: no clock, no file, no socket, and nothing of any HTTP library. `access/` keeps the secrets, `http/` asks.

pub mod cookie;
mod failures;
mod host;
mod jwt;
mod latest;
mod print;
mod request;
mod scope;
mod share;
mod token;
mod verify;

pub use failures::Failures;
pub use host::Host;
pub use jwt::{JwtKeys, KeysError};
pub use latest::Latest;
pub use print::KeyPrint;
pub use request::Request;
pub use scope::{Basis, Grant, Scope, Scopes, Streams, Target};
pub use share::{Ledger, LedgerError, Share, ShareKey};
pub use token::{Token, TokenError};

use std::cmp::Reverse;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// When a request is judged: by the clock on the wall, for what expires, and by one that never jumps.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Seconds since 1970, UTC.
    pub unix: u64,
    /// For what takes time.
    pub instant: Instant,
}

impl Now {
    /// By the system's clocks; everything else here is told the time.
    pub fn system() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            unix: since.map_or(0, |since| since.as_secs()),
            instant: Instant::now(),
        }
    }
}

/// What proves that somebody may watch.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a daemon has one, in which it is never moved"
)]
pub enum Proof {
    /// Nothing: everybody who reaches the daemon may do everything.
    None,
    /// The daemon's own token, and the links that it signed.
    Token {
        /// Everything is allowed to who has it.
        token: Token,
        /// Signs links.
        key: ShareKey,
        /// The links that were made and not revoked.
        shares: Ledger,
    },
    /// JSON Web Tokens of another issuer.
    Jwt(JwtKeys),
}

/// Whose pages may lean on what the browser sends by itself, and by which names the daemon is known.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Origins of other sites whose pages may use cookies, such as `https://example.org`. `*` is all of them where no proof is
    /// needed, and none where one is: nobody can mean that every site may use his browser's.
    pub origins: Vec<String>,
    /// Whether other sites may show the daemon's pages in a frame.
    pub may_be_framed: bool,
    /// Names of this daemon's host. Where no proof is needed, requests for other names are refused.
    pub hosts: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It says nothing that could be judged (RFC 6750, 3.1: 401 without an error code).
    Missing,
    /// What it says proves nothing (RFC 6750, 3.1: `invalid_token`).
    Invalid(Flaw),
    /// It says two things at once (RFC 6750, 2 and 3.1: `invalid_request`).
    Ambiguous,
    /// This header, on which the decision hangs, is there twice or is no text.
    Malformed(&'static str),
    /// Who sends it is known and may not do this (RFC 6750, 3.1: `insufficient_scope`).
    Scope(Scope),
    /// A page of another site sent it, with a proof that the browser added by itself.
    Foreign,
    /// Nobody needs a proof, and it is for a host that is not known to be this one.
    Host,
}

/// What is wrong with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It is none of ours, or was changed.
    Unknown,
    /// It was good once.
    Expired,
    /// It will be good.
    NotYet,
    /// It was taken back.
    Revoked,
    /// It is signed by another algorithm than its key is for.
    Algorithm,
    /// It is for another audience, from another issuer, or lacks what it must say.
    Claims,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Expired,
        Self::NotYet,
        Self::Revoked,
        Self::Algorithm,
        Self::Claims,
    ];

    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Revoked => "revoked",
            Self::Algorithm => "algorithm",
            Self::Claims => "claims",
        }
    }

    /// The sentence for who sent it.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unknown => "this token or link is not valid on this server",
            Self::Expired => "this token or link has expired",
            Self::NotYet => "this token is not valid yet",
            Self::Revoked => "this link has been revoked",
            Self::Algorithm => "this token is signed with an algorithm that does not fit its key",
            Self::Claims => "this token is not meant for this server, or lacks a claim",
        }
    }
}

/// Judges requests.
#[derive(Debug)]
pub struct Guard {
    /// What counts besides proofs.
    pub policy: Policy,
    /// What counts as one.
    pub proof: Proof,
}

impl Guard {
    /// Whether the request may use `scope` on `target`.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(
        &self,
        request: &Request<'_>,
        scope: Scope,
        target: Target<'_>,
        now: Now,
    ) -> Result<Grant, Refusal> {
        if let Some(header) = request.malformed() {
            return Err(Refusal::Malformed(header));
        }
        let presented = request.presented()?;
        if self.is_open() {
            return self.judge_by_place(request);
        }
        let grant = match presented {
            Some(text) => self.check(text, now).map_err(Refusal::Invalid)?,
            // A cookie is the browser's: a page of another site has it in its hand, and does not know it.
            None if request.is_foreign(&self.policy, false) => return Err(Refusal::Foreign),
            None => self
                .best_cookie(request, scope, target, now)
                .ok_or(Refusal::Missing)?,
        };
        if grant.allows(scope, target) {
            Ok(grant)
        } else {
            Err(Refusal::Scope(scope))
        }
    }

    /// What the request may do where nobody needs a proof: everything, if it names a host of ours, and no page of another site gives
    /// orders by it.
    fn judge_by_place(&self, request: &Request<'_>) -> Result<Grant, Refusal> {
        if !request.is_for_us(&self.policy.hosts) {
            return Err(Refusal::Host);
        }
        if request.is_foreign(&self.policy, true) && !request.is_safe {
            return Err(Refusal::Foreign);
        }
        Ok(Grant::everything())
    }

    /// The grant of the cookies together. A request about one stream, or about the daemon, has the grant of the cookie that allows it and
    /// covers most; one about whichever streams there are has that of all of them together. A cookie that proves nothing is no wrong
    /// guess, since nobody typed it.
    fn best_cookie(
        &self,
        request: &Request<'_>,
        scope: Scope,
        target: Target<'_>,
        now: Now,
    ) -> Option<Grant> {
        let mut grants: Vec<_> = self.cookies(request, now).collect();
        grants.sort_by_key(|grant| {
            let is_for_all = grant.streams == Streams::All;
            Reverse((
                grant.allows(scope, target),
                is_for_all,
                grant.scopes.count(),
                grant.lasts_until(),
            ))
        });
        let mut grants = grants.into_iter();
        let mut best = grants.next()?;
        if target == Target::Any {
            for grant in grants.filter(|grant| grant.allows(scope, target)) {
                // A cookie that adds nothing is left out, since a grant ends with the first of its parts.
                if !best.covers(&grant) && !best.besides.iter().any(|one| one.covers(&grant)) {
                    best.besides.push(grant);
                }
            }
        }
        Some(best)
    }

    /// The grants of those cookies that are this daemon's own and prove something.
    fn cookies(&self, request: &Request<'_>, now: Now) -> impl Iterator<Item = Grant> {
        let cookies = request.cookies();
        cookies.filter_map(move |text| self.check(text, now).ok())
    }

    /// Whether one of a request's cookies is good for just what was granted, and for longer: a cookie for that would take its place,
    /// since it has its name.
    pub fn has_longer_cookie(&self, request: &Request<'_>, granted: &Grant, now: Now) -> bool {
        self.cookies(request, now).any(|grant| {
            let is_same = grant.covers(granted) && granted.covers(&grant);
            is_same && grant.lasts_until() > granted.lasts_until()
        })
    }

    /// Whether nobody needs a proof.
    pub const fn is_open(&self) -> bool {
        matches!(self.proof, Proof::None)
    }

    /// What a proof is good for.
    fn check(&self, text: &str, now: Now) -> Result<Grant, Flaw> {
        match &self.proof {
            Proof::None => Ok(Grant::everything()),
            Proof::Token { token, key, shares } => {
                if token.is(text) {
                    return Ok(Grant::all(Basis::Token(token.clone())));
                }
                let share = key.verify(text)?;
                let kept = shares.admits(&share, now.unix)?;
                Ok(kept.clone().grant(key.print()))
            }
            Proof::Jwt(keys) => keys.verify(text, now.unix),
        }
    }

    /// Whether what was granted still holds: the proof that it came from would be accepted again.
    pub fn still_holds(&self, grant: &Grant, now: Now) -> bool {
        self.holds(grant, now) && grant.besides.iter().all(|grant| self.holds(grant, now))
    }

    fn holds(&self, grant: &Grant, now: Now) -> bool {
        let is_accepted = match (&self.proof, &grant.basis) {
            (_, Basis::Nothing) => true,
            (Proof::Token { token, .. }, Basis::Token(used)) => token == used,
            (Proof::Token { key, shares, .. }, Basis::Share { share, key: used }) => {
                key.print() == *used && shares.admits(share, now.unix).is_ok()
            }
            (Proof::Jwt(keys), Basis::Jwt { named, key }) => keys.has(*key, named.as_deref()),
            _ => false,
        };
        is_accepted && grant.expires.is_none_or(|expires| now.unix < expires)
    }
}

#[cfg(test)]
mod tests;
