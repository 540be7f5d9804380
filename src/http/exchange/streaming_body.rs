//! Replies without an end: how they go on, and when they are over.

use super::respond::{self, Reply};
use crate::access::judge::Grant;
use crate::http::Context;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::ReusableBoxFuture;

/// How often a reader of events is told what has changed.
const INTERVAL: Duration = Duration::from_secs(1);
/// After so many intervals without a change a comment is sent, which shows proxies that somebody is there.
const QUIET_INTERVALS: u32 = 15;

/// Completes when the daemon begins to end, or with the permission of whoever asks.
pub fn end_of(context: &Context, grant: &Grant) -> impl Future<Output = ()> + Send + use<> {
    let end = Arc::new(context.shutdown.child_token());
    let leases = &context.leases;
    leases.add_reply(&end, grant.clone(), &context.plane);
    // Held by the reply alone, so that its end is seen.
    async move { end.cancelled().await }
}

/// A body that is `step`'s to go on with, out of a state that it hands on, until that yields `None` or `over` completes. `step` is called
/// when there is room in the connection.
pub fn body<S, N>(
    over: impl Future<Output = ()> + Send + 'static,
    state: S,
    step: impl Fn(S) -> N + Send + Unpin + 'static,
) -> UnsyncBoxBody<Bytes, Infallible>
where
    S: Send + 'static,
    N: Future<Output = Option<(S, Bytes)>> + Send + 'static,
{
    let next = ReusableBoxFuture::new(step(state));
    let over = Box::pin(over);
    Endless { over, next, step }.boxed_unsync()
}

/// Server-sent events: `news` is asked each second for those that there are, and says `None` at the end.
pub fn events(
    over: impl Future<Output = ()> + Send + 'static,
    news: impl FnMut() -> Option<String> + Send + 'static,
) -> Reply {
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    respond::endless("text/event-stream", body(over, (tick, news), told))
}

async fn told<F: FnMut() -> Option<String>>(
    (mut tick, mut news): (Interval, F),
) -> Option<((Interval, F), Bytes)> {
    for _ in 0..QUIET_INTERVALS {
        tick.tick().await;
        let text = news()?;
        if !text.is_empty() {
            return Some(((tick, news), text.into()));
        }
    }
    Some(((tick, news), Bytes::from_static(b":\n\n")))
}

struct Endless<S, F> {
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    next: ReusableBoxFuture<'static, Option<(S, Bytes)>>,
    step: F,
}

impl<S, N, F> Body for Endless<S, F>
where
    S: 'static,
    N: Future<Output = Option<(S, Bytes)>> + Send + 'static,
    F: Fn(S) -> N + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let next = ready!(self.next.poll(cx)).map(|(state, data)| {
            let next = (self.step)(state);
            self.next.set(next);
            Ok(Frame::data(data))
        });
        Poll::Ready(next)
    }
}
