//! Files are kept whole, private, and in no other place.

use super::*;
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};

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
    let state = StateDir::open(&path).unwrap();
    assert_eq!(state.read("a").unwrap(), None);
    state.write("a", b"one").unwrap();
    state.write("a", b"two").unwrap();
    drop(state);
    let state = StateDir::open(&path).unwrap();
    assert_eq!(state.read("a").unwrap().unwrap(), b"two");
    assert_eq!(names(&path), [VISIT, "a"]);
}

#[test]
fn nobody_else_can_read_what_is_kept() {
    let scratch = Scratch::new("mode");
    let state = StateDir::open(&scratch.0).unwrap();
    assert_eq!(mode(&scratch.0), 0o700);
    // Left behind by a process that ended halfway, with another mode.
    fs::write(scratch.0.join(".a.new"), b"half").unwrap();
    fs::set_permissions(scratch.0.join(".a.new"), PermissionsExt::from_mode(0o666)).unwrap();
    state.write("a", b"secret").unwrap();
    assert_eq!(mode(&scratch.0.join("a")), 0o600);
    assert_eq!(names(&scratch.0), [VISIT, "a"]);
}

#[test]
fn a_write_that_fails_leaves_the_file_as_it_was() {
    let scratch = Scratch::new("atomic");
    let state = StateDir::open(&scratch.0).unwrap();
    state.write("a", b"old").unwrap();
    // A directory, in which something is, can't be removed as a file.
    fs::create_dir_all(scratch.0.join(".a.new/b")).unwrap();
    let error = state.write("a", b"new").unwrap_err().to_string();
    assert!(error.starts_with("can't write "), "{error}");
    assert!(error.contains("/a: "), "{error}");
    assert_eq!(state.read("a").unwrap().unwrap(), b"old");
    let long = vec![0; LONGEST + 1];
    let error = state.write("b", &long).unwrap_err().to_string();
    assert!(error.contains("is longer than"), "{error}");
    fs::write(scratch.0.join("b"), long).unwrap();
    let error = state.read("b").unwrap_err().to_string();
    assert!(error.contains("is longer than"), "{error}");
}

#[test]
fn a_file_of_no_use_is_kept() {
    let scratch = Scratch::new("aside");
    let state = StateDir::open(&scratch.0).unwrap();
    state.write("a", b"useless").unwrap();
    assert_eq!(state.set_aside("a").unwrap(), scratch.0.join("a.bad"));
    assert_eq!(state.read("a").unwrap(), None);
    assert_eq!(state.read("a.bad").unwrap().unwrap(), b"useless");
}

#[test]
fn a_directory_is_one_daemons_at_a_time() {
    let scratch = Scratch::new("lock");
    let first = StateDir::open(&scratch.0).unwrap();
    let error = StateDir::open(&scratch.0).unwrap_err().to_string();
    assert!(error.contains("in use by another fanlight"), "{error}");
    drop(first);
    StateDir::open(&scratch.0).unwrap();
}

#[test]
fn a_daemon_waits_for_a_command_that_only_looks() {
    let scratch = Scratch::new("look");
    let mut held = StateDir::open(&scratch.0).ok();
    let mut waited = 0;
    let opened = StateDir::open_while(&scratch.0, || {
        waited += 1;
        held = held.take().filter(|_| waited < 3);
        true
    });
    assert!(opened.is_ok() && waited == 3);
}

#[test]
fn a_command_that_asks_whether_there_is_a_daemon_is_none() {
    let scratch = Scratch::new("ask");
    fs::create_dir(&scratch.0).unwrap();
    let asking = File::open(&scratch.0).unwrap();
    asking.lock_shared().unwrap();
    assert!(!StateDir::is_in_use(&scratch.0));
}

#[test]
fn a_command_may_write_beside_the_daemon_and_root_leaves_the_owner_as_it_is() {
    let scratch = Scratch::new("visit");
    assert!(StateDir::visit(&scratch.0).is_err());
    assert!(!StateDir::is_in_use(&scratch.0));
    let daemon = StateDir::open(&scratch.0).unwrap();
    assert!(StateDir::is_in_use(&scratch.0));
    if geteuid().is_root() {
        chown(&scratch.0, Some(1234), Some(1235)).unwrap();
    }
    let owner = |name: &str| {
        let metadata = fs::metadata(scratch.0.join(name)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    StateDir::visit(&scratch.0)
        .unwrap()
        .write("a", b"1")
        .unwrap();
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
        let error = StateDir::open(&path).unwrap_err().to_string();
        assert!(error.starts_with("can't make "), "{error}");
        assert!(error.contains("; move the file in the place"), "{error}");
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

/// The owner of a directory that root visits, and somebody else.
const OWNER: u32 = 4242;
const STRANGER: u32 = 4243;

/// Kinds of entry that a directory's owner may put in the place of a file, to make root change or read `victim`.
const TRAPS: [&str; 9] = [
    "link",
    "dangling",
    "pipe",
    "zero",
    "second name",
    "folder",
    "long",
    "stranger's",
    "socket",
];

fn lay(trap: &str, at: &Path, victim: &Path) {
    match trap {
        "link" => symlink(victim, at).unwrap(),
        "dangling" => symlink(victim.with_extension("made"), at).unwrap(),
        "pipe" => mkfifo(at, Mode::S_IRWXU).unwrap(),
        "zero" => symlink("/dev/zero", at).unwrap(),
        "second name" => fs::hard_link(victim, at).unwrap(),
        "folder" => fs::create_dir(at).unwrap(),
        "long" => File::create(at).unwrap().set_len(1 << 40).unwrap(),
        "socket" => drop(std::os::unix::net::UnixListener::bind(at).unwrap()),
        _ => fs::write(at, "x").unwrap(),
    }
    let owner = if trap == "stranger's" {
        STRANGER
    } else {
        OWNER
    };
    if trap != "second name" {
        lchown(at, Some(owner), Some(owner)).unwrap();
    }
}

#[test]
fn root_is_led_nowhere_by_what_the_owner_of_the_directory_puts_there() {
    if !geteuid().is_root() {
        return;
    }
    for trap in TRAPS {
        let scratch = Scratch::new("trap");
        let path = scratch.0.join("state");
        let victim = scratch.0.join("victim");
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(OWNER), Some(OWNER)).unwrap();
        fs::write(&victim, "root's\n").unwrap();
        fs::set_permissions(&victim, PermissionsExt::from_mode(0o600)).unwrap();
        let before = fs::metadata(&victim).unwrap();
        let unharmed = |when: &str| {
            let now = fs::metadata(&victim).unwrap();
            let facts = |of: &fs::Metadata| (of.uid(), of.gid(), of.mode(), of.len());
            assert_eq!(facts(&now), facts(&before), "{trap} {when}");
            assert_eq!(fs::read(&victim).unwrap(), b"root's\n", "{trap} {when}");
            assert!(!victim.with_extension("made").exists(), "{trap} {when}");
        };
        for name in [VISIT, "token", ".token.new"] {
            let at = path.join(name);
            lay(trap, &at, &victim);
            let visited = StateDir::visit(&path);
            if name == VISIT {
                let error = visited.unwrap_err().to_string();
                assert!(error.contains("/.visit") && error.contains("; "), "{error}");
            } else {
                let state = visited.unwrap();
                if name == "token" {
                    let error = state.read("token").unwrap_err().to_string();
                    assert!(error.contains("/token"), "{error}");
                }
                let written = state.write("token", b"new");
                assert_eq!(written.is_ok(), trap != "folder", "{trap} as {name}");
            }
            unharmed(name);
            let _ = fs::remove_dir(&at);
            let _ = fs::remove_file(&at);
            let _ = fs::remove_file(path.join("token"));
        }
    }
}

#[test]
fn root_can_do_in_a_directory_what_its_owner_can_and_is_root_again_afterwards() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new("rights");
    let path = scratch.0.join("state");
    fs::create_dir_all(&path).unwrap();
    chown(&path, Some(OWNER), Some(OWNER)).unwrap();
    let state = StateDir::visit(&path).unwrap();
    state.write("a", b"1").unwrap();
    let owner = fs::metadata(path.join("a")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (OWNER, OWNER));
    fs::write(scratch.0.join("roots"), "").unwrap();
    assert_eq!(fs::metadata(scratch.0.join("roots")).unwrap().uid(), 0);
    // Root alone could write here, and read that.
    fs::set_permissions(&path, PermissionsExt::from_mode(0o500)).unwrap();
    let error = state.write("a", b"2").unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "{error}");
    chown(path.join("a"), Some(0), Some(0)).unwrap();
    let error = state.read("a").unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "{error}");
}

#[test]
fn a_write_waits_for_another_and_a_daemons_not_for_long() {
    let scratch = Scratch::new("turns");
    let daemon = StateDir::open(&scratch.0).unwrap();
    let visit = StateDir::visit(&scratch.0).unwrap();
    let error = daemon.write("a", b"1").unwrap_err().to_string();
    assert!(error.contains("is locked by another fanlight"), "{error}");
    visit.write("a", b"2").unwrap();
    drop(visit);
    daemon.write("a", b"3").unwrap();
    assert_eq!(daemon.read("a").unwrap().unwrap(), b"3");
}

#[test]
fn whichever_call_fails_a_file_is_the_old_one_or_the_new_one() {
    let read = |path: &Path, name| fs::read(path.join(name)).ok();
    faults::each(
        "write",
        |path| {
            StateDir::open(path).unwrap().write("a", b"old").unwrap();
        },
        |path| StateDir::open(path)?.write("a", b"new"),
        |path, errno, written| {
            let content = read(path, "a").unwrap();
            assert!([&b"old"[..], b"new"].contains(&&*content), "{errno}");
            if errno == Errno::EINTR {
                written.as_ref().unwrap();
            }
            if written.is_ok() {
                assert_eq!(content, b"new", "{errno}");
            }
            if let Err(error) = written {
                let told = error.to_string();
                assert!(told.starts_with("can't ") && told.contains("; "), "{told}");
            }
            assert_eq!(names(path), [VISIT, "a"], "{errno}");
        },
    );
    faults::each(
        "read",
        |path| StateDir::open(path).unwrap().write("a", b"old").unwrap(),
        |path| StateDir::look(path)?.read("a"),
        |_, errno, content| match content {
            Ok(content) => assert_eq!(content.unwrap(), b"old"),
            Err(error) => assert!(errno != Errno::EINTR, "{error}"),
        },
    );
}

#[test]
fn whichever_call_fails_a_daemon_gets_what_it_needs_and_a_good_file_stays() {
    let parse = |file: &[u8]| match file {
        b"good" => Ok(1),
        b"made" => Ok(2),
        _ => Err("it is neither".to_owned()),
    };
    let make = || Ok::<_, String>((2, b"made".to_vec()));
    for before in [Some("good"), Some("bad"), None] {
        faults::each(
            before.unwrap_or("none"),
            |path| {
                let state = StateDir::open(path).unwrap();
                before
                    .iter()
                    .for_each(|text| state.write("a", text.as_bytes()).unwrap());
            },
            |path| {
                let state = StateDir::open(path).ok()?;
                state.obtain("a", parse, make).ok()
            },
            |path, errno, obtained| {
                let now = fs::read_to_string(path.join("a")).ok();
                if before == Some("good") {
                    assert_eq!(now.as_deref(), before, "{errno}");
                }
                let Some(obtained) = obtained else {
                    return;
                };
                match (&obtained.trouble, before) {
                    (None, Some("good")) => assert_eq!(obtained.value, 1),
                    (None, Some(_)) => panic!("damage is told"),
                    _ => assert_eq!(obtained.value, 2),
                }
                // Whatever happened, the next start has a sound file.
                let state = StateDir::open(path).unwrap();
                let next = state.obtain("a", parse, make).unwrap().value;
                assert_eq!(next == 1, before == Some("good"));
                let damage = fs::read_to_string(path.join("a.bad")).ok();
                assert_eq!(
                    damage.as_deref() == Some("bad"),
                    before == Some("bad"),
                    "{errno}"
                );
            },
        );
    }
}
