//! Server-sent events of a session (draft-ietf-wish-whep-02, 4.9.1).

use crate::daemon::{Running, pattern, resolve, run, start, until};
use crate::exchange::detail;
use crate::exchange::{ask, header, post, send, session, text};
use crate::offer::plain;
use crate::viewer::Viewer;
use bytes::Bytes;
use fanlight::capture::{CaptureError, Granted, Opener, Source as CaptureSource};
use fanlight::config::{Source, Stream};
use fanlight::media::{FrameRate, PixelFormat, RawFrame, Size};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

const JSON: &str = "application/json";

/// Where the session's events are, by the answer's `Link`.
fn linked(path: &str, reply: &Response<Bytes>) -> String {
    let link = header(reply, "link");
    let (url, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(
        rest,
        "; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; \
         events=\"active,inactive,viewercount\""
    );
    resolve(path, url)
}

/// Makes an event stream.
async fn made(daemon: &Running, events: &str, names: &str) -> String {
    let reply = send(daemon, Method::POST, events, JSON, names.to_owned()).await;
    assert_eq!(reply.status(), 201, "{}", text(&reply));
    resolve(events, header(&reply, "location"))
}

/// What is read of an event stream.
struct Reader {
    body: Incoming,
    text: String,
}

impl Reader {
    async fn open(daemon: &Running, path: &str) -> Self {
        let stream = TcpStream::connect(daemon.address).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let get = Request::get(path).header("host", "localhost");
        let get = get.body(Empty::<Bytes>::new()).unwrap();
        let reply = sender.send_request(get).await.unwrap();
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        assert_eq!(reply.headers()["cache-control"], "no-store");
        assert_eq!(reply.headers()["x-accel-buffering"], "no");
        Self {
            body: reply.into_body(),
            text: String::new(),
        }
    }

    /// Reads on. `false` at the end.
    async fn more(&mut self) -> bool {
        let frame = timeout(Duration::from_secs(20), self.body.frame()).await;
        let Some(frame) = frame.expect("something happens") else {
            return false;
        };
        let data = frame.unwrap().into_data().unwrap();
        self.text += std::str::from_utf8(&data).unwrap();
        true
    }

    /// Reads to the end, which must come.
    async fn end(&mut self) {
        let all = async { while self.more().await {} };
        timeout(Duration::from_secs(20), all).await.expect("an end");
    }

    /// Reads until that was there.
    async fn until(&mut self, part: &str) {
        while !self.text.contains(part) {
            assert!(self.more().await, "{part:?} never came: {:?}", self.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_is_told_that_pictures_flow_and_how_many_watch() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let first = post(&daemon, "/whep", &plain()).await;
    let events = made(&daemon, &linked("/whep", &first), "").await;
    let mut reader = Reader::open(&daemon, &events).await;
    reader.until("event: active\ndata: {}\n\n").await;
    reader
        .until("event: viewercount\ndata: {\"viewercount\":0}\n\n")
        .await;
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    tokio::task::block_in_place(|| viewer.counters(3));
    reader
        .until("event: viewercount\ndata: {\"viewercount\":1}\n\n")
        .await;
    assert!(!reader.text.contains("inactive"), "{}", reader.text);

    // The events end with the session.
    let session = session("/whep", &first);
    assert_eq!(ask(&daemon, Method::DELETE, &session).await.status(), 200);
    reader.end().await;
    detail(&ask(&daemon, Method::GET, &events).await, 404);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_tells_what_was_asked_for_until_it_is_deleted() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let reply = post(&daemon, "/camera/whep", &plain()).await;
    let linked = linked("/camera/whep", &reply);
    let active = made(&daemon, &linked, "[\"active\",\"layers\"]").await;
    let mut reader = Reader::open(&daemon, &active).await;
    reader.until("event: active").await;
    // A second reader takes the first one's place, and is told where things stand.
    let mut second = Reader::open(&daemon, &active).await;
    second.until("event: active").await;
    reader.end().await;
    assert_eq!(ask(&daemon, Method::DELETE, &active).await.status(), 200);
    second.end().await;
    assert!(!(reader.text + &second.text).contains("viewercount"));
    for method in [Method::DELETE, Method::GET] {
        detail(&ask(&daemon, method, &active).await, 404);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn event_streams_are_few_and_asked_for_in_json() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let reply = post(&daemon, "/whep", &plain()).await;
    let linked = linked("/whep", &reply);
    for (body, part) in [
        ("{}", "list of event names"),
        ("[1]", "list of event names"),
    ] {
        let reply = send(&daemon, Method::POST, &linked, JSON, body).await;
        assert!(detail(&reply, 400).contains(part));
    }
    let reply = send(&daemon, Method::POST, &linked, "text/plain", "[]").await;
    detail(&reply, 415);
    let nowhere = "/camera/whep/0/sse";
    detail(&send(&daemon, Method::POST, nowhere, JSON, "[]").await, 404);
    let get = ask(&daemon, Method::GET, &linked).await;
    assert_eq!(header(&get, "allow"), "POST, OPTIONS");
    let options = ask(&daemon, Method::OPTIONS, &linked).await;
    assert_eq!(header(&options, "accept-post"), JSON);

    let oldest = made(&daemon, &linked, "[]").await;
    for _ in 0..2 {
        made(&daemon, &linked, "[\"viewercount\"]").await;
    }
    detail(&ask(&daemon, Method::GET, &oldest).await, 404);
    daemon.stop().await.unwrap();
}

/// Readers do not hold up the daemon's end.
#[tokio::test(flavor = "multi_thread")]
async fn events_end_with_the_daemon() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let reply = post(&daemon, "/whep", &plain()).await;
    let events = made(&daemon, &linked("/whep", &reply), "").await;
    let mut reader = Reader::open(&daemon, &events).await;
    reader.until("viewercount").await;
    until("the pictures flow", async || {
        daemon.stream("camera").await["state"] == "live"
    })
    .await;
    daemon.signal();
    reader.end().await;
    daemon.stop().await.unwrap();
}

/// A camera with its lens closed.
struct Dark {
    granted: Granted,
    /// Never sent to: what is waited for between two frames.
    next: Receiver<()>,
}

static DARK: [u8; 320 * 180] = [0; 320 * 180];

impl CaptureSource for Dark {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        let _ = self.next.recv_timeout(Duration::from_millis(66));
        Ok(Some(RawFrame {
            data: &DARK,
            format: self.granted.format,
            size: self.granted.size,
            stride: 0,
            captured_at: Instant::now(),
            lost: 0,
            is_late: false,
            full_range: false,
        }))
    }
}

/// Opens one, and keeps its sender.
struct Closed(Mutex<Vec<SyncSender<()>>>);

impl Opener for Closed {
    fn open(&self) -> Result<Box<dyn CaptureSource>, CaptureError> {
        let (sender, next) = sync_channel(0);
        self.0.lock().unwrap().push(sender);
        let granted = Granted {
            device: "dark".to_owned(),
            size: Size::new(320, 180),
            rate: FrameRate::whole(15),
            format: PixelFormat::Grey,
            reason: String::new(),
        };
        Ok(Box::new(Dark { granted, next }))
    }

    fn describe(&self) -> String {
        "dark".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_what_is_wrong_with_the_pictures() {
    let daemon = run(
        "127.0.0.1",
        |config| config.streams = vec![pattern("camera")],
        |daemon| daemon.with_sources(|_| Arc::new(Closed(Mutex::default()))),
    );
    let mut reader = Reader::open(&daemon, "/api/events").await;
    let viewer = Viewer::connect(daemon.address, "/camera/whep").await;
    reader.until("\"state\":\"live\"").await;
    reader.until("\"picture\":\"black\"").await;
    drop(viewer);
    daemon.stop().await.unwrap();
}

/// Not WHEP's: of all streams, for pages and programs that show how they are.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_how_the_streams_are_and_what_changes() {
    let missing = Stream::new("missing", Source::Device("/dev/video99".into()));
    let daemon = start("127.0.0.1", vec![pattern("camera"), missing]);
    let mut reader = Reader::open(&daemon, "/api/events").await;
    reader
        .until("\"name\":\"missing\",\"state\":\"idle\"")
        .await;
    assert!(
        reader
            .text
            .contains("event: stream\ndata: {\"name\":\"camera\",\"state\":\"idle\"")
    );
    // As `/api/streams` says it: nobody watches, and one camera is missing all the same.
    for (name, present) in [("camera", true), ("missing", false)] {
        let mut events = reader.text.lines();
        let of_it = format!("data: {{\"name\":\"{name}\"");
        let view = events.find(|line| line.starts_with(&of_it)).unwrap();
        assert!(view.contains(&format!("\"present\":{present}")), "{view}");
    }
    let viewers = [
        Viewer::connect(daemon.address, "/camera/whep").await,
        Viewer::connect(daemon.address, "/missing/whep").await,
    ];
    reader.until("\"name\":\"camera\",\"state\":\"live\"").await;
    reader
        .until("\"name\":\"missing\",\"state\":\"down\"")
        .await;
    assert!(
        reader
            .text
            .contains("\"title\":\"The camera is not connected\"")
    );
    // What is as it was is not told again, though the camera is tried again and again.
    reader.text.clear();
    drop(viewers);
    daemon.signal();
    reader.end().await;
    assert!(
        !reader.text.contains("\"state\":\"down\""),
        "{}",
        reader.text
    );
    daemon.stop().await.unwrap();
}
