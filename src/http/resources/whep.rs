//! The offer exchange: WHEP (draft-ietf-wish-whep-03), and the same in JSON for scripts and pages that speak that.

use super::link_header;
use crate::config::CameraDown;
use crate::http::exchange::body::body;
use crate::http::exchange::lease::Made;
use crate::http::exchange::respond::{self, ACCEPT_PATCH, Error, FRAGMENT, JSON, Reply, SDP};
use crate::http::{Connection, Context};
use crate::rtc::Session;
use crate::stream::Stream;
use hyper::body::Incoming;
use hyper::{Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

/// `{"type":"offer","sdp":…}` and `{"type":"answer","sdp":…}`, as browsers serialize descriptions.
#[derive(Serialize, Deserialize)]
struct JsonDescription {
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
    let session = answer(context, offer, stream, from).await?;
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
    let offer: JsonDescription = serde_json::from_str(&text).map_err(|error| {
        Error::Malformed(format!(
            "the body must be {{\"type\":\"offer\",\"sdp\":\"…\"}}: {error}"
        ))
    })?;
    if offer.kind != "offer" {
        let detail = "the description's type must be \"offer\"";
        return Err(Error::Malformed(detail.into()));
    }
    let session = answer(context, offer.sdp, stream, from).await?;
    let answer = JsonDescription {
        kind: "answer".into(),
        sdp: session.answer.clone(),
    };
    let reply = respond::json(&answer);
    Ok(created(context, reply, &path, stream, &session))
}

/// Off the runtime's workers: whatever an offer costs, other requests are served meanwhile.
async fn answer(
    context: &Context,
    offer: String,
    stream: &Arc<Stream>,
    from: Connection,
) -> Result<Session, Error> {
    let turn = context.answers.turn().await?;
    let client = context.clients.of(from.peer);
    let (plane, stream) = (context.plane.clone(), stream.clone());
    let answered = spawn_blocking(move || {
        // Held to the end of the work, even if the client hangs up before.
        let _turn = turn;
        plane.answer(&offer, &stream, from.reached, from.peer, client)
    });
    match answered.await {
        Ok(session) => Ok(session?),
        Err(error) => match error.try_into_panic() {
            // It ends the connection here, as it would have there.
            Ok(panic) => resume_unwind(panic),
            // The runtime ends.
            Err(_) => Err(Error::Stopping),
        },
    }
}

/// Offers that are answered at the same time. Answering is nothing but work, so more would finish no sooner.
const ANSWERS_AT_ONCE: usize = 2;
/// Offers that may wait for their turn. A further one is refused with 503: each takes its place in less than 10 ms, so this line
/// is gone after a second.
const ANSWERS_IN_LINE: usize = 256;

/// The line of offers to be answered.
pub struct Answers {
    turns: Arc<Semaphore>,
    line: Semaphore,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(ANSWERS_AT_ONCE)),
            line: Semaphore::new(ANSWERS_IN_LINE),
        }
    }
}

impl Answers {
    /// Waits for the turn of one offer, which lasts as long as what is returned.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the line is too long.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let _in_line = self.line.try_acquire().map_err(|_| Error::Overloaded)?;
        // Nobody closes the semaphore.
        let turn = self.turns.clone().acquire_owned().await;
        turn.map_err(|_| Error::Stopping)
    }
}

/// `GET` of an endpoint: it has no representation (4.1).
pub fn endpoint(context: &Context, stream: Option<&str>) -> Result<Reply, Error> {
    find(context, stream).map(|_| respond::no_content())
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
    let links = link_header::ice_servers(&context.whep.ice_servers);
    for link in links.into_iter().chain([link_header::events(&location)]) {
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
        let detail = format!("{}: {}", failure.title, failure.cure);
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
    use super::*;

    #[tokio::test]
    async fn offers_are_answered_in_turn_and_a_line_that_is_too_long_takes_no_more() {
        let answers = Arc::new(Answers::default());
        let turns = [answers.turn().await, answers.turn().await];
        assert!(turns.iter().all(Result::is_ok));
        let mut waiting: Vec<_> = (0..ANSWERS_IN_LINE)
            .map(|_| Box::pin(answers.turn()))
            .collect();
        for turn in &mut waiting {
            assert!(futures_are_pending(turn).await);
        }
        assert!(matches!(answers.turn().await, Err(Error::Overloaded)));
        // One that hangs up, and one whose turn comes, make room in the line.
        waiting.pop();
        let mut another = Box::pin(answers.turn());
        assert!(futures_are_pending(&mut another).await);
        drop(turns);
        let first = waiting.remove(0).await;
        assert!(first.is_ok());
        let last = Box::pin(answers.turn());
        drop((waiting, another));
        assert!(last.await.is_ok());
    }

    /// Whether a future has to wait when it is polled once.
    async fn futures_are_pending(future: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|cx| {
            let polled = std::pin::Pin::new(&mut *future).poll(cx);
            std::task::Poll::Ready(polled.is_pending())
        })
        .await
    }

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
