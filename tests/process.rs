//! The command as a process: what it tells a service manager, how it ends, its exit status, and what it says of links.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::daemon::Daemon;
use support::scratch::Scratch;

const PATTERN: [&str; 3] = ["--test-pattern", "--listen", "127.0.0.1:0"];

fn fanlight(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.args(arguments).stderr(Stdio::null());
    // It keeps nothing.
    for name in ["STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"] {
        command.env_remove(name);
    }
    command
}

fn status(arguments: &[&str]) -> Option<i32> {
    let mut command = fanlight(arguments);
    command.stdout(Stdio::null()).status().unwrap().code()
}

fn terminate(daemon: &Child) {
    signal(daemon, "TERM");
}

fn signal(daemon: &Child, name: &str) {
    let kill = format!("kill -s {name} {}", daemon.id());
    let killed = Command::new("bash").args(["-c", &kill]).status();
    assert!(killed.unwrap().success(), "{kill}");
}

/// What a service manager hears.
struct Manager {
    address: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    fn new(name: &str) -> Self {
        let address = path(name);
        let socket = UnixDatagram::bind(&address).unwrap();
        let patience = Some(Duration::from_secs(30));
        socket.set_read_timeout(patience).unwrap();
        Self { address, socket }
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 1000];
        let len = loop {
            match self.socket.recv(&mut buffer) {
                // A debugger or a terminal that stops and continues the test interrupts a receive with a time-out.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.address);
    }
}

/// Where a daemon serves, as it prints that.
fn address(daemon: &mut Child) -> String {
    let mut line = String::new();
    let mut out = BufReader::new(daemon.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let (_, address) = line.trim().trim_end_matches('/').split_once("://").unwrap();
    address.replace("localhost", "127.0.0.1")
}

/// A file name of this test's own.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("fanlight-process-{}-{name}", std::process::id()))
}

#[test]
fn a_service_manager_is_told_when_the_ports_are_bound_and_when_the_daemon_ends() {
    let manager = Manager::new("notify");
    let mut daemon = fanlight(&PATTERN)
        .env("NOTIFY_SOCKET", &manager.address)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = manager.hear();
    assert!(ready.contains("READY=1"), "{ready}");
    assert!(ready.contains("STATUS=0 sessions; camera: idle"), "{ready}");
    TcpStream::connect(address(&mut daemon)).unwrap();
    terminate(&daemon);
    assert_eq!(manager.hear(), "STOPPING=1\n");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn a_service_managers_watchdog_hears_in_time_that_all_is_well() {
    let manager = Manager::new("watchdog");
    let mut daemon = fanlight(&PATTERN)
        .env("NOTIFY_SOCKET", &manager.address)
        .env("WATCHDOG_USEC", "400000")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(manager.hear().contains("READY=1"));
    for _ in 0..5 {
        assert_eq!(manager.hear(), "WATCHDOG=1\n");
    }
    // What is stopped is not well.
    signal(&daemon, "STOP");
    let short = Some(Duration::from_millis(500));
    manager.socket.set_read_timeout(short).unwrap();
    let mut buffer = [0; 100];
    while manager.socket.recv(&mut buffer).is_ok() {}
    signal(&daemon, "CONT");
    let patience = Some(Duration::from_secs(30));
    manager.socket.set_read_timeout(patience).unwrap();
    assert_eq!(manager.hear(), "WATCHDOG=1\n");
    terminate(&daemon);
    while manager.hear() != "STOPPING=1\n" {}
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

/// Those of signal(7) that end a process by default, but for KILL, the ones that tell of a fault in it, and ABRT, by which
/// systemd's watchdog has it leave a core.
#[test]
fn no_signal_ends_the_daemon_without_a_goodbye() {
    let manager = Manager::new("signals");
    let start = || {
        let daemon = fanlight(&PATTERN)
            .env("NOTIFY_SOCKET", &manager.address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(manager.hear().contains("READY=1"));
        daemon
    };
    for name in ["TERM", "INT", "QUIT", "XCPU"] {
        let mut daemon = start();
        signal(&daemon, name);
        assert_eq!(manager.hear(), "STOPPING=1\n", "{name}");
        assert_eq!(daemon.wait().unwrap().code(), Some(0), "{name}");
    }
    let mut daemon = start();
    let address = address(&mut daemon);
    for name in [
        "HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "PIPE", "XFSZ",
        "RTMIN", "RTMIN+5", "RTMAX-1",
    ] {
        signal(&daemon, name);
        let mut stream = TcpStream::connect(&address).unwrap();
        let request = b"GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut reply = String::new();
        let read = stream.read_to_string(&mut reply);
        assert!(reply.contains(" 200 "), "{name}: {read:?}");
    }
    terminate(&daemon);
    assert_eq!(manager.hear(), "STOPPING=1\n");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test is about lines that must not come meanwhile"
)]
fn pause() {
    std::thread::sleep(Duration::from_secs(1));
}

#[test]
fn a_shortage_of_descriptors_leaves_one_line_a_minute_in_the_log() {
    let program = env!("CARGO_BIN_EXE_fanlight");
    let arguments = PATTERN.join(" ");
    let mut daemon = Command::new("bash")
        .args(["-c", &format!("ulimit -n 48; exec {program} {arguments}")])
        .env_remove("HOME")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let address = address(&mut daemon);
    let held: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    let mut log = BufReader::new(daemon.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("can't accept") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the line comes");
    }
    // The daemon tries ten times a second, for as long as those are held.
    pause();
    drop(held);
    terminate(&daemon);
    assert!(daemon.wait().unwrap().success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("can't accept"), "{rest}");
}

#[test]
fn the_exit_status_tells_wrong_usage_a_bad_configuration_and_a_fault_apart() {
    assert_eq!(status(&["--no-such-option"]), Some(2));
    assert_eq!(
        status(&["--test-pattern", "--device", "/dev/video0"]),
        Some(2)
    );
    let file = path("bad.toml");
    std::fs::write(&file, "[http]\nlisten = false\n").unwrap();
    let name = file.to_str().unwrap();
    assert_eq!(status(&["--config", name]), Some(78));
    assert_eq!(status(&["check-config", name]), Some(78));
    std::fs::remove_file(file).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_eq!(status(&["--test-pattern", "--listen", &address]), Some(1));
    assert_eq!(status(&["--version"]), Some(0));
}

/// Its exit status, what it printed, and what it said beside.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = fanlight(arguments);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn what_can_not_start_because_of_a_file_that_the_configuration_names_exits_with_78() {
    let scratch = Scratch::new();
    let stream = "[[stream]]\nname = \"a\"\npattern = true\n";
    let gone = scratch.path().join("gone").display().to_string();
    let file = scratch.write("not-a-camera", "").display().to_string();
    for (table, key, part) in [
        (
            format!("[tls]\ncertificate = {gone:?}\nkey = {gone:?}\n{stream}"),
            "2: tls.certificate: ",
            "can't be read: No such file or directory",
        ),
        (
            format!("[auth]\nmode = \"jwt\"\njwt_keys = {gone:?}\n{stream}"),
            "3: auth.jwt_keys: ",
            "put the issuer's public keys there",
        ),
        (
            format!("[[stream]]\nname = \"a\"\ndevice = {file:?}\n"),
            "3: stream[0].device: ",
            "not a camera or a link to one; choose a camera",
        ),
    ] {
        let config = scratch.write("fanlight.toml", &table);
        let config = config.to_str().unwrap();
        for arguments in [
            &["check-config", config][..],
            &["--config", config, "--listen", "127.0.0.1:0"],
        ] {
            let (status, out, told) = run(arguments);
            assert_eq!((status, &*out), (Some(78), ""), "{told}");
            assert!(told.starts_with(&format!("{config}:{key}")), "{told}");
            assert!(told.contains(part) && !told.contains("os error"), "{told}");
        }
    }
    let (status, _, told) = run(&["--device", &file, "--listen", "127.0.0.1:0"]);
    assert_eq!(status, Some(78));
    assert!(
        told.starts_with(&format!("--device: {file}: not a camera")),
        "{told}"
    );
}

#[test]
fn a_state_directory_that_can_not_be_is_found_in_the_configuration() {
    let scratch = Scratch::new();
    let config = scratch.write(
        "fanlight.toml",
        "\n[state]\ndirectory = \"/dev/null/state\"\n",
    );
    let config = config.to_str().unwrap();
    let (status, _, told) = run(&["check-config", config]);
    assert_eq!(status, Some(78));
    assert!(
        told.starts_with(&format!("{config}:3: state.directory: ")),
        "{told}"
    );
    assert!(told.contains("/dev/null is not a directory"), "{told}");
}

#[test]
fn who_has_the_port_is_told_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (status, _, told) = run(&["--test-pattern", "--listen", &address.to_string()]);
    assert_eq!(status, Some(1));
    assert!(
        told.contains(&format!("can't listen on {address} (TCP): ")),
        "{told}"
    );
    let who = format!("(process {}) uses it: end that program", std::process::id());
    assert!(told.contains(&who) && !told.contains("os error"), "{told}");
}

#[test]
fn a_mistyped_camera_is_told_at_once_and_an_unplugged_one_in_the_log() {
    let (status, _, told) = run(&["--device", "video7"]);
    assert_eq!(status, Some(2));
    assert!(told.contains("did you mean \"/dev/video7\"?"), "{told}");

    let daemon = Daemon::start(&["--device", "/dev/video4000000000"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(support::eventually("the camera's absence", async || {
        let log = daemon.log();
        let is_told = log.contains("/dev/video4000000000: no such device")
            && log.contains("when the camera is plugged in");
        is_told.then_some(()).ok_or(log)
    }));
}

#[test]
fn who_types_start_is_told_how_to_start() {
    for arguments in [
        &["start"][..],
        &["start", "--test-pattern"],
        &["start", "--help"],
    ] {
        let (status, _, told) = run(arguments);
        assert_eq!(status, Some(2));
        assert!(told.contains("`fanlight` alone runs the server"), "{told}");
    }
    let (_, _, told) = run(&["strat"]);
    assert!(!told.contains("'start'"), "{told}");
}

#[test]
fn a_daemon_that_nobody_could_watch_ends_with_78_and_the_cure() {
    let state = ["--state-dir", "/dev/null/state"];
    let (status, _, told) = run(&[&PATTERN[..], &state].concat());
    assert_eq!(status, Some(78), "{told}");
    assert!(told.contains("nobody could watch"), "{told}");
    assert!(
        told.contains("name another directory with --state-dir"),
        "{told}"
    );
    let daemon = Daemon::start(&["--test-pattern"]);
    let taken = daemon.state_dir().display().to_string();
    let (status, _, told) = run(&[&PATTERN[..], &["--state-dir", &taken]].concat());
    // The other may end.
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("in use by another fanlight"), "{told}");
}

#[test]
fn a_configuration_that_is_valid_is_told_with_the_cameras_that_are_not_there() {
    let scratch = Scratch::new();
    let toml = "[[stream]]\nname = \"a\"\ndevice = \"/dev/video4000000000\"\n";
    let file = scratch.write("fanlight.toml", toml).display().to_string();
    let (status, told, notes) = run(&["check-config", &file]);
    assert_eq!(status, Some(0));
    assert_eq!(told, format!("{file}: valid; 1 stream: a\n"));
    assert!(
        notes.contains("stream a: /dev/video4000000000: no such device"),
        "{notes}"
    );
    let yaml = scratch.write("fanlight.yaml", "streams:\n  - name: a\n");
    let (status, _, told) = run(&["check-config", yaml.to_str().unwrap()]);
    assert_eq!((status, told.lines().count()), (Some(78), 1), "{told}");
    assert!(told.contains("looks like YAML"), "{told}");
}

/// Runs a command about that daemon.
fn beside(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String, String) {
    let state = daemon.state_dir().display().to_string();
    run(&[arguments, &["--state-dir", &state]].concat())
}

#[test]
fn links_are_those_of_a_daemon_that_runs() {
    let toml = "[http]\npublic_url = \"https://cam.example/garden\"\n[[stream]]\nname = \"a\"\npattern = true\n";
    let mut daemon = Daemon::configured_at("0.0.0.0:0", toml);
    let (status, links, notes) = beside(&daemon, &["url"]);
    assert_eq!((status, &*notes), (Some(0), ""));
    let public = format!("https://cam.example/garden/?token={}", daemon.token());
    assert_eq!(links.lines().next(), Some(&*public), "{links}");

    let (status, links, notes) = beside(&daemon, &["share", "--stream", "a", "--name", "grandma"]);
    assert_eq!((status, &*notes), (Some(0), ""));
    let links: Vec<_> = links.lines().collect();
    assert!(
        links[0].starts_with("https://cam.example/garden/a?token=s."),
        "{links:?}"
    );
    let [.., last, about] = &links[..] else {
        panic!("{links:?}");
    };
    assert!(last.starts_with("http://localhost:"), "{links:?}");
    let id = about.split(' ').next().unwrap();
    assert!(
        about.starts_with(&format!("{id} \"grandma\": view of a, for ")),
        "{about}"
    );
    let (status, _, told) = beside(&daemon, &["share", "--name", "grandma"]);
    assert_eq!(status, Some(1));
    assert!(told.contains(&format!("--revoke {id}")), "{told}");

    // Another configuration's daemon is not this one.
    let scratch = Scratch::new();
    let other = scratch.write("other.toml", "http.listen = 1\n");
    let (status, _, notes) = beside(&daemon, &["url", "--config", other.to_str().unwrap()]);
    assert_eq!(status, Some(0));
    assert!(
        notes.contains("other.toml has port 1, but the fanlight"),
        "{notes}"
    );

    let (status, _, notes) = beside(&daemon, &["url", "--renew"]);
    assert_eq!(status, Some(0));
    assert!(
        notes.contains("the token is new") && notes.contains("stay valid"),
        "{notes}"
    );

    daemon.terminate();
    let (status, links, told) = beside(&daemon, &["url"]);
    assert_eq!((status, &*links), (Some(1), ""));
    assert!(
        told.starts_with("no fanlight is running with the state directory "),
        "{told}"
    );
    let (status, links, notes) = beside(&daemon, &["share"]);
    assert_eq!(status, Some(0));
    assert!(links.contains("?token=s."), "{links}");
    assert!(notes.contains("no fanlight is running"), "{notes}");
    let (status, list, _) = beside(&daemon, &["share", "--list"]);
    assert_eq!((status, list.lines().count()), (Some(0), 2));
    assert!(list.contains(" \"grandma\": view of a, for "), "{list}");
    let (status, told, _) = beside(&daemon, &["share", "--revoke", "grandma"]);
    assert_eq!(status, Some(0));
    assert!(
        told.starts_with(&format!("the link {id} \"grandma\" is revoked")),
        "{told}"
    );
}

#[test]
fn a_daemon_that_does_not_answer_is_told_from_one_that_has_ended() {
    let daemon = Daemon::start(&["--test-pattern"]);
    let file = daemon.state_dir().join("serving.json");
    let noted = std::fs::read_to_string(&file).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let elsewhere = noted.replace(&daemon.address().to_string(), &free.to_string());
    assert_ne!(elsewhere, noted);
    std::fs::write(&file, elsewhere).unwrap();
    let (status, links, told) = beside(&daemon, &["url"]);
    assert_eq!((status, &*links), (Some(1), ""));
    assert!(
        told.contains(&format!("does not answer at {free}")),
        "{told}"
    );
}
