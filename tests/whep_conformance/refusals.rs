//! Offers that can't be answered: which status, and which sentence.

use crate::daemon::{Running, pattern, start};
use crate::exchange::{SDP, ask, detail, header, post, send};
use crate::offer::{BASELINE, audio, data, offer, plain, video};
use hyper::Method;

async fn refused(daemon: &Running, offer: &str, status: u16, part: &str) {
    let reply = post(daemon, "/whep", offer).await;
    let detail = detail(&reply, status);
    assert!(detail.contains(part), "{part:?} is not in {detail:?}");
    // A refusal leaves no session behind that a later one could be taken for.
    assert_eq!(header(&reply, "location"), "");
}

#[tokio::test]
async fn what_is_no_offer_is_malformed() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    for body in [
        "",
        " \r\n",
        "hello",
        "{\"type\":\"offer\"}",
        "v=0\r\nm=video",
    ] {
        refused(&daemon, body, 400, "not valid SDP").await;
    }
    let not_text = vec![0xff, 0xfe, 0x00];
    let reply = send(&daemon, Method::POST, "/whep", SDP, not_text).await;
    assert!(detail(&reply, 400).contains("UTF-8"));
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn an_offer_of_no_use_is_told_what_it_lacks() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let vp8 = "a=rtpmap:96 VP8/90000\r\n";
    let one = |lines: &str| offer(Some("0"), &[video("0", lines)]);
    for (offer, part) in [
        (offer(None, &[audio("0"), data("1")]), "no video section"),
        (
            plain().replace("m=video 9", "m=video 0"),
            "no video section",
        ),
        (
            plain().replace("a=recvonly", "a=sendonly"),
            "does not receive",
        ),
        (
            plain().replace("a=recvonly", "a=inactive"),
            "does not receive",
        ),
        (one(vp8), "no H.264"),
        (
            one(&BASELINE.replace("mode=1", "mode=0")),
            "packetization-mode=1",
        ),
        (one(&BASELINE.replace("42e01f", "f4001f")), "42e01f"),
        (plain().replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (
            plain().replace("a=ice-ufrag", "a=x-ufrag"),
            "ICE credentials",
        ),
        (
            plain().replace("a=fingerprint", "a=x-fingerprint"),
            "fingerprint",
        ),
    ] {
        refused(&daemon, &offer, 422, part).await;
    }
    // Nothing of that opened the camera.
    assert_eq!(daemon.stream("camera").await["state"], "idle");
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn an_offer_larger_than_any_that_clients_make_is_malformed() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let with = |from: &str, to: String| plain().replace(from, &to);
    for (offer, part) in [
        (
            plain() + &audio("1").repeat(64),
            "more than 64 media sections",
        ),
        (plain() + &"a=x\r\n".repeat(4096), "more than 4096 lines"),
        (
            with("0123456789abcdefghijkl", "0".repeat(100_000)),
            "a=ice-pwd",
        ),
        (
            with("ufrag:abcd", format!("ufrag:{}", "a".repeat(100_000))),
            "a=ice-ufrag",
        ),
        (
            with("sha-256 00:", format!("sha-256 {}:", "0".repeat(300))),
            "a=fingerprint:sha-256",
        ),
        (
            with("a=mid:0", format!("a=mid:{}", "0".repeat(300))),
            "a=mid",
        ),
    ] {
        refused(&daemon, &offer, 400, part).await;
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_of_another_type_is_told_the_right_one() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let json = "application/json";
    for (path, content_type, expected) in [
        ("/whep", "text/plain", SDP),
        ("/whep", json, SDP),
        ("/whep", "", SDP),
        ("/camera/whep", "application/sdpx", SDP),
        ("/offer", SDP, json),
        ("/camera/offer", "text/json", json),
    ] {
        let reply = send(&daemon, Method::POST, path, content_type, plain()).await;
        let detail = detail(&reply, 415);
        assert!(detail.contains(expected), "{path} {content_type}: {detail}");
        assert_eq!(header(&reply, "accept-post"), expected);
    }
    let reply = ask(&daemon, Method::POST, "/whep").await;
    assert!(detail(&reply, 415).contains(SDP));
    for content_type in ["application/sdp; charset=utf-8", "Application/SDP"] {
        let reply = send(&daemon, Method::POST, "/whep", content_type, plain()).await;
        assert_eq!(reply.status(), 201, "{content_type}");
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn the_largest_body_is_128_kib() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let limit = 128 * 1024;
    let line = format!("a=x-filler:{}\r\n", "0123456789".repeat(10));
    let mut long = plain();
    while long.len() + line.len() <= limit {
        long.push_str(&line);
    }
    assert_eq!(post(&daemon, "/whep", &long).await.status(), 201);
    for path in ["/whep", "/offer"] {
        let content_type = if path == "/whep" {
            SDP
        } else {
            "application/json"
        };
        let body = "x".repeat(limit + 1);
        let reply = send(&daemon, Method::POST, path, content_type, body).await;
        assert!(detail(&reply, 413).contains("128 KiB"));
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let daemon = start("127.0.0.1", vec![pattern("camera"), pattern("garden")]);
    for path in ["/porch/whep", "/whep/porch", "/api/streams/porch"] {
        let reply = match path.starts_with("/api") {
            true => ask(&daemon, Method::GET, path).await,
            false => post(&daemon, path, &plain()).await,
        };
        let expected = "there is no stream \"porch\"; the streams are: camera, garden";
        assert_eq!(detail(&reply, 404), expected);
    }
    for path in ["/a/b/c/d", "/camera/whep/0/1", "/assets/none.js"] {
        detail(&ask(&daemon, Method::GET, path).await, 404);
    }
    daemon.stop().await.unwrap();
}
