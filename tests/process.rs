//! The command as a process: what it tells a service manager, how it ends, and its exit status.

use std::io::{BufRead, BufReader, ErrorKind};
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
    let pid = daemon.id().to_string();
    let kill = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(kill.unwrap().success());
}

/// A file name of this test's own.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("fanlight-process-{}-{name}", std::process::id()))
}

#[test]
fn a_service_manager_is_told_when_the_ports_are_bound_and_when_the_daemon_ends() {
    let address = path("notify");
    let manager = UnixDatagram::bind(&address).unwrap();
    let patience = Some(Duration::from_secs(30));
    manager.set_read_timeout(patience).unwrap();
    let hear = || {
        let mut buffer = [0; 1000];
        let len = loop {
            match manager.recv(&mut buffer) {
                // Whoever stops and continues the test, as debuggers and terminals do, interrupts a receive with a time-out.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    let mut daemon = fanlight(&PATTERN)
        .env("NOTIFY_SOCKET", &address)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = hear();
    assert!(ready.contains("READY=1"), "{ready}");
    assert!(ready.contains("STATUS=0 sessions; camera: idle"), "{ready}");
    let mut line = String::new();
    let mut out = BufReader::new(daemon.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let port = line.trim().trim_end_matches('/').rsplit(':').next();
    TcpStream::connect(format!("127.0.0.1:{}", port.unwrap())).unwrap();
    terminate(&daemon);
    assert_eq!(hear(), "STOPPING=1\n");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    std::fs::remove_file(address).unwrap();
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
