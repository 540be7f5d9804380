//! Many streams in one process, one of which fails: each has its threads and failures to itself, and none costs anything
//! while nobody watches.

mod support;

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};
use support::DEADLINE;
use support::daemon::Daemon;

const STREAMS: usize = 8;

#[test]
fn eight_streams_and_one_that_fails_go_their_own_ways_and_rest_when_nobody_watches() {
    let mut config = String::new();
    for n in 0..STREAMS {
        config += &format!("[[stream]]\nname = \"p{n}\"\npattern = true\n");
        config += "size = \"320x180\"\nfps = 10\nlinger = 0\n";
    }
    config +=
        "[[stream]]\nname = \"gone\"\ndevice = \"/dev/video99\"\nsize = \"320x180\"\nlinger = 0\n";
    let daemon = Daemon::configured(&config);
    let names: Vec<_> = (0..STREAMS).map(|n| format!("p{n}")).collect();
    let all = || names.iter().map(String::as_str).chain(["gone"]);

    let mut viewers: Vec<_> = all().map(|name| watch(&daemon, name)).collect();
    // The failed one shows its slate.
    viewers.iter_mut().for_each(|viewer| images(viewer, 2));
    for name in &names {
        assert_eq!(daemon.stream(name)["state"], "live");
    }
    let gone = daemon.stream("gone");
    assert_eq!(gone["state"], "down", "{gone}");
    assert_eq!(gone["error"]["title"], "The camera is not connected");
    let threads = threads(&daemon);
    let count = |kind: &str| {
        let of_kind = threads
            .iter()
            .filter(|thread| thread.name.starts_with(kind));
        of_kind.count()
    };
    assert_eq!(count("enc-"), STREAMS + 1, "{threads:?}");
    assert_eq!(count("cap-p"), STREAMS, "{threads:?}");

    drop(viewers);
    wait_for("all are idle", || {
        all().all(|name| is_idle(&daemon.stream(name)))
    });
    wait_for("no capture thread is left", || {
        !self::threads(&daemon)
            .iter()
            .any(|thread| thread.name.starts_with("cap-"))
    });
    // In six seconds there is one look at the state for systemd, or two. Of nine streams none may wake even once.
    let before = threads_at_rest(&daemon);
    pass(Duration::from_secs(6));
    let after = self::threads(&daemon);
    // A thread that ended meanwhile, or began, is none of a stream's.
    let switches = |thread: &Thread| {
        let former = before.iter().find(|former| former.id == thread.id)?;
        Some(thread.switches - former.switches)
    };
    for thread in &after {
        if thread.name.starts_with("enc-") || thread.name == "media" {
            assert_eq!(switches(thread), Some(0), "{thread:?}");
        }
    }
    let spent: u64 = after.iter().filter_map(switches).sum();
    println!("{spent} context switches of {} threads in 6 s", after.len());
    assert!(
        spent <= 40,
        "{spent} context switches: {before:?} {after:?}"
    );
}

/// Asks for images, as `<img>` does.
fn watch(daemon: &Daemon, name: &str) -> TcpStream {
    let mut connection = TcpStream::connect(daemon.address()).unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(
        connection,
        "GET /{name}/mjpeg?token={} HTTP/1.1\r\nhost: localhost\r\n\r\n",
        daemon.token()
    )
    .unwrap();
    connection
}

/// Reads until so many images have begun.
fn images(viewer: &mut TcpStream, count: usize) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    let begun = |read: &[u8]| {
        read.windows(3)
            .filter(|bytes| *bytes == [0xff, 0xd8, 0xff])
            .count()
    };
    while begun(&read) < count {
        let len = viewer.read(&mut buffer).unwrap();
        assert!(len > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..len]);
    }
}

fn is_idle(stream: &Value) -> bool {
    stream["state"] == "idle"
}

/// A thread of the daemon.
#[derive(Debug)]
struct Thread {
    id: u32,
    name: String,
    /// How often it was switched to, or left.
    switches: u64,
}

fn threads(daemon: &Daemon) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let thread = |path: std::path::PathBuf| {
        let name = fs::read_to_string(path.join("comm")).ok()?;
        let status = fs::read_to_string(path.join("status")).ok()?;
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        let counts = lines.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok());
        Some(Thread {
            id: path.file_name()?.to_str()?.parse().ok()?,
            name: name.trim().to_owned(),
            switches: counts.sum(),
        })
    };
    tasks
        .filter_map(|task| thread(task.unwrap().path()))
        .collect()
}

/// The same, once the last request is over and done with.
fn threads_at_rest(daemon: &Daemon) -> Vec<Thread> {
    pass(Duration::from_secs(1));
    threads(daemon)
}

#[expect(
    clippy::disallowed_methods,
    reason = "that nothing happens is what is tested"
)]
fn pass(time: Duration) {
    thread::sleep(time);
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        pass(Duration::from_millis(50));
    }
}
