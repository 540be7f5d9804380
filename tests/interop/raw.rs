//! Daemons with limits, and connections that no HTTP client would make.

use crate::daemon::{Running, pattern, start_with};
use crate::exchange::SDP;
use crate::offer::plain;
use bytes::Bytes;
use fanlight::config::Limits;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than any test takes.
pub const LONG: Duration = Duration::from_secs(20);
pub const SHORT: Duration = Duration::from_millis(200);

/// A daemon with these limits. Loopback counts as any other address does unless the test says otherwise.
pub fn limited(limits: Limits) -> Running {
    start_with("127.0.0.1", |config| {
        config.streams = vec![pattern("camera"), pattern("garden")];
        config.limits = limits;
    })
}

pub fn counted() -> Limits {
    Limits {
        shared_addresses: vec![],
        ..Limits::default()
    }
}

/// A connection from another address of loopback.
pub async fn connect_from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from(ip), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// An offer from another address of loopback.
pub async fn post_from(ip: [u8; 4], daemon: &Running) -> Response<Bytes> {
    let stream = connect_from(ip, daemon.address).await;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let post = Request::post("/whep")
        .header("host", "localhost")
        .header("content-type", SDP);
    let body = Full::<Bytes>::new(plain().into());
    let reply = sender.send_request(post.body(body).unwrap()).await.unwrap();
    let (head, body) = reply.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// The first line of a reply, whose head and body come at once; empty if the connection is closed.
pub async fn first_line(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let count = stream.read(&mut buffer).await.unwrap_or(0);
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// What comes until the daemon closes the connection.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = timeout(LONG, stream.read_to_string(&mut text)).await;
    // A connection that is refused with a request under way is reset.
    let _ = read.expect("the daemon closes it");
    text
}
