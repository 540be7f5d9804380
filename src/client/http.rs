//! Requests to a daemon, for its examination.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of a reply, far more than any has.
const MAX_BODY: usize = 1 << 20;

/// Anything that keeps a request from its reply.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'a str,
    /// With the query, from the slash on.
    pub path: &'a str,
    /// Of the server, with its port.
    pub host: &'a str,
    /// A bearer token, if one is needed.
    pub token: Option<&'a str>,
    /// An SDP offer, if that is what is sent.
    pub offer: Option<&'a str>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Such as 201.
    pub status: u16,
    /// `Location`, if there is one.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// What a refusal says of itself (RFC 9457).
    pub fn problem(&self) -> String {
        let json = serde_json::from_str::<serde_json::Value>(&self.body).ok();
        let detail = json.and_then(|json| Some(json.get("detail")?.as_str()?.to_owned()));
        detail.unwrap_or_else(|| format!("status {}", self.status))
    }
}

/// Asks on a fresh connection, which is closed then.
///
/// # Errors
/// When there is no reply, or one that is not HTTP.
pub async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    question: Question<'_>,
) -> Result<Answer, Failure> {
    let mut request = Request::builder()
        .method(Method::from_bytes(question.method.as_bytes())?)
        .uri(question.path)
        .header(header::HOST, question.host);
    if let Some(token) = question.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if question.offer.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/sdp");
    }
    let body = question.offer.unwrap_or_default().to_owned();
    let request = request.body(Full::<Bytes>::from(body))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender, and its errors are the reply's, too.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let location = head.headers.get(header::LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes();
    Ok(Answer {
        status: head.status.as_u16(),
        location: location.map(str::to_owned),
        body: String::from_utf8(body.into())?,
    })
}
