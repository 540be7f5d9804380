//! Each limit of the configuration, reached.

use crate::daemon::{Running, pattern, start_with, until};
use crate::offer::plain;
use crate::refusals::detail;
use crate::viewer::Viewer;
use crate::{SDP, ask, header, post, send, session, text};
use bytes::Bytes;
use fanlight::config::Limits;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

/// A daemon with these limits. Loopback counts as any other address does unless the test says otherwise.
fn limited(limits: Limits) -> Running {
    start_with("127.0.0.1", |config| {
        config.streams = vec![pattern("camera"), pattern("garden")];
        config.limits = limits;
    })
}

fn counted() -> Limits {
    Limits {
        shared_addresses: vec![],
        ..Limits::default()
    }
}

/// A connection from another address of loopback.
async fn connect_from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from(ip), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// An offer from another address of loopback.
async fn post_from(ip: [u8; 4], daemon: &Running) -> Response<Bytes> {
    let stream = connect_from(ip, daemon.address).await;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let post = Request::post("/whep")
        .header("host", "test")
        .header("content-type", SDP);
    let body = Full::<Bytes>::new(plain().into());
    let reply = sender.send_request(post.body(body).unwrap()).await.unwrap();
    let (head, body) = reply.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

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
    for method in [Method::DELETE, Method::PATCH] {
        detail(&ask(&daemon, method, &session).await, 429);
    }
    assert_eq!(ask(&daemon, Method::GET, &session).await.status(), 204);
    assert_eq!(post_from([127, 0, 0, 2], &daemon).await.status(), 201);
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
    let head = "POST /whep HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\n";
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

#[tokio::test]
async fn a_body_must_come_at_its_rate() {
    let daemon = limited(Limits {
        header_time: SHORT,
        idle_time: LONG,
        ..Limits::default()
    });
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let sent = "POST /whep HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\n\
        content-length: 100\r\n\r\nv=0\r\n";
    stream.write_all(sent.as_bytes()).await.unwrap();
    assert!(first_line(&mut stream).await.contains(" 408 "));
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_head_must_come_in_its_time() {
    let daemon = limited(Limits {
        header_time: SHORT,
        idle_time: LONG,
        ..Limits::default()
    });
    for begun in ["", "G", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut stream).await, "", "{begun:?}");
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_silent_connection_is_closed_in_its_time() {
    let daemon = limited(Limits {
        header_time: LONG,
        idle_time: SHORT,
        ..Limits::default()
    });
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    for _ in 0..2 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert!(first_line(&mut stream).await.contains(" 200 "));
    }
    rest(&mut stream).await;
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn beyond_the_connections_in_all_others_wait() {
    let daemon = limited(Limits {
        connections: 2,
        header_time: LONG,
        ..Limits::default()
    });
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert!(first_line(&mut stream).await.contains(" 200 "));
        held.push(stream);
    }
    let mut third = TcpStream::connect(daemon.address).await.unwrap();
    third
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let early = timeout(SHORT, first_line(&mut third)).await;
    assert!(early.is_err(), "{early:?}");
    held.clear();
    assert!(first_line(&mut third).await.contains(" 200 "));
    drop(third);
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let daemon = limited(Limits {
        connections_per_address: 2,
        header_time: LONG,
        ..counted()
    });
    let from = [127, 0, 0, 9];
    let first = connect_from(from, daemon.address).await;
    let _second = connect_from(from, daemon.address).await;
    let mut third = connect_from(from, daemon.address).await;
    assert_eq!(rest(&mut third).await, "");
    let limit = "fanlight_refused_total{limit=\"connections_per_address\"}";
    assert_eq!(daemon.metric(limit).await, 1.0);
    assert_eq!(post_from([127, 0, 0, 2], &daemon).await.status(), 201);
    drop(first);
    until("the place is free", async || {
        let mut stream = connect_from(from, daemon.address).await;
        // It may be closed already.
        let _ = stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        first_line(&mut stream).await.contains(" 200 ")
    })
    .await;
    daemon.stop().await.unwrap();
}

/// The first line of a reply, whose head and body come at once; empty if the connection is closed.
async fn first_line(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let count = stream.read(&mut buffer).await.unwrap_or(0);
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// What comes until the daemon closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = timeout(LONG, stream.read_to_string(&mut text)).await;
    // A connection that is refused with a request under way is reset.
    let _ = read.expect("the daemon closes it");
    text
}
