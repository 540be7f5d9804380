//! Cameras' controls over HTTP, as far as there is no camera; with one it is `tests/controls.rs`.

use crate::daemon::{Running, pattern, start};
use crate::exchange::{ask, header, send, text};
use fanlight::config::{Source, Stream};
use hyper::Method;
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// One stream without a camera, and one whose camera is not there.
fn daemon() -> Running {
    let missing = Source::Device("/dev/video4000000000".into());
    let attic = Stream::new("attic", missing);
    start("127.0.0.1", vec![pattern("camera"), attic])
}

fn problem(reply: &hyper::Response<bytes::Bytes>) -> Value {
    assert_eq!(header(reply, "content-type"), "application/problem+json");
    serde_json::from_str(text(reply)).unwrap()
}

#[tokio::test]
async fn a_stream_without_a_camera_has_no_controls() {
    let daemon = daemon();
    let path = "/api/streams/camera/controls";
    let reply = ask(&daemon, Method::GET, path).await;
    assert_eq!(reply.status(), 200);
    let listing: Value = serde_json::from_str(text(&reply)).unwrap();
    assert_eq!(listing, json!({ "camera": null, "controls": [] }));
    let reply = send(&daemon, Method::PUT, path, JSON, "{\"gain\":1}").await;
    assert_eq!(reply.status(), 422);
    assert_eq!(
        problem(&reply)["detail"],
        "the stream has no camera, and so no controls"
    );
    assert_eq!(daemon.stream("camera").await["controls"], false);
    // Nor has one whose camera is not there.
    let attic = daemon.stream("attic").await;
    assert_eq!(
        (&attic["controls"], &attic["present"]),
        (&json!(false), &json!(false))
    );
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_camera_that_is_not_there_is_told_with_the_time_to_try_again() {
    let daemon = daemon();
    let path = "/api/streams/attic/controls";
    for reply in [
        ask(&daemon, Method::GET, path).await,
        send(&daemon, Method::PUT, path, JSON, "{\"gain\":1}").await,
    ] {
        assert_eq!(reply.status(), 409);
        assert_eq!(header(&reply, "retry-after"), "5");
        let detail = "/dev/video4000000000: no such device";
        assert_eq!(problem(&reply)["detail"], detail);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_before_the_camera_is_asked() {
    let daemon = daemon();
    let path = "/api/streams/attic/controls";
    for (kind, body, status) in [
        ("text/plain", "{}", 415),
        (JSON, "", 400),
        (JSON, "[1]", 400),
        (JSON, "{\"gain\":1.5}", 422),
    ] {
        let reply = send(&daemon, Method::PUT, path, kind, body).await;
        assert_eq!(reply.status(), status, "{body}");
    }
    let body = "{\"gain\":1.5,\"zoom\":[],\"hue\":1}";
    let reply = send(&daemon, Method::PUT, path, JSON, body).await;
    let problem = problem(&reply);
    let errors = json!({
        "gain": "1.5 is not a whole number",
        "zoom": "a value is a number, true, false, a menu's label, or null",
    });
    assert_eq!(problem["errors"], errors);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.ends_with("; nothing was changed"), "{detail}");

    let reply = ask(&daemon, Method::POST, path).await;
    assert_eq!(reply.status(), 405);
    assert_eq!(header(&reply, "allow"), "GET, HEAD, PUT, OPTIONS");
    let nowhere = "/api/streams/nowhere/controls";
    assert_eq!(ask(&daemon, Method::GET, nowhere).await.status(), 404);
    daemon.stop().await.unwrap();
}
