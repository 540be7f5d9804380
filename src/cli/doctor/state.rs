//! The state directory: whether a daemon can keep something there, and whether one does.

use super::{Finding, Running};
use crate::access::permissions::{self, Loose};
use crate::base::state_dir::{StateDir, StateError};
use crate::config::Config;
use crate::daemon::serving::Serving;
use std::fs;
use std::path::Path;

const CHECK: &str = "state";
/// Written to see whether it can be, and taken away.
const TRIAL: &str = "doctor.trial";

/// The daemon that has the directory, if there is one that this user may ask.
pub fn check(config: &Config, findings: &mut Vec<Finding>) -> Option<Running> {
    let Some(path) = &config.state.directory else {
        findings.push(Finding::warn(
            CHECK,
            "no state directory is known, so nothing survives a restart",
            "name one with --state-dir",
        ));
        return None;
    };
    let state = StateDir::look(path).ok();
    let others = permissions::check(state.as_ref(), config);
    // Root looks after others' directories.
    let is_root = nix::unistd::geteuid().is_root();
    let foreign = state
        .as_ref()
        .filter(|_| !is_root)
        .and_then(permissions::foreign);
    findings.extend(foreign.into_iter().chain(others).map(loose));
    if StateDir::is_in_use(path) {
        return match running(path) {
            Ok(Some(running)) => {
                let http = running.serving.http;
                let seen = format!(
                    "{} belongs to the fanlight that is running at {http}",
                    path.display()
                );
                findings.push(Finding::ok(CHECK, seen));
                Some(running)
            }
            Ok(None) => {
                let seen = format!(
                    "{} is in use by a fanlight that has not noted its address",
                    path.display()
                );
                findings.push(Finding::warn(
                    CHECK,
                    seen,
                    "wait until it has started, or restart it",
                ));
                None
            }
            Err(error) => {
                findings.push(refused(&error));
                None
            }
        };
    }
    findings.push(match fs::symlink_metadata(path) {
        Ok(_) => tried(path),
        Err(_) => to_be_made(path),
    });
    None
}

fn loose(loose: Loose) -> Finding {
    if loose.is_writable {
        Finding::fail(CHECK, loose.seen, loose.cure)
    } else {
        Finding::warn(CHECK, loose.seen, loose.cure)
    }
}

fn running(path: &Path) -> Result<Option<Running>, StateError> {
    let state = StateDir::look(path)?;
    let serving = Serving::of_last(&state)?;
    Ok(serving.map(|serving| Running { state, serving }))
}

/// As the daemon opens it, and writes there.
fn tried(path: &Path) -> Finding {
    let tried = StateDir::open(path).and_then(|state| {
        state.write(TRIAL, b"")?;
        state.remove(TRIAL)
    });
    match tried {
        Ok(()) => Finding::ok(
            CHECK,
            format!(
                "{} is writable; no fanlight is running with it",
                path.display()
            ),
        ),
        Err(error) => refused(&error),
    }
}

/// One that is not there is made at the start of the daemon, if that can be.
fn to_be_made(path: &Path) -> Finding {
    let there = path.ancestors().skip(1).find(|parent| parent.exists());
    let there = there.unwrap_or(Path::new("/"));
    let mode = nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK;
    let path = path.display();
    if !there.is_dir() {
        let seen = format!(
            "{path} can't be created: {} is not a directory",
            there.display()
        );
        return Finding::fail(
            CHECK,
            seen,
            "move the file away, or name another directory with --state-dir",
        );
    }
    match nix::unistd::access(there, mode) {
        Ok(()) => Finding::ok(
            CHECK,
            format!("{path} does not exist yet; fanlight makes it at the first start"),
        ),
        Err(error) => Finding::fail(
            CHECK,
            format!(
                "{path} can't be created in {}: {}",
                there.display(),
                error.desc()
            ),
            "create it and give it to the user that fanlight runs as, or name another directory with --state-dir",
        ),
    }
}

/// The daemon serves without a directory, but not with its token.
fn refused(error: &StateError) -> Finding {
    let text = error.to_string();
    // The sentence ends with the cure.
    let (seen, cure) = text
        .rsplit_once("; ")
        .unwrap_or((&text, "name another with --state-dir"));
    Finding::fail(CHECK, seen, cure)
}
