//! `/api/events`: the states of the streams as server-sent events, for pages and programs that show or note them.
//!
//! A state is not queued: once a second a reader is told of each stream that is not as it was told last. What came and went in between
//! shows in `/metrics`.

use super::Context;
use super::api::{StreamView, has_controls};
use super::endless;
use super::respond::Reply;
use crate::auth::{Grant, Scope, Target};
use crate::stream::{State, Stream};
use std::sync::Arc;
use std::time::Instant;

/// `GET`: first how all streams are that whoever asks may watch, then what changes.
pub fn read(context: &Context, grant: &Grant) -> Reply {
    let may_watch =
        |stream: &&Arc<Stream>| grant.allows(Scope::View, Target::Stream(stream.name()));
    let streams = context.streams.iter().filter(may_watch);
    let known = streams.map(|stream| Known {
        stream: stream.clone(),
        controls: has_controls(context, grant, stream),
        told: None,
    });
    let mut known: Vec<_> = known.collect();
    endless::events(endless::end_of(context, grant), move || {
        let now = Instant::now();
        Some(
            known
                .iter_mut()
                .filter_map(|known| known.news(now))
                .collect(),
        )
    })
}

/// What a reader is told of a stream, as far as it is compared: its state, its failure, and what is wrong with its pictures.
type Told = (State, Option<(&'static str, String)>, Option<&'static str>);

/// What a reader knows of a stream.
struct Known {
    stream: Arc<Stream>,
    /// See [`has_controls`]. With the permission the reply ends.
    controls: bool,
    told: Option<Told>,
}

impl Known {
    fn news(&mut self, now: Instant) -> Option<String> {
        let status = self.stream.status();
        let failure = status.failure.map(|failure| (failure.kind, failure.detail));
        let flaw = self.stream.channel().flaws().told();
        let told = Some((status.state, failure, flaw));
        if self.told == told {
            return None;
        }
        self.told = told;
        let view = StreamView::new(&self.stream, self.controls, now);
        // A view has no value that JSON lacks, and its text has no line breaks.
        let view = serde_json::to_string(&view).unwrap_or_default();
        Some(format!("event: stream\ndata: {view}\n\n"))
    }
}
