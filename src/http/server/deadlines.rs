//! How long a connection may take: for a request's head, and between two requests. A client that sends a byte now and
//! then, or none, holds no connection for long.

use super::places::Place;
use crate::base::sync::Mutex;
use crate::config::Limits;
use hyper::body::{Body, Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep_until;

/// For a connection's first byte, where that is less than for the head. Browsers open connections that they never use: one for
/// each of the TCP candidates of a viewer whom UDP reaches, and some for requests to come. They wait 10 s before they close them.
const FIRST_BYTE: Duration = Duration::from_secs(3);

/// For what a connection that gives way is still owed of a reply.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has been opened at that time, and was silent since then.
    New(Instant),
    /// It has begun a request's head at that time; with the first, that is when it was opened.
    Head(Instant),
    /// It was served, and is silent since then.
    Idle(Instant),
    /// A request is being served.
    Busy,
    /// It was told at that time to give way to another connection.
    Leaving(Instant),
}

/// One connection's time, and its place, which is free when nothing knows of the connection any more.
pub struct Pace {
    header_time: Duration,
    idle_time: Duration,
    place: Place,
    state: Mutex<Phase>,
}

impl Pace {
    /// Of a connection that was just opened.
    pub fn new(limits: &Limits, place: Place, now: Instant) -> Arc<Self> {
        place.opened(now);
        Arc::new(Self {
            place,
            header_time: limits.header_time,
            idle_time: limits.idle_time,
            state: Mutex::new(Phase::New(now)),
        })
    }

    /// When it is to be cut off, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        match self.get() {
            Phase::New(since) => Some(since + self.header_time.min(FIRST_BYTE)),
            Phase::Head(since) => Some(since + self.header_time),
            Phase::Idle(since) => Some(since + self.idle_time),
            Phase::Leaving(since) => Some(since + LEAVE_TIME),
            Phase::Busy => None,
        }
    }

    /// Completes when the connection is to give way to another.
    pub async fn given_away(&self) {
        self.place.given_away().await;
    }

    /// It gives way. Nothing gives it more time from now on.
    pub fn leave(&self, now: Instant) {
        self.set(Phase::Leaving(now));
    }

    /// Bytes came in.
    pub fn received(&self, now: Instant) {
        match self.get() {
            Phase::New(since) => self.set(Phase::Head(since)),
            Phase::Idle(_) => self.set(Phase::Head(now)),
            Phase::Head(_) | Phase::Busy | Phase::Leaving(_) => {}
        }
    }

    /// A request's head is complete.
    pub fn begin(&self) {
        self.set(Phase::Busy);
    }

    /// The reply is on its way.
    pub fn end(&self, now: Instant) {
        self.set(Phase::Idle(now));
    }

    fn get(&self) -> Phase {
        *self.state.lock()
    }

    fn set(&self, state: Phase) {
        let mut present = self.state.lock();
        if matches!(*present, Phase::Leaving(_)) {
            return;
        }
        *present = state;
        drop(present);
        match state {
            Phase::Idle(since) => self.place.silent(since),
            _ => self.place.busy(),
        }
    }
}

/// Serves a connection to its end. `None` if it took too long and was cut off.
pub async fn keep<F: Future>(pace: &Pace, connection: F) -> Option<F::Output> {
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(Instant::now().into()));
    poll_fn(|cx| {
        if let Poll::Ready(output) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let Some(deadline) = pace.deadline() else {
            return Poll::Pending;
        };
        alarm.as_mut().reset(deadline.into());
        alarm.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// A reply's body, with whose end the request is over.
pub struct Paced<B> {
    body: B,
    pace: Arc<Pace>,
}

impl<B> Paced<B> {
    /// Of a reply.
    pub const fn new(body: B, pace: Arc<Pace>) -> Self {
        Self { body, pace }
    }
}

impl<B> Drop for Paced<B> {
    fn drop(&mut self) {
        self.pace.end(Instant::now());
    }
}

impl<B: Body + Unpin> Body for Paced<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells when bytes come in.
pub struct Watched<S> {
    stream: S,
    pace: Arc<Pace>,
}

impl<S> Watched<S> {
    /// Of a connection.
    pub const fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.received(Instant::now());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::Places;
    use super::*;
    use std::net::Ipv4Addr;

    fn place() -> Place {
        let places = Arc::new(Places::new(Limits::default()));
        let taken = places.take(Ipv4Addr::LOCALHOST.into(), Instant::now());
        taken.unwrap_or_else(|_| panic!("it is the first"))
    }

    #[test]
    fn a_head_and_a_silence_have_their_own_times_and_a_reply_has_none() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let pace = Pace::new(
            &Limits {
                header_time: Duration::from_secs(10),
                idle_time: Duration::from_secs(30),
                ..Limits::default()
            },
            place(),
            start,
        );
        assert_eq!(pace.deadline(), Some(at(3)), "from its opening");
        pace.received(at(2));
        assert_eq!(pace.deadline(), Some(at(10)), "from its opening");
        pace.received(at(9));
        assert_eq!(pace.deadline(), Some(at(10)), "a byte gives no more time");
        pace.begin();
        pace.received(at(12));
        assert_eq!(pace.deadline(), None);
        pace.end(at(100));
        assert_eq!(pace.deadline(), Some(at(130)));
        pace.received(at(129));
        pace.received(at(135));
        assert_eq!(pace.deadline(), Some(at(139)), "from the first byte");
        pace.leave(at(136));
        pace.begin();
        pace.end(at(137));
        assert_eq!(pace.deadline(), Some(at(137)), "it has to go");
    }
}
