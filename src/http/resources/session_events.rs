//! The server-sent events of a session (draft-ietf-wish-whep-02, 4.9.1): whether pictures flow, and how many watch.
//!
//! Both are states, so nothing is queued: once a second a reader is told what has changed since it was told last. What
//! came and went in between is not told.

use super::whep;
use crate::access::judge::Grant;
use crate::base::sync::Mutex;
use crate::http::Context;
use crate::http::exchange::body::body;
use crate::http::exchange::respond::{self, Error, JSON, Reply};
use crate::http::exchange::streaming_body;
use crate::rtc::Plane;
use crate::stream::{State, Stream};
use hyper::body::{Body, Incoming};
use hyper::{Request, Response, StatusCode, header};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};

/// The events there are, as the `Link` header announces them.
pub const NAMES: &str = "active,inactive,viewercount";

/// Event streams of one session. With one more, the oldest ends: a player that lost track of it has made another.
const MAX_STREAMS: usize = 2;
/// Event streams remembered before those of ended sessions are looked for and forgotten.
const FIRST_SWEEP: usize = 64;

/// Which events an event stream is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WantedEvents {
    active: bool,
    inactive: bool,
    viewercount: bool,
}

impl WantedEvents {
    const ALL: Self = Self {
        active: true,
        inactive: true,
        viewercount: true,
    };

    /// The names that are known. Others are for servers that know more.
    fn of(names: &[String]) -> Self {
        let has = |wanted| names.iter().any(|name| name == wanted);
        Self {
            active: has("active"),
            inactive: has("inactive"),
            viewercount: has("viewercount"),
        }
    }
}

/// An event stream.
struct EventSubscription {
    id: String,
    wanted: WantedEvents,
    /// Counts its readers; the last one is told.
    reader: u64,
    /// The last thing told of the pictures is that they flow.
    was_active: bool,
}

/// Every session's event streams, by the session's name.
pub struct EventStreams(Mutex<EventTable>);

struct EventTable {
    sessions: HashMap<String, Vec<EventSubscription>>,
    sweep_at: usize,
}

impl Default for EventStreams {
    fn default() -> Self {
        Self(Mutex::new(EventTable {
            sessions: HashMap::new(),
            sweep_at: FIRST_SWEEP,
        }))
    }
}

impl EventStreams {
    fn lock(&self) -> MutexGuard<'_, EventTable> {
        // Every critical section leaves the table whole.
        self.0.lock()
    }

    /// Adds an event stream. `is_there` says whether a session still exists.
    fn add(&self, session: &str, wanted: WantedEvents, is_there: impl Fn(&str) -> bool) -> String {
        let mut table = self.lock();
        if table.sessions.len() >= table.sweep_at {
            table.sessions.retain(|session, _| is_there(session));
            table.sweep_at = (2 * table.sessions.len()).max(FIRST_SWEEP);
        }
        let streams = table.sessions.entry(session.to_owned()).or_default();
        if streams.len() == MAX_STREAMS {
            streams.remove(0);
        }
        let id = format!("{:016x}", rand::random::<u64>());
        streams.push(EventSubscription {
            id: id.clone(),
            wanted,
            reader: 0,
            was_active: false,
        });
        id
    }

    /// Does something with an event stream, if there is that one.
    fn with<T>(
        &self,
        session: &str,
        id: &str,
        act: impl FnOnce(&mut EventSubscription) -> T,
    ) -> Option<T> {
        let mut table = self.lock();
        let streams = table.sessions.get_mut(session)?;
        streams.iter_mut().find(|stream| stream.id == id).map(act)
    }

    /// Forgets one. Whether there was that one.
    fn remove(&self, session: &str, id: &str) -> bool {
        let mut table = self.lock();
        let Some(streams) = table.sessions.get_mut(session) else {
            return false;
        };
        let before = streams.len();
        streams.retain(|stream| stream.id != id);
        streams.len() < before
    }
}

/// `POST`: makes an event stream for the events that the body lists, or for all.
pub async fn create(
    context: &Context,
    stream: &str,
    session: &str,
    request: Request<Incoming>,
) -> Result<Reply, Error> {
    if !context.plane.has(stream, session) {
        return Err(Error::NotFound("there is no such session".into()));
    }
    let has_slash = request.uri().path().ends_with('/');
    let wanted = if request.body().is_end_stream() {
        WantedEvents::ALL
    } else {
        let text = body(request, JSON, &context.limits).await?;
        let names: Vec<String> = serde_json::from_str(&text).map_err(|error| {
            Error::Malformed(format!("the body must be a list of event names: {error}"))
        })?;
        WantedEvents::of(&names)
    };
    let is_there = |session: &str| {
        context
            .streams
            .iter()
            .any(|s| context.plane.has(s.name(), session))
    };
    let id = context.events.add(session, wanted, is_there);
    let mut reply = Response::new(respond::empty());
    *reply.status_mut() = StatusCode::CREATED;
    let location = if has_slash { id } else { format!("sse/{id}") };
    respond::set(&mut reply, header::LOCATION, &location);
    Ok(reply)
}

/// `GET`: the events, as they come, until the session or the reader's permission ends.
pub fn read(
    context: &Context,
    (stream, session, id): (&str, &str, &str),
    grant: &Grant,
) -> Result<Reply, Error> {
    let stream = whep::find(context, Some(stream))?;
    let begun = context.plane.has(stream.name(), session).then(|| {
        context.events.with(session, id, |subscription| {
            subscription.reader += 1;
            (subscription.reader, subscription.was_active)
        })
    });
    let Some((reader, was_active)) = begun.flatten() else {
        return Err(no_events());
    };
    let mut events = Events {
        stream: stream.clone(),
        session: session.to_owned(),
        id: id.to_owned(),
        reader,
        told: ToldEvents {
            active: was_active,
            ..ToldEvents::default()
        },
        plane: context.plane.clone(),
        streams: context.events.clone(),
    };
    let over = streaming_body::end_of(context, grant);
    Ok(streaming_body::events(over, move || events.next()))
}

/// `DELETE`: nothing more is told.
pub fn delete(context: &Context, stream: &str, session: &str, id: &str) -> Result<Reply, Error> {
    if context.plane.has(stream, session) && context.events.remove(session, id) {
        Ok(respond::text("the event stream has ended\n"))
    } else {
        Err(no_events())
    }
}

fn no_events() -> Error {
    Error::NotFound("there is no such event stream".into())
}

/// What a reader knows.
#[derive(Debug, Default)]
struct ToldEvents {
    active: bool,
    viewers: Option<i64>,
    /// It has been told whether pictures flow.
    is_begun: bool,
}

impl ToldEvents {
    /// The events that bring it up to date. An end that it never heard the beginning of is none.
    fn news(&mut self, wanted: WantedEvents, is_active: bool, viewers: i64) -> String {
        let mut text = String::new();
        if is_active && !(self.is_begun && self.active) && wanted.active {
            text += "event: active\ndata: {}\n\n";
        }
        if !is_active && self.active && wanted.inactive {
            text += "event: inactive\ndata: {}\n\n";
        }
        if self.viewers != Some(viewers) && wanted.viewercount {
            text += &format!("event: viewercount\ndata: {{\"viewercount\":{viewers}}}\n\n");
        }
        *self = Self {
            active: is_active,
            viewers: Some(viewers),
            is_begun: true,
        };
        text
    }
}

/// What an event stream tells.
struct Events {
    stream: Arc<Stream>,
    session: String,
    id: String,
    reader: u64,
    told: ToldEvents,
    plane: Arc<Plane>,
    streams: Arc<EventStreams>,
}

impl Events {
    /// What there is to tell now; `None` at the end.
    fn next(&mut self) -> Option<String> {
        let is_active = self.stream.status().state == State::Live;
        if !self.plane.has(self.stream.name(), &self.session) {
            return None;
        }
        let reader = self.reader;
        let wanted = self.streams.with(&self.session, &self.id, |subscription| {
            let is_last = subscription.reader == reader;
            is_last.then(|| {
                subscription.was_active = is_active;
                subscription.wanted
            })
        });
        let wanted = wanted.flatten()?;
        let viewers = self.stream.channel().metrics().viewers.get();
        Some(self.told.news(wanted, is_active, viewers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_told_what_changes_and_no_end_without_a_beginning() {
        const ACTIVE: &str = "event: active\ndata: {}\n\n";
        const INACTIVE: &str = "event: inactive\ndata: {}\n\n";
        let mut told = ToldEvents::default();
        for (is_active, expected) in [
            (false, ""),
            (true, ACTIVE),
            (true, ""),
            (false, INACTIVE),
            (false, ""),
            (true, ACTIVE),
        ] {
            let wanted = WantedEvents {
                viewercount: false,
                ..WantedEvents::ALL
            };
            assert_eq!(told.news(wanted, is_active, 1), expected);
        }
        // Who reads again is told where things stand.
        let mut again = ToldEvents {
            active: true,
            ..ToldEvents::default()
        };
        assert!(again.news(WantedEvents::ALL, true, 3).starts_with(ACTIVE));
        let counts = [4, 4, 5].map(|count| again.news(WantedEvents::ALL, true, count));
        assert_eq!(
            counts[0],
            "event: viewercount\ndata: {\"viewercount\":4}\n\n"
        );
        assert_eq!(counts[1], "");
        assert!(counts[2].contains("5"));
        let names = ["viewercount", "layers"].map(str::to_owned);
        assert_eq!(again.news(WantedEvents::of(&names), false, 5), "");
    }

    #[test]
    fn a_session_has_few_event_streams_and_those_of_ended_ones_are_forgotten() {
        let streams = EventStreams::default();
        let make =
            |session: &str| streams.add(session, WantedEvents::ALL, |session| session == "a");
        let first = make("a");
        let later = [make("a"), make("a")];
        let is_there = |id: &str| streams.with("a", id, |_| ()).is_some();
        assert!(!is_there(&first) && later.iter().all(|id| is_there(id)));
        assert!(streams.remove("a", &later[0]) && !streams.remove("a", &later[0]));
        for n in 0..1000 {
            make(&n.to_string());
        }
        assert!(streams.lock().sessions.len() <= FIRST_SWEEP);
        assert!(is_there(&later[1]));
    }
}
