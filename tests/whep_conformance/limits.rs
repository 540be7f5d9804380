//! Overload (4.6) and rate limits (5): each limit on viewers and requests, reached.

use crate::daemon::{Running, start_with};
use crate::exchange::{SDP, ask, detail, header, post, send, session, text};
use crate::offer::plain;
use crate::raw::{counted, first_line, limited, post_from};
use crate::viewer::Viewer;
use bytes::Bytes;
use fanlight::config::Limits;
use hyper::{Method, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const CANDIDATE: &str = "a=candidate:1 1 udp 1 192.0.2.1 50000 typ host\r\n";

/// Checks a refusal, and that metrics count it once.
async fn refused(daemon: &Running, reply: &Response<Bytes>, status: u16, limit: &str) {
    detail(reply, status);
    let wait: u64 = header(reply, "retry-after").parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    let metric = format!("fanlight_refused_total{{limit=\"{limit}\"}}");
    assert_eq!(daemon.metric(&metric).await, 1.0);
}

#[tokio::test]
async fn viewers_in_all_are_limited_and_a_place_is_free_with_the_delete() {
    let daemon = limited(Limits {
        viewers: 2,
        ..Limits::default()
    });
    let first = post(&daemon, "/whep", &plain()).await;
    assert_eq!(post(&daemon, "/whep", &plain()).await.status(), 201);
    let third = post(&daemon, "/garden/whep", &plain()).await;
    refused(&daemon, &third, 503, "viewers").await;
    let session = session("/whep", &first);
    assert_eq!(ask(&daemon, Method::DELETE, &session).await.status(), 200);
    assert_eq!(post(&daemon, "/whep", &plain()).await.status(), 201);
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn viewers_of_one_stream_are_limited() {
    let daemon = limited(Limits {
        viewers_per_stream: 1,
        ..Limits::default()
    });
    assert_eq!(post(&daemon, "/whep", &plain()).await.status(), 201);
    let second = post(&daemon, "/camera/whep", &plain()).await;
    refused(&daemon, &second, 503, "viewers_per_stream").await;
    assert_eq!(post(&daemon, "/garden/whep", &plain()).await.status(), 201);
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn viewers_from_one_address_are_limited_unless_many_share_it() {
    let one = |limits: Limits| Limits {
        viewers_per_address: 1,
        ..limits
    };
    let daemon = limited(one(counted()));
    assert_eq!(post(&daemon, "/whep", &plain()).await.status(), 201);
    let second = post(&daemon, "/garden/whep", &plain()).await;
    refused(&daemon, &second, 429, "viewers_per_address").await;
    let neighbour = post_from([127, 0, 0, 2], &daemon).await;
    assert_eq!(neighbour.status(), 201, "{}", text(&neighbour));
    daemon.stop().await.unwrap();

    let daemon = limited(one(Limits::default()));
    for _ in 0..3 {
        assert_eq!(post(&daemon, "/whep", &plain()).await.status(), 201);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_set_up_are_limited_and_connected_ones_are_none() {
    let daemon = limited(Limits {
        setups: 1,
        ..Limits::default()
    });
    for _ in 0..2 {
        let mut viewer = Viewer::connect(daemon.address, "/whep").await;
        tokio::task::block_in_place(|| viewer.counters(3));
    }
    assert_eq!(post(&daemon, "/whep", &plain()).await.status(), 201);
    let second = post(&daemon, "/whep", &plain()).await;
    refused(&daemon, &second, 503, "setups").await;
    daemon.stop().await.unwrap();
}

/// draft-ietf-wish-whep-03, 5; RFC 6585, 4.
#[tokio::test]
async fn requests_that_change_something_are_limited_by_address() {
    let daemon = limited(Limits {
        request_rate: 1,
        request_burst: 2,
        ..counted()
    });
    let made = post(&daemon, "/whep", &plain()).await;
    let session = session("/whep", &made);
    assert_eq!(made.status(), 201);
    ask(&daemon, Method::DELETE, "/camera/whep/0").await;
    let third = post(&daemon, "/whep", &plain()).await;
    refused(&daemon, &third, 429, "request_rate").await;
    detail(&ask(&daemon, Method::DELETE, &session).await, 429);
    // Sessions must not be guessed either.
    let patch = Method::PATCH;
    detail(&ask(&daemon, patch.clone(), "/camera/whep/0").await, 429);
    // The viewer of one that there is may say more of it, but for a restart.
    let trickled = send(&daemon, patch.clone(), &session, FRAGMENT, CANDIDATE).await;
    assert_eq!(trickled.status(), 428, "as far as `If-Match`");
    assert_eq!(ask(&daemon, Method::GET, &session).await.status(), 204);
    assert_eq!(post_from([127, 0, 0, 2], &daemon).await.status(), 201);
    daemon.stop().await.unwrap();
}

/// Candidates that trickle one by one (RFC 8838) are no new viewers.
#[tokio::test]
async fn candidates_have_a_limit_of_each_session() {
    let daemon = start_with("127.0.0.1", |config| {
        config.whep.require_if_match = false;
        config.limits = Limits {
            request_rate: 1,
            request_burst: 12,
            ..counted()
        };
    });
    let mut sessions = Vec::new();
    for _ in 0..10 {
        let made = post(&daemon, "/whep", &plain()).await;
        assert_eq!(made.status(), 201);
        sessions.push(session("/whep", &made));
    }
    let patch = async |session: &str, body: &str| {
        send(&daemon, Method::PATCH, session, FRAGMENT, body.to_owned()).await
    };
    for session in &sessions {
        for _ in 0..12 {
            assert_eq!(patch(session, CANDIDATE).await.status(), 204);
        }
    }
    // A restart is as good as a new viewer: here are those that are left of the twelve, and of the seconds that passed.
    let restart = async |n: usize| {
        let ice = format!("a=ice-ufrag:abc{n}\r\na=ice-pwd:0123456789abcdefghijk{n}\r\n");
        patch(&sessions[0], &ice).await.status()
    };
    let mut statuses = Vec::new();
    for n in 0..100 {
        statuses.push(restart(100 + n).await);
    }
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!(statuses[0] == 200 && refused > 50, "{statuses:?}");
    // That session has sent enough for now; others have not.
    let last = patch(&sessions[0], CANDIDATE).await;
    detail(&last, 429);
    assert_eq!(patch(&sessions[1], CANDIDATE).await.status(), 204);
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_has_a_size_whether_it_is_announced_or_not() {
    let daemon = limited(Limits {
        request_size: 4096,
        ..Limits::default()
    });
    let reply = send(&daemon, Method::POST, "/whep", SDP, "x".repeat(5000)).await;
    assert!(detail(&reply, 413).contains("4 KiB"));
    let head = "POST /whep HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sdp\r\n";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let body = format!("transfer-encoding: chunked\r\n\r\n{chunk}{chunk}");
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let sent = format!("{head}{body}");
    stream.write_all(sent.as_bytes()).await.unwrap();
    assert!(first_line(&mut stream).await.contains(" 413 "));
    // What is announced is not waited for.
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let sent = format!("{head}content-length: 5000\r\n\r\n");
    stream.write_all(sent.as_bytes()).await.unwrap();
    assert!(first_line(&mut stream).await.contains(" 413 "));
    daemon.stop().await.unwrap();
}
