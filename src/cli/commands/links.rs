//! `fanlight url` and `fanlight share`: links for people, from the state directory of a daemon.

use super::place::{Found, open};
use crate::access::judge::{LedgerError, Now, Scopes, Share};
use crate::access::{AccessError, Secrets};
use crate::base::addresses::Interfaces;
use crate::base::state_dir::StateError;
use crate::cli::{ShareArguments, UrlArguments};
use crate::config::ConfigErrors;
use crate::daemon::serving::{Link, qr};
use crate::tls::{Authority, sha256};
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// After `--renew`.
const RENEWED: &str = "the token is new: links with the old one no longer work, and their viewers are disconnected within seconds; \
    links from `fanlight share` stay valid";
/// For a daemon that nobody else can reach.
const ONLY_HERE: &str = "this fanlight listens on this machine only, so the link works nowhere else; [http] public_url can name a proxy's address";

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The state directory can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A secret can't be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It is somebody else's.
    #[error("{} belongs to the user that fanlight runs as; run this command as that user, or with sudo", .0.display())]
    Denied(PathBuf),
    /// The daemon has ended.
    #[error(
        "no fanlight is running with the state directory {}, so its links do not work; start it, or name the state directory of \
         a running one with --state-dir{hint}",
        .0.display(),
        hint = .1
    )]
    Stopped(PathBuf, &'static str),
    /// The daemon runs, but is not reached.
    #[error(
        "the running fanlight does not answer at {0}, so its links do not work; it may still be starting, or its log says why"
    )]
    Silent(SocketAddr),
    /// No daemon has run there.
    #[error(
        "no fanlight has run with the state directory {0}; start it first, or name its directory with --state-dir"
    )]
    NeverRan(String),
    /// There is nothing to sign with.
    #[error(
        "this fanlight has no token of its own because of [auth] mode: there is none to print or renew, and no link can be made"
    )]
    NoToken,
    /// There is no such stream.
    #[error("there is no stream {0:?}; the streams are: {1}")]
    Stream(String, String),
    /// The list of links says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The output of a command.
#[derive(Debug, Default)]
pub struct Told {
    /// On standard output.
    pub text: String,
    /// Notes for people, on standard error: a program that reads the text needs none of it.
    pub notes: Vec<String>,
}

impl From<String> for Told {
    fn from(text: String) -> Self {
        Self {
            text,
            notes: Vec::new(),
        }
    }
}

/// The links to the page, with a QR code for a terminal.
///
/// # Errors
/// See [`LinkError`].
pub fn url(arguments: &UrlArguments) -> Result<Told, LinkError> {
    let found = open(&arguments.place)?;
    let running = found.is_running();
    let mut notes: Vec<_> = found.doubt().into_iter().collect();
    if !arguments.renew {
        running?;
    } else if let Err(error) = running {
        // A token that leaked is renewed whether the daemon runs or not.
        notes.push(error.to_string());
    }
    let Found { state, serving, .. } = found;
    let mut token = String::new();
    if serving.needs_token {
        let mut secrets = Secrets::load(&state)?;
        if arguments.renew {
            secrets.renew_token(&state.writing()?)?;
            notes.push(RENEWED.to_owned());
        }
        token.push_str(secrets.token.reveal());
    } else if arguments.renew {
        return Err(LinkError::NoToken);
    }
    let links = serving.links("", &token, &Interfaces::read().addresses());
    let mut text = told(&links, arguments.qr);
    // For the device that is to trust it, which is seldom this machine.
    let other = links.iter().find(|link| !link.is_local).or(links.first());
    if serving.is_self_signed
        && let Some(authority) = Authority::kept(&state)?
        && let Some(link) = other
    {
        let (page, print) = (link.url.split('?').next(), sha256(authority.der()));
        let page = page.unwrap_or_default();
        let _ = write!(
            text,
            "\n\n{page}ca.crt is the certificate to trust, SHA-256 {print}"
        );
    }
    Ok(Told { text, notes })
}

/// Makes a link that expires, lists the valid ones, or revokes one.
///
/// # Errors
/// See [`LinkError`].
pub fn share(arguments: &ShareArguments) -> Result<Told, LinkError> {
    let mut found = open(&arguments.place)?;
    if !found.serving.needs_token {
        return Err(LinkError::NoToken);
    }
    let now = Now::system().unix;
    let notes = found.doubt().into_iter().collect();
    if arguments.list {
        let text = listed(&Secrets::load(&found.state)?, now);
        return Ok(Told { text, notes });
    }
    // Nobody else changes the list meanwhile.
    found.state = found.state.writing()?;
    let mut secrets = Secrets::load(&found.state)?;
    if let Some(id) = &arguments.revoke {
        let share = secrets.shares.revoke(id)?;
        secrets.keep_shares(&found.state)?;
        let whose = called(&share);
        let text =
            format!("the link {whose} is revoked; its viewers are disconnected within seconds");
        return Ok(Told { text, notes });
    }
    make(arguments, found, secrets, notes, now)
}

fn make(
    arguments: &ShareArguments,
    found: Found,
    mut secrets: Secrets,
    mut notes: Vec<String>,
    now: u64,
) -> Result<Told, LinkError> {
    notes.extend(found.is_running().err().map(|error| error.to_string()));
    let Found { state, serving, .. } = found;
    for stream in &arguments.stream {
        if !serving.streams.contains(stream) {
            let names = serving.streams.join(", ");
            return Err(LinkError::Stream(stream.clone(), names));
        }
    }
    let scopes: Scopes = arguments.scope.iter().copied().collect();
    let time = arguments.duration.unwrap_or(Duration::from_secs(24 * 3600));
    let share = Share::new(scopes, arguments.stream.clone(), now + time.as_secs())
        .made_for(arguments.name.clone(), now);
    let token = secrets.key.sign(&share);
    secrets.shares.add(share.clone(), now)?;
    secrets.keep_shares(&state)?;
    let page = match &*arguments.stream {
        [only] => only.as_str(),
        _ => "",
    };
    let mut links = serving.links(page, &token, &Interfaces::read().addresses());
    links.sort_by_key(|link| link.is_local);
    if links.iter().all(|link| link.is_local) {
        notes.push(ONLY_HERE.to_owned());
    }
    let mut text = told(&links, arguments.qr);
    let (about, id) = (allows(&share, now), &share.id);
    let whose = called(&share);
    let _ = write!(
        text,
        "\n{whose}: {about}; `fanlight share --revoke {id}` revokes it"
    );
    Ok(Told { text, notes })
}

/// One link a line, then the QR code of one that leads here from elsewhere.
fn told(links: &[Link], wants_qr: bool) -> String {
    let lines: Vec<_> = links.iter().map(|link| link.url.as_str()).collect();
    let mut text = lines.join("\n");
    let other = links.iter().find(|link| !link.is_local);
    if let Some(link) = other.filter(|_| wants_qr || io::stdout().is_terminal())
        && let Some(code) = qr(&link.url)
    {
        let _ = write!(text, "\n\n{code}\n{}", link.url);
    }
    text
}

fn listed(secrets: &Secrets, now: u64) -> String {
    let valid = secrets.shares.iter().filter(|share| share.expires > now);
    let lines: Vec<_> = valid
        .map(|share| {
            let age = match share.made {
                Some(made) => format!(", made {} ago", span(now.saturating_sub(made))),
                None => String::new(),
            };
            format!("{}: {}{age}", called(share), allows(share, now))
        })
        .collect();
    if lines.is_empty() {
        return "there are no valid links".to_owned();
    }
    lines.join("\n")
}

/// `3f2a91bc` or `3f2a91bc "grandma"`.
fn called(share: &Share) -> String {
    match &share.name {
        Some(name) => format!("{} {name:?}", share.id),
        None => share.id.clone(),
    }
}

/// A description of a link's rights and lifetime, such as `view of garden, for 2 h`.
fn allows(share: &Share, now: u64) -> String {
    let streams = match &*share.streams {
        [] => "every stream".to_owned(),
        streams => streams.join(", "),
    };
    let scopes = Scopes::of_letters(&share.scopes).unwrap_or_default();
    let left = span(share.expires.saturating_sub(now));
    format!("{scopes} of {streams}, for {left}")
}

/// The two largest units of a time in seconds, such as `1 h 59 min`.
fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, name) in UNITS {
        if left / size > 0 {
            parts.push(format!("{} {name}", left / size));
        }
        left %= size;
    }
    parts.truncate(2);
    if parts.is_empty() {
        return "0 s".to_owned();
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (7199, "1 h 59 min"),
            (7200, "2 h"),
            (90_061, "1 d 1 h"),
            (86_401, "1 d 1 s"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }
}
