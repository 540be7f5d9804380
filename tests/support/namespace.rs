//! Networks of the test's own, in which nothing but the test and its other machines is to be reached.

use nix::sched::{CloneFlags, setns, unshare};
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{self, Command, Stdio};
use std::thread;

/// Set inside the network.
const INSIDE: &str = "FANLIGHT_TEST_INSIDE_NETWORK";

/// Runs `inside` in a network of its own, by starting this test there once more. `test` is its name. What has to be
/// done where there is another network yet, `prepare` does before; what it returns is kept until the end.
///
/// What the test starts there ends with it: it is the first of its processes, and the kernel ends the others after it.
///
/// Fails where there can be no such network, since a stream that nobody watched is not known to work.
pub fn inside<T>(test: &str, prepare: impl FnOnce() -> T, inside: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        ip(&["link", "set", "lo", "up"]);
        return inside();
    }
    assert!(
        fs::metadata("/proc/self").unwrap().uid() == 0,
        "this needs root, for a network of the test's own"
    );
    let _prepared = prepare();
    let mut network = Command::new("unshare");
    network.args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child"]);
    let this = env::current_exe().unwrap();
    network
        .arg("--")
        .arg(this)
        .args(["--exact", test, "--nocapture"]);
    let output = network.env(INSIDE, "1").output();
    let output = output.expect("unshare can be started: it is of util-linux");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{stdout}{stderr}");
    assert!(
        stdout.contains("running 1 test"),
        "there is no such network: `unshare --net --pid --mount-proc` failed: {stderr}"
    );
    assert!(
        output.status.success(),
        "{test} failed in its network, see above"
    );
}

/// Of the daemon's machine, where there are two.
pub const DAEMON: &str = "10.98.0.1";

/// Makes this network the browser's, with the interface `browser0`, and joins it with the daemon's machine, which has `daemon0`.
pub fn two_machines() -> Host {
    let host = Host::joined("browser0", "daemon0");
    let up = |address, interface| {
        let address = format!("{address}/24");
        ip(&["address", "add", &address, "dev", interface]);
        ip(&["link", "set", interface, "up"]);
    };
    host.run(|| up(DAEMON, "daemon0"));
    up("10.98.0.2", "browser0");
    add_default_route(DAEMON);
    host
}

/// Sets rules of this network's packet filter.
pub fn filter(rules: &str) {
    let mut nft = Command::new("nft")
        .args(["--file", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nft can be started: is nftables installed?");
    let mut stdin = nft.stdin.take().unwrap();
    stdin.write_all(rules.as_bytes()).unwrap();
    drop(stdin);
    assert!(nft.wait().unwrap().success(), "{rules}");
}

/// Gives the network a way out, which leads nowhere: without one, a browser has no address to offer.
pub fn add_default_route(via: &str) {
    ip(&["route", "add", "default", "via", via]);
}

/// Runs `ip`, which must succeed.
pub fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status();
    assert!(status.unwrap().success(), "ip {arguments:?}");
}

/// Another machine, as far as networks go: the same processor and files, and a network of its own.
pub struct Host(File);

impl Host {
    /// One whose interface `theirs` is joined by a cable to the interface `ours` of this network.
    pub fn joined(ours: &str, theirs: &str) -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let host = Self(made.join().unwrap());
        let pid = process::id().to_string();
        host.run(|| {
            ip(&["link", "set", "lo", "up"]);
            ip(&[
                "link", "add", theirs, "type", "veth", "peer", "name", ours, "netns", &pid,
            ]);
            // What is sent as one piece travels as the datagrams that it is, and so they can be lost one by one.
            ip(&["link", "set", theirs, "gso_max_segs", "1"]);
        });
        host
    }

    /// Does something there. Processes that it starts belong there too, threads that it starts as well.
    pub fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let there = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
            act()
        };
        thread::scope(|scope| scope.spawn(there).join().unwrap())
    }
}
