//! The HTTP around the exchange: methods, sessions, and pages of other origins.

use crate::daemon::{pattern, request, start};
use crate::offer::{Answer, plain};
use crate::{SDP, ask, header, post, send, text};
use hyper::{Method, Request};

#[tokio::test]
async fn an_offer_is_answered_with_a_session_at_each_of_its_urls() {
    let daemon = start("127.0.0.1", vec![pattern("camera"), pattern("garden")]);
    for (path, stream) in [
        ("/whep", "camera"),
        ("/camera/whep", "camera"),
        ("/whep/garden", "garden"),
        ("/garden/whep", "garden"),
    ] {
        let reply = post(&daemon, path, &plain()).await;
        assert_eq!(reply.status(), 201, "{path}");
        assert_eq!(header(&reply, "content-type"), SDP);
        assert_eq!(header(&reply, "cache-control"), "no-store");
        let id = header(&reply, "location").strip_prefix(&format!("/{stream}/whep/"));
        assert_eq!(id.map(str::len), Some(32), "unguessable");
        let answer = Answer::read(text(&reply));
        assert_eq!(
            Answer::value(answer.video(), "a=msid:"),
            format!("{stream} video")
        );
    }
    daemon.stop().await.unwrap();
}

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
        let session = header(&reply, "location");
        assert_eq!(ask(&daemon, Method::DELETE, session).await.status(), 200);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_is_deleted_once_and_by_its_own_url_only() {
    let daemon = start("127.0.0.1", vec![pattern("camera"), pattern("garden")]);
    // Many times, since the media thread has a part in it.
    for _ in 0..20 {
        let reply = post(&daemon, "/whep", &plain()).await;
        let session = header(&reply, "location");
        let elsewhere = session.replace("/camera/", "/garden/");
        let unknown = "/camera/whep/00000000000000000000000000000000";
        for (path, status) in [
            (elsewhere.as_str(), 404),
            (unknown, 404),
            (session, 200),
            (session, 404),
            (session, 404),
        ] {
            let reply = ask(&daemon, Method::DELETE, path).await;
            assert_eq!(reply.status(), status, "{path}");
        }
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let session = "/camera/whep/0";
    for (method, path, allowed) in [
        (Method::GET, "/whep", "POST, OPTIONS"),
        (Method::HEAD, "/whep", "POST, OPTIONS"),
        (Method::PUT, "/camera/whep", "POST, OPTIONS"),
        (Method::GET, "/offer", "POST, OPTIONS"),
        (Method::POST, session, "DELETE, OPTIONS"),
        (Method::POST, "/", "GET, HEAD, OPTIONS"),
        (Method::DELETE, "/healthz", "GET, HEAD, OPTIONS"),
        (Method::TRACE, "/metrics", "GET, HEAD, OPTIONS"),
    ] {
        let reply = ask(&daemon, method.clone(), path).await;
        assert_eq!(reply.status(), 405, "{method} {path}");
        assert_eq!(header(&reply, "allow"), allowed, "{method} {path}");
        assert_eq!(reply.body().is_empty(), method == Method::HEAD);
    }
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

#[tokio::test]
async fn pages_of_other_origins_may_watch() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let reply = post(&daemon, "/whep", &plain()).await;
    let session = header(&reply, "location").to_owned();
    for (path, method) in [
        ("/whep", "POST"),
        ("/camera/offer", "POST"),
        (session.as_str(), "DELETE"),
    ] {
        let preflight = Request::options(path)
            .header("host", "localhost")
            .header("origin", "https://example.org")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "content-type");
        let reply = request(daemon.address, preflight.body("").unwrap()).await;
        assert_eq!(reply.status(), 204, "{path}");
        assert!(reply.body().is_empty());
        assert_eq!(header(&reply, "access-control-allow-origin"), "*");
        let allowed = |name| header(&reply, name).split(", ").collect::<Vec<_>>();
        assert!(allowed("access-control-allow-methods").contains(&method));
        assert!(allowed("access-control-allow-headers").contains(&"content-type"));
        assert!(allowed("allow").contains(&method));
    }
    // They must be able to read where the session is, and why there is none.
    let refused = post(&daemon, "/whep", "").await;
    let ended = ask(&daemon, Method::DELETE, &session).await;
    for reply in [reply, refused, ended] {
        assert_eq!(header(&reply, "access-control-allow-origin"), "*");
        let exposed = header(&reply, "access-control-expose-headers");
        assert!(exposed.contains("location"), "{exposed}");
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn pages_of_other_origins_may_not_read_the_rest() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    for path in ["/", "/metrics", "/healthz"] {
        for method in [Method::GET, Method::OPTIONS] {
            let reply = ask(&daemon, method, path).await;
            assert_eq!(header(&reply, "access-control-allow-origin"), "", "{path}");
        }
    }
    daemon.stop().await.unwrap();
}
