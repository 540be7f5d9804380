//! Limits of connections, reached: their number and their pace.

use crate::daemon::{Running, until};
use crate::raw::{LONG, SHORT, connect_from, counted, first_line, limited, post_from, rest};
use fanlight::config::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn a_body_must_come_at_its_rate() {
    let daemon = limited(Limits {
        header_time: SHORT,
        idle_time: LONG,
        ..Limits::default()
    });
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let sent = "POST /whep HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sdp\r\n\
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

const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

/// A connection on which one request was answered.
async fn idle(daemon: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(first_line(&mut stream).await.contains(" 200 "));
    stream
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
        let mut stream = idle(&daemon).await;
        // The next request has begun.
        stream.write_all(b"G").await.unwrap();
        held.push(stream);
    }
    let mut third = TcpStream::connect(daemon.address).await.unwrap();
    third.write_all(GET).await.unwrap();
    let early = timeout(SHORT, first_line(&mut third)).await;
    assert!(early.is_err(), "{early:?}");
    held.clear();
    assert!(first_line(&mut third).await.contains(" 200 "));
    drop(third);
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn the_connection_that_is_idle_for_longest_gives_way() {
    let daemon = limited(Limits {
        connections: 3,
        header_time: LONG,
        idle_time: LONG,
        ..Limits::default()
    });
    let mut busy = idle(&daemon).await;
    let mut oldest = idle(&daemon).await;
    let mut newest = idle(&daemon).await;
    busy.write_all(b"G").await.unwrap();
    let fourth = idle(&daemon).await;
    assert_eq!(rest(&mut oldest).await, "");
    // The others are as good as before.
    newest.write_all(GET).await.unwrap();
    assert!(first_line(&mut newest).await.contains(" 200 "));
    busy.write_all(&GET[1..]).await.unwrap();
    assert!(first_line(&mut busy).await.contains(" 200 "));
    drop((busy, newest, fourth));
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
    let mut first = connect_from(from, daemon.address).await;
    let mut second = connect_from(from, daemon.address).await;
    for stream in [&mut first, &mut second] {
        stream.write_all(b"G").await.unwrap();
    }
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

/// RFC 6585, 5.
#[tokio::test]
async fn a_head_has_a_size() {
    let daemon = limited(Limits::default());
    for (len, status) in [(8 << 10, " 200 "), (20 << 10, " 431 ")] {
        let filler = "x".repeat(len);
        let head = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx-filler: {filler}\r\n\r\n");
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        assert!(first_line(&mut stream).await.contains(status), "{len}");
    }
    daemon.stop().await.unwrap();
}
