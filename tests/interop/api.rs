//! The API: viewers, measured figures, cameras that are missing, links, refusals.

use crate::daemon::{Running, get, pattern, resolve, start, until};
use crate::exchange::{ask, detail, post, text};
use crate::offer::plain;
use crate::viewer::Viewer;
use fanlight::config::{Source, Stream};
use hyper::Method;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

async fn viewers(daemon: &Running) -> Vec<Value> {
    let text = get(daemon.address, "/api/viewers").await;
    let list: Value = serde_json::from_str(&text).unwrap();
    let viewers = list["viewers"].as_array().unwrap().clone();
    assert_eq!(list["total"], viewers.len());
    viewers
}

/// Reads images until the daemon ends the reply; what came.
fn images(daemon: &Running, agent: &str) -> std::thread::JoinHandle<Vec<u8>> {
    let address = daemon.address;
    let request =
        format!("GET /garden/mjpeg HTTP/1.1\r\nhost: localhost\r\nuser-agent: {agent}\r\n\r\n");
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let (mut all, mut buffer) = (Vec::new(), [0; 65536]);
        while !all.ends_with(b"\r\n0\r\n\r\n") {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
        all
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_listed_and_each_can_be_ended() {
    let daemon = start("127.0.0.1", vec![pattern("camera"), pattern("garden")]);
    let mut first = Viewer::connect(daemon.address, "/camera/whep").await;
    let mut second = Viewer::connect(daemon.address, "/camera/whep").await;
    tokio::task::block_in_place(|| (first.counters(3), second.counters(3)));
    let reader = images(&daemon, "curl/8.0");
    until("three viewers", async || viewers(&daemon).await.len() == 3).await;
    // A session that does not connect is no viewer.
    assert_eq!(post(&daemon, "/camera/whep", &plain()).await.status(), 201);
    let listed = viewers(&daemon).await;
    assert_eq!(listed.len(), 3);
    for (viewer, (stream, transport)) in
        listed
            .iter()
            .zip([("camera", "udp"), ("camera", "udp"), ("garden", "mjpeg")])
    {
        assert_eq!(
            (&viewer["stream"], &viewer["transport"]),
            (&stream.into(), &transport.into())
        );
        assert_eq!(viewer["address"], "127.0.0.1");
        assert!(viewer["connected_seconds"].is_f64() && viewer["link"].is_null());
    }
    assert_eq!(listed[2]["user_agent"], "curl/8.0");
    let media = listed[0]["media_address"].as_str().unwrap();
    assert!(media.starts_with("127.0.0.1:"), "{media}");

    // A stranger's number ends nobody.
    for id in ["0", "99", "-1", "x", "1x", "18446744073709551616"] {
        let reply = ask(&daemon, Method::DELETE, &format!("/api/viewers/{id}")).await;
        assert_eq!(detail(&reply, 404), "there is no such viewer");
    }
    let end = async |viewer: &Value| {
        let path = format!("/api/viewers/{}", viewer["id"]);
        ask(&daemon, Method::DELETE, &path).await.status().as_u16()
    };
    assert_eq!(end(&listed[0]).await, 204);
    tokio::task::block_in_place(|| first.receive(|_| false));
    assert!(first.is_closed, "it is told goodbye");
    assert_eq!(end(&listed[0]).await, 404, "it is gone");
    assert_eq!(end(&listed[2]).await, 204);
    let read = reader.join().unwrap();
    assert!(
        read.ends_with(b"\r\n0\r\n\r\n"),
        "the reply ends as it should"
    );
    until("one viewer", async || viewers(&daemon).await.len() == 1).await;
    assert_eq!(viewers(&daemon).await[0]["id"], listed[1]["id"]);
    tokio::task::block_in_place(|| second.counters(10));
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flows_is_measured_and_not_what_was_asked_for() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let idle = daemon.stream("camera").await;
    assert!(idle["measured_fps"].is_null() && idle["measured_bits_per_second"].is_null());
    assert_eq!(idle["target_bits_per_second"], 1_000_000);
    assert_eq!(
        (&idle["present"], &idle["source"]),
        (&true.into(), &"test pattern".into())
    );
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    let begin = std::time::Instant::now();
    let mut counters = Vec::new();
    while begin.elapsed() < Duration::from_secs(6) {
        counters.extend(tokio::task::block_in_place(|| viewer.counters(10)));
    }
    let stream = daemon.stream("camera").await;
    let seen = counters.len() as f64 / begin.elapsed().as_secs_f64();
    let listed = viewers(&daemon).await.remove(0);
    for measured in [&stream, &listed] {
        let fps = measured["measured_fps"].as_f64().unwrap();
        // A machine with much else to do has few pictures; what is measured is what came, within a third.
        assert!(
            fps > seen * 0.66 && fps < seen * 1.5,
            "{fps} for {seen}: {measured}"
        );
        let bits = measured["measured_bits_per_second"].as_u64().unwrap();
        assert!((10_000..3_000_000).contains(&bits), "{measured}");
    }
    let device = &stream["device"];
    assert!(device.is_null(), "it is not told twice: {device}");
    let since = stream["since_seconds"].as_f64().unwrap();
    assert_eq!((since * 1000.0).round() / 1000.0, since);
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_camera_that_is_missing_is_told_while_nobody_watches() {
    let missing = Stream::new("missing", Source::Device("/dev/video99".into()));
    // Whatever it is: its node is there.
    let there = Stream::new("there", Source::Device("/dev/null".into()));
    let daemon = start("127.0.0.1", vec![missing, there]);
    for (name, is_there) in [("missing", false), ("there", true)] {
        let stream = daemon.stream(name).await;
        assert_eq!(
            (&stream["state"], &stream["error"]),
            (&"idle".into(), &Value::Null)
        );
        assert_eq!(stream["present"], is_there, "{name}");
        assert_eq!(stream["controls"], is_there, "{name}");
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_linked_is_there() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let index: Value = serde_json::from_str(&get(daemon.address, "/api").await).unwrap();
    let links = index["links"].as_object().unwrap();
    assert!(links.len() >= 10);
    for (name, link) in links {
        let path = resolve("/api", link.as_str().unwrap());
        let path = path.replace("{name}", "camera").replace("{id}", "0");
        let reply = ask(&daemon, Method::OPTIONS, &path).await;
        assert_eq!(reply.status(), 204, "{name}: {path}");
        if !["events", "viewer", "doctor"].contains(&name.as_str()) {
            assert_eq!(
                ask(&daemon, Method::GET, &path).await.status(),
                200,
                "{path}"
            );
        }
    }
    let list: Value = serde_json::from_str(&get(daemon.address, "/api/streams").await).unwrap();
    let of_list = (&list["streams"][0]["urls"], "../");
    let one = daemon.stream("camera").await;
    for (urls, up) in [of_list, (&one["urls"], "../../")] {
        for (key, path) in [
            ("page", "camera"),
            ("whep", "camera/whep"),
            ("jpeg", "camera/jpeg"),
        ] {
            assert_eq!(urls[key], format!("{up}{path}"));
            let head = ask(&daemon, Method::HEAD, &format!("/{path}")).await;
            assert!(head.status().is_success(), "{path}");
        }
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn no_words_of_a_library_are_in_a_refusal() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let line = |line: &str| plain().replace("s=-\r\n", &format!("s=-\r\n{line}\r\n"));
    let offers = [
        "x",
        "v=x\r\n",
        "v=0",
        "v=0\r\nq=1\r\n",
        &line("t=x"),
        &line("?"),
    ];
    for (n, offer) in offers.iter().enumerate() {
        let reply = post(&daemon, "/whep", offer).await;
        // Some of these are forgiven, or are of no use for another reason.
        let status = reply.status().as_u16();
        assert!(status == 400 || n >= 2, "{offer:?}: {}", text(&reply));
        if status != 201 {
            let said = detail(&reply, status);
            assert!(said.starts_with("the offer "), "{said}");
            assert!(!said.contains("Syntax") && !said.contains("Sdp"), "{said}");
        }
    }
    daemon.stop().await.unwrap();
}
