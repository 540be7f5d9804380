//! Watching over TCP (RFC 6544), as where UDP is blocked.

use crate::daemon::{Running, get, pattern, request, start, start_with, until};
use crate::viewer::link::Link;
use crate::viewer::{Begun, Habits, Viewer};
use crate::{assert_in_order, watching};
use fanlight::config::{Certificate, Config, Source, Stream, TcpListen, Tls};
use fanlight::media::TestPicture;
use hyper::{Request, StatusCode};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What `/api/viewers` says of the transport of each, in the order in which they came.
async fn transports(daemon: &Running) -> Vec<String> {
    let text = get(daemon.address, "/api/viewers").await;
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let viewers = list["viewers"].as_array().unwrap().iter();
    let transport = |viewer: &serde_json::Value| viewer["transport"].as_str().unwrap().to_owned();
    viewers.map(transport).collect()
}

async fn connections(daemon: &Running) -> f64 {
    daemon.metric("fanlight_tcp_connections").await
}

/// An offer that does not matter, and its answer.
async fn answer(daemon: &Running) -> String {
    let habits = Habits {
        audio_first: false,
        edit: |offer| offer,
    };
    let (_, offer) = Begun::new(&habits, Link::udp(daemon.address));
    let post = Request::post("/whep")
        .header("host", "localhost")
        .header("content-type", "application/sdp");
    let reply = request(daemon.address, post.body(offer).unwrap()).await;
    assert_eq!(reply.status(), StatusCode::CREATED);
    String::from_utf8(reply.into_body().to_vec()).unwrap()
}

/// The TCP candidates of an answer.
fn candidates(answer: &str) -> Vec<SocketAddr> {
    let lines = answer
        .lines()
        .filter(|line| line.contains(" tcptype passive"));
    let address = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        SocketAddr::new(words[4].parse().unwrap(), words[5].parse().unwrap())
    };
    lines.map(address).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_over_tcp_through_the_port_of_http() {
    for ip in ["127.0.0.1", "::1"] {
        let daemon = start(ip, vec![pattern("camera")]);
        let link = Link::tcp(daemon.address);
        let mut viewer = Viewer::connect_by(link, daemon.address, "/whep").await;
        assert_in_order(&watching(|| viewer.counters(60)));
        assert_eq!(transports(&daemon).await, ["tcp"]);
        let by_tcp = "fanlight_viewers_by_transport{transport=\"tcp\"}";
        assert_eq!(daemon.metric(by_tcp).await, 1.0);
        assert_eq!(connections(&daemon).await, 1.0);
        for refused in ["fanlight_send_errors_total", "fanlight_nacks_total"] {
            assert_eq!(daemon.metric(refused).await, 0.0, "{refused}");
        }
        let mut other = Viewer::connect(daemon.address, "/whep").await;
        assert_in_order(&watching(|| other.counters(10)));
        assert_eq!(transports(&daemon).await, ["tcp", "udp"]);
        daemon.stop().await.unwrap();
    }
}

/// The port of HTTPS tells ICE from TLS and from plain HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_over_tcp_through_the_port_of_https() {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tcp-through-https");
    let daemon = start_with("127.0.0.1", |config| {
        config.state.directory = Some(state);
        config.tls = Some(Tls {
            certificate: Certificate::SelfSigned,
            redirect: None,
        });
    });
    let habits = Habits {
        audio_first: false,
        edit: |offer| offer,
    };
    let (begun, offer) = Begun::new(&habits, Link::tcp(daemon.address));
    let answer = watching(|| post_by_tls(daemon.address, &offer));
    let mut viewer = begun.accept(answer, daemon.address, String::new());
    assert_in_order(&watching(|| viewer.counters(20)));
    daemon.stop().await.unwrap();
}

/// Whose certificate it is, other tests see to.
fn post_by_tls(to: SocketAddr, offer: &str) -> String {
    let url = format!("https://{to}/whep");
    let mut curl = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--insecure",
            "--noproxy",
            "*",
        ])
        .args([
            "-H",
            "content-type: application/sdp",
            "--data-binary",
            "@-",
            &url,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = curl.stdin.take().unwrap();
    stdin.write_all(offer.as_bytes()).unwrap();
    drop(stdin);
    let output = curl.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn media_over_tcp_has_a_listener_of_its_own_or_none() {
    let at = |tcp_listen| start_with("127.0.0.1", |config| config.rtc.tcp_listen = tcp_listen);
    let own = TcpListen::At("127.0.0.1:0".parse().unwrap());
    let daemon = at(own);
    let offered = candidates(&answer(&daemon).await);
    assert_eq!(offered.len(), 1);
    assert_ne!(offered[0], daemon.address);
    let link = Link::tcp(offered[0]);
    let mut viewer = Viewer::connect_by(link, daemon.address, "/whep").await;
    assert_in_order(&watching(|| viewer.counters(10)));
    let begins_with_http = || {
        let mut stream = TcpStream::connect(offered[0]).unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut reply = Vec::new();
        // It may be reset, since nothing of the request was read.
        let _ = stream.read_to_end(&mut reply);
        reply
    };
    assert!(watching(begins_with_http).is_empty(), "nothing but media");
    daemon.stop().await.unwrap();

    let daemon = at(TcpListen::Off);
    assert!(candidates(&answer(&daemon).await).is_empty());
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    assert_in_order(&watching(|| viewer.counters(10)));
    let mut link = Link::tcp(daemon.address);
    watching(|| send_raw(&mut link, &frame(&check("nobody"))));
    assert!(watching(|| link.is_closed()));
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_goes_from_udp_to_tcp_and_back_in_one_session() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    let mut counters = watching(|| viewer.counters(20));
    for expected in ["tcp", "tcp", "udp", "tcp"] {
        let link = match expected {
            "tcp" => Link::tcp(daemon.address),
            _ => Link::udp(daemon.address),
        };
        viewer.restart_by(link).await;
        counters.extend(watching(|| viewer.counters(30)));
        assert_eq!(transports(&daemon).await, [expected]);
    }
    assert_in_order(&counters);
    let sessions = daemon.metric("fanlight_sessions_total").await;
    assert_eq!(sessions, 1.0);
    // The connections that were given up have ended with the viewer's end of them.
    until("one connection is left", async || {
        connections(&daemon).await == 1.0
    })
    .await;
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn goodbyes_are_heard_over_tcp_and_the_connection_ends_with_the_session() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let connect = || Viewer::connect_by(Link::tcp(daemon.address), daemon.address, "/whep");
    let mut viewer = connect().await;
    watching(|| viewer.counters(5));
    let delete = Request::delete(&viewer.location).header("host", "localhost");
    let reply = request(daemon.address, delete.body(String::new()).unwrap()).await;
    assert_eq!(reply.status(), StatusCode::OK);
    watching(|| viewer.receive(|_| false));
    assert!(viewer.is_closed && watching(|| viewer.link.is_closed()));
    until("none is counted", async || {
        connections(&daemon).await == 0.0
    })
    .await;

    let mut viewer = connect().await;
    watching(|| viewer.counters(5));
    viewer.close();
    until("the session is forgotten", async || {
        daemon.metric("fanlight_sessions_active").await == 0.0
    })
    .await;
    assert!(watching(|| viewer.link.is_closed()));

    let mut viewer = connect().await;
    watching(|| viewer.counters(5));
    daemon.signal();
    watching(|| viewer.receive(|_| false));
    assert!(viewer.is_closed);
    daemon.stop().await.unwrap();
}

/// Noise, so that a connection that is not read is soon full.
fn noise() -> Stream {
    Stream {
        bitrate: 2_000_000,
        ..Stream {
            source: Source::Pattern(TestPicture::Noise),
            ..pattern("camera")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_misses_pictures_and_nobody_else_does() {
    let daemon = start("127.0.0.1", vec![noise()]);
    let figure = async |name: &str| {
        let text = get(daemon.address, "/api/viewers").await;
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut viewers = list["viewers"].as_array().unwrap().iter();
        let first = viewers.find(|viewer| viewer["id"] == 1).unwrap();
        first[name].as_f64().unwrap()
    };
    let link = Link::narrow_tcp(daemon.address);
    let mut slow = Viewer::connect_by(link, daemon.address, "/whep").await;
    let mut counters = watching(|| slow.counters(10));
    // For some seconds it reads nothing.
    for link in [Link::udp(daemon.address), Link::tcp(daemon.address)] {
        let mut other = Viewer::connect_by(link, daemon.address, "/whep").await;
        assert_in_order(&watching(|| other.counters(75)));
        other.close();
    }
    counters.extend(watching(|| slow.counters(40)));
    assert_in_order(&counters);
    let gap = counters.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(gap >= Some(20), "{counters:?}");
    assert!(figure("pictures_skipped").await >= 20.0);
    // Nothing but whole pictures: no packet is missing in what it was sent.
    assert_eq!(figure("nacks").await, 0.0);
    let skipped = daemon.metric("fanlight_pictures_skipped_total").await;
    assert_eq!(skipped, figure("pictures_skipped").await, "nobody else");
    assert_eq!(daemon.metric("fanlight_send_errors_total").await, 0.0);
    daemon.stop().await.unwrap();
}

/// A check without a signature, of nobody.
fn check(ufrag: &str) -> Vec<u8> {
    let name = format!("{ufrag}:abcd");
    let mut attribute = vec![0, 6, 0, name.len() as u8];
    attribute.extend(name.as_bytes());
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let header = [0, 1, 0, attribute.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    [&header[..], &[7; 12], &attribute].concat()
}

fn frame(datagram: &[u8]) -> Vec<u8> {
    [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat()
}

fn send_raw(link: &mut Link, bytes: &[u8]) {
    let Link::Tcp(stream, _) = link else {
        unreachable!("a connection");
    };
    // It may be closed already.
    let _ = stream.write_all(bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_no_viewers_are_closed_and_cost_viewers_nothing() {
    let daemon = start_with("127.0.0.1", |config: &mut Config| {
        config.limits.header_time = Duration::from_millis(500);
    });
    let mut viewer = Viewer::connect_by(Link::tcp(daemon.address), daemon.address, "/whep").await;
    let mut counters = watching(|| viewer.counters(5));
    let known = answer(&daemon).await;
    let mut lines = known.lines();
    let ufrag = lines
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap();
    let unsigned = frame(&check(ufrag));
    let openings: [&[u8]; 8] = [
        &[],
        &[0],
        &[0, 100, 0, 1, 0, 80],
        &unsigned[..unsigned.len() - 1],
        // Too long for a frame, and for a message in it.
        &[8, 255, 0, 1],
        &[0, 8, 0, 1, 0, 80, 0x21, 0x12],
        &frame(&check("nobody")),
        // Of a viewer, but not from it.
        &unsigned,
    ];
    let mut links = Vec::new();
    for opening in openings.iter().cycle().take(80) {
        let mut link = Link::tcp(daemon.address);
        watching(|| send_raw(&mut link, opening));
        links.push(link);
    }
    counters.extend(watching(|| viewer.counters(30)));
    for link in &mut links {
        assert!(watching(|| link.is_closed()));
    }
    assert_eq!(connections(&daemon).await, 1.0, "the viewer's");

    // A viewer's own connection may do no more than others.
    let mut bad = Viewer::connect_by(Link::tcp(daemon.address), daemon.address, "/whep").await;
    watching(|| bad.counters(5));
    watching(|| send_raw(&mut bad.link, &[255, 255, 1, 2, 3]));
    assert!(watching(|| bad.link.is_closed()));
    counters.extend(watching(|| viewer.counters(30)));
    assert_in_order(&counters);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_with_media_are_limited_in_all_and_by_address() {
    // HTTP may have as many, and some of its connections end with a delay.
    const MOST: u32 = 6;
    for (limit, set) in [
        (
            "media_connections",
            (|config| config.limits.connections = MOST) as fn(&mut Config),
        ),
        ("media_connections_per_address", |config| {
            config.limits.connections_per_address = MOST;
            config.limits.shared_addresses.clear();
        }),
    ] {
        let daemon = start_with("127.0.0.1", set);
        let mut viewers = Vec::new();
        for _ in 0..MOST {
            let link = Link::tcp(daemon.address);
            let mut viewer = Viewer::connect_by(link, daemon.address, "/whep").await;
            assert_in_order(&watching(|| viewer.counters(5)));
            viewers.push(viewer);
        }
        let refused = format!("fanlight_refused_total{{limit=\"{limit}\"}}");
        let mut further = Link::tcp(daemon.address);
        watching(|| send_raw(&mut further, &frame(&check("further"))));
        assert!(watching(|| further.is_closed()));
        until("it is counted", async || {
            daemon.metric(&refused).await == 1.0
        })
        .await;
        // HTTP has its own, and the place of one that ends is free.
        viewers.pop().unwrap().close();
        until("a place is free", async || {
            connections(&daemon).await < f64::from(MOST)
        })
        .await;
        let link = Link::tcp(daemon.address);
        let mut viewer = Viewer::connect_by(link, daemon.address, "/whep").await;
        assert_in_order(&watching(|| viewer.counters(5)));
        daemon.stop().await.unwrap();
    }
}
