//! What the daemon keeps over a restart: its certificate; and what it says when it can't keep it.

#[path = "interop/offer.rs"]
#[expect(dead_code, reason = "this test needs one offer")]
mod offer;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use support::daemon::Daemon;
use support::http;
use support::scratch::Scratch;

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
    assert!(log.contains("a new DTLS certificate is made: "), "{log}");
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
    // Nobody could know the token of a daemon that keeps nothing.
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
        assert!(log.contains("nothing is kept over a restart"), "{log}");
        assert!(log.contains(reason), "{log}");
        let daemon = Daemon::start(&["--test-pattern", "--state-dir", path]);
        assert_eq!(http::get(daemon.address(), "/healthz").status, 200);
        assert_eq!(http::get(daemon.address(), "/camera").status, 401);
        let log = daemon.log();
        assert!(log.contains("the token can't be kept"), "{log}");
    }
}
