//! The few things of HTTP that a viewer needs: one connection, one request, one reply.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For each step of an exchange.
const STEP: Duration = Duration::from_secs(10);
/// The longest is `/metrics` of some thousand viewers.
const MAX_REPLY: usize = 4 << 20;

/// Why a viewer could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no socket for its media: {0}")]
    Socket(std::io::Error),
    #[error("HTTP: {0}")]
    Http(Box<dyn Error + Send + Sync>),
    #[error("refused with {0}: {1}")]
    Refused(StatusCode, String),
    #[error("an answer that is of no use: {0}")]
    Answer(String),
    #[error("no reply within {STEP:?}")]
    Late,
}

/// A connection to a server.
pub struct Connection {
    /// Our end of it.
    pub local: IpAddr,
    http: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub async fn open(url: &Uri) -> Result<Self, JoinError> {
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = (host, url.port_u16().unwrap_or(80));
        let opened = timeout(STEP, TcpStream::connect(address)).await;
        let opened = opened.map_err(|_| JoinError::Late)?;
        let stream = opened.map_err(JoinError::Connect)?;
        // Small requests, each of which waits for its reply.
        stream.set_nodelay(true).map_err(JoinError::Connect)?;
        let local = stream.local_addr().map_err(JoinError::Connect)?.ip();
        let ready = handshake(TokioIo::new(stream)).await;
        let (http, connection) = ready.map_err(|e| JoinError::Http(e.into()))?;
        tokio::spawn(connection);
        Ok(Self { local, http })
    }

    /// Sends SDP, or nothing, and returns what is replied with success.
    pub async fn send(
        &mut self,
        method: Method,
        url: &Uri,
        body: String,
    ) -> Result<(Parts, String), JoinError> {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let host = url.authority().map_or("", |authority| authority.as_str());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", host)
            .header("content-type", "application/sdp")
            .body(Full::from(body))
            .map_err(|e| JoinError::Http(e.into()))?;
        let exchange = async {
            let reply = self.http.send_request(request).await;
            let (head, body) = reply.map_err(|e| JoinError::Http(e.into()))?.into_parts();
            let body = Limited::new(body, MAX_REPLY).collect().await;
            Ok((head, body.map_err(JoinError::Http)?.to_bytes()))
        };
        let reply = timeout(STEP, exchange).await;
        let (head, body) = reply.map_err(|_| JoinError::Late)??;
        let text = String::from_utf8_lossy(&body).into_owned();
        if head.status.is_success() {
            return Ok((head, text));
        }
        let first = text.lines().next().unwrap_or_default();
        Err(JoinError::Refused(head.status, first.to_owned()))
    }
}

/// RFC 9725: a location is absolute, or relative to the URL that was posted to.
pub fn resolve(url: &Uri, location: &str) -> Option<Uri> {
    if location.contains("://") {
        return location.parse().ok();
    }
    let origin = format!("{}://{}", url.scheme_str()?, url.authority()?);
    if location.starts_with('/') {
        return format!("{origin}{location}").parse().ok();
    }
    let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{origin}{folder}/{location}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_resolved_against_the_url_that_was_posted_to() {
        let url = "http://host:80/a/whep?x=1".parse().unwrap();
        for (location, resolved) in [
            ("http://other/s/1", "http://other/s/1"),
            ("/s/1", "http://host:80/s/1"),
            ("s/1?t=2", "http://host:80/a/s/1?t=2"),
        ] {
            assert_eq!(resolve(&url, location).unwrap(), resolved, "{location}");
        }
    }
}
