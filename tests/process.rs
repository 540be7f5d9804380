//! The command as a process: what it tells a service manager, how it ends, and its exit status.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
    std::thread::sleep(Duration::from_secs(1));
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
