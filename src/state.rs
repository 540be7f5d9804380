//! The state directory: the small files that the daemon keeps over a restart.
//!
//! One daemon at a time has it. What is written is there as a whole or not at all, whatever ends the process or
//! the machine meanwhile, and only the daemon's user can read it.

use crate::os_error::plain;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Added to the name of a file that is no use, and is kept all the same.
const ASIDE: &str = ".bad";
/// Locked by a command that is at work in the directory.
const VISIT: &str = ".visit";
/// How long a directory that another process has is tried: one that only looks at it has it for a moment, a daemon for longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// From one attempt to the next.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Where systemd keeps the state of the service.
pub const OF_THE_SERVICE: &str = "/var/lib/fanlight";

/// Why the state directory, or a file of it, can't be used; the sentence ends with the cure.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has the directory.
    #[error(
        "{} is in use by another fanlight; end that one, or give this one a directory of its own with --state-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// The system refuses.
    #[error("can't {attempt} {}: {}; {}", path.display(), plain(error), cure(error))]
    System {
        /// A verb, such as `read`.
        attempt: &'static str,
        /// Of the directory or the file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "give it to the user that fanlight runs as, or name another directory with --state-dir"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "move away what is in the place of the directory, or name another with --state-dir"
        }
        _ => "name another directory with --state-dir",
    }
}

/// What root puts into a daemon's directory has to be the daemon's to read.
fn owned_like(directory: &File, file: &File) -> io::Result<()> {
    let (theirs, ours) = (directory.metadata()?, file.metadata()?);
    if theirs.uid() == ours.uid() {
        return Ok(());
    }
    fchown(file, Some(theirs.uid()), Some(theirs.gid()))
}

/// Where the state is kept unless that is configured: `$STATE_DIRECTORY`, which systemd sets (systemd.exec(5)), else
/// `$XDG_STATE_HOME/fanlight`, else `~/.local/state/fanlight` (XDG Base Directory Specification 0.8). `None` if
/// the environment, which `variable` looks up, has none of them.
pub fn default_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The specification has relative paths ignored: they would mean another place after each `cd`.
    let absolute = |name| {
        let path = variable(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let of_systemd = variable("STATE_DIRECTORY").and_then(|list| {
        // A list with colons, if a unit has several.
        let first = list.to_str()?.split(':').next()?;
        Some(PathBuf::from(first)).filter(|path| path.is_absolute())
    });
    of_systemd
        .or_else(|| Some(absolute("XDG_STATE_HOME")?.join("fanlight")))
        .or_else(|| Some(absolute("HOME")?.join(".local/state/fanlight")))
}

/// The state directory, which is this process's alone as long as this lives.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    /// Holds the lock, and makes renaming durable.
    directory: File,
    /// Holds the lock among commands.
    _visit: Option<File>,
}

impl State {
    /// Takes the directory, and makes it with mode 0700 if it is not there. May block for a second.
    ///
    /// # Errors
    /// When it can't be made or opened, or another process has it and keeps it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let deadline = Instant::now() + PATIENCE;
        Self::open_while(path, || {
            #[expect(
                clippy::disallowed_methods,
                reason = "the kernel tells of a lock that is free to who blocks without a limit only"
            )]
            thread::sleep(TRY_AGAIN);
            Instant::now() < deadline
        })
    }

    /// The same; `may_wait` is asked after each attempt that another process is in the way of.
    fn open_while(path: &Path, mut may_wait: impl FnMut() -> bool) -> Result<Self, StateError> {
        let failed = |attempt| {
            move |error| StateError::System {
                attempt,
                path: path.to_owned(),
                error,
            }
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(failed("make"))?;
        let directory = File::open(path).map_err(failed("open"))?;
        // A file system without locks, some of a network's for one, is no reason to keep nothing.
        while let Err(TryLockError::WouldBlock) = directory.try_lock() {
            if !may_wait() {
                return Err(StateError::InUse(path.to_owned()));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            directory,
            _visit: None,
        })
    }

    /// The directory of a daemon that may be running, for a command beside it. Commands wait for each other here; which
    /// files are theirs and which are the daemon's is for them to agree on.
    ///
    /// # Errors
    /// When it is not there or can't be opened.
    pub fn visit(path: &Path) -> Result<Self, StateError> {
        let failed = |attempt, error| StateError::System {
            attempt,
            path: path.to_owned(),
            error,
        };
        let directory = File::open(path).map_err(|error| failed("open", error))?;
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600);
        let visit = || {
            let lock = options.open(path.join(VISIT))?;
            owned_like(&directory, &lock)?;
            match lock.lock() {
                // As with the directory's own lock.
                Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
                _ => Ok(lock),
            }
        };
        let lock = visit().map_err(|error| failed("open", error))?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            _visit: Some(lock),
        })
    }

    /// Whether a daemon has that directory now.
    pub fn is_in_use(path: &Path) -> bool {
        let directory = File::open(path);
        // Shared, so that those who ask don't take each other for a daemon.
        directory.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Where a file is, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's content; `None` if there is no such file.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        match fs::read(self.path(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", name, error)),
        }
    }

    /// Writes a file, with mode 0600, in place of the one of that name. When this returns it is on the disk.
    ///
    /// # Errors
    /// When the system refuses; the file is then as it was.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        let (new, path) = (self.path(&format!(".{name}.new")), self.path(name));
        let write = || {
            // What a process left that ended halfway: its mode may be another.
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => (),
            }
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(&new)?;
            owned_like(&self.directory, &file)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            self.directory.sync_all()
        };
        write().map_err(|error| self.failed("write", name, error))
    }

    /// Keeps a file that is no use under the name that this returns, so that another can take its place.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StateError> {
        let aside = self.path(&format!("{name}{ASIDE}"));
        fs::rename(self.path(name), &aside)
            .map_err(|error| self.failed("set aside", name, error))?;
        Ok(aside)
    }

    fn failed(&self, attempt: &'static str, name: &str, error: io::Error) -> StateError {
        StateError::System {
            attempt,
            path: self.path(name),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A path of the test's own, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let name = format!("fanlight-state-{test}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_there_when_the_directory_is_opened_again() {
        let scratch = Scratch::new("again");
        let path = scratch.0.join("deep/down");
        let state = State::open(&path).unwrap();
        assert_eq!(state.read("a").unwrap(), None);
        state.write("a", b"one").unwrap();
        state.write("a", b"two").unwrap();
        drop(state);
        let state = State::open(&path).unwrap();
        assert_eq!(state.read("a").unwrap().unwrap(), b"two");
        assert_eq!(names(&path), ["a"]);
    }

    #[test]
    fn nobody_else_can_read_what_is_kept() {
        let scratch = Scratch::new("mode");
        let state = State::open(&scratch.0).unwrap();
        assert_eq!(mode(&scratch.0), 0o700);
        // Left behind by a process that ended halfway, with another mode.
        fs::write(scratch.0.join(".a.new"), b"half").unwrap();
        fs::set_permissions(scratch.0.join(".a.new"), PermissionsExt::from_mode(0o666)).unwrap();
        state.write("a", b"secret").unwrap();
        assert_eq!(mode(&scratch.0.join("a")), 0o600);
        assert_eq!(names(&scratch.0), ["a"]);
    }

    #[test]
    fn a_write_that_fails_leaves_the_file_as_it_was() {
        let scratch = Scratch::new("atomic");
        let state = State::open(&scratch.0).unwrap();
        state.write("a", b"old").unwrap();
        // A directory, in which something is, can't be removed as a file.
        fs::create_dir_all(scratch.0.join(".a.new/b")).unwrap();
        let error = state.write("a", b"new").unwrap_err().to_string();
        assert!(error.starts_with("can't write "), "{error}");
        assert!(error.contains("/a: "), "{error}");
        assert_eq!(state.read("a").unwrap().unwrap(), b"old");
    }

    #[test]
    fn a_file_of_no_use_is_kept() {
        let scratch = Scratch::new("aside");
        let state = State::open(&scratch.0).unwrap();
        state.write("a", b"useless").unwrap();
        assert_eq!(state.set_aside("a").unwrap(), scratch.0.join("a.bad"));
        assert_eq!(state.read("a").unwrap(), None);
        assert_eq!(state.read("a.bad").unwrap().unwrap(), b"useless");
    }

    #[test]
    fn a_directory_is_one_daemons_at_a_time() {
        let scratch = Scratch::new("lock");
        let first = State::open(&scratch.0).unwrap();
        let error = State::open(&scratch.0).unwrap_err().to_string();
        assert!(error.contains("in use by another fanlight"), "{error}");
        drop(first);
        State::open(&scratch.0).unwrap();
    }

    #[test]
    fn a_daemon_waits_for_who_only_looks() {
        let scratch = Scratch::new("look");
        let mut held = State::open(&scratch.0).ok();
        let mut waited = 0;
        let opened = State::open_while(&scratch.0, || {
            waited += 1;
            held = held.take().filter(|_| waited < 3);
            true
        });
        assert!(opened.is_ok() && waited == 3);
    }

    #[test]
    fn who_asks_whether_there_is_a_daemon_is_none() {
        let scratch = Scratch::new("ask");
        fs::create_dir(&scratch.0).unwrap();
        let asking = File::open(&scratch.0).unwrap();
        asking.lock_shared().unwrap();
        assert!(!State::is_in_use(&scratch.0));
    }

    #[test]
    fn a_command_may_write_beside_the_daemon_and_root_leaves_the_owner_as_it_is() {
        let scratch = Scratch::new("visit");
        assert!(State::visit(&scratch.0).is_err());
        assert!(!State::is_in_use(&scratch.0));
        let daemon = State::open(&scratch.0).unwrap();
        assert!(State::is_in_use(&scratch.0));
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        if is_root {
            std::os::unix::fs::chown(&scratch.0, Some(1234), Some(1235)).unwrap();
        }
        let owner = |name: &str| {
            let metadata = fs::metadata(scratch.0.join(name)).unwrap();
            (metadata.uid(), metadata.gid())
        };
        State::visit(&scratch.0).unwrap().write("a", b"1").unwrap();
        assert_eq!(daemon.read("a").unwrap().unwrap(), b"1");
        assert_eq!(owner("a"), owner("."));
        assert_eq!(owner(VISIT), owner("."));
        assert_eq!(mode(&scratch.0.join("a")), 0o600);
    }

    #[test]
    fn what_is_no_directory_is_refused_with_the_cure() {
        let scratch = Scratch::new("file");
        fs::write(&scratch.0, b"").unwrap();
        for path in [scratch.0.clone(), scratch.0.join("below")] {
            let error = State::open(&path).unwrap_err().to_string();
            assert!(error.starts_with("can't make "), "{error}");
            assert!(error.contains("; move away what is"), "{error}");
        }
        fs::remove_file(&scratch.0).unwrap();
    }

    #[test]
    fn the_default_is_what_systemd_says_then_the_users_own() {
        fn default(variables: &[(&str, &str)]) -> Option<PathBuf> {
            default_directory(|name| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| value.into())
            })
        }
        let all = &[
            ("STATE_DIRECTORY", "/var/lib/fanlight:/var/lib/b"),
            ("XDG_STATE_HOME", "/state"),
            ("HOME", "/home/a"),
        ];
        assert_eq!(default(all), Some("/var/lib/fanlight".into()));
        assert_eq!(default(&all[1..]), Some("/state/fanlight".into()));
        let home = Some("/home/a/.local/state/fanlight".into());
        assert_eq!(default(&all[2..]), home);
        assert_eq!(default(&[("XDG_STATE_HOME", "state"), all[2]]), home);
        assert_eq!(default(&[("HOME", "")]), None);
        assert_eq!(default(&[]), None);
    }
}
