//! docs/api.md lists the fields of every reply, and no others.

use crate::daemon::{Running, get, pattern, start, until};
use crate::exchange::{ask, text};
use crate::viewer::Viewer;
use fanlight::config::{Source, Stream};
use hyper::Method;
use serde_json::Value;
use std::collections::BTreeSet;

const REFERENCE: &str = include_str!("../../docs/api.md");

/// The fields that the section of that heading lists.
fn listed(heading: &str) -> BTreeSet<String> {
    let start = format!("\n## {heading}\n");
    let section = REFERENCE.split(&start).nth(1);
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let table = section.split("| field | meaning |").nth(1).unwrap();
    let rows = table.trim_start().lines().skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect()
}

/// The fields of a value, by the names that the reference has for them. What `stops` names is not looked into.
fn fields(value: &Value, path: &str, stops: &[&str], found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                let mut path = format!("{path}{dot}{key}");
                if value.is_array() {
                    path += "[]";
                }
                found.insert(path.clone());
                if !stops.contains(&path.as_str()) {
                    fields(value, &path, stops, found);
                }
            }
        }
        Value::Array(members) => {
            for member in members {
                fields(member, path, stops, found);
            }
        }
        _ => {}
    }
}

fn fields_of(values: &[&Value], stops: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for value in values {
        fields(value, "", stops, &mut found);
    }
    found
}

async fn json(daemon: &Running, path: &str) -> Value {
    let reply = get(daemon.address, path).await;
    serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{path}: {error} in {reply}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_lists_the_fields_of_every_reply_and_no_others() {
    let missing = Stream::new("missing", Source::Device("/dev/video99".into()));
    let daemon = start("127.0.0.1", vec![pattern("camera"), missing]);
    let mut viewer = Viewer::connect(daemon.address, "/camera/whep").await;
    let _waiting = Viewer::connect(daemon.address, "/missing/whep").await;
    tokio::task::block_in_place(|| viewer.counters(3));
    until("the failure is told", async || {
        !daemon.stream("missing").await["error"].is_null()
    })
    .await;

    let index = json(&daemon, "/api").await;
    assert_eq!(fields_of(&[&index], &[]), listed("`/api`"));
    let streams = json(&daemon, "/api/streams").await;
    let list = fields_of(&[&streams], &["streams[]"]);
    assert_eq!(list, listed("`/api/streams`"));
    let stream = listed("`/api/streams/NAME`");
    let members: Vec<_> = streams["streams"].as_array().unwrap().iter().collect();
    assert_eq!(fields_of(&members, &[]), stream);
    let each = [
        daemon.stream("camera").await,
        daemon.stream("missing").await,
    ];
    assert_eq!(fields_of(&each.each_ref(), &[]), stream);
    let viewers = json(&daemon, "/api/viewers").await;
    assert_eq!(fields_of(&[&viewers], &[]), listed("`/api/viewers`"));
    let id = viewer.location.rsplit('/').next().unwrap();
    let doctor = json(&daemon, &format!("/api/sessions/{id}/doctor")).await;
    let found = fields_of(&[&doctor], &["stream"]);
    assert_eq!(found, listed("`/api/sessions/SESSION/doctor`"));
    assert!(fields_of(&[&doctor["stream"]], &[]).is_subset(&stream));
    // A pattern has no controls; a unit test knows those that cameras have.
    let controls = json(&daemon, "/api/streams/camera/controls").await;
    assert!(fields_of(&[&controls], &[]).is_subset(&listed("`/api/streams/NAME/controls`")));
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn every_refusal_has_a_type_that_the_reference_lists() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut known = listed("Refusals");
    assert!(known.remove("errors"));
    for (method, path, name) in [
        (Method::GET, "/api/nothing", "not-found"),
        (Method::GET, "/nothing/whep", "not-found"),
        (Method::POST, "/api/viewers", "method-not-allowed"),
        (Method::DELETE, "/api/viewers/77", "not-found"),
        (Method::DELETE, "/api/viewers/x", "not-found"),
        (Method::POST, "/camera/whep", "unsupported-media-type"),
    ] {
        let reply = ask(&daemon, method, path).await;
        let problem: Value = serde_json::from_str(text(&reply)).unwrap();
        assert_eq!(fields_of(&[&problem], &[]), known, "{path}");
        assert_eq!(problem["type"], format!("urn:fanlight:problem:{name}"));
        assert!(REFERENCE.contains(&format!("| `{name}` | {} |", reply.status().as_u16())));
    }
    daemon.stop().await.unwrap();
}
