//! The offer exchange: WHEP (draft-ietf-wish-whep), and the same in JSON for scripts and pages that speak that.

use super::Context;
use super::respond::{self, Error, Reply};
use crate::rtc::Session;
use crate::stream::Stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an offer. A browser's with every codec and candidate has about ten thousand.
const MAX_OFFER: usize = 128 << 10;
/// A client must send its offer in that time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const SDP: &str = "application/sdp";
const JSON: &str = "application/json";

/// `{"type":"offer","sdp":…}` and `{"type":"answer","sdp":…}`, as browsers serialize descriptions.
#[derive(Serialize, Deserialize)]
struct Description {
    #[serde(rename = "type")]
    kind: String,
    sdp: String,
}

/// `POST` an SDP offer: 201, the answer, and where the session is.
pub async fn offer(
    context: &Context,
    stream: Option<&str>,
    request: Request<Incoming>,
    reached: Option<IpAddr>,
) -> Result<Reply, Error> {
    let stream = find(context, stream)?;
    let offer = body(request, SDP).await?;
    let Session { id, answer } = context.plane.answer(&offer, stream, reached)?;
    Ok(created(respond::typed(SDP, answer), stream, &id))
}

/// `POST` an offer in JSON: 201, the answer in JSON, and where the session is.
pub async fn json_offer(
    context: &Context,
    stream: Option<&str>,
    request: Request<Incoming>,
    reached: Option<IpAddr>,
) -> Result<Reply, Error> {
    let stream = find(context, stream)?;
    let text = body(request, JSON).await?;
    let offer: Description = serde_json::from_str(&text).map_err(|error| {
        Error::Malformed(format!(
            "the body must be {{\"type\":\"offer\",\"sdp\":\"…\"}}: {error}"
        ))
    })?;
    if offer.kind != "offer" {
        let detail = "the description's type must be \"offer\"";
        return Err(Error::Malformed(detail.into()));
    }
    let Session { id, answer } = context.plane.answer(&offer.sdp, stream, reached)?;
    let answer = Description {
        kind: "answer".into(),
        sdp: answer,
    };
    Ok(created(respond::json(&answer), stream, &id))
}

/// `DELETE` a session.
pub fn end(context: &Context, stream: &str, id: &str) -> Result<Reply, Error> {
    if context.plane.end(stream, id) {
        Ok(respond::text("the session is over\n"))
    } else {
        Err(Error::NotFound("there is no such session".into()))
    }
}

fn created(mut reply: Reply, stream: &Stream, session: &str) -> Reply {
    *reply.status_mut() = StatusCode::CREATED;
    let location = format!("/{}/whep/{session}", stream.name());
    respond::set(&mut reply, header::LOCATION, &location);
    reply
}

/// The stream of that name, or the default one.
pub fn find<'a>(context: &'a Context, name: Option<&str>) -> Result<&'a Arc<Stream>, Error> {
    let streams = &context.streams;
    let found = match name {
        Some(name) => streams.get(name),
        None => streams.default_stream(),
    };
    found.ok_or_else(|| {
        let names: Vec<_> = streams.iter().map(|stream| stream.name()).collect();
        let name = name.unwrap_or_default();
        let names = names.join(", ");
        Error::NotFound(format!("there is no stream {name:?}; there is: {names}"))
    })
}

async fn body(request: Request<Incoming>, expected: &'static str) -> Result<String, Error> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_expected = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(expected));
    if !is_expected {
        return Err(Error::UnsupportedMediaType(expected));
    }
    let body = Limited::new(request.into_body(), MAX_OFFER).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body)
        .await
        .map_err(|_| Error::Timeout)?
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                Error::TooLarge(MAX_OFFER)
            } else {
                Error::Malformed(format!("the body could not be read: {error}"))
            }
        })?;
    String::from_utf8(body.to_bytes().into())
        .map_err(|_| Error::Malformed("the body is not UTF-8".into()))
}
