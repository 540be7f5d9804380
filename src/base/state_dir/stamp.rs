//! The system's facts about a file, beside its content.

use nix::sys::stat::{FileStat, SFlag, stat};
use std::io;
use std::path::Path;

/// Tells one version of a file from another, and what others may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permissions (inode(7)).
    pub mode: u32,
    /// Its names.
    pub links: u64,
    /// The length in bytes.
    pub length: u64,
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Takes the stamp of the file that a path leads to.
    ///
    /// # Errors
    /// When there is nothing, or the system does not say.
    pub fn of_path(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&stat(path)?))
    }

    pub(super) fn of(stat: &FileStat) -> Self {
        Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode,
            links: wide(stat.st_nlink),
            // No file has a negative length.
            length: u64::try_from(stat.st_size).unwrap_or_default(),
            inode: (wide(stat.st_dev), wide(stat.st_ino)),
            modified: (wide(stat.st_mtime), wide(stat.st_mtime_nsec)),
            changed: (wide(stat.st_ctime), wide(stat.st_ctime_nsec)),
        }
    }

    /// Permissions of others than the owner: three bits for the group, three for everybody.
    pub const fn of_others(&self) -> u32 {
        self.mode & 0o077
    }

    pub(super) fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.mode) & SFlag::S_IFMT
    }
}

/// The widths of these numbers differ between architectures.
fn wide<N: Into<W>, W>(number: N) -> W {
    number.into()
}
