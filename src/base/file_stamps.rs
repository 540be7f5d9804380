//! Files that others may change while the daemon runs: whether a change is there that was not taken up yet.

use super::state_dir::{Stamp, StateDir};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file's stamp, or the error number in place of one.
type Mark = Result<Stamp, i32>;

/// The paths of the files.
#[derive(Debug)]
enum FilePlace {
    Paths(Vec<PathBuf>),
    State(Arc<StateDir>, &'static str),
}

/// Some files that go together. A change counts until it was taken up, however often that fails.
#[derive(Debug)]
pub struct Watched {
    place: FilePlace,
    /// The marks that were taken up last.
    taken: Option<Vec<Mark>>,
    failure: Option<(Instant, String)>,
}

/// The marks of the files before they were read.
#[derive(Debug)]
pub struct Change(Vec<Mark>);

/// An attempt to take up a change that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The reason is another than the last time, and so worth telling.
    pub is_new: bool,
    /// Since the first attempt that failed.
    pub lasts: Duration,
}

impl Watched {
    /// Those at these paths, or where links there lead; nothing was taken up yet.
    pub const fn paths(paths: Vec<PathBuf>) -> Self {
        Self::new(FilePlace::Paths(paths))
    }

    /// One of the state directory.
    pub const fn state(state: Arc<StateDir>, name: &'static str) -> Self {
        Self::new(FilePlace::State(state, name))
    }

    const fn new(place: FilePlace) -> Self {
        Self {
            place,
            taken: None,
            failure: None,
        }
    }

    /// Whether they are others than those that were taken up, and what they are like. To be asked before they are read: what
    /// changes meanwhile is then a change again.
    pub fn change(&self) -> Option<Change> {
        let marks = self.marks();
        (self.taken.as_ref() != Some(&marks)).then_some(Change(marks))
    }

    /// The change was taken up.
    pub fn taken(&mut self, change: Change) {
        self.taken = Some(change.0);
        self.failure = None;
    }

    /// It could not be, for that reason.
    pub fn failed(&mut self, reason: &str, now: Instant) -> Failure {
        // Even files that are again as they were have to be read: the value in use may be a substitute.
        self.taken = None;
        let is_new = self.failure.as_ref().is_none_or(|(_, told)| told != reason);
        let since = self.failure.as_ref().map_or(now, |(since, _)| *since);
        if is_new {
            self.failure = Some((since, reason.to_owned()));
        }
        Failure {
            is_new,
            lasts: now.saturating_duration_since(since),
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let mark = |stamp: std::io::Result<Stamp>| {
            stamp.map_err(|error| error.raw_os_error().unwrap_or_default())
        };
        match &self.place {
            FilePlace::Paths(paths) => {
                let stamps = paths.iter().map(|path| Stamp::of_path(path));
                stamps.map(mark).collect()
            }
            FilePlace::State(state, name) => vec![mark(state.stamp_of(name))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn a_change_counts_until_it_was_taken_up() {
        let path = std::env::temp_dir().join(format!("fanlight-watched-{}", std::process::id()));
        let mut watched = Watched::paths(vec![path.clone()]);
        let mut take = || {
            let change = watched.change();
            let is_there = change.is_some();
            assert!(watched.change().is_some() == is_there, "until it was taken");
            change.into_iter().for_each(|change| watched.taken(change));
            is_there
        };
        assert!(take(), "at first even that there is none");
        assert!(!take());
        fs::write(&path, "one").unwrap();
        assert!(take() && !take());
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(take() && !take(), "a mode");
        if nix::unistd::geteuid().is_root() {
            chown(&path, Some(4242), None).unwrap();
            assert!(take() && !take(), "an owner");
        }
        fs::remove_file(&path).unwrap();
        assert!(take() && !take());
    }

    #[test]
    fn a_failure_is_told_once_and_its_time_runs_until_a_change_is_taken_up() {
        let mut watched = Watched::paths(vec!["/nowhere".into()]);
        let start = Instant::now();
        let mut at = |seconds, reason| {
            let failure = watched.failed(reason, start + Duration::from_secs(seconds));
            (failure.is_new, failure.lasts.as_secs())
        };
        assert_eq!(at(5, "a"), (true, 0));
        assert_eq!(at(6, "a"), (false, 1));
        assert_eq!(at(7, "b"), (true, 2));
        let change = watched.change().unwrap();
        watched.taken(change);
        assert!(watched.change().is_none());
        watched.failed("c", start);
        let change = watched.change().expect("it is as it was, but not in use");
        watched.taken(change);
        let failure = watched.failed("b", start + Duration::from_secs(80));
        assert_eq!((failure.is_new, failure.lasts.as_secs()), (true, 0));
    }
}
