//! `/api/streams` and `/api/viewers`: what the streams are doing, and how their viewers fare, as JSON.

use super::Context;
use super::respond::{self, Error, Reply};
use super::whep;
use crate::auth::{Grant, Scope, Target};
use crate::metrics::{MOST_SHOWN, ViewerStats};
use crate::stream::{Status, Stream};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

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
    source: &'a str,
    /// This and the next four: what the source granted, the sides as viewers see them; null until it was opened.
    device: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    format: Option<&'static str>,
    /// Whether keyframes are made when a viewer needs one; else who joins may wait for the camera's next one.
    makes_keyframes: bool,
    bitrate: u32,
    viewers: i64,
    /// Whether whoever asks may see and set the camera's controls.
    controls: bool,
    /// What is wrong with the pictures, "ok" if nothing is; null while nobody looks at any.
    picture: Option<&'static str>,
    error: Option<ErrorView>,
}

#[derive(Serialize)]
struct ErrorView {
    kind: &'static str,
    title: &'static str,
    detail: String,
    cure: &'static str,
    since_seconds: f64,
    retry_in_seconds: f64,
}

impl<'a> StreamView<'a> {
    /// What it is doing now, for one who [`has_controls`] or not.
    pub fn new(stream: &'a Stream, controls: bool, now: Instant) -> Self {
        let Status {
            state,
            since,
            granted,
            failure,
        } = stream.status();
        let granted = granted.as_ref();
        let orientation = stream.config().orientation();
        let size = granted.map(|granted| orientation.size(granted.size));
        Self {
            name: stream.name(),
            state: state.name(),
            since_seconds: now.saturating_duration_since(since).as_secs_f64(),
            source: stream.source(),
            device: granted.map(|granted| granted.device.clone()),
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
            fps: granted.map(|granted| granted.rate.as_f64()),
            format: granted.map(|granted| granted.format.name()),
            makes_keyframes: stream.channel().makes_keyframes(),
            bitrate: stream.config().bitrate,
            viewers: stream.channel().metrics().viewers.get(),
            controls,
            picture: stream.channel().flaws().told(),
            error: failure.map(|failure| ErrorView {
                kind: failure.kind,
                title: failure.title,
                detail: failure.detail,
                cure: failure.cure,
                since_seconds: now.saturating_duration_since(failure.since).as_secs_f64(),
                retry_in_seconds: failure
                    .retry_at
                    .saturating_duration_since(now)
                    .as_secs_f64(),
            }),
        }
    }
}

/// Whether whoever asks may see and set the controls of the stream's camera.
pub fn has_controls(context: &Context, grant: &Grant, stream: &Stream) -> bool {
    let is_admin = grant.allows(Scope::Admin, Target::Stream(stream.name()));
    is_admin && context.controls.of(stream.name()).is_some()
}

#[derive(Serialize)]
struct ViewerList<'a> {
    /// How many there are; the first [`MOST_SHOWN`] are listed.
    total: usize,
    viewers: Vec<ViewerView<'a>>,
}

#[derive(Serialize)]
struct ViewerView<'a> {
    /// As in logs and metrics.
    id: u64,
    stream: &'a str,
    connected_seconds: f64,
    /// `udp` or `tcp`.
    transport: &'static str,
    /// This and the next two: null until the viewer reported.
    estimate_bits_per_second: Option<u64>,
    round_trip_seconds: Option<f64>,
    loss: Option<f64>,
    packets_sent: u64,
    retransmissions: u64,
    pictures_skipped: u64,
    nacks: u64,
    keyframe_requests: u64,
}

impl<'a> ViewerView<'a> {
    fn new(viewer: &'a ViewerStats, now: Instant) -> Self {
        Self {
            id: viewer.id(),
            stream: viewer.stream(),
            connected_seconds: now.saturating_duration_since(viewer.since()).as_secs_f64(),
            transport: viewer.transport().name(),
            estimate_bits_per_second: viewer.estimate(),
            round_trip_seconds: viewer.round_trip().map(|time| time.as_secs_f64()),
            loss: viewer.loss(),
            packets_sent: viewer.packets.get(),
            retransmissions: viewer.retransmissions.get(),
            pictures_skipped: viewer.pictures_skipped.get(),
            nacks: viewer.nacks.get(),
            keyframe_requests: viewer.keyframe_requests.get(),
        }
    }
}

/// Every connected viewer.
pub fn viewers(context: &Context) -> Reply {
    let now = Instant::now();
    let viewers = context.metrics.rtc().viewers.list();
    let shown = viewers.iter().take(MOST_SHOWN);
    respond::json(&ViewerList {
        total: viewers.len(),
        viewers: shown.map(|viewer| ViewerView::new(viewer, now)).collect(),
    })
}

/// All streams that whoever asks may watch.
pub fn streams<'a>(context: &'a Context, grant: &Grant) -> Reply {
    let now = Instant::now();
    let may_watch =
        |stream: &&Arc<Stream>| grant.allows(Scope::View, Target::Stream(stream.name()));
    let streams = context.streams.iter().filter(may_watch);
    let view = |stream: &'a Arc<Stream>| {
        StreamView::new(stream, has_controls(context, grant, stream), now)
    };
    respond::json(&StreamList {
        version: env!("CARGO_PKG_VERSION"),
        streams: streams.map(view).collect(),
    })
}

/// One stream.
pub fn stream(context: &Context, name: &str, grant: &Grant) -> Result<Reply, Error> {
    let stream = whep::find(context, Some(name))?;
    let controls = has_controls(context, grant, stream);
    let view = StreamView::new(stream, controls, Instant::now());
    Ok(respond::json(&view))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Transport};
    use std::time::Duration;

    #[test]
    fn a_viewer_is_shown_with_what_is_known_of_it() {
        let viewer = Metrics::new().rtc().viewers.add("garden", 17);
        let view = |viewer: &ViewerStats| {
            let now = viewer.since() + Duration::from_millis(1500);
            serde_json::to_value(ViewerView::new(viewer, now)).unwrap()
        };
        let mut expected = serde_json::json!({
            "id": 17, "stream": "garden", "connected_seconds": 1.5, "transport": "udp",
            "estimate_bits_per_second": null, "round_trip_seconds": null, "loss": null,
            "packets_sent": 0, "retransmissions": 0, "pictures_skipped": 0, "nacks": 0, "keyframe_requests": 0,
        });
        assert_eq!(view(&viewer), expected);
        viewer.set_estimate(2_500_000);
        viewer.set_round_trip(Duration::from_millis(250));
        viewer.set_loss(128);
        viewer.set_transport(Transport::Tcp);
        viewer.packets.add(1);
        viewer.retransmissions.add(2);
        viewer.pictures_skipped.add(3);
        viewer.nacks.add(4);
        viewer.keyframe_requests.add(5);
        for (key, value) in [
            ("estimate_bits_per_second", 2_500_000.into()),
            ("round_trip_seconds", 0.25.into()),
            ("loss", 0.5.into()),
            ("transport", "tcp".into()),
            ("packets_sent", 1.into()),
            ("retransmissions", 2.into()),
            ("pictures_skipped", 3.into()),
            ("nacks", 4.into()),
            ("keyframe_requests", 5.into()),
        ] {
            expected[key] = value;
        }
        assert_eq!(view(&viewer), expected);
    }
}
