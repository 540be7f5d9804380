//! What clients of every kind say and expect: offers as they make them, and the HTTP around the exchange.

mod answers;
mod controls;
#[path = "../viewing/daemon.rs"]
mod daemon;
mod doctor;
mod events;
mod http;
mod limits;
mod media;
mod mjpeg;
mod offer;
mod patch;
#[path = "../viewing/picture.rs"]
mod picture;
mod refusals;
#[path = "../viewing/viewer.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod viewer;

use bytes::Bytes;
use daemon::{Running, request};
use hyper::{Method, Request, Response};

const SDP: &str = "application/sdp";

/// Sends a request with a body of that type.
async fn send(
    daemon: &Running,
    method: Method,
    path: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let builder = Request::builder().method(method).uri(path);
    let builder = builder
        .header("host", "localhost")
        .header("content-type", content_type);
    request(daemon.address, builder.body(body.into()).unwrap()).await
}

/// Sends a request without a body.
async fn ask(daemon: &Running, method: Method, path: &str) -> Response<Bytes> {
    let builder = Request::builder().method(method).uri(path);
    let builder = builder.header("host", "localhost");
    request(daemon.address, builder.body(Bytes::new()).unwrap()).await
}

/// Posts an offer.
async fn post(daemon: &Running, path: &str, offer: &str) -> Response<Bytes> {
    send(daemon, Method::POST, path, SDP, offer.to_owned()).await
}

/// A header's value, empty if it is absent.
fn header<'a>(reply: &'a Response<Bytes>, name: &str) -> &'a str {
    let value = reply.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// The path of the session that was made at `path`.
fn session(path: &str, reply: &Response<Bytes>) -> String {
    daemon::resolve(path, header(reply, "location"))
}

/// The body as text.
fn text(reply: &Response<Bytes>) -> &str {
    std::str::from_utf8(reply.body()).unwrap()
}
