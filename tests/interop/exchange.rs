//! Requests to a daemon of the test, and what comes back.

use crate::daemon::{Running, request, resolve};
use bytes::Bytes;
use hyper::{Method, Request, Response};

pub const SDP: &str = "application/sdp";

/// Sends a request with a body of that type.
pub async fn send(
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
pub async fn ask(daemon: &Running, method: Method, path: &str) -> Response<Bytes> {
    let builder = Request::builder().method(method).uri(path);
    let builder = builder.header("host", "localhost");
    request(daemon.address, builder.body(Bytes::new()).unwrap()).await
}

/// Posts an offer.
pub async fn post(daemon: &Running, path: &str, offer: &str) -> Response<Bytes> {
    send(daemon, Method::POST, path, SDP, offer.to_owned()).await
}

/// A header's value, empty if it is absent.
pub fn header<'a>(reply: &'a Response<Bytes>, name: &str) -> &'a str {
    let value = reply.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// The path of the session that was made at `path`.
pub fn session(path: &str, reply: &Response<Bytes>) -> String {
    resolve(path, header(reply, "location"))
}

/// The body as text.
pub fn text(reply: &Response<Bytes>) -> &str {
    std::str::from_utf8(reply.body()).unwrap()
}

/// Checks the form of an error and returns what it says.
pub fn detail(reply: &Response<Bytes>, status: u16) -> String {
    assert_eq!(reply.status().as_u16(), status, "{}", text(reply));
    assert_eq!(header(reply, "content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_slice(reply.body()).unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["title"], reply.status().canonical_reason().unwrap());
    problem["detail"].as_str().unwrap().to_owned()
}
