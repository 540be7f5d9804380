//! For tests: the call of this thread that fails, and how.

use nix::errno::Errno;
use std::cell::Cell;
use std::fs;
use std::path::Path;

thread_local! {
    /// Calls that are still made before the one that fails, and how that fails.
    static FAULT: Cell<Option<(usize, Errno)>> = const { Cell::new(None) };
}

/// Before each call.
pub fn next() -> nix::Result<()> {
    FAULT.with(|fault| match fault.take() {
        Some((0, errno)) => Err(errno),
        Some((left, errno)) => {
            fault.set(Some((left - 1, errno)));
            Ok(())
        }
        None => Ok(()),
    })
}

/// Has the call after `before` others fail while `act` runs; what it returns, and whether the call came.
pub fn with<T>(before: usize, errno: Errno, act: impl FnOnce() -> T) -> (T, bool) {
    FAULT.set(Some((before, errno)));
    let made = act();
    (made, FAULT.take().is_none())
}

/// How calls fail: the disk, its room, the permission, the mount, the process's descriptors, a signal, the user's room.
pub const ERRNOS: [Errno; 7] = [
    Errno::EIO,
    Errno::ENOSPC,
    Errno::EACCES,
    Errno::EROFS,
    Errno::EMFILE,
    Errno::EINTR,
    Errno::EDQUOT,
];

/// Has each call that `act` makes fail in turn, in each way: `judge` is told which and how, and what `act` returned. Each
/// attempt has a directory of its own, filled by `prepare`.
pub fn each<T>(
    test: &str,
    prepare: impl Fn(&Path),
    act: impl Fn(&Path) -> T,
    judge: impl Fn(&Path, Errno, T),
) {
    let name = format!("fanlight-fault-{test}-{}", std::process::id());
    // In memory, where a directory of this many writes costs no disk anything.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let path = folder.join(name);
    let mut calls = 0;
    for errno in ERRNOS {
        for before in 0.. {
            let _ = fs::remove_dir_all(&path);
            prepare(&path);
            let held = descriptors(&path);
            let (made, has_come) = with(before, errno, || act(&path));
            judge(&path, errno, made);
            assert_eq!(descriptors(&path), held, "call {before}: {errno}");
            if !has_come {
                break;
            }
            calls += 1;
        }
    }
    fs::remove_dir_all(&path).unwrap();
    assert!(calls > 3 * ERRNOS.len(), "{calls} calls failed");
}

/// Descriptors of this process below a path.
fn descriptors(path: &Path) -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap();
    let targets = all.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(path)).count()
}
