//! What the daemon keeps over a restart: its certificate; and what it says when it can't keep it.

#[path = "interop/offer.rs"]
#[expect(dead_code, reason = "this test needs one offer")]
mod offer;
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::daemon::Daemon;
use support::http;
use support::scratch::Scratch;

/// The user whose directory root visits.
const OWNER: u32 = 4242;

/// The certificate that a viewer is told to expect.
fn fingerprint(daemon: &Daemon) -> String {
    let headers = [("content-type", "application/sdp")];
    let offer = offer::plain();
    let reply = http::request(
        daemon.address(),
        "POST",
        "/whep",
        &headers,
        offer.as_bytes(),
    );
    let reply = reply.unwrap();
    assert_eq!(reply.status, 201, "{reply:?}");
    let mut lines = reply.body.lines();
    let line = lines.find_map(|line| line.strip_prefix("a=fingerprint:"));
    line.unwrap().to_owned()
}

#[test]
fn viewers_see_the_same_certificate_after_a_restart_and_nobody_else_its_key() {
    let mut daemon = Daemon::start(&["--test-pattern"]);
    let before = fingerprint(&daemon);
    let file = daemon.state_dir().join("dtls.pem");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(daemon.state_dir()), 0o700);
    assert_eq!(mode(file), 0o600);

    // Ended either way, since what is kept must not wait for a clean end.
    daemon.kill();
    daemon.start_again();
    assert_eq!(fingerprint(&daemon), before);
    daemon.terminate();
    daemon.start_again();
    assert_eq!(fingerprint(&daemon), before);
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}

#[test]
fn a_damaged_certificate_is_replaced_with_a_warning() {
    let mut daemon = Daemon::start(&["--test-pattern"]);
    let before = fingerprint(&daemon);
    let file = daemon.state_dir().join("dtls.pem");
    daemon.terminate();
    let whole = fs::read(&file).unwrap();
    let half = &whole[..whole.len() / 2];
    fs::write(&file, half).unwrap();
    daemon.start_again();
    let after = fingerprint(&daemon);
    assert_ne!(after, before);
    let log = daemon.log();
    assert!(log.contains("a new DTLS certificate is used: "), "{log}");
    assert!(log.contains("dtls.pem.bad"), "{log}");
    assert_eq!(fs::read(file.with_extension("pem.bad")).unwrap(), half);

    daemon.terminate();
    daemon.start_again();
    assert_eq!(fingerprint(&daemon), after);
}

#[test]
fn a_daemon_that_can_keep_nothing_says_what_that_means_and_serves() {
    let first = Daemon::start(&["--test-pattern"]);
    let taken = first.state_dir();
    // With a token it would end, as nobody could read it.
    let scratch = Scratch::new();
    let open = "[auth]\nmode = \"none\"\n[[stream]]\nname = \"camera\"\npattern = true\n";
    let open = scratch.write("open.toml", open).display().to_string();
    for (path, reason) in [
        ("/dev/null/state", "can't make /dev/null/state: "),
        (taken.to_str().unwrap(), "is in use by another fanlight; "),
    ] {
        let daemon = Daemon::start(&["--config", &open, "--state-dir", path]);
        assert_ne!(fingerprint(&daemon), fingerprint(&first));
        let log = daemon.log();
        assert!(log.contains("nothing survives a restart"), "{log}");
        assert!(log.contains(reason), "{log}");
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A directory that the daemon can't write in: for root it is another user's, as whom root then acts.
fn unwritable(scratch: &Scratch) -> String {
    let path = scratch.path().join("unwritable");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o500)).unwrap();
    if is_root() {
        chown(&path, Some(OWNER), Some(OWNER)).unwrap();
    }
    path.display().to_string()
}

#[test]
fn a_daemon_whose_token_can_not_be_written_ends_and_says_what_helps() {
    let scratch = Scratch::new();
    let path = unwritable(&scratch);
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.args([
        "--test-pattern",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        &path,
    ]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    let last = log.lines().last().unwrap();
    for told in [
        "nobody could watch",
        "Permission denied",
        "give it to the user that fanlight runs as",
    ] {
        assert!(last.contains(told), "{told}: {log}");
    }
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn a_daemon_that_needs_no_token_serves_though_it_can_write_nothing() {
    let scratch = Scratch::new();
    let path = unwritable(&scratch);
    let open = "[auth]\nmode = \"none\"\n[[stream]]\nname = \"camera\"\npattern = true\n";
    let open = scratch.write("open.toml", open).display().to_string();
    let daemon = Daemon::start(&["--config", &open, "--state-dir", &path]);
    assert_eq!(http::get(daemon.address(), "/healthz").status, 200);
    let log = daemon.log();
    let line = log
        .lines()
        .find(|line| line.contains("a new DTLS certificate is used"));
    assert!(line.unwrap_or(&log).contains("Permission denied"), "{log}");
}

#[test]
fn damaged_files_are_set_aside_and_the_daemon_serves() {
    for damage in ["", "half a fi"] {
        let mut daemon = Daemon::start(&["--test-pattern"]);
        let before = daemon.token();
        daemon.terminate();
        let names = ["token", "share.key", "shares.json"];
        for name in names {
            fs::write(daemon.state_dir().join(name), damage).unwrap();
        }
        daemon.start_again();
        fingerprint(&daemon);
        let log = daemon.log();
        for name in names {
            let aside = daemon.state_dir().join(format!("{name}.bad"));
            assert!(log.contains(&aside.display().to_string()), "{log}");
            assert_eq!(fs::read_to_string(aside).unwrap(), damage);
        }
        assert_ne!(daemon.token(), before);
    }
}

#[test]
fn what_others_can_read_or_change_is_told_at_the_start() {
    let mut daemon = Daemon::start(&["--test-pattern"]);
    assert!(!daemon.log().contains("chmod"), "{}", daemon.log());
    daemon.terminate();
    let (state, token) = (daemon.state_dir(), daemon.state_dir().join("token"));
    fs::set_permissions(&state, PermissionsExt::from_mode(0o770)).unwrap();
    fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    daemon.start_again();
    let log = daemon.log();
    for cure in [
        format!("chmod 700 {}", state.display()),
        format!("chmod 600 {}", token.display()),
    ] {
        assert_eq!(log.matches(&cure).count(), 1, "{log}");
    }
}

/// A daemon among mounts of its own, which end with it.
struct Mounted(Child, SocketAddr, Vec<String>);

impl Mounted {
    /// Started by root's shell, after these commands.
    fn start(commands: &str, arguments: &[&str]) -> Self {
        let script = format!("{commands} && exec \"$0\" \"$@\"");
        let mut child = Command::new("unshare")
            .args(["--mount", "--uts", "sh", "-c", &script])
            .arg(env!("CARGO_BIN_EXE_fanlight"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = Vec::new();
        let address = loop {
            let line = lines.next().expect("it prints its URL").unwrap();
            let url = line.split("://127.0.0.1").nth(1);
            told.push(line.clone());
            if let Some(port) = url {
                let port = port.split(['/', '?']).next().unwrap();
                break format!("127.0.0.1{port}").parse().unwrap();
            }
        };
        Self(child, address, told)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_whose_disk_is_full_at_its_first_start_serves() {
    assert!(is_root(), "this needs root, for a disk of the test's own");
    let scratch = Scratch::new();
    let path = scratch.path().display().to_string();
    let full = format!(
        "mount -t tmpfs -o size=4k,mode=0700 disk {path} && (head -c 4096 /dev/zero >{path}/full)"
    );
    let daemon = Mounted::start(&full, &["--test-pattern", "--state-dir", &path]);
    assert_eq!(http::get(daemon.1, "/healthz").status, 200);
}

#[test]
fn the_certificate_has_the_hosts_names_where_proc_hides_them() {
    assert!(is_root(), "this needs root, for a /proc of the test's own");
    let scratch = Scratch::new();
    let state = scratch.path().join("state").display().to_string();
    let toml = "[tls]\nself_signed = true\n[[stream]]\nname = \"a\"\npattern = true\n";
    let file = scratch.write("fanlight.toml", toml).display().to_string();
    // As `ProcSubset=pid` has it.
    let hidden = "hostname probe.example && mount -t proc -o subset=pid proc /proc";
    let daemon = Mounted::start(hidden, &["--config", &file, "--state-dir", &state]);
    assert!(daemon.2.iter().any(|line| line.contains("https://")));
    let authority = fs::read_to_string(Path::new(&state).join("ca.pem")).unwrap();
    let names = authority.lines().next().unwrap();
    assert_eq!(
        names, "names: probe.example",
        "and probe.local, which every authority may name"
    );
}

#[test]
fn root_harms_nothing_by_commands_in_a_directory_of_another_user() {
    assert!(is_root(), "this needs root, to act as another user");
    let mut daemon = Daemon::start(&["--test-pattern"]);
    daemon.terminate();
    let state = daemon.state_dir();
    for entry in fs::read_dir(&state).unwrap() {
        chown(entry.unwrap().path(), Some(OWNER), Some(OWNER)).unwrap();
    }
    chown(&state, Some(OWNER), Some(OWNER)).unwrap();
    let scratch = Scratch::new();
    let victim = scratch.write("victim", "root's own\n");
    let share = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
        let output = command.arg("share").arg("--state-dir").arg(&state).output();
        let output = output.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), error)
    };
    assert!(share().0);
    for name in [".visit", "token", "shares.json"] {
        let (file, away) = (state.join(name), state.join("away"));
        fs::rename(&file, &away).unwrap();
        symlink(&victim, &file).unwrap();
        let (is_done, told) = share();
        assert!(
            !is_done && told.contains("is a symbolic link; "),
            "{name}: {told}"
        );
        let metadata = fs::metadata(&victim).unwrap();
        assert_eq!((metadata.uid(), metadata.len()), (0, 11), "{name}");
        assert!(!told.contains("root's own"), "{told}");
        fs::rename(&away, &file).unwrap();
    }
    assert!(share().0);
    for entry in fs::read_dir(&state).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), OWNER, "{entry:?}");
    }
}
