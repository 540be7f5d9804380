//! JPEG images over HTTP: the reply without an end, the single image, and who is let in.

use crate::daemon::{Running, pattern, start, start_with, until};

use crate::exchange::{ask, detail, header, post};
use bytes::{Bytes, BytesMut};
use fanlight::capture::pattern::read_counter;
use fanlight::codec::convert::Converter;
use fanlight::config::{Limits, Mjpeg, Source, Stream};
use fanlight::media::{I420, PixelFormat, RawFrame, Size, TestPicture};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::time::Instant;
use tokio::net::{TcpSocket, TcpStream};

const SIZE: Size = Size::new(640, 360);

/// A reply without an end, taken apart.
struct Images {
    body: Incoming,
    buffer: BytesMut,
}

async fn open(stream: TcpStream, path: &str) -> Response<Incoming> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    sender.send_request(request).await.unwrap()
}

impl Images {
    async fn open(daemon: &Running, path: &str) -> Self {
        Self::over(TcpStream::connect(daemon.address).await.unwrap(), path).await
    }

    async fn over(stream: TcpStream, path: &str) -> Self {
        let reply = open(stream, path).await;
        assert_eq!(reply.status(), 200);
        let kind = reply.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "multipart/x-mixed-replace; boundary=fanlight");
        assert_eq!(reply.headers()["cache-control"], "no-store");
        assert_eq!(reply.headers()["x-accel-buffering"], "no");
        Self {
            body: reply.into_body(),
            buffer: BytesMut::new(),
        }
    }

    async fn fill(&mut self) {
        let frame = self.body.frame().await.expect("it has no end").unwrap();
        self.buffer.extend_from_slice(&frame.into_data().unwrap());
    }

    /// The next part: its image.
    async fn next(&mut self) -> Bytes {
        let head = loop {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                break head.to_owned();
            }
            self.fill().await;
        };
        let (before, fields) = head.split_once("--fanlight\r\n").unwrap();
        assert_eq!(before, "\r\n");
        let len = fields.split_once("content-length: ").unwrap().1;
        let len: usize = len.lines().next().unwrap().parse().unwrap();
        assert!(fields.contains("content-type: image/jpeg"), "{fields}");
        let begin = head.len() + 4;
        while self.buffer.len() < begin + len {
            self.fill().await;
        }
        let _ = self.buffer.split_to(begin);
        self.buffer.split_to(len).freeze()
    }

    async fn counter(&mut self) -> u32 {
        let image = self.next().await;
        counter(&image)
    }
}

/// The reply of a request that is to be refused: one that is not would have no end.
async fn refused(daemon: &Running, path: &str, status: u16) -> Response<Bytes> {
    let stream = TcpStream::connect(daemon.address).await.unwrap();
    let (head, body) = open(stream, path).await.into_parts();
    assert_eq!(head.status, status);
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// The counter that the pattern drew into the picture.
fn counter(jpeg: &Bytes) -> u32 {
    let frame = RawFrame {
        data: jpeg,
        format: PixelFormat::Mjpeg,
        size: SIZE,
        stride: 0,
        lost: 0,
        is_late: false,
        full_range: false,
        captured_at: Instant::now(),
    };
    let mut picture = I420::new(SIZE);
    Converter::new().convert(&frame, &mut picture).unwrap();
    read_counter(&picture).expect("a picture of the pattern, whole")
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_at_their_rate_and_are_made_once_for_all_while_somebody_watches() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut first = Images::open(&daemon, "/mjpeg").await;
    let mut second = Images::open(&daemon, "/camera/mjpeg").await;
    let begin = first.counter().await;
    let mut last = begin;
    for _ in 0..5 {
        let next = first.counter().await;
        assert!(next > last, "{next} after {last}");
        last = next;
    }
    // Each sixth of the pictures at the most: five a second out of thirty. On average, since the one after a late one is not late.
    assert!(last - begin > 5 * 6 - 6, "{}", last - begin);
    while second.counter().await < last {}
    let stream = daemon.stream("camera").await;
    assert_eq!(
        (&stream["viewers"], &stream["state"]),
        (&2.into(), &"live".into())
    );
    let gauge = "fanlight_mjpeg_viewers{stream=\"camera\"}";
    assert_eq!(daemon.metric(gauge).await, 2.0);
    let made = "fanlight_jpeg_seconds_count{stream=\"camera\"}";
    let made = daemon.metric(made).await;
    // Out of so many pictures since the camera was opened; one may not be there yet.
    let reply = ask(&daemon, Method::GET, "/jpeg").await;
    let most = f64::from(counter(reply.body()) / 6 + 2);
    assert!((6.0..=most).contains(&made), "{made} for two viewers");

    drop((first, second));
    until("the camera is closed", async || {
        let stream = daemon.stream("camera").await;
        stream["viewers"] == 0 && stream["state"] == "idle"
    })
    .await;
    assert_eq!(daemon.metric(gauge).await, 0.0);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_misses_images_and_gets_none_late() {
    let daemon = start_with("127.0.0.1", |config| {
        config.streams = vec![Stream {
            source: Source::Pattern(TestPicture::Noise),
            ..pattern("camera")
        }];
        config.http.mjpeg = Mjpeg {
            fps: 30,
            quality: 95,
        };
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let slow = socket.connect(daemon.address).await.unwrap();
    let mut slow = Images::over(slow, "/mjpeg").await;
    let mut quick = Images::open(&daemon, "/mjpeg").await;
    let before = slow.counter().await;
    // It reads nothing while another sees a hundred pictures go by.
    while quick.counter().await < before + 100 {}
    let mut late = 0;
    while slow.counter().await < before + 95 {
        late += 1;
        assert!(late <= 4, "images wait for a reader");
    }
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_image_is_the_newest_and_opens_the_camera_for_itself() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    for path in ["/jpeg", "/camera/jpeg"] {
        let reply = ask(&daemon, Method::GET, path).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(header(&reply, "content-type"), "image/jpeg");
        assert_eq!(header(&reply, "cache-control"), "no-store");
        counter(reply.body());
    }
    until("the camera is closed", async || {
        daemon.stream("camera").await["state"] == "idle"
    })
    .await;
    // A look at what there is opens nothing.
    for path in ["/mjpeg", "/camera/jpeg"] {
        let reply = ask(&daemon, Method::HEAD, path).await;
        assert_eq!((reply.status().as_u16(), reply.body().len()), (200, 0));
    }
    assert_eq!(daemon.stream("camera").await["state"], "idle");
    // Among others who watch, it is the newest of theirs.
    let mut images = Images::open(&daemon, "/mjpeg").await;
    let shown = images.counter().await;
    let reply = ask(&daemon, Method::GET, "/jpeg").await;
    assert!(counter(reply.body()) >= shown);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_over_http_is_a_viewer_within_the_limits() {
    let daemon = start_with("127.0.0.1", |config| {
        config.streams = vec![pattern("camera"), pattern("garden")];
        config.limits = Limits {
            viewers: 2,
            viewers_per_stream: 1,
            ..Limits::default()
        };
    });
    let images = Images::open(&daemon, "/mjpeg").await;
    for path in ["/mjpeg", "/camera/jpeg"] {
        let reply = refused(&daemon, path, 503).await;
        let said = detail(&reply, 503);
        assert!(
            said.contains("the stream has reached its limit of viewers"),
            "{said}"
        );
        assert_eq!(header(&reply, "retry-after"), "10");
    }
    let offer = crate::offer::plain();
    assert_eq!(post(&daemon, "/garden/whep", &offer).await.status(), 201);
    refused(&daemon, "/garden/mjpeg", 503).await;
    detail(&post(&daemon, "/whep", &offer).await, 503);
    drop(images);
    until("the place is free", async || {
        post(&daemon, "/whep", &offer).await.status() == 201
    })
    .await;
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn images_that_there_are_not_are_refused_with_the_reason() {
    let daemon = start_with("127.0.0.1", |config| {
        let nowhere = Source::Device("/dev/video99".into());
        config.streams = vec![Stream::new("attic", nowhere)];
    });
    let reply = refused(&daemon, "/jpeg", 503).await;
    let said = detail(&reply, 503);
    assert!(said.starts_with("The camera is not connected: "), "{said}");
    assert!(!said.contains("/dev/video99"), "for admins: {said}");
    assert_ne!(header(&reply, "retry-after"), "");
    refused(&daemon, "/nowhere/mjpeg", 404).await;
    detail(&ask(&daemon, Method::POST, "/mjpeg").await, 405);
    daemon.stop().await.unwrap();

    let daemon = start_with("127.0.0.1", |config| config.http.mjpeg.fps = 0);
    for path in ["/mjpeg", "/camera/jpeg"] {
        let said = detail(&refused(&daemon, path, 404).await, 404);
        assert!(said.contains("mjpeg_fps"), "{said}");
    }
    daemon.stop().await.unwrap();
}
