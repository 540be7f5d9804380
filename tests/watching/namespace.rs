//! A network of the test's own, in which nothing but the test and its machine is to be reached.

use crate::vm;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Set inside the network.
const INSIDE: &str = "FANLIGHT_TEST_INSIDE_NETWORK";

/// Runs `inside` in a network of its own, by starting this test there once more. `test` is its name.
///
/// What the test starts there ends with it: it is the first of its processes, and the kernel ends the others after it.
///
/// Fails where there can be no such network, since a camera that nobody watched is not known to work.
pub fn inside(test: &str, inside: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        ip(&["link", "set", "lo", "up"]);
        return inside();
    }
    assert!(
        fs::metadata("/proc/self").unwrap().uid() == 0 && Path::new("/dev/net/tun").exists(),
        "no camera was watched from another machine: that needs root, and /dev/net/tun, for a network of the test's own"
    );
    let _turn = vm::turn();
    vm::get_ready();
    let mut network = Command::new("unshare");
    network.args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child"]);
    let output = vm::run_test(&mut network, test).env(INSIDE, "1").output();
    let output = output.expect("unshare can be started: it is of util-linux");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{stdout}{stderr}");
    assert!(
        stdout.contains("running 1 test"),
        "no camera was watched from another machine: `unshare --net --pid --mount-proc` failed: {stderr}"
    );
    assert!(
        output.status.success(),
        "{test} failed in its network, see above"
    );
}

/// Gives the network a way out, which leads nowhere: without one, a browser has no address to offer.
pub fn add_default_route(via: &str) {
    ip(&["route", "add", "default", "via", via]);
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status();
    assert!(status.unwrap().success(), "ip {arguments:?}");
}
