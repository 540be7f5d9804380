//! `/api/events`: the states of the streams as server-sent events, for pages and programs that show or note them.
//!
//! A state is not queued: once a second a reader is told of each stream that is not as it was told last. What came and went in between
//! shows in `/metrics`.

use super::streams::{Reader, StreamView};
use crate::access::judge::{Grant, Scope, Target};
use crate::http::Context;
use crate::http::exchange::respond::Reply;
use crate::http::exchange::streaming_body;
use crate::stream::{State, Stream};
use std::sync::Arc;
use std::time::Instant;

/// `GET`: first how all streams are that whoever asks may watch, then what changes.
pub fn read(context: &Context, grant: &Grant) -> Reply {
    let may_watch =
        |stream: &&Arc<Stream>| grant.allows(Scope::View, Target::Stream(stream.name()));
    let streams = context.streams.iter().filter(may_watch);
    let known = streams.map(|stream| KnownStream {
        stream: stream.clone(),
        reader: Reader::new(context, grant, stream, "../"),
        told: None,
    });
    let mut known: Vec<_> = known.collect();
    streaming_body::events(streaming_body::end_of(context, grant), move || {
        let now = Instant::now();
        Some(
            known
                .iter_mut()
                .filter_map(|known| known.news(now))
                .collect(),
        )
    })
}

/// What a reader is told of a stream, as far as it is compared: its state, its failure, what is wrong with its pictures, and whether
/// its camera is there.
type StreamSummary = (
    State,
    Option<(&'static str, String)>,
    Option<&'static str>,
    bool,
);

/// What a reader knows of a stream.
struct KnownStream {
    stream: Arc<Stream>,
    /// With its permission the reply ends.
    reader: Reader,
    told: Option<StreamSummary>,
}

impl KnownStream {
    fn news(&mut self, now: Instant) -> Option<String> {
        let status = self.stream.status();
        let failure = status.failure.map(|failure| (failure.kind, failure.detail));
        let flaw = self.stream.channel().flaws().told();
        let is_present = self.stream.is_present(now);
        let told = Some((status.state, failure, flaw, is_present));
        if self.told == told {
            return None;
        }
        self.told = told;
        let view = StreamView::new(&self.stream, self.reader, now);
        // A view has no value that JSON lacks, and its text has no line breaks.
        let view = serde_json::to_string(&view).unwrap_or_default();
        Some(format!("event: stream\ndata: {view}\n\n"))
    }
}
