//! Files that others may change while the daemon runs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Tells one version of a file from another: its times, number and length. `None` where there is none.
type Mark = Option<(i64, i64, u64, u64)>;

/// Some files, and what they were like when they were last noted.
#[derive(Debug, Default)]
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Vec<Mark>,
}

impl Watched {
    /// Those at these paths; as if they had not been there.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let seen = vec![None; paths.len()];
        Self { paths, seen }
    }

    /// Whether one of them is another than when they were noted.
    pub fn has_changed(&self) -> bool {
        self.marks() != self.seen
    }

    /// Notes what they are like. To be done before they are read: what changes meanwhile is then seen as a change.
    pub fn note(&mut self) {
        self.seen = self.marks();
    }

    fn marks(&self) -> Vec<Mark> {
        self.paths.iter().map(|path| mark(path)).collect()
    }
}

fn mark(path: &Path) -> Mark {
    let metadata = fs::metadata(path).ok()?;
    Some((
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ino(),
        metadata.len(),
    ))
}
