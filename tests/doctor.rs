//! `fanlight doctor` as people run it: with nothing running, with a daemon, and with one thing wrong at a time.

#[path = "support/mod.rs"]
mod support;

use serde_json::Value;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use support::daemon::Daemon;
use support::scratch::Scratch;

/// Small, so that any machine encodes it in time.
const STREAM: &str =
    "[[stream]]\nname = \"camera\"\npattern = true\nsize = \"320x180\"\nfps = 10\n";

fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.arg("doctor").args(arguments);
    // What is not said is to be nowhere.
    for name in ["STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

/// What it finds of a daemon with that configuration and address, and whether it exits with 0.
struct Found {
    findings: Vec<Value>,
    is_well: bool,
}

impl Found {
    fn of(toml: &str, listen: SocketAddr, state: &Path) -> Self {
        let scratch = Scratch::new();
        let file = scratch.write("fanlight.toml", toml).display().to_string();
        let (listen, state) = (listen.to_string(), state.display().to_string());
        let arguments = [
            "--json",
            "--config",
            &file,
            "--listen",
            &listen,
            "--state-dir",
            &state,
        ];
        let output = doctor(&arguments);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        println!("{report:#}");
        Self {
            findings: report["findings"].as_array().unwrap().clone(),
            is_well: output.status.code() == Some(0),
        }
    }

    /// Those of a check, as outcome, what was seen, and the cure.
    fn all(&self, check: &str) -> Vec<(&str, &str, &str)> {
        let found = self.findings.iter();
        let found = found.filter(|finding| finding["check"] == check);
        found
            .map(|finding| {
                let [outcome, seen, cure] =
                    ["outcome", "seen", "cure"].map(|key| finding[key].as_str().unwrap_or(""));
                (outcome, seen, cure)
            })
            .collect()
    }

    /// The only one of a check.
    fn only(&self, check: &str) -> (&str, &str, &str) {
        let all = self.all(check);
        assert_eq!(all.len(), 1, "{check}: {all:?}");
        all[0]
    }

    /// The checks that failed.
    fn failed(&self) -> Vec<&str> {
        let failed = self
            .findings
            .iter()
            .filter(|finding| finding["outcome"] == "fail");
        let failed: Vec<_> = failed
            .map(|finding| finding["check"].as_str().unwrap())
            .collect();
        assert_eq!(failed.is_empty(), self.is_well);
        failed
    }
}

/// An address whose port is free for TCP and UDP.
fn free() -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    UdpSocket::bind(address).map_or_else(|_| free(), |_| address)
}

#[test]
fn with_nothing_running_everything_is_tried_and_nothing_is_left_behind() {
    let scratch = Scratch::new();
    let state = scratch.path().join("state");
    let toml = format!("[rtc]\ntcp_listen = \"{}\"\n{STREAM}", free());
    let found = Found::of(&toml, free(), &state);
    assert_eq!(found.failed(), [""; 0]);
    for check in [
        "config",
        "state",
        "clock",
        "encoder",
        "certificate",
        "addresses",
    ] {
        assert_ne!(found.only(check).0, "fail", "{check}");
    }
    let ports = found.all("port");
    assert_eq!(ports.len(), 3, "HTTP, media over TCP, and over UDP");
    assert!(
        ports
            .iter()
            .all(|(outcome, seen, _)| *outcome == "ok" && seen.ends_with(" is free"))
    );
    let (_, seen, _) = found.only("session");
    assert!(
        seen.starts_with("a picture of `camera`, 320x180, was decoded "),
        "{seen}"
    );
    assert!(
        seen.ends_with("of a fanlight started for this check"),
        "{seen}"
    );
    assert!(!state.exists());
}

#[test]
fn a_daemon_that_runs_is_watched_over_https_with_its_own_token() {
    let toml = format!("[tls]\nself_signed = true\n{STREAM}");
    let daemon = Daemon::configured(&toml);
    let found = Found::of(&toml, daemon.address(), &daemon.state_dir());
    assert_eq!(found.failed(), [""; 0]);
    assert!(
        found
            .only("state")
            .1
            .contains(&format!("is running at {}", daemon.address()))
    );
    for (_, seen, _) in found.all("port") {
        assert!(
            seen.contains("is used by the running fanlight (process "),
            "{seen}"
        );
    }
    let certificates = found.all("certificate");
    assert!(
        certificates[0]
            .1
            .starts_with("issued by fanlight's own authority, SHA-256 ")
    );
    assert!(
        certificates[1]
            .1
            .starts_with("the running fanlight's is valid for 39"),
        "{certificates:?}"
    );
    let (_, seen, _) = found.only("session");
    let from = format!("by UDP from {} of the running fanlight", daemon.address());
    assert!(seen.ends_with(&from), "{seen}");
    assert!(!daemon.log().contains("refused"), "{}", daemon.log());
}

#[test]
fn a_camera_that_is_missing_is_named_and_the_rest_is_tried_without_it() {
    let scratch = Scratch::new();
    let toml = STREAM.replace("pattern = true", "device = \"/dev/video99\"");
    let found = Found::of(&toml, free(), scratch.path());
    assert_eq!(found.failed(), ["camera"]);
    let (_, seen, cure) = found.only("camera");
    assert!(seen.starts_with("/dev/video99: no such device; "), "{seen}");
    assert!(cure.contains("fanlight cameras"), "{cure}");
    let (outcome, seen, _) = found.only("session");
    assert_eq!(outcome, "warn", "the picture is not the camera's");
    assert!(
        seen.starts_with("`camera` was tried with the test pattern") && seen.contains("320x180"),
        "{seen}"
    );
}

#[test]
fn what_is_no_camera_and_what_an_issuer_lacks_have_cures_of_their_own() {
    let scratch = Scratch::new();
    let file = scratch.write("g2.toml", "");
    let toml = STREAM.replace("pattern = true", &format!("device = {file:?}"));
    let found = Found::of(&toml, free(), scratch.path());
    assert_eq!(found.failed(), ["camera"]);
    let (_, seen, cure) = found.only("camera");
    assert!(seen.ends_with("not a camera or a link to one"), "{seen}");
    assert_eq!(cure, "choose a camera: `fanlight cameras` lists them");

    let toml = format!("[auth]\nmode = \"jwt\"\njwt_keys = \"/dev/null/keys\"\n{STREAM}");
    let found = Found::of(&toml, free(), scratch.path());
    assert_eq!(found.failed(), ["config"]);
    let (_, seen, cure) = found.all("config")[0];
    let told = ":3: auth.jwt_keys: /dev/null/keys: can't be read: Not a directory; put the issuer's public keys there";
    assert!(seen.ends_with(told), "{seen}");
    assert!(cure.contains("does not start"), "{cure}");
}

#[test]
fn a_daemon_without_its_camera_has_no_picture_and_says_why() {
    let toml = STREAM.replace("pattern = true", "device = \"/dev/video99\"");
    let daemon = Daemon::configured(&toml);
    let found = Found::of(&toml, daemon.address(), &daemon.state_dir());
    assert_eq!(found.failed(), ["camera", "session"]);
    let (_, seen, cure) = found.only("session");
    assert_eq!(
        seen,
        "`camera` has no picture: /dev/video99: no such device"
    );
    assert!(cure.contains("fanlight cameras"), "{cure}");
}

#[test]
fn a_port_that_is_taken_is_told_with_who_has_it() {
    let scratch = Scratch::new();
    let address = free();
    let _tcp = TcpListener::bind(address).unwrap();
    let found = Found::of(STREAM, address, scratch.path());
    assert_eq!(found.failed(), ["port"]);
    let ports = found.all("port");
    let who = format!("(process {})", std::process::id());
    assert!(
        ports[0]
            .1
            .starts_with(&format!("TCP {address} is used by ")),
        "{ports:?}"
    );
    assert!(
        ports[0].1.ends_with(&who) && ports[0].2.contains("--listen"),
        "{ports:?}"
    );
    assert_eq!(ports[1].1, format!("UDP {address} is free"));
    assert_eq!(found.only("session").0, "ok");
}

#[test]
fn a_state_directory_that_can_not_be_is_told_with_a_cure() {
    let scratch = Scratch::new();
    let file = scratch.write("file", "");
    let found = Found::of(STREAM, free(), &file.join("state"));
    assert_eq!(found.failed(), ["state"]);
    let (_, seen, cure) = found.only("state");
    assert!(
        seen.ends_with(&format!("{} is not a directory", file.display())),
        "{seen}"
    );
    assert!(cure.contains("--state-dir"), "{cure}");
    let there = Found::of(STREAM, free(), &file);
    assert_eq!(there.failed(), ["state"], "a file in its place");
}

#[test]
fn a_directory_that_others_can_change_is_told_with_the_command_that_ends_it() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let state = scratch.path().join("state");
    std::fs::create_dir(&state).unwrap();
    for (mode, outcome) in [(0o777, "fail"), (0o755, "warn"), (0o700, "")] {
        std::fs::set_permissions(&state, PermissionsExt::from_mode(mode)).unwrap();
        let found = Found::of(STREAM, free(), &state);
        assert_eq!(found.is_well, outcome != "fail");
        let cure = format!("chmod 700 {}", state.display());
        let findings = found.all("state");
        let told = findings.iter().find(|(_, _, told)| *told == cure);
        assert_eq!(told.map_or("", |told| told.0), outcome, "{mode:o}");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_all_that_is_told() {
    let found = Found::of(
        "[http]\nlisten = 99999\nlisten_on = 1\n",
        free(),
        Path::new("/nowhere"),
    );
    assert_eq!(found.failed(), ["config", "config"]);
    assert_eq!(found.findings.len(), 2);
    assert!(
        found.findings[0]["seen"]
            .as_str()
            .unwrap()
            .contains("fanlight.toml:2: http.listen: ")
    );
}

#[test]
fn people_read_a_line_for_each_finding() {
    let listen = free().to_string();
    let scratch = Scratch::new();
    let state = scratch.path().display().to_string();
    let arguments = [
        "--device",
        "/dev/video99",
        "--listen",
        &listen,
        "--state-dir",
        &state,
    ];
    let output = doctor(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = "fail  camera: /dev/video99: no such device; ";
    let cure = " → plug the camera in";
    let is_it = |found: &str| found.starts_with(line) && found.contains(cure);
    assert!(text.lines().any(is_it), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains(" failure"), "{text}");
    assert!(
        text.lines()
            .rev()
            .skip(1)
            .all(|line| ["ok ", "warn ", "fail "]
                .iter()
                .any(|word| line.starts_with(word))),
        "{text}"
    );
    assert!(output.stderr.is_empty());
}
