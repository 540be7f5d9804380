//! What `fanlight cameras` lists inside the machine.

use serde_json::Value;
use std::process::Command;

/// What `fanlight cameras --json` says; the table is printed.
pub fn listed() -> Vec<Value> {
    let fanlight = || Command::new(env!("CARGO_BIN_EXE_fanlight"));
    let table = fanlight().arg("cameras").output().unwrap();
    println!("{}", String::from_utf8_lossy(&table.stdout));
    let json = fanlight().args(["cameras", "--json"]).output().unwrap();
    assert!(table.status.success() && json.status.success());
    serde_json::from_slice(&json.stdout).unwrap()
}

/// What the daemon calls a format of a camera; null if it can't use it.
pub fn format_name<'a>(camera: &'a Value, fourcc: &str) -> &'a Value {
    &format(camera, fourcc)["format"]
}

/// Width, height and rate of everything that a format offers.
pub fn offers(camera: &Value, fourcc: &str) -> Vec<(u64, u64, f64)> {
    let sizes = format(camera, fourcc)["sizes"].as_array().unwrap();
    let offers = sizes.iter().flat_map(|size| {
        let side = |name| size[name].as_u64().unwrap();
        let rates = size["fps"].as_array().unwrap();
        rates
            .iter()
            .map(move |fps| (side("width"), side("height"), fps.as_f64().unwrap()))
    });
    offers.collect()
}

fn format<'a>(camera: &'a Value, fourcc: &str) -> &'a Value {
    let mut formats = camera["formats"].as_array().unwrap().iter();
    formats.find(|format| format["fourcc"] == fourcc).unwrap()
}
