//! The offer exchange: WHEP (draft-ietf-wish-whep-03), and the same in JSON for scripts and pages that speak that.

use super::body::body;
use super::respond::{self, ACCEPT_PATCH, Error, FRAGMENT, JSON, Reply, SDP};
use super::{Connection, Context, links};
use crate::config::CameraDown;
use crate::rtc::Session;
use crate::stream::Stream;
use hyper::body::Incoming;
use hyper::{Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

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
    from: Connection,
) -> Result<Reply, Error> {
    let stream = watchable(context, stream)?;
    let path = request.uri().path().to_owned();
    let offer = body(request, SDP, &context.limits).await?;
    let session = answer(context, &offer, stream, from)?;
    let reply = respond::typed(SDP, session.answer.clone());
    Ok(created(context, reply, &path, stream, &session))
}

/// `POST` an offer in JSON: 201, the answer in JSON, and where the session is.
pub async fn json_offer(
    context: &Context,
    stream: Option<&str>,
    request: Request<Incoming>,
    from: Connection,
) -> Result<Reply, Error> {
    let stream = watchable(context, stream)?;
    let path = request.uri().path().to_owned();
    let text = body(request, JSON, &context.limits).await?;
    let offer: Description = serde_json::from_str(&text).map_err(|error| {
        Error::Malformed(format!(
            "the body must be {{\"type\":\"offer\",\"sdp\":\"…\"}}: {error}"
        ))
    })?;
    if offer.kind != "offer" {
        let detail = "the description's type must be \"offer\"";
        return Err(Error::Malformed(detail.into()));
    }
    let session = answer(context, &offer.sdp, stream, from)?;
    let answer = Description {
        kind: "answer".into(),
        sdp: session.answer.clone(),
    };
    let reply = respond::json(&answer);
    Ok(created(context, reply, &path, stream, &session))
}

fn answer(
    context: &Context,
    offer: &str,
    stream: &Arc<Stream>,
    from: Connection,
) -> Result<Session, Error> {
    let client = context.clients.of(from.peer);
    let session = context.plane.answer(offer, stream, from.reached, client)?;
    Ok(session)
}

/// `GET` of an endpoint: it has no representation (4.1).
pub fn endpoint(context: &Context, stream: Option<&str>) -> Result<Reply, Error> {
    find(context, stream).map(|_| respond::no_content())
}

/// With a reply, for whoever has to know: the session that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its stream.
    pub stream: String,
    /// Its unguessable name.
    pub session: String,
}

fn created(
    context: &Context,
    mut reply: Reply,
    path: &str,
    stream: &Stream,
    session: &Session,
) -> Reply {
    *reply.status_mut() = StatusCode::CREATED;
    reply.extensions_mut().insert(Made {
        stream: stream.name().to_owned(),
        session: session.id.clone(),
    });
    let location = location(path, stream.name(), &session.id);
    respond::set(&mut reply, header::LOCATION, &location);
    respond::set(&mut reply, header::ETAG, &format!("\"{}\"", session.tag));
    respond::set(&mut reply, ACCEPT_PATCH, FRAGMENT);
    let links = links::ice_servers(&context.whep.ice_servers);
    for link in links.into_iter().chain([links::events(&location)]) {
        // Values are checked when the configuration is read.
        if let Ok(link) = link.parse() {
            reply.headers_mut().append(header::LINK, link);
        }
    }
    reply
}

/// Where a session is that was made at `path`: relative to that, so that it is right below whatever path a reverse proxy
/// serves the daemon at (RFC 9110, 10.2.2). A session has two URLs, `/STREAM/whep/ID` and `/whep/STREAM/ID`, so that it takes no `..`,
/// which simple clients do not resolve.
fn location(path: &str, stream: &str, id: &str) -> String {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        ["whep" | "offer"] => format!("{stream}/whep/{id}"),
        ["whep", ""] | ["whep", _] => format!("{stream}/{id}"),
        [_, "whep" | "offer"] => format!("whep/{id}"),
        [_, "whep", ""] | ["whep", _, ""] => id.to_owned(),
        _ => format!("{}{stream}/whep/{id}", "../".repeat(segments.len() - 1)),
    }
}

/// The stream of that name, or the default one, if viewers are taken on now.
fn watchable<'a>(context: &'a Context, name: Option<&str>) -> Result<&'a Arc<Stream>, Error> {
    let stream = find(context, name)?;
    // 4.2.8: a server may want pictures to be there. By default it does not: a session outlives the camera's failures anyway,
    // and it is the viewers waiting who keep the camera being tried.
    if context.whep.camera_down == CameraDown::Refuse
        && let Some(failure) = stream.status().failure
    {
        let detail = format!("the camera is down: {}; {}", failure.detail, failure.cure);
        let wait = failure.retry_at.saturating_duration_since(Instant::now());
        return Err(Error::CameraDown(detail, wait));
    }
    Ok(stream)
}

/// The stream of that name, or the default one.
pub fn find<'a>(context: &'a Context, name: Option<&str>) -> Result<&'a Arc<Stream>, Error> {
    let streams = &context.streams;
    let found = match name {
        Some(name) => streams.get(name),
        None => streams.default_stream(),
    };
    found.ok_or_else(|| Error::NoStream(name.unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::location;

    #[test]
    fn a_session_is_found_from_each_url_that_makes_one() {
        for (path, expected) in [
            ("/whep", "cam/whep/1"),
            ("/whep/", "cam/1"),
            ("/cam/whep", "whep/1"),
            ("/cam/whep/", "1"),
            ("/whep/cam", "cam/1"),
            ("/whep/cam/", "1"),
            ("/offer", "cam/whep/1"),
            ("/offer/", "../cam/whep/1"),
            ("/cam/offer", "whep/1"),
            ("/cam/offer/", "../../cam/whep/1"),
        ] {
            assert_eq!(location(path, "cam", "1"), expected, "{path}");
        }
    }
}
