//! `/api/streams`: what the streams are doing, as JSON.

use super::Context;
use super::respond::{self, Error, Reply};
use super::whep;
use crate::auth::{Grant, Scope, Target};
use crate::stream::{Status, Stream};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

#[derive(Serialize)]
struct StreamList<'a> {
    version: &'static str,
    streams: Vec<StreamView<'a>>,
}

#[derive(Serialize)]
struct StreamView<'a> {
    name: &'a str,
    state: &'static str,
    source: &'a str,
    /// This and the next four: what the source granted; null until it was opened.
    device: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    format: Option<&'static str>,
    bitrate: u32,
    viewers: i64,
    error: Option<ErrorView>,
}

#[derive(Serialize)]
struct ErrorView {
    kind: &'static str,
    detail: String,
    cure: &'static str,
    since_seconds: f64,
    retry_in_seconds: f64,
}

impl<'a> StreamView<'a> {
    fn new(stream: &'a Stream, now: Instant) -> Self {
        let Status {
            state,
            granted,
            failure,
        } = stream.status();
        let granted = granted.as_ref();
        Self {
            name: stream.name(),
            state: state.name(),
            source: stream.source(),
            device: granted.map(|granted| granted.device.clone()),
            width: granted.map(|granted| granted.size.width),
            height: granted.map(|granted| granted.size.height),
            fps: granted.map(|granted| granted.rate.as_f64()),
            format: granted.map(|granted| granted.format.name()),
            bitrate: stream.config().bitrate,
            viewers: stream.channel().metrics().viewers.get(),
            error: failure.map(|failure| ErrorView {
                kind: failure.kind,
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

/// All streams that whoever asks may watch.
pub fn streams(context: &Context, grant: &Grant) -> Reply {
    let now = Instant::now();
    let may_watch =
        |stream: &&Arc<Stream>| grant.allows(Scope::View, Target::Stream(stream.name()));
    let streams = context.streams.iter().filter(may_watch);
    respond::json(&StreamList {
        version: env!("CARGO_PKG_VERSION"),
        streams: streams.map(|stream| StreamView::new(stream, now)).collect(),
    })
}

/// One stream.
pub fn stream(context: &Context, name: &str) -> Result<Reply, Error> {
    let stream = whep::find(context, Some(name))?;
    Ok(respond::json(&StreamView::new(stream, Instant::now())))
}
