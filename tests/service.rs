//! The systemd service at work: installed, started and stopped by systemd in a virtual machine with a camera.

#[expect(dead_code, reason = "other tests need other cameras")]
mod vm;

use fanlight::media::Size;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use vm::wait_for;
use vm::webcam::{Clips, Webcam};

const CONFIG: &str = r#"
[[stream]]
name = "camera"
device = "/dev/video0"
size = "320x180"
fps = 15
always_on = true
"#;
const WEBCAM: &str = r#"
[[stream]]
name = "webcam"
device = "usb:1d6b:0102"
size = "320x180"
fps = 15
format = "mjpeg"
always_on = true
usb_reset = true
"#;
/// As docs/config.md has it.
const DROP_IN: &str = "[Service]\nDeviceAllow=char-usb_device rw\n";
const VIVID: &str = "/sys/bus/platform/drivers/vivid";

#[test]
fn the_service_starts_shows_its_camera_and_stops_as_systemd_says() {
    let test = "the_service_starts_shows_its_camera_and_stops_as_systemd_says";
    vm::inside(test, &[""], || {
        let systemd = Systemd::boot();
        install(&systemd, CONFIG);

        // Returns once the daemon has said that it is ready, and fails if it ends before.
        systemd.run(&["systemctl", "start", "fanlight"]);
        wait_for(|| streams().contains("\"state\":\"down\""));
        let kept = ["/var/lib/fanlight", "/var/lib/fanlight/dtls.pem"];
        let modes = systemd.run(&["stat", "-c", "%U %a", kept[0], kept[1]]);
        assert_eq!(modes, "fanlight 700\nfanlight 600\n");
        others_need_a_link(&systemd);
        let status = systemd.run(&["systemctl", "show", "fanlight", "-p", "StatusText"]);
        assert!(status.contains("camera"), "{status}");

        // Plugged in after the start, when the sandbox has long been made, and at first nobody's but root's.
        plug_in();
        wait_for(|| streams().contains("\"kind\":\"no_permission\""));
        give_to_group_video("/dev/video0");
        wait_for(|| streams().contains("\"state\":\"live\""));
        fs::write(format!("{VIVID}/unbind"), "vivid.0").unwrap();
        wait_for(|| streams().contains("\"state\":\"down\""));
        fs::write(format!("{VIVID}/bind"), "vivid.0").unwrap();
        wait_for(|| fs::exists("/dev/video0").unwrap());
        give_to_group_video("/dev/video0");
        wait_for(|| streams().contains("\"state\":\"live\""));
        // Within the sandbox too the kernel is heard, and the watchdog hears the daemon.
        let journal = systemd.run(&["journalctl", "-u", "fanlight", "-o", "cat"]);
        assert!(!journal.contains("noticed late"), "{journal}");
        assert!(!journal.contains("is watched instead"), "{journal}");
        assert_eq!(systemd.property("WatchdogUSec"), "30s");
        let told = || systemd.property("WatchdogTimestampMonotonic");
        let before = told();
        wait_for(|| told() != before);

        systemd.run(&["systemctl", "stop", "fanlight"]);
        assert_eq!(systemd.property("Result"), "success");

        // A wrong configuration is told once: trying again would not mend it.
        fs::write("/etc/fanlight/fanlight.toml", "fps = 30\n").unwrap();
        assert!(
            !systemd
                .output(&["systemctl", "start", "fanlight"])
                .status
                .success()
        );
        assert_eq!(systemd.property("ExecMainStatus"), "78");
        assert_eq!(systemd.property("ActiveState"), "failed");
        let journal = systemd.run(&["journalctl", "-u", "fanlight", "-o", "cat"]);
        assert!(
            journal.contains("fanlight.toml:1: fps: unknown key here"),
            "{journal}"
        );
    });
}

#[test]
fn a_camera_that_hangs_is_reset_and_then_the_service_is_started_anew() {
    let test = "a_camera_that_hangs_is_reset_and_then_the_service_is_started_anew";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("service");
    if !vm::is_inside() {
        fs::create_dir_all(&folder).unwrap();
    }
    let clips = Clips::in_folder(&folder, Size::new(320, 180));
    vm::inside(test, &vm::USB, || {
        let mut webcam = Webcam::plug_in(&clips, "/dev/video0");
        give_to_group_video("/dev/video0 /dev/bus/usb/*/*");
        let systemd = Systemd::boot();
        install(&systemd, WEBCAM);
        fs::create_dir_all("/etc/systemd/system/fanlight.service.d").unwrap();
        fs::write("/etc/systemd/system/fanlight.service.d/usb.conf", DROP_IN).unwrap();
        systemd.run(&["systemctl", "daemon-reload"]);
        systemd.run(&["systemctl", "start", "fanlight"]);
        let is = |state: &str| {
            // What is reset gets a new node.
            udev();
            streams().contains(&format!("\"state\":\"{state}\""))
        };
        wait_for(|| is("live"));
        let journal = || systemd.run(&["journalctl", "-u", "fanlight", "-o", "cat"]);
        let resets = || journal().matches("USB device was reset").count();

        webcam.hang();
        wait_for(|| is("stalled"));
        wait_for(|| is("live"));
        assert_eq!(resets(), 1, "{}", journal());

        // Now a reset does not help, and in the end the process gives up.
        webcam.hang_for_good();
        wait_for(|| is("stalled"));
        wait_for(|| !is("live") && resets() == 2);
        wait_for(|| !is("live") && systemd.property("NRestarts") == "1");
        let told = journal();
        let reason = "stream webcam: no picture for 60s, though its camera is connected; fanlight exits, so that it can be restarted";
        assert!(told.contains(reason), "{told}");

        // The new process can't know whether the camera ever delivers again, and waits for it.
        webcam.unplug();
        webcam.plug_in_again("/dev/video0");
        wait_for(|| is("live"));
        assert_eq!(systemd.property("NRestarts"), "1");
    });
}

fn install(systemd: &Systemd, config: &str) {
    fs::create_dir_all("/etc/fanlight").unwrap();
    fs::write("/etc/fanlight/fanlight.toml", config).unwrap();
    let binary = concat!("BINARY=", env!("CARGO_BIN_EXE_fanlight"));
    systemd.run(&["make", "-C", env!("CARGO_MANIFEST_DIR"), "install", binary]);
}

/// systemd as the first process of a namespace of its own, with the journal and nothing else running.
struct Systemd {
    /// As seen from outside the namespace.
    pid: String,
}

impl Systemd {
    #[expect(clippy::zombie_processes, reason = "it lives as long as the machine")]
    fn boot() -> Self {
        // Nothing of what this host runs as services.
        fs::write(
            "/etc/systemd/system/test.target",
            "[Unit]\nRequires=systemd-journald.service\n",
        )
        .unwrap();
        for wants in ["/etc/systemd/system", "/lib/systemd/system"] {
            let _ = fs::remove_dir_all(format!("{wants}/sysinit.target.wants"));
            let _ = fs::remove_dir_all(format!("{wants}/sockets.target.wants"));
        }
        let unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--mount", "--mount-proc"])
            .args([
                "/lib/systemd/systemd",
                "--system",
                "--unit=test.target",
                "--show-status=no",
            ])
            .env("container", "test")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let id = unshare.id();
        let children = format!("/proc/{id}/task/{id}/children");
        wait_for(|| fs::read_to_string(&children).is_ok_and(|children| !children.is_empty()));
        let children = fs::read_to_string(&children).unwrap();
        let systemd = Self {
            pid: children.trim().to_owned(),
        };
        wait_for(|| {
            systemd
                .output(&["systemctl", "is-active", "test.target"])
                .status
                .success()
        });
        systemd
    }

    /// Runs a command among systemd's processes: it listens to no others.
    fn output(&self, command: &[&str]) -> Output {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--pid", "--mount", "--target", &self.pid, "--"]);
        nsenter.args(command).output().unwrap()
    }

    /// Runs a command that has to succeed; what it prints.
    fn run(&self, command: &[&str]) -> String {
        let output = self.output(command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let journal = self.output(&["journalctl", "-o", "cat", "-n", "40"]);
            let journal = String::from_utf8_lossy(&journal.stdout);
            panic!("{command:?} failed: {text}{errors}\nthe journal: {journal}");
        }
        text
    }

    fn property(&self, name: &str) -> String {
        let value = self.run(&["systemctl", "show", "fanlight", "--value", "-p", name]);
        value.trim().to_owned()
    }
}

/// As installed, nobody may watch without a token; root can make a link, and the service, which
/// is not root, can read the list of links.
fn others_need_a_link(systemd: &Systemd) {
    let as_another = |path: &str| ask(path, "camera.lan");
    assert!(as_another("/api/streams").starts_with("HTTP/1.1 401"));
    assert!(ask("/api/streams", "localhost").starts_with("HTTP/1.1 401"));
    let told = systemd.run(&["/usr/local/bin/fanlight", "share", "--for", "1h"]);
    let token = told.lines().next().unwrap().split("token=").nth(1);
    let path = format!("/api/streams?token={}", token.unwrap());
    let streams = as_another(&path);
    assert!(streams.starts_with("HTTP/1.1 200"), "{told}\n{streams}");
    let files = ["token", "share.key", "shares.json", "serving.json"];
    for file in files.map(|name| format!("/var/lib/fanlight/{name}")) {
        let mode = systemd.run(&["stat", "-c", "%U %a", &file]);
        assert_eq!(mode, "fanlight 600\n", "{file}");
    }
    let journal = systemd.run(&["journalctl", "-u", "fanlight", "-o", "cat"]);
    let secret = systemd.run(&["cat", "/var/lib/fanlight/token"]);
    assert!(!journal.contains(secret.trim()), "{journal}");
}

fn plug_in() {
    let status = Command::new("modprobe").args(vm::VIVID.split(' ')).status();
    assert!(status.unwrap().success());
    wait_for(|| fs::exists("/dev/video0").unwrap());
}

/// What udev does on a machine that has it.
fn give_to_group_video(nodes: &str) {
    let script = format!("chgrp video {nodes} && chmod 660 {nodes}");
    let status = Command::new("sh").args(["-c", &script]).status();
    assert!(status.unwrap().success());
}

/// The same for whatever cameras there are.
fn udev() {
    let script = "chgrp video /dev/video* && chmod 660 /dev/video*";
    // None, or one that goes meanwhile, is no failure.
    let _ = Command::new("sh").args(["-c", script]).output();
}

/// What the daemon says of its streams.
fn streams() -> String {
    // As root, who may read it.
    let token = fs::read_to_string("/var/lib/fanlight/token").unwrap_or_default();
    ask(&format!("/api/streams?token={}", token.trim()), "localhost")
}

fn ask(path: &str, host: &str) -> String {
    let Ok(mut connection) = TcpStream::connect("127.0.0.1:8080") else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // A daemon that is ending says nothing more.
    let _ = connection.read_to_string(&mut answer);
    answer
}
