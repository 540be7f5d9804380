//! Runs a test of this binary inside a throw-away machine that has cameras: see `vmrun.sh`.

pub mod listing;
pub mod webcam;

use std::env;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Set inside the machine.
const INSIDE: &str = "FANLIGHT_TEST_INSIDE_VM";

const VMRUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/vmrun.sh");

/// Of whatever is to start a machine.
pub const NEEDS: &str = "an x86-64 Debian or Ubuntu with apt-get, python3 and, once, a network";

/// vivid as a webcam, with an analogue television as another input, whose rate is NTSC's.
pub const VIVID: &str = "vivid n_devs=1 node_types=0x1 num_inputs=2 input_types=0x4";
/// What `uvccam.py` needs.
pub const USB: [&str; 2] = ["vhci-hcd", "uvcvideo"];

/// Whether this process runs inside the machine.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs `inside` in a machine with those kernel modules, by starting this test there once more. `test` is its name.
///
/// Fails if the machine can't be started: a camera that was not tried is not known to work.
pub fn inside(test: &str, modules: &[&str], inside: impl FnOnce()) {
    if is_inside() {
        return inside();
    }
    let _turn = turn();
    get_ready();
    let mut machine = machine(modules);
    let output = run_test(&mut machine, test).output();
    let output = output.expect("tests/vm/vmrun.sh can be started: it needs bash");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{stdout}{stderr}");
    assert!(
        stdout.contains("running 1 test"),
        "the virtual machine did not start, so no camera was tried; it needs {NEEDS}: {stderr}"
    );
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{test} failed inside the machine, see above"
    );
}

/// Waits for the turn, which lasts as long as what this returns: one machine at a time, whatever runs the tests, since
/// it takes two processors.
pub fn turn() -> File {
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// The command of a machine with those kernel modules; options, or what to run in it, are to be added.
pub fn machine(modules: &[&str]) -> Command {
    let mut machine = Command::new(VMRUN);
    machine.args(["-T", "900"]).env(INSIDE, "1");
    for module in modules {
        machine.args(["-m", module]);
    }
    machine
}

/// Makes a machine, or whatever else runs a command in surroundings of its own, run this test once more there.
pub fn run_test<'a>(machine: &'a mut Command, test: &str) -> &'a mut Command {
    machine
        .arg("--")
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
}

/// Downloads what machines need, if that has not been done, for where there is no network.
pub fn get_ready() {
    let output = Command::new(VMRUN).arg("-g").output();
    let output = output.expect("tests/vm/vmrun.sh can be started: it needs bash");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "no virtual machine can be made; it needs {NEEDS}: {stderr}"
    );
}

/// Waits until something is so, for two minutes: the machine is slow, and the last rung of the ladder takes one.
#[expect(
    clippy::disallowed_methods,
    reason = "device nodes come and go without a word to this process"
)]
#[track_caller]
pub fn wait_for(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "waited for two minutes, in vain"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
