//! `/api/events`: the states of the streams as server-sent events, for pages and programs that show or note them.
//!
//! A state is not queued: once a second a reader is told of each stream that is not as it was told last. What came and went in between
//! shows in `/metrics`.

use super::Context;
use super::api::StreamView;
use super::respond::{self, Reply};
use crate::auth::{Grant, Scope, Target};
use crate::shutdown::Shutdown;
use crate::stream::{State, Stream};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper::{Response, header};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How often a reader is told what has changed.
const INTERVAL: Duration = Duration::from_secs(1);
/// After so many intervals without a change a comment is sent, which shows proxies that somebody is there.
const QUIET_INTERVALS: u32 = 15;

/// `GET`: first how all streams are that whoever asks may watch, then what changes.
pub fn read(context: &Context, grant: &Grant) -> Reply {
    let may_watch =
        |stream: &&Arc<Stream>| grant.allows(Scope::View, Target::Stream(stream.name()));
    let streams = context.streams.iter().filter(may_watch);
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Arc::new(context.shutdown.child_token());
    let leases = &context.leases;
    leases.add_reply(&end, grant.clone(), &context.plane);
    let changes = Changes {
        streams: streams.map(|stream| (stream.clone(), None)).collect(),
        tick,
        quiet: 0,
        over: Box::pin((*end).clone().cancelled_owned()),
        _end: end,
    };
    let mut reply = Response::new(changes.boxed_unsync());
    respond::set(&mut reply, header::CONTENT_TYPE, "text/event-stream");
    respond::set(&mut reply, header::CACHE_CONTROL, "no-store");
    // A proxy that collects a reply before it passes it on would never pass this one on (nginx).
    let name = header::HeaderName::from_static("x-accel-buffering");
    respond::set(&mut reply, name, "no");
    reply
}

/// What a reader is told of a stream, as far as it is compared.
type Told = (State, Option<(&'static str, String)>);

/// The body.
struct Changes {
    /// Streams, and what the reader knows of them.
    streams: Vec<(Arc<Stream>, Option<Told>)>,
    tick: Interval,
    quiet: u32,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Held by this alone, so that its end is seen.
    _end: Arc<Shutdown>,
}

impl Changes {
    fn news(&mut self, now: Instant) -> String {
        let mut news = String::new();
        for (stream, told) in &mut self.streams {
            let status = stream.status();
            let failure = status.failure.as_ref();
            let failure = failure.map(|failure| (failure.kind, failure.detail.clone()));
            let state = Some((status.state, failure));
            if *told != state {
                *told = state;
                // A view has no value that JSON lacks, and its text has no line breaks.
                let view = serde_json::to_string(&StreamView::new(stream, now));
                news += &format!("event: stream\ndata: {}\n\n", view.unwrap_or_default());
            }
        }
        self.quiet += 1;
        if news.is_empty() && self.quiet >= QUIET_INTERVALS {
            news = ":\n\n".to_owned();
        }
        if !news.is_empty() {
            self.quiet = 0;
        }
        news
    }
}

impl Body for Changes {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if self.over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            ready!(self.tick.poll_tick(cx));
            let news = self.news(Instant::now());
            if !news.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(news.into()))));
            }
        }
    }
}
