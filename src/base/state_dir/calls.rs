//! The system calls of the state directory: by the directory's descriptor and a name in it, so that no link leads elsewhere.
//! A call that a signal interrupts is made again.

use super::stamp::Stamp;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fsync, read, setfsgid, setfsuid, unlinkat, write};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The flags for opening files: a link is not followed, and a pipe without a writer blocks nobody.
const CAUTION: OFlag = OFlag::O_NOFOLLOW
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// Makes a call until no signal interrupts it.
fn repeat<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        #[cfg(test)]
        let made = super::faults::next().and_then(|()| call());
        #[cfg(not(test))]
        let made = call();
        match made {
            Err(Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

/// The directory itself; links in the path to it are followed.
pub fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits());
    repeat(|| options.open(path).map_err(|error| errno(&error)))
}

/// A file to read.
pub fn open(directory: &File, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | CAUTION;
    repeat(|| openat(directory, name, flags, Mode::empty())).map(File::from)
}

/// A file to lock, made with mode 0600 if it is not there.
pub fn open_lock(directory: &File, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_CREAT | CAUTION;
    repeat(|| openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)).map(File::from)
}

/// A file to write, which is not there yet, with mode 0600.
pub fn create(directory: &File, name: &str) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | CAUTION;
    repeat(|| openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)).map(File::from)
}

/// The stamp of an open file.
pub fn stamp(file: &File) -> io::Result<Stamp> {
    repeat(|| fstat(file)).map(|stat| Stamp::of(&stat))
}

/// The stamp of the entry of that name, be it a link.
pub fn stamp_at(directory: &File, name: &str) -> io::Result<Stamp> {
    let stat = repeat(|| fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW));
    stat.map(|stat| Stamp::of(&stat))
}

/// A file's content, up to `most` bytes.
pub fn read_all(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut portion = [0; 8192];
    while content.len() < most {
        let wanted = portion.len().min(most - content.len());
        match repeat(|| read(file, &mut portion[..wanted]))? {
            0 => break,
            length => content.extend_from_slice(&portion[..length]),
        }
    }
    Ok(content)
}

/// Writes all of it.
pub fn write_all(file: &File, mut content: &[u8]) -> io::Result<()> {
    while !content.is_empty() {
        match repeat(|| write(file, content))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            length => content = &content[length..],
        }
    }
    Ok(())
}

/// Makes the disk store the written data.
pub fn sync(file: &File) -> io::Result<()> {
    repeat(|| fsync(file))
}

/// Has the disk hold the directory's names, on file systems that can be told so.
pub fn sync_directory(directory: &File) -> io::Result<()> {
    match sync(directory) {
        Err(error) if matches!(errno(&error), Errno::EINVAL | Errno::ENOTSUP) => Ok(()),
        other => other,
    }
}

/// Gives a file another name, in place of the file that has it.
pub fn rename(directory: &File, from: &str, to: &str) -> io::Result<()> {
    repeat(|| renameat(directory, from, directory, to))
}

/// Takes a file away, or a link.
pub fn remove(directory: &File, name: &str) -> io::Result<()> {
    repeat(|| unlinkat(directory, name, UnlinkatFlags::NoRemoveDir))
}

/// Takes the lock, which ends with the file's last descriptor; false if another has it. A file system without locks, some
/// of a network's for one, lets everybody have it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    let locked = repeat(|| match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(errno(&error)),
    });
    match locked {
        Err(error) if matches!(errno(&error), Errno::ENOSYS | Errno::ENOTSUP) => Ok(true),
        other => other,
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EINVAL as i32))
}

/// Root's thread has the rights of another user over files until this is dropped, as setfsuid(2) gives them: root would
/// otherwise lend its rights to a directory's owner. Other threads keep root's rights, and so do calls that concern no file. So do
/// root's further groups: they open nothing here, since every file that is read is examined and every file that is written is new.
#[must_use]
#[derive(Debug)]
pub struct Rights {
    before: Option<(Uid, Gid)>,
    /// It belongs to the thread.
    _thread: PhantomData<*const ()>,
}

impl Rights {
    /// Those of the owner of a directory, for root. Other users keep their own.
    ///
    /// # Errors
    /// When root may not act as another user here.
    pub fn of(owner: &Stamp) -> io::Result<Self> {
        let taken = |before| Self {
            before,
            _thread: PhantomData,
        };
        if !Uid::effective().is_root() || owner.uid == 0 {
            return Ok(taken(None));
        }
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        let taken = taken(Some((current_user(), current_group())));
        setfsgid(gid);
        setfsuid(uid);
        // The calls themselves do not tell whether they did anything.
        if (current_user(), current_group()) == (uid, gid) {
            Ok(taken)
        } else {
            Err(Errno::EPERM.into())
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if let Some((uid, gid)) = self.before {
            setfsuid(uid);
            setfsgid(gid);
        }
    }
}

/// The user that the thread's rights are of: a call that asks for no user changes nothing, and says who it is.
fn current_user() -> Uid {
    setfsuid(Uid::from_raw(u32::MAX))
}

fn current_group() -> Gid {
    setfsgid(Gid::from_raw(u32::MAX))
}
