//! `fanlight url` and `fanlight share`: links for people, out of the state directory of a daemon that may be running.

use crate::access::{AccessError, Secrets};
use crate::addresses::Interfaces;
use crate::auth::{LedgerError, Now, Scopes, Share};
use crate::cli::{Place, ShareArguments, UrlArguments};
use crate::config::{Config, ConfigErrors};
use crate::links::{FILE, Link, Serving, qr};
use crate::state::{OF_THE_SERVICE, State, StateError, default_directory};
use crate::tls::{Authority, TlsError, sha256};
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// No daemon has run there.
    #[error(
        "no fanlight has run with the state directory {0}; start it first, or name its directory with --state-dir"
    )]
    NeverRan(String),
    /// There is nothing to sign with.
    #[error(
        "this fanlight needs no token of its own ([auth] mode), so there is none, and nothing to share but its plain link"
    )]
    NoToken,
    /// There is no such stream.
    #[error("there is no stream {0:?}; there is: {1}")]
    Stream(String, String),
    /// The certificate authority can't be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The list of links says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The links to the page, with a QR code for a terminal.
///
/// # Errors
/// See [`LinkError`].
pub fn url(arguments: &UrlArguments) -> Result<String, LinkError> {
    let (state, serving) = open(&arguments.place)?;
    let mut token = String::new();
    if serving.needs_token {
        let mut secrets = Secrets::load(&state)?;
        if arguments.renew {
            secrets.renew_token(&state)?;
        }
        token.push_str(secrets.token.reveal());
    } else if arguments.renew {
        return Err(LinkError::NoToken);
    }
    let links = serving.links("", &token, &Interfaces::read().addresses());
    let mut text = told(&links, arguments.qr);
    if serving.is_self_signed
        && let Some(authority) = Authority::kept(&state)?
        && let Some(first) = serving.links("ca.crt", "", &[]).first()
    {
        let (url, print) = (&first.url, sha256(authority.der()));
        let url = url.split('?').next().unwrap_or_default();
        let _ = write!(
            text,
            "\n\n{url} is the certificate to trust, SHA-256 {print}"
        );
    }
    Ok(text)
}

/// Makes a link that ends, lists those that there are, or takes one back.
///
/// # Errors
/// See [`LinkError`].
pub fn share(arguments: &ShareArguments) -> Result<String, LinkError> {
    let (state, serving) = open(&arguments.place)?;
    if !serving.needs_token {
        return Err(LinkError::NoToken);
    }
    let mut secrets = Secrets::load(&state)?;
    let now = Now::system().unix;
    if arguments.list {
        return Ok(listed(&secrets, now));
    }
    if let Some(id) = &arguments.revoke {
        secrets.shares.revoke(id)?;
        secrets.keep_shares(&state)?;
        return Ok(format!(
            "{id} is revoked; who watches by it is cut off within seconds"
        ));
    }
    for stream in &arguments.stream {
        if !serving.streams.contains(stream) {
            let names = serving.streams.join(", ");
            return Err(LinkError::Stream(stream.clone(), names));
        }
    }
    let scopes: Scopes = arguments.scope.iter().copied().collect();
    let time = arguments.duration.unwrap_or(Duration::from_secs(24 * 3600));
    let share = Share::new(scopes, arguments.stream.clone(), now + time.as_secs());
    let token = secrets.key.sign(&share);
    secrets.shares.add(share.clone(), now)?;
    secrets.keep_shares(&state)?;
    let page = match &*arguments.stream {
        [only] => only.as_str(),
        _ => "",
    };
    let links = serving.links(page, &token, &Interfaces::read().addresses());
    let mut text = told(&links, arguments.qr);
    let about = sentence(&share, now);
    let id = &share.id;
    let _ = write!(
        text,
        "\n{about}; `fanlight share --revoke {id}` takes it back"
    );
    Ok(text)
}

/// The state directory, and what the daemon there noted.
pub(super) fn open(place: &Place) -> Result<(State, Serving), LinkError> {
    let candidates = directories(place)?;
    let missing = || {
        let shown = candidates.iter().map(|path| path.display().to_string());
        LinkError::NeverRan(shown.collect::<Vec<_>>().join(" or "))
    };
    // One that runs now before one that ran once.
    let used = candidates.iter().find(|path| State::is_in_use(path));
    let is_known = |path: &&PathBuf| is_denied(path) || path.join(FILE).exists();
    let path = used.or_else(|| candidates.iter().find(is_known));
    let path = path.ok_or_else(missing)?;
    if is_denied(path) {
        return Err(LinkError::Denied(path.clone()));
    }
    let state = State::visit(path)?;
    let serving = Serving::of_last(&state)?.ok_or_else(missing)?;
    Ok((state, serving))
}

fn is_denied(path: &Path) -> bool {
    let listed = std::fs::read_dir(path);
    listed.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn directories(place: &Place) -> Result<Vec<PathBuf>, LinkError> {
    if let Some(path) = &place.state_dir {
        return Ok(vec![path.clone()]);
    }
    let configured = match &place.config {
        Some(file) => Config::load(file)?.state.directory,
        None => None,
    };
    if let Some(path) = configured {
        return Ok(vec![path]);
    }
    let usual = default_directory(|name| std::env::var_os(name));
    Ok(usual.into_iter().chain([OF_THE_SERVICE.into()]).collect())
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
    let lines: Vec<_> = valid.map(|share| sentence(share, now)).collect();
    if lines.is_empty() {
        return "there is no link that is good".to_owned();
    }
    lines.join("\n")
}

fn sentence(share: &Share, now: u64) -> String {
    let streams = match &*share.streams {
        [] => "every stream".to_owned(),
        streams => streams.join(", "),
    };
    let scopes = Scopes::of_letters(&share.scopes).unwrap_or_default();
    let left = span(share.expires.saturating_sub(now));
    format!("{}: {scopes} of {streams}, for {left}", share.id)
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
