//! JPEG images over plain HTTP, for those whom WebRTC does not reach: as they are made, in one reply without an end, or one.
//!
//! Whoever asks counts as a viewer: the camera is open for it, and the limits on viewers hold.

use super::{viewers, whep};
use crate::access::judge::Grant;
use crate::http::exchange::readers::Listed;
use crate::http::exchange::respond::{self, Error, Reply};
use crate::http::exchange::streaming_body;
use crate::http::{Connection, Context};
use crate::rtc::{Limit, Seat};
use crate::stream::{Demand, Jpeg, Making, State, Stream, Watcher};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Each part begins after this line (RFC 2046, 5.1.1). It follows an image at once: browsers show the image when they
/// see it.
const BOUNDARY: &str = "\r\n--fanlight\r\n";
const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=fanlight";

/// Images older than that are of a camera that has stopped, and are waited past.
const FRESH: Duration = Duration::from_secs(2);
/// How long a single image is waited for. A camera may take as long to open.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often it is looked meanwhile whether the camera failed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Everything that a viewer holds.
struct Viewing {
    stream: Arc<Stream>,
    watcher: Watcher,
    _demand: Demand,
    _seat: Seat,
}

impl Viewing {
    fn new(
        context: &Context,
        (stream, making): (&Arc<Stream>, Making),
        from: Connection,
    ) -> Result<Self, Error> {
        let client = context.clients.of(from.peer);
        let (demand, seat) = admit(stream, || context.plane.seat(stream.name(), client))?;
        let metrics = stream.channel().metrics();
        metrics.viewers.inc();
        metrics.mjpeg_viewers.inc();
        Ok(Self {
            watcher: stream.channel().jpegs().watch(making),
            _demand: demand,
            stream: stream.clone(),
            _seat: seat,
        })
    }

    /// The next image of a camera that works; `None` if there are none, as may turn out only now.
    async fn next(&mut self) -> Option<Jpeg> {
        while self.stream.may_have_frames() {
            if let Ok(image) = timeout(LOOK_AGAIN, self.watcher.next()).await
                && image.captured_at.elapsed() < FRESH
            {
                return Some(image);
            }
        }
        None
    }
}

/// Wants frames for one who has a seat: whoever is refused opens no camera.
fn admit<S>(
    stream: &Arc<Stream>,
    seat: impl FnOnce() -> Result<S, Limit>,
) -> Result<(Demand, S), Error> {
    if !stream.may_have_frames() {
        return Err(no_frames());
    }
    let seat = seat()?;
    Ok((stream.demand_frames(), seat))
}

fn no_frames() -> Error {
    let detail = "this stream has no JPEG images, as it is the camera's own H.264: with encode = \"never\", or of \
                  a camera that has nothing else; watch by WebRTC";
    Error::NotFound(detail.into())
}

impl Drop for Viewing {
    fn drop(&mut self) {
        let metrics = self.stream.channel().metrics();
        metrics.viewers.dec();
        metrics.mjpeg_viewers.dec();
    }
}

/// What is asked for, if images of it are made.
fn find<'a>(
    context: &'a Context,
    stream: Option<&str>,
) -> Result<(&'a Arc<Stream>, Making), Error> {
    let stream = whep::find(context, stream)?;
    let off = "JPEG images are turned off here; watch by WebRTC, or set [http] mjpeg_fps";
    let making = context.jpegs.ok_or(Error::NotFound(off.into()))?;
    Ok((stream, making))
}

/// `GET`: one image, the newest.
pub async fn image(
    context: &Context,
    stream: Option<&str>,
    request: &Request<Incoming>,
    from: Connection,
) -> Result<Reply, Error> {
    let found = find(context, stream)?;
    if *request.method() == Method::HEAD {
        return Ok(respond::typed("image/jpeg", Bytes::new()));
    }
    let mut viewing = Viewing::new(context, found, from)?;
    let stream = viewing.stream.clone();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Not a slate: a picture of the camera is asked for.
        if let Ok(image) = timeout(LOOK_AGAIN, viewing.next()).await {
            let image = image.ok_or_else(no_frames)?;
            if stream.status().state == State::Live {
                return Ok(respond::typed("image/jpeg", image.data));
            }
        }
        if let Some(failure) = stream.status().failure {
            let detail = format!("{}: {}", failure.title, failure.cure);
            let wait = failure.retry_at.saturating_duration_since(Instant::now());
            return Err(Error::NoPicture(detail, wait));
        }
        if Instant::now() >= deadline {
            let detail = "the camera delivered no picture".to_owned();
            return Err(Error::NoPicture(detail, Duration::from_secs(1)));
        }
    }
}

/// `GET`: images as they are made.
pub fn images(
    context: &Context,
    stream: Option<&str>,
    request: &Request<Incoming>,
    from: Connection,
    grant: &Grant,
) -> Result<Reply, Error> {
    let found = find(context, stream)?;
    let body = if *request.method() == Method::HEAD {
        respond::empty()
    } else {
        let caller = viewers::caller(request.headers(), from, grant);
        let viewing = Viewing::new(context, found, from)?;
        let (id, name) = (context.plane.number(), found.0.name());
        let listed = context.readers.add(id, name, caller, Instant::now());
        let (permission, reading) = (
            streaming_body::end_of(context, grant),
            listed.reading.clone(),
        );
        let over = async move {
            tokio::select! {
                () = permission => {}
                () = reading.ended() => {}
            }
        };
        let images = Images {
            viewing,
            listed,
            frames: VecDeque::from([Bytes::from_static(BOUNDARY.as_bytes())]),
        };
        streaming_body::body(over, images, Images::next)
    };
    Ok(respond::endless(CONTENT_TYPE, body))
}

/// What the body goes on with, until there are no images: the newest, whenever it is asked for more. So a slow reader misses
/// images, and gets none late.
struct Images {
    viewing: Viewing,
    listed: Listed,
    /// What is left of the last image.
    frames: VecDeque<Bytes>,
}

impl Images {
    async fn next(mut self) -> Option<(Self, Bytes)> {
        if self.frames.is_empty() {
            let image = self.viewing.next().await?;
            let len = image.data.len();
            self.listed.reading.sent(Instant::now(), len);
            let head = format!("content-type: image/jpeg\r\ncontent-length: {len}\r\n\r\n");
            let boundary = Bytes::from_static(BOUNDARY.as_bytes());
            self.frames.extend([head.into(), image.data, boundary]);
        }
        let frame = self.frames.pop_front()?;
        Some((self, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Request;
    use crate::capture::pattern::Pattern;
    use crate::config::{self, Source};
    use crate::media::TestPicture;
    use crate::metrics::Metrics;

    #[test]
    fn who_is_refused_a_seat_wants_no_picture() {
        let config = config::Stream::new("camera", Source::Pattern(TestPicture::Bars));
        let request = Request {
            size: config.size,
            rate: config.fps,
            format: None,
        };
        let pattern = Pattern::new("camera", TestPicture::Bars, request);
        let metrics = Metrics::new().stream("camera");
        let stream = Stream::start(config, Arc::new(pattern), metrics).unwrap();
        let refused = admit(&stream, || {
            assert!(!stream.is_wanted());
            Err::<(), _>(Limit::Stream)
        });
        assert!(matches!(refused, Err(Error::Full(Limit::Stream))));
        let admitted = admit(&stream, || Ok(()));
        assert!(admitted.is_ok() && stream.is_wanted());
        drop(admitted);
        assert!(!stream.is_wanted());
        stream.signal();
        stream.join();
    }
}
