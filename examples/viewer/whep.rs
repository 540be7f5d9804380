//! The HTTP side of WHEP: POST an offer for an answer, DELETE the session.

use crate::Error;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that does not answer for so long has no answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer or an error, far more than either has.
const MAX_BODY: usize = 1 << 20;

/// A connection to the server.
pub struct Connection {
    stream: TcpStream,
    url: Uri,
}

/// What the server gives for an offer.
pub struct Answer {
    /// The SDP answer.
    pub sdp: String,
    /// The session's URL.
    pub session: Uri,
}

impl Connection {
    /// Connects to the server of a URL.
    pub async fn open(url: &Uri) -> Result<Self, Error> {
        let host = url.host().unwrap_or_default();
        // An IPv6 address stands in brackets in a URL.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_u16().unwrap_or(80);
        let stream = timeout(PATIENCE, TcpStream::connect((host, port)))
            .await
            .map_err(|_| format!("{host} port {port} does not answer"))?
            .map_err(|error| format!("can't connect to {host} port {port}: {error}"))?;
        Ok(Self {
            stream,
            url: url.clone(),
        })
    }

    /// The address of this machine that leads to the server.
    pub fn local_ip(&self) -> Result<IpAddr, Error> {
        Ok(self.stream.local_addr()?.ip().to_canonical())
    }

    /// Asks for a session.
    pub async fn post(self, offer: String) -> Result<Answer, Error> {
        let url = self.url.clone();
        let (status, location, body) = self.send(Method::POST, Some(offer)).await?;
        if status != StatusCode::CREATED {
            return Err(refusal(status, location.as_deref(), &body).into());
        }
        let location = location.ok_or("the answer has no Location, so the session has no URL")?;
        Ok(Answer {
            sdp: body,
            session: resolve(&url, &location)?,
        })
    }

    /// Ends the session that the connection's URL names.
    pub async fn delete(self) -> Result<(), Error> {
        let (status, location, body) = self.send(Method::DELETE, None).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(refusal(status, location.as_deref(), &body).into())
    }

    /// Sends a request and returns the status, the Location and the body of the response.
    async fn send(
        self,
        method: Method,
        sdp: Option<String>,
    ) -> Result<(StatusCode, Option<String>, String), Error> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let authority = self
            .url
            .authority()
            .map_or("", |authority| authority.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "application/sdp, application/problem+json");
        if sdp.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/sdp");
        }
        let request = request.body(Full::from(sdp.unwrap_or_default()))?;
        timeout(PATIENCE, exchange(self.stream, request))
            .await
            .map_err(|_| format!("the server does not answer {}", self.url))?
    }
}

async fn exchange(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Option<String>, String), Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender, and its errors are the response's, too.
    tokio::spawn(connection);
    let response: Response<Incoming> = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let location = head.headers.get(header::LOCATION);
    let location = location.map(|location| String::from_utf8_lossy(location.as_bytes()).into());
    let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes();
    let body = String::from_utf8(body.into())?;
    Ok((head.status, location, body))
}

/// A sentence for a response that is no success. fanlight tells the reason in `detail` (RFC 9457).
fn refusal(status: StatusCode, location: Option<&str>, body: &str) -> String {
    let detail = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()))
        .or_else(|| location.map(|location| format!("it is at {location}")))
        .unwrap_or_else(|| body.trim().chars().take(300).collect());
    format!("the server refuses: {status}: {detail}")
}

/// A reference as in `Location`: a URL, a path, or a path relative to the URL's own. A token that was needed for the one
/// is needed for the other.
fn resolve(base: &Uri, location: &str) -> Result<Uri, Error> {
    let whole = if location.contains("://") {
        location.to_owned()
    } else {
        let authority = base.authority().map_or("", |authority| authority.as_str());
        let folder = match base.path().rsplit_once('/') {
            Some((folder, _)) if !location.starts_with('/') => format!("{folder}/"),
            _ => String::new(),
        };
        let mut parameters = base.query().unwrap_or_default().split('&');
        let token = parameters.find(|parameter| parameter.starts_with("token="));
        let query = token.map_or_else(String::new, |token| format!("?{token}"));
        format!("http://{authority}{folder}{location}{query}")
    };
    let url = whole.parse();
    url.map_err(|_| format!("the session's URL is not valid: {location:?}").into())
}
