//! `/api`, `/api/streams` and `/api/streams/NAME`: the index and the state of the streams, as JSON; and `/metrics`. docs/api.md
//! lists every field.

use super::whep;
use crate::access::judge::{Grant, Scope, Target};
use crate::http::Context;
use crate::http::exchange::respond::{self, Error, Reply};
use crate::metrics::{Format, Measured};
use crate::stream::{Failure, Status, Stream};
use hyper::header::{self, HeaderMap};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Serialize)]
struct Index {
    version: &'static str,
    links: Links,
}

/// Relative to `/api`.
#[derive(Serialize)]
struct Links {
    streams: &'static str,
    stream: &'static str,
    controls: &'static str,
    events: &'static str,
    viewers: &'static str,
    viewer: &'static str,
    doctor: &'static str,
    metrics: &'static str,
    health: &'static str,
    ready: &'static str,
}

/// The index. Some of the links need the scope `admin`.
pub fn index() -> Reply {
    respond::json(&Index {
        version: env!("CARGO_PKG_VERSION"),
        links: Links {
            streams: "api/streams",
            stream: "api/streams/{name}",
            controls: "api/streams/{name}/controls",
            events: "api/events",
            viewers: "api/viewers",
            viewer: "api/viewers/{id}",
            doctor: "api/sessions/{session}/doctor",
            metrics: "metrics",
            health: "healthz",
            ready: "readyz",
        },
    })
}

/// The reader of a stream's view: its permission, and the URL of the reply.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// Told which device it is, and everything that is wrong with it.
    is_admin: bool,
    /// Whether the stream's source is a camera, which may have controls.
    has_controls: bool,
    /// Whether images are made here.
    has_images: bool,
    /// From the URL of the reply to the root.
    root: &'static str,
}

impl Reader {
    /// One with that permission, at a URL from which `root` leads to the root.
    pub fn new(context: &Context, grant: &Grant, stream: &Stream, root: &'static str) -> Self {
        Self {
            is_admin: grant.allows(Scope::Admin, Target::Stream(stream.name())),
            has_controls: context.controls.of(stream.name()).is_some(),
            has_images: context.jpegs.is_some(),
            root,
        }
    }
}

#[derive(Serialize)]
struct StreamList<'a> {
    version: &'static str,
    streams: Vec<StreamView<'a>>,
}

/// A stream, as programs see it.
#[derive(Serialize)]
pub struct StreamView<'a> {
    name: &'a str,
    state: &'static str,
    /// For how long it has been in that state.
    since_seconds: f64,
    /// Whether the source is there now, also while nobody watches.
    present: bool,
    /// What is configured. For admins: it may name a serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    /// The camera's model; null until it was opened, and of a pattern. For admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Option<String>>,
    /// This and the next three: what the source granted, the sides as viewers see them; null until it was opened.
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    format: Option<&'static str>,
    /// What passed in the last seconds; null while no pictures flow.
    measured_fps: Option<f64>,
    measured_bits_per_second: Option<u64>,
    /// What the encoder aims at.
    target_bits_per_second: u32,
    /// Whether keyframes are made when a viewer needs one; else who joins may wait for the camera's next one.
    makes_keyframes: bool,
    viewers: i64,
    /// Whether the reader may see and set the camera's controls, and it is there.
    controls: bool,
    /// What is wrong with the pictures, "ok" if nothing is; null while nobody looks at any.
    picture: Option<&'static str>,
    error: Option<ErrorView>,
    urls: Urls,
}

#[derive(Serialize)]
struct ErrorView {
    kind: &'static str,
    title: &'static str,
    /// What exactly, as far as the reader may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    cure: &'static str,
    since_seconds: f64,
    retry_in_seconds: f64,
}

impl ErrorView {
    fn new(failure: &Failure, is_admin: bool, now: Instant) -> Self {
        let detail = match is_admin {
            true => Some(&*failure.detail),
            false => failure.public_detail(),
        };
        Self {
            kind: failure.kind,
            title: failure.title,
            detail: detail.map(str::to_owned),
            cure: failure.cure,
            since_seconds: milliseconds(now.saturating_duration_since(failure.since)),
            retry_in_seconds: milliseconds(failure.retry_at.saturating_duration_since(now)),
        }
    }
}

/// Relative to the URL of the reply, so that they are right below a proxy's path.
#[derive(Serialize)]
struct Urls {
    page: String,
    whep: String,
    offer: String,
    /// This and the next: null where no images are made.
    mjpeg: Option<String>,
    jpeg: Option<String>,
}

impl<'a> StreamView<'a> {
    /// What it is doing now.
    pub fn new(stream: &'a Stream, reader: Reader, now: Instant) -> Self {
        let Status {
            state,
            since,
            granted,
            failure,
        } = stream.status();
        let granted = granted.as_ref();
        let orientation = stream.config().orientation();
        let size = granted.map(|granted| orientation.size(granted.size));
        let device = || {
            let device = granted.map(|granted| granted.device.clone());
            device.filter(|device| device != stream.source())
        };
        let is_present = stream.is_present(now);
        let (measured_fps, measured_bits_per_second) = rates(stream.measured(now));
        let url = |path: &str| format!("{}{}{path}", reader.root, stream.name());
        let has_images = reader.has_images && stream.may_have_frames();
        Self {
            name: stream.name(),
            state: state.name(),
            since_seconds: milliseconds(now.saturating_duration_since(since)),
            present: is_present,
            source: reader.is_admin.then(|| stream.source()),
            device: reader.is_admin.then(device),
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
            fps: granted.map(|granted| granted.rate.as_f64()),
            format: granted.map(|granted| granted.format.name()),
            measured_fps,
            measured_bits_per_second,
            target_bits_per_second: stream.config().bitrate,
            makes_keyframes: stream.channel().makes_keyframes(),
            viewers: stream.channel().metrics().viewers.get(),
            controls: reader.is_admin && reader.has_controls && is_present,
            picture: stream.channel().flaws().told(),
            error: failure.map(|failure| ErrorView::new(&failure, reader.is_admin, now)),
            urls: Urls {
                page: url(""),
                whep: url("/whep"),
                offer: url("/offer"),
                mjpeg: has_images.then(|| url("/mjpeg")),
                jpeg: has_images.then(|| url("/jpeg")),
            },
        }
    }
}

/// In seconds, without digits that mean nothing.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Pictures a second, to a tenth, and bits a second.
pub fn rates(measured: Option<Measured>) -> (Option<f64>, Option<u64>) {
    let fps = measured.map(|measured| (measured.fps * 10.0).round() / 10.0);
    let bits = measured.map(|measured| measured.bits_per_second.round() as u64);
    (fps, bits)
}

/// All streams that whoever asks may watch.
pub fn streams<'a>(context: &'a Context, grant: &Grant) -> Reply {
    let now = Instant::now();
    let may_watch =
        |stream: &&Arc<Stream>| grant.allows(Scope::View, Target::Stream(stream.name()));
    let streams = context.streams.iter().filter(may_watch);
    let view = |stream: &'a Arc<Stream>| {
        StreamView::new(stream, Reader::new(context, grant, stream, "../"), now)
    };
    respond::json(&StreamList {
        version: env!("CARGO_PKG_VERSION"),
        streams: streams.map(view).collect(),
    })
}

/// One stream.
pub fn stream(context: &Context, name: &str, grant: &Grant) -> Result<Reply, Error> {
    let stream = whep::find(context, Some(name))?;
    let reader = Reader::new(context, grant, stream, "../../");
    let view = StreamView::new(stream, reader, Instant::now());
    Ok(respond::json(&view))
}

/// `/metrics`, in the format that is asked for.
pub fn metrics(context: &Context, headers: &HeaderMap) -> Reply {
    let accept = headers.get_all(header::ACCEPT).into_iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    let mut reply = respond::typed(format.content_type(), context.metrics.render(format));
    respond::set(&mut reply, header::VARY, "accept");
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_no_digits_that_mean_nothing() {
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567_890)), 1.235);
        assert_eq!(milliseconds(Duration::ZERO), 0.0);
        let measured = Measured {
            fps: 29.969_7,
            bits_per_second: 1_234_567.8,
        };
        assert_eq!(rates(Some(measured)), (Some(30.0), Some(1_234_568)));
        assert_eq!(rates(None), (None, None));
    }
}
