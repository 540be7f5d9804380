//! PATCH of a session: candidates that come later, and ICE restarts (draft-ietf-wish-whep-03, 4.4).

use crate::daemon::{Running, pattern, request, start, start_with};
use crate::exchange::detail;
use crate::exchange::{ask, header, post, session, text};
use crate::offer::{Answer, audio, offer, plain, video};
use bytes::Bytes;
use hyper::{Method, Request, Response};

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// More candidates of the offers' ICE session.
const TRICKLE: &str = "a=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
    a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag abcd network-id 1\r\n\
    a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n\
    a=candidate:3 1 udp 2113937151 3f6f0a4e-53a6-4a0f-93b0-0a0b0c0d0e0f.local 50000 typ host\r\n\
    a=candidate:nonsense\r\na=end-of-candidates\r\n";

/// A restart: other credentials.
const RESTART: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";

async fn patch(
    daemon: &Running,
    path: &str,
    if_match: Option<&str>,
    fragment: &str,
) -> Response<Bytes> {
    let builder = Request::patch(path)
        .header("host", "localhost")
        .header("content-type", FRAGMENT);
    let builder = match if_match {
        Some(value) => builder.header("if-match", value),
        None => builder,
    };
    request(daemon.address, builder.body(fragment.to_owned()).unwrap()).await
}

/// A session's path and its entity tag.
async fn made(daemon: &Running) -> (String, String) {
    let reply = post(daemon, "/whep", &plain()).await;
    let tag = header(&reply, "etag");
    let is_strong = tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"');
    assert!(is_strong, "{tag}");
    (session("/whep", &reply), tag.to_owned())
}

/// 4.4.2.
#[tokio::test]
async fn candidates_are_taken_whether_they_are_of_use_or_not() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let (session, tag) = made(&daemon).await;
    let only = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    for fragment in [TRICKLE, only, "a=end-of-candidates\r\n"] {
        for tag in [tag.as_str(), "*", "\"*\""] {
            let reply = patch(&daemon, &session, Some(tag), fragment).await;
            assert_eq!(reply.status(), 204, "{}", text(&reply));
            assert_eq!(header(&reply, "etag"), "");
            assert!(reply.body().is_empty());
        }
    }
    daemon.stop().await.unwrap();
}

/// 4.4.3.
#[tokio::test]
async fn new_credentials_begin_an_ice_session_with_a_tag_of_its_own() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let offered = offer(
        Some("a v"),
        &[audio("a"), video("v", crate::offer::BASELINE)],
    );
    let first = post(&daemon, "/whep", &offered).await;
    let session = session("/whep", &first);
    let answer = Answer::read(text(&first));
    let reply = patch(&daemon, &session, Some("*"), RESTART).await;
    assert_eq!(reply.status(), 200, "{}", text(&reply));
    assert_eq!(header(&reply, "content-type"), FRAGMENT);
    let (old, new) = (header(&first, "etag"), header(&reply, "etag"));
    assert!(new.starts_with('"') && new != old, "{old} {new}");

    let fragment = Answer::read(text(&reply));
    for line in [
        "a=ice-lite",
        "a=ice-options:trickle ice2",
        "a=group:BUNDLE a v",
    ] {
        assert!(fragment.session.contains(&line), "{line}");
        assert!(answer.session.contains(&line), "{line}");
    }
    assert_eq!(fragment.sections.len(), 1);
    assert_eq!(fragment.sections[0][0], "m=audio 9 UDP/TLS/RTP/SAVPF 111");
    assert_eq!(Answer::value(&fragment.sections[0], "a=mid:"), "a");
    for key in ["a=ice-ufrag:", "a=ice-pwd:"] {
        let old = Answer::value(answer.video(), key);
        assert_ne!(Answer::value(&fragment.sections[0], key), old);
    }
    assert_eq!(fragment.candidates(), answer.candidates());
    assert!(fragment.sections[0].contains(&"a=end-of-candidates"));

    // What is meant for the ICE session before comes too late; for this one it does not.
    for (tag, status) in [(old, 412), (new, 204), ("\"other\"", 412)] {
        let more = RESTART.to_owned() + "a=end-of-candidates\r\n";
        let reply = patch(&daemon, &session, Some(tag), &more).await;
        assert_eq!(reply.status(), status, "{tag}");
        if status == 412 {
            detail(&reply, 412);
        }
    }
    // 4.4.1: tags do not matter to DELETE.
    let delete = Request::delete(&session)
        .header("host", "localhost")
        .header("if-match", old);
    let reply = request(daemon.address, delete.body("").unwrap()).await;
    assert_eq!(reply.status(), 200);
    let reply = patch(&daemon, &session, Some("*"), RESTART).await;
    detail(&reply, 404);
    daemon.stop().await.unwrap();
}

/// 4.4.1.
#[tokio::test]
async fn a_patch_must_say_what_it_means_unless_it_need_not() {
    for required in [true, false] {
        let daemon = start_with("127.0.0.1", |config| {
            config.whep.require_if_match = required;
        });
        let (session, tag) = made(&daemon).await;
        for (fragment, lenient) in [(TRICKLE, 204), (RESTART, 200)] {
            let reply = patch(&daemon, &session, None, fragment).await;
            if required {
                assert!(detail(&reply, 428).contains("If-Match"));
            } else {
                assert_eq!(reply.status(), lenient);
            }
            // Whoever says it is taken at its word.
            let reply = patch(&daemon, &session, Some("\"other\""), fragment).await;
            detail(&reply, 412);
        }
        let reply = patch(&daemon, &session, Some(&tag), "a=end-of-candidates").await;
        assert_eq!(reply.status(), if required { 204 } else { 412 });
        daemon.stop().await.unwrap();
    }
}

/// 4.4.1, 4.4.3: and the session goes on.
#[tokio::test]
async fn a_fragment_of_no_use_is_refused_and_changes_nothing() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let (session, tag) = made(&daemon).await;
    let half = RESTART.replace("EsAw", "abcd");
    for (fragment, status, part) in [
        ("", 400, "not SDP"),
        ("hello", 400, "not SDP"),
        ("a=mid:0\r\n", 400, "neither candidates nor"),
        ("a=ice-ufrag:EsAw\r\n", 400, "only one of"),
        ("a=ice-ufrag:Es\r\na=ice-pwd:x\r\n", 400, "ice-ufrag is not"),
        (half.as_str(), 422, "changes only one"),
    ] {
        for tag in [Some("*"), Some(tag.as_str())] {
            let reply = patch(&daemon, &session, tag, fragment).await;
            let detail = detail(&reply, status);
            assert!(detail.contains(part), "{fragment}: {detail}");
        }
    }
    let large = "a=candidate:1\r\n".repeat(10_000);
    detail(&patch(&daemon, &session, Some("*"), &large).await, 413);
    for content_type in [
        "application/sdp",
        "text/plain",
        "",
        "application/trickle-ice",
    ] {
        let builder = Request::patch(&session)
            .header("host", "localhost")
            .header("if-match", "*")
            .header("content-type", content_type);
        let body = builder.body(RESTART.to_owned()).unwrap();
        let reply = request(daemon.address, body).await;
        assert!(detail(&reply, 415).contains(FRAGMENT));
        // RFC 5789, 2.2.
        assert_eq!(header(&reply, "accept-patch"), FRAGMENT);
    }
    let reply = patch(&daemon, "/camera/whep/0", Some("*"), RESTART).await;
    detail(&reply, 404);
    let reply = patch(&daemon, &session, Some(&tag), TRICKLE).await;
    assert_eq!(reply.status(), 204, "nothing has changed");
    let options = ask(&daemon, Method::OPTIONS, &session).await;
    assert_eq!(header(&options, "accept-patch"), FRAGMENT);
    daemon.stop().await.unwrap();
}
