//! Who may do what: the decision about a request, from what it says of itself and from the secrets of this daemon.
//!
//! Pure: no clock, no file, no socket, and nothing of any HTTP library. `access/` keeps the secrets, `http/` asks.

mod failures;
mod jwt;
mod latest;
mod print;
mod request;
mod scope;
mod share;
mod token;
mod verify;

pub use failures::Failures;
pub use jwt::{JwtKeys, KeysError};
pub use latest::Latest;
pub use print::KeyPrint;
pub use request::{Presented, Request, cookie_name};
pub use scope::{Basis, Grant, Scope, Scopes, Streams, Target};
pub use share::{Ledger, LedgerError, Share, ShareKey};
pub use token::{Token, TokenError};

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

/// Where no proof is needed, and which pages may lean on what the browser sends by itself.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Whether who is on this machine needs no proof; see [`Request::is_local`].
    pub trust_loopback: bool,
    /// Origins of other sites whose pages may use cookies and loopback, such as `https://example.org`. `*` is all of them
    /// where no proof is needed, and none where one is: nobody can mean that every site may use his browser's.
    pub origins: Vec<String>,
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
    /// Who sends it is known and may not do this (RFC 6750, 3.1: `insufficient_scope`).
    Scope(Scope),
    /// A page of another site sent it, with a proof that the browser added by itself.
    Foreign,
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
            Self::Unknown => "this token or link is not one of this server's",
            Self::Expired => "this token or link has expired",
            Self::NotYet => "this token is not valid yet",
            Self::Revoked => "this link was revoked",
            Self::Algorithm => "this token is signed by another algorithm than its key is for",
            Self::Claims => "this token is not for this server, or lacks a claim",
        }
    }
}

/// Judges requests.
#[derive(Debug)]
pub struct Guard {
    /// Where no proof is needed.
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
        let grant = self.grant(request, now)?;
        if grant.allows(scope, target) {
            Ok(grant)
        } else {
            Err(Refusal::Scope(scope))
        }
    }

    /// What the request may do at all.
    fn grant(&self, request: &Request<'_>, now: Now) -> Result<Grant, Refusal> {
        let presented = request.presented()?;
        if let (Some(Presented::Deliberately(text)), false) = (presented, self.is_open()) {
            return self.check(text, now).map_err(Refusal::Invalid);
        }
        // From here on it is the browser, or the place that it runs at, that vouches for the request: a page of another
        // site has both in its hand, and knows neither.
        let origins = self.policy.origins.iter();
        let allowed: Vec<_> = origins
            .filter(|origin| self.is_open() || *origin != request::ANY)
            .cloned()
            .collect();
        if request.is_foreign(&allowed) && !(self.is_open() && request.is_safe) {
            return Err(Refusal::Foreign);
        }
        if self.is_open() || (self.policy.trust_loopback && request.is_local()) {
            return Ok(Grant::everything());
        }
        match presented {
            Some(Presented::Deliberately(text) | Presented::Cookie(text)) => {
                self.check(text, now).map_err(Refusal::Invalid)
            }
            None => Err(Refusal::Missing),
        }
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
                shares.admits(&share, now.unix)?;
                Ok(share.grant(key.print()))
            }
            Proof::Jwt(keys) => keys.verify(text, now.unix),
        }
    }

    /// Whether what was granted still holds: the proof that it came from would be accepted again.
    pub fn still_holds(&self, grant: &Grant, now: Now) -> bool {
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
