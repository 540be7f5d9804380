//! What can be allowed: scopes, the streams that they are for, and for how long.

use super::{KeyPrint, Share, Token};
use std::fmt;
use std::str::FromStr;

/// One thing that can be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To watch, and to see the state of what is watched.
    View,
    /// To send a stream of one's own.
    Publish,
    /// To talk back.
    Talk,
    /// To see what the daemon as a whole is doing, and to set cameras.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 4] = [Self::View, Self::Publish, Self::Talk, Self::Admin];

    /// The word for it, in `scope` claims and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Publish => "publish",
            Self::Talk => "talk",
            Self::Admin => "admin",
        }
    }

    /// The letter for it in signed links.
    const fn letter(self) -> char {
        match self {
            Self::View => 'v',
            Self::Publish => 'p',
            Self::Talk => 't',
            Self::Admin => 'a',
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| "a scope is one of view, publish, talk, admin".to_owned())
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether that scope is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Every scope there is.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether all of another set are in it.
    pub const fn cover(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// How many scopes are in it.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes of the set as letters, such as `vt`.
    pub fn letters(self) -> String {
        self.iter().map(Scope::letter).collect()
    }

    /// The set that these letters stand for; `None` if one stands for nothing.
    pub fn of_letters(letters: &str) -> Option<Self> {
        let scope = |letter| Scope::ALL.into_iter().find(|s| s.letter() == letter);
        letters.chars().map(scope).collect()
    }

    fn iter(self) -> impl Iterator<Item = Scope> {
        let all = Scope::ALL.into_iter();
        all.filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let bits = scopes.into_iter().map(|scope| 1 << scope as u8);
        Self(bits.fold(0, |set, bit| set | bit))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join(" "))
    }
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// The daemon as a whole.
    Daemon,
    /// One stream.
    Stream(&'a str),
    /// Whichever streams the grant is for.
    Any,
}

/// The streams that something is allowed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streams {
    /// Every stream, and the daemon as a whole.
    All,
    /// These only.
    Only(Vec<String>),
}

impl Streams {
    /// Whether they are what a request is about.
    pub fn include(&self, target: Target<'_>) -> bool {
        match (self, target) {
            (Self::All, _) | (_, Target::Any) => true,
            (Self::Only(_), Target::Daemon) => false,
            (Self::Only(names), Target::Stream(stream)) => names.iter().any(|name| name == stream),
        }
    }

    /// Whether all of the others are among them.
    pub fn cover(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(names), Self::Only(others)) => {
                others.iter().all(|other| names.contains(other))
            }
        }
    }
}

/// The basis of a grant: as much of the proof as is needed to judge it anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// Nothing that could be taken back.
    Nothing,
    /// The daemon's token, which may be replaced.
    Token(Token),
    /// A signed link, which may be revoked.
    Share {
        /// Its content.
        share: Share,
        /// The key that signed it, which may be replaced.
        key: KeyPrint,
    },
    /// A JSON Web Token.
    Jwt {
        /// The key that it names, if it names one.
        named: Option<String>,
        /// The key that signed it, which may be removed.
        key: KeyPrint,
    },
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What.
    pub scopes: Scopes,
    /// On which streams.
    pub streams: Streams,
    /// Until when, in seconds since 1970.
    pub expires: Option<u64>,
    /// As long as that is good.
    pub basis: Basis,
    /// Other proofs of the same request allow that besides.
    pub besides: Vec<Self>,
}

impl Grant {
    /// All there is, for ever.
    pub fn everything() -> Self {
        Self::all(Basis::Nothing)
    }

    /// All there is, on that basis.
    pub fn all(basis: Basis) -> Self {
        Self {
            scopes: Scopes::all(),
            streams: Streams::All,
            expires: None,
            basis,
            besides: Vec::new(),
        }
    }

    /// Whether it, or a part of it, may end before who has it leaves.
    pub fn may_end(&self) -> bool {
        let ends = |grant: &Self| grant.expires.is_some() || grant.basis != Basis::Nothing;
        ends(self) || self.besides.iter().any(ends)
    }

    /// Whether it covers that scope there.
    pub fn allows(&self, scope: Scope, target: Target<'_>) -> bool {
        let allows = |grant: &Self| grant.scopes.contains(scope) && grant.streams.include(target);
        allows(self) || self.besides.iter().any(allows)
    }

    /// Whether it is good for all that another is good for, as long as it lasts. What others allow besides does not count.
    pub fn covers(&self, other: &Self) -> bool {
        self.scopes.cover(other.scopes) && self.streams.cover(&other.streams)
    }

    /// The time until which it is good, for comparisons.
    pub fn lasts_until(&self) -> u64 {
        self.expires.unwrap_or(u64::MAX)
    }
}
