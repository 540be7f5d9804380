//! The exchange in JSON, for scripts and pages that speak that.

use crate::daemon::{pattern, start};
use crate::exchange::{ask, detail, header, send, session};
use crate::offer::{Answer, plain};
use hyper::Method;

#[tokio::test]
async fn the_same_is_to_be_had_in_json() {
    let daemon = start("127.0.0.1", vec![pattern("camera"), pattern("garden")]);
    for (path, stream) in [("/offer", "camera"), ("/garden/offer", "garden")] {
        let body = serde_json::json!({ "type": "offer", "sdp": plain(), "more": [1] });
        let body = body.to_string();
        let reply = send(&daemon, Method::POST, path, "application/json", body).await;
        assert_eq!(reply.status(), 201);
        assert_eq!(header(&reply, "content-type"), "application/json");
        let description: serde_json::Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(description["type"], "answer");
        let answer = Answer::read(description["sdp"].as_str().unwrap());
        assert_eq!(
            Answer::value(answer.video(), "a=msid:"),
            format!("{stream} video")
        );
        let session = session(path, &reply);
        assert_eq!(ask(&daemon, Method::DELETE, &session).await.status(), 200);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn json_that_is_no_offer_is_told_so() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    for (body, status, part) in [
        ("", 400, "\"type\""),
        ("v=0", 400, "\"type\""),
        ("{}", 400, "type"),
        (r#"{"type":"offer"}"#, 400, "sdp"),
        (r#"{"type":"answer","sdp":"v=0"}"#, 400, "\"offer\""),
        (r#"{"type":"offer","sdp":"hello"}"#, 400, "not valid SDP"),
        (r#"{"type":"offer","sdp":7}"#, 400, "string"),
    ] {
        let reply = send(&daemon, Method::POST, "/offer", "application/json", body).await;
        let detail = detail(&reply, status);
        assert!(
            detail.contains(part),
            "{body}: {part:?} is not in {detail:?}"
        );
    }
    let video = serde_json::json!({ "type": "offer", "sdp": plain().replace("H264", "VP8") });
    let body = video.to_string();
    let reply = send(&daemon, Method::POST, "/offer", "application/json", body).await;
    assert!(detail(&reply, 422).contains("no H.264"));
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    for path in [
        "/",
        "/camera",
        "/healthz",
        "/readyz",
        "/api/streams",
        "/api/viewers",
    ] {
        let get = ask(&daemon, Method::GET, path).await;
        let head = ask(&daemon, Method::HEAD, path).await;
        assert_eq!((get.status().as_u16(), head.status().as_u16()), (200, 200));
        assert!(!get.body().is_empty() && head.body().is_empty());
        for name in ["content-type", "content-length"] {
            assert_eq!(header(&get, name), header(&head, name), "{path} {name}");
        }
    }
    daemon.stop().await.unwrap();
}
