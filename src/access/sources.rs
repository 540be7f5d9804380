//! Where what proves something comes from: nowhere, the state directory, or an issuer's file.

use super::AccessError;
use super::current::{Current, InState, JwtFile};
use super::judge::{Ledger, Proof, ShareKey, Token};
use crate::base::state_dir::StateDir;
use crate::config::{Auth, AuthMode};
use std::sync::Arc;
use std::time::Instant;

/// The sources of the proof.
pub(super) enum Sources {
    /// Nothing that could change.
    Fixed,
    /// The state directory.
    Token(Box<InDirectory>),
    /// The file of an issuer.
    Jwt(Box<Current<JwtFile>>),
}

/// The files of the state directory.
pub(super) struct InDirectory {
    token: Current<InState<Token>>,
    key: Current<InState<ShareKey>>,
    shares: Current<InState<Ledger>>,
}

impl InDirectory {
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
    ///
    /// # Errors
    /// When the file with an issuer's keys can't be used.
    pub fn start(
        auth: &Auth,
        state: Option<&Arc<StateDir>>,
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
                let kept = InDirectory {
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
    pub fn refresh(&mut self, now: Instant) -> Option<Proof> {
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

    /// The proof without the links that have expired by then, if there are such.
    pub fn forget(&mut self, unix: u64) -> Option<Proof> {
        let Self::Token(kept) = self else {
            return None;
        };
        if !kept.shares.value().has_expired(unix) {
            return None;
        }
        let mut shares = kept.shares.value().clone();
        shares.forget(unix);
        kept.shares.replace(shares);
        Some(kept.proof())
    }
}
