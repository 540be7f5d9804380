//! The state directory: the small files that the daemon keeps over a restart.
//!
//! One daemon at a time has it, and one process at a time writes in it. A file is there as a whole or not at all, whatever
//! ends the process or the machine meanwhile, and only the directory's owner can read it. Root acts here with the owner's
//! rights, and follows no link that the owner put there.

mod calls;
#[cfg(test)]
pub mod faults;
mod obtain;
mod stamp;

pub use obtain::Obtained;
pub use stamp::Stamp;

use super::os_error::plain;
use calls::Rights;
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// This suffix marks a file that is unusable and is kept all the same.
const ASIDE: &str = ".bad";
/// Locked by the process that writes in the directory.
const VISIT: &str = ".visit";
/// Bytes of a file: more than ten thousand links need. A longer file is neither read nor written.
const LONGEST: usize = 16 << 20;
/// How long a daemon tries a directory that another process has: a process that only looks at it has it for a moment, a
/// daemon for longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a command waits for others that write, each of which takes a moment.
const PATIENCE_OF_COMMANDS: Duration = Duration::from_secs(5);
/// The same for a daemon, which has viewers to serve meanwhile.
const PATIENCE_OF_DAEMON: Duration = Duration::from_millis(100);
/// From one attempt to the next.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// The directory where systemd keeps the state of the service.
pub const OF_THE_SERVICE: &str = "/var/lib/fanlight";

/// The reason for which the state directory, or a file of it, can't be used; the sentence ends with the cure.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has the directory.
    #[error(
        "{} is in use by another fanlight; end that one, or choose a directory for this one with --state-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// Another process writes there, and goes on doing so.
    #[error("{} is locked by another fanlight command; wait until it ends, or end it", .0.display())]
    Busy(PathBuf),
    /// Something in the directory is not what fanlight puts there.
    #[error("{} {reason}", path.display())]
    Unfit {
        /// The path in question.
        path: PathBuf,
        /// The reason, with the cure.
        reason: String,
    },
    /// A file's content makes no sense.
    #[error("{}: {reason}; delete it, and fanlight makes a new one", path.display())]
    Damaged {
        /// The path in question.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The system refuses.
    #[error("can't {attempt} {}: {}; {}", path.display(), plain(error), cure(error))]
    System {
        /// A verb, such as `read`.
        attempt: &'static str,
        /// The path of the directory or the file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl StateError {
    /// Whether another attempt fails alike until somebody changes the configuration or the directory's place.
    pub fn is_lasting(&self) -> bool {
        use io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        match self {
            Self::InUse(_) | Self::Busy(_) | Self::Damaged { .. } => false,
            Self::Unfit { .. } => true,
            Self::System { error, .. } => matches!(
                error.kind(),
                PermissionDenied | NotADirectory | AlreadyExists | ReadOnlyFilesystem
            ),
        }
    }
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "give it to the user that fanlight runs as, or name another directory with --state-dir"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space there",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "move the file in the place of the directory away, or name another directory with --state-dir"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount it writable, or name another directory with --state-dir"
        }
        _ if error.raw_os_error() == Some(Errno::EMFILE as i32) => {
            "fanlight tries again; raise the limit on open files (`ulimit -n`, LimitNOFILE=) if this lasts"
        }
        _ => "name another directory with --state-dir",
    }
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

/// The state directory.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Every file is found by it. The daemon's has the daemon's lock.
    directory: File,
    /// The lock of the process that writes; `None` if it is taken for each write.
    writing: Option<File>,
    /// The time to wait for it.
    patience: Duration,
}

impl StateDir {
    /// Takes the directory for a daemon, as long as this lives, and makes it with mode 0700 if it is not there. May block
    /// for a second.
    ///
    /// # Errors
    /// When it can't be made or opened, or another process has it and keeps it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::open_while(path, waiting(PATIENCE))
    }

    /// The same; `may_wait` is asked after each attempt that another process is in the way of.
    fn open_while(path: &Path, mut may_wait: impl FnMut() -> bool) -> Result<Self, StateError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        let made = builder.create(path);
        made.map_err(|error| failed("make", path, error))?;
        let state = Self::look(path)?;
        // Where locks fail, two daemons are a smaller risk than one that keeps nothing.
        while matches!(calls::try_lock(&state.directory), Ok(false)) {
            if !may_wait() {
                return Err(StateError::InUse(path.to_owned()));
            }
        }
        Ok(Self {
            patience: PATIENCE_OF_DAEMON,
            ..state
        })
    }

    /// The directory, for a command that looks at what a daemon keeps there.
    ///
    /// # Errors
    /// When it is not there or can't be opened.
    pub fn look(path: &Path) -> Result<Self, StateError> {
        let directory = calls::open_directory(path);
        Ok(Self {
            path: path.to_owned(),
            directory: directory.map_err(|error| failed("open", path, error))?,
            writing: None,
            patience: PATIENCE_OF_COMMANDS,
        })
    }

    /// The directory of a daemon that may be running, for a command that reads and writes: nobody else writes meanwhile.
    /// The commands and the daemon have to agree on the files that each of them writes.
    ///
    /// # Errors
    /// When it is not there or can't be opened, or another command is at work in it for long.
    pub fn visit(path: &Path) -> Result<Self, StateError> {
        Self::look(path)?.writing()
    }

    /// The same directory, in which nobody else writes as long as what this returns lives. May block for a moment.
    ///
    /// # Errors
    /// When another process writes for long, or the system refuses.
    pub fn writing(&self) -> Result<Self, StateError> {
        let failed = |error| failed("open", &self.path, error);
        let writing = match &self.writing {
            Some(lock) => lock.try_clone().map_err(failed)?,
            None => self.lock()?,
        };
        Ok(Self {
            path: self.path.clone(),
            directory: self.directory.try_clone().map_err(failed)?,
            writing: Some(writing),
            patience: self.patience,
        })
    }

    fn lock(&self) -> Result<File, StateError> {
        let _rights = self.rights()?;
        let refused = |error| self.failed("lock", VISIT, error);
        let file = calls::open_lock(&self.directory, VISIT);
        let file = file.map_err(|error| self.refused("lock", VISIT, error))?;
        self.examine(VISIT, &calls::stamp(&file).map_err(refused)?)?;
        let mut may_wait = waiting(self.patience);
        while !calls::try_lock(&file).map_err(refused)? {
            if !may_wait() {
                return Err(StateError::Busy(self.path.clone()));
            }
        }
        Ok(file)
    }

    /// Whether a daemon has that directory now.
    pub fn is_in_use(path: &Path) -> bool {
        let directory = calls::open_directory(path);
        // The lock is shared, so that several callers don't take each other for a daemon.
        directory.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The path of the directory.
    pub fn directory(&self) -> &Path {
        &self.path
    }

    /// The path of a file, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory's stamp.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn stamp(&self) -> Result<Stamp, StateError> {
        let stamp = calls::stamp(&self.directory);
        stamp.map_err(|error| failed("open", &self.path, error))
    }

    /// A file's stamp, be it a link.
    ///
    /// # Errors
    /// When there is none, or the system does not say.
    pub fn stamp_of(&self, name: &str) -> io::Result<Stamp> {
        // Asking needs no right over the file, and root's over the directory do no harm.
        calls::stamp_at(&self.directory, name)
    }

    /// A file's content; `None` if there is no such file.
    ///
    /// # Errors
    /// When it is there and can't be read, or is no file that fanlight writes.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let _rights = self.rights()?;
        let failed = |error| self.failed("read", name, error);
        let file = match calls::open(&self.directory, name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.refused("read", name, error)),
        };
        let stamp = calls::stamp(&file).map_err(failed)?;
        self.examine(name, &stamp)?;
        // It may grow meanwhile.
        let content = calls::read_all(&file, LONGEST + 1).map_err(failed)?;
        self.bounded(name, content.len())?;
        Ok(Some(content))
    }

    /// Writes a file, with mode 0600, in place of the one of that name. When this returns it is on the disk.
    ///
    /// # Errors
    /// When the system refuses. The file is then as it was; only where the directory can't be told to reach the disk, it
    /// may be the new one.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        self.bounded(name, content.len())?;
        let _writing = match &self.writing {
            Some(_) => None,
            None => Some(self.lock()?),
        };
        let _rights = self.rights()?;
        self.replace(name, content)
            .map_err(|error| self.failed("write", name, error))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = format!(".{name}.new");
        // A process that ended halfway leaves one, of any mode.
        match calls::remove(&self.directory, &new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let file = calls::create(&self.directory, &new)?;
        let written = calls::write_all(&file, content)
            .and_then(|()| calls::sync(&file))
            .and_then(|()| calls::rename(&self.directory, &new, name));
        if written.is_err() {
            // The room is needed; what is left here is removed by the next write.
            let _ = calls::remove(&self.directory, &new);
        }
        written.and_then(|()| calls::sync_directory(&self.directory))
    }

    /// Takes a file away, if it is there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let _rights = self.rights()?;
        match calls::remove(&self.directory, name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", name, error))
            }
            _ => Ok(()),
        }
    }

    /// Keeps an unusable file under the name that this returns, so that another can take its place.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StateError> {
        let _rights = self.rights()?;
        let aside = format!("{name}{ASIDE}");
        let renamed = calls::rename(&self.directory, name, &aside);
        renamed.map_err(|error| self.failed("set aside", name, error))?;
        Ok(self.path(&aside))
    }

    /// Root acts as the directory's owner while that lives.
    fn rights(&self) -> Result<Rights, StateError> {
        let rights = Rights::of(&self.stamp()?);
        rights.map_err(|error| failed("act as the owner of", &self.path, error))
    }

    /// Whether an open file is one that fanlight may have written.
    fn examine(&self, name: &str, stamp: &Stamp) -> Result<(), StateError> {
        let owner = self.stamp()?.uid;
        let may_own = [0, owner, nix::unistd::geteuid().as_raw()];
        let reason = if stamp.kind() != SFlag::S_IFREG {
            "is not a regular file; move it away".to_owned()
        } else if stamp.links > 1 {
            "has a second name (a hard link); move it away, and put a copy there".to_owned()
        } else if !may_own.contains(&stamp.uid) {
            let uid = stamp.uid;
            format!(
                "belongs to another user ({uid}); give it to the directory's owner: chown {owner}"
            )
        } else {
            let length = usize::try_from(stamp.length).unwrap_or(usize::MAX);
            return self.bounded(name, length);
        };
        Err(self.unfit(name, reason))
    }

    fn bounded(&self, name: &str, length: usize) -> Result<(), StateError> {
        if length <= LONGEST {
            return Ok(());
        }
        let reason = format!("is longer than {LONGEST} bytes; move it away");
        Err(self.unfit(name, reason))
    }

    fn unfit(&self, name: &str, reason: String) -> StateError {
        let path = self.path(name);
        StateError::Unfit { path, reason }
    }

    /// The error of an attempt to open a file.
    fn refused(&self, attempt: &'static str, name: &str, error: io::Error) -> StateError {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ELOOP) => {
                let reason = "is a symbolic link; put the file itself there";
                self.unfit(name, reason.to_owned())
            }
            Some(Errno::EISDIR | Errno::ENXIO) => {
                self.unfit(name, "is not a regular file; move it away".to_owned())
            }
            _ => self.failed(attempt, name, error),
        }
    }

    fn failed(&self, attempt: &'static str, name: &str, error: io::Error) -> StateError {
        failed(attempt, &self.path(name), error)
    }
}

fn failed(attempt: &'static str, path: &Path, error: io::Error) -> StateError {
    StateError::System {
        attempt,
        path: path.to_owned(),
        error,
    }
}

/// Waits a little each time that it is called, and says whether that may go on.
fn waiting(patience: Duration) -> impl FnMut() -> bool {
    let deadline = Instant::now() + patience;
    move || {
        #[expect(
            clippy::disallowed_methods,
            reason = "the kernel tells of a lock that is free to a thread that blocks without a limit only"
        )]
        thread::sleep(TRY_AGAIN);
        Instant::now() < deadline
    }
}

#[cfg(test)]
mod tests;
