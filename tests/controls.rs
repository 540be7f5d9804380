//! Controls of cameras with the kernel's real drivers, inside a virtual machine: seen, set, and set again when the camera
//! is back.

mod support;
#[expect(dead_code, reason = "other tests list cameras")]
mod vm;

use fanlight::media::Size;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use support::daemon::Daemon;
use support::http::{self, Reply};
use vm::wait_for;
use vm::webcam::{Clips, Webcam};

const DEVICE: &str = "/dev/video0";
const SIZE: Size = Size::new(320, 180);

/// The source closes at once, so that each look opens it anew.
const STREAM: &str = r#"
[[stream]]
name = "door"
device = "/dev/video0"
size = "320x180"
fps = 15
linger = "0s"
"#;

const PATH: &str = "/api/streams/door/controls";

#[test]
fn a_webcams_brightness_is_set_and_set_again_after_a_replug() {
    let test = "a_webcams_brightness_is_set_and_set_again_after_a_replug";
    let clips = Clips::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), SIZE);
    vm::inside(test, &vm::USB, || {
        let webcam = Webcam::plug_in(&clips, DEVICE);
        let daemon = Daemon::configured(STREAM);
        let listing = http::get(daemon.address(), PATH).json();
        println!("{listing}");
        assert_eq!(listing["camera"], "usb:1d6b:0102:0001");
        let expected = json!({
            "name": "brightness", "label": "Brightness", "kind": "integer", "value": 128, "default": 128,
            "minimum": 0, "maximum": 255, "step": 1, "inactive": false, "read_only": false, "kept": false,
        });
        assert_eq!(listing["controls"], json!([expected]));

        let now = put(&daemon, &json!({ "brightness": 200 })).json();
        let [brightness] = &now["controls"].as_array().unwrap()[..] else {
            panic!("{now}");
        };
        assert_eq!(
            (&brightness["value"], &brightness["kept"]),
            (&json!(200), &json!(true))
        );
        assert_eq!(driver_says("brightness"), 200);
        let refused = put(&daemon, &json!({ "brightness": 256, "zoom": 1 }));
        assert_eq!(refused.status, 422);
        let errors =
            json!({ "brightness": "it can be 0 to 255", "zoom": "the camera has no such control" });
        assert_eq!(refused.json()["errors"], errors);
        assert_eq!(driver_says("brightness"), 200);

        // While it captures, and by the command.
        look(&daemon);
        let told = command(&daemon, &["door", "brightness=190"]).unwrap();
        assert!(
            told.contains("  brightness  190  0 to 255; default 128  kept"),
            "{told}"
        );
        assert_eq!(driver_says("brightness"), 190);

        // A camera without power forgets.
        drop(webcam);
        wait_for(|| !Path::new(DEVICE).exists());
        let error = command(&daemon, &["door"]).unwrap_err();
        assert!(error.starts_with("/dev/video0: no such device"), "{error}");
        let _webcam = Webcam::plug_in(&clips, DEVICE);
        assert_eq!(driver_says("brightness"), 128);
        look(&daemon);
        assert_eq!(driver_says("brightness"), 190);
        let log = daemon.log();
        let (_, after) = log.rsplit_once("restored: brightness = 190").unwrap();
        assert!(
            after.contains("source opened"),
            "set before the first frame: {log}"
        );

        // The default is not set again.
        let told = command(&daemon, &["brightness=default", "--json"]).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["controls"][0]["value"], 128);
        assert_eq!(told["controls"][0]["kept"], false);
    });
}

#[test]
fn every_kind_of_control_is_set_all_or_none() {
    vm::inside(
        "every_kind_of_control_is_set_all_or_none",
        &[vm::VIVID],
        || {
            let daemon = Daemon::configured(STREAM);
            let listing = http::get(daemon.address(), PATH).json();
            println!("{}", command(&daemon, &[]).unwrap());
            assert_eq!(listing["camera"], "vivid@platform:vivid-000");
            for (name, kind) in [
                ("brightness", "integer"),
                ("integer_64_bits", "integer"),
                ("gain_automatic", "boolean"),
                ("menu", "menu"),
                ("button", "button"),
            ] {
                assert_eq!(control(&listing, name)["kind"], kind, "{name}");
            }
            // What is no single number is left out, and a menu has its holes.
            for name in ["string", "bitmask", "u32_1_element_array", "integer_menu"] {
                assert!(find(&listing, name).is_none(), "{name}");
            }
            let items = control(&listing, "menu")["menu"].as_array().unwrap();
            let items: Vec<_> = items
                .iter()
                .map(|item| item["value"].as_i64().unwrap())
                .collect();
            assert_eq!(items, [1, 3, 4]);
            assert_eq!(
                control(&listing, "read_only_integer_32_bits")["read_only"],
                true
            );

            // Gain is automatic, so it waits for that, whatever the order in the request.
            assert_eq!(control(&listing, "gain")["inactive"], true);
            let now = put(
                &daemon,
                &json!({
                    "gain": 77, "gain_automatic": false, "brightness": 10, "integer_64_bits": -5_000_000_000_i64,
                    "menu": "Menu Item 4", "button": true,
                }),
            );
            assert_eq!(now.status, 200, "{now:?}");
            let now = now.json();
            for (name, value) in [
                ("gain", json!(77)),
                ("gain_automatic", json!(false)),
                ("brightness", json!(10)),
                ("integer_64_bits", json!(-5_000_000_000_i64)),
                ("menu", json!(4)),
                ("button", json!(null)),
            ] {
                assert_eq!(control(&now, name)["value"], value, "{name}");
                assert_eq!(control(&now, name)["kept"], name != "button", "{name}");
            }
            assert_eq!(control(&now, "gain")["inactive"], false);
            let refused = put(&daemon, &json!({ "brightness": 11, "menu": 2 }));
            assert_eq!(refused.status, 422, "{refused:?}");
            assert_eq!(driver_says("brightness"), 10);

            // Another program changes it, and then the driver starts anew.
            let driver = Path::new("/sys/bus/platform/drivers/vivid");
            fs::write(driver.join("unbind"), "vivid.0").unwrap();
            wait_for(|| !Path::new(DEVICE).exists());
            fs::write(driver.join("bind"), "vivid.0").unwrap();
            wait_for(|| Path::new(DEVICE).exists());
            assert_eq!(
                (driver_says("brightness"), driver_says("gain_automatic")),
                (128, 1)
            );
            look(&daemon);
            for (name, value) in [
                ("brightness", 10),
                ("gain_automatic", 0),
                ("gain", 77),
                ("menu", 4),
            ] {
                assert_eq!(driver_says(name), value, "{name}");
            }
        },
    );
}

/// Has the camera opened, and waits for a picture of it.
fn look(daemon: &Daemon) {
    wait_for(|| http::get(daemon.address(), "/door/jpeg").status == 200);
}

fn put(daemon: &Daemon, values: &Value) -> Reply {
    let headers = [("content-type", "application/json")];
    let body = values.to_string();
    http::request(daemon.address(), "PUT", PATH, &headers, body.as_bytes()).unwrap()
}

fn find<'a>(listing: &'a Value, name: &str) -> Option<&'a Value> {
    let mut controls = listing["controls"].as_array().unwrap().iter();
    controls.find(|control| control["name"] == name)
}

fn control<'a>(listing: &'a Value, name: &str) -> &'a Value {
    find(listing, name).unwrap_or_else(|| panic!("no {name} in {listing}"))
}

/// `fanlight controls`, beside the daemon.
fn command(daemon: &Daemon, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .arg("controls")
        .args(arguments)
        .arg("--state-dir")
        .arg(daemon.state_dir())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// A control's value by another program.
fn driver_says(name: &str) -> i64 {
    let output = Command::new("v4l2-ctl")
        .args(["-d", DEVICE, "-C", name])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, value) = text
        .trim()
        .split_once(": ")
        .unwrap_or_else(|| panic!("{name}: {text:?}"));
    // Of a menu the label follows.
    value.split(' ').next().unwrap().parse().unwrap()
}
