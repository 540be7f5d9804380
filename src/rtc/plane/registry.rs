//! The sessions there are, by the names that URLs have for them, and how many there may be. Shared by HTTP and the media
//! thread; touched when a session begins, connects, restarts or ends, never by media.

use super::facts::{Facts, Failures, Record};
use super::watching::Caller;
use crate::base::sync::Mutex;
use crate::config::Limits;
use crate::rtc::net::demux::ViewerId;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::plane::session_id::SessionId;
use crate::rtc::sdp::sdpfrag::Frame;
use crate::rtc::wire::credentials::Credentials;
use crate::stream::Stream;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// A session that is not connected, and whose viewer has sent neither a valid check nor an answer to one of ours
/// for so long, gives way when its place is needed: viewers check
/// within milliseconds of their answer, and repeat that.
const UNHEARD: Duration = Duration::from_secs(3);

/// After a search for such a session in vain, none is looked for in this time: the search walks through all sessions that are not
/// connected, and everybody waits for the table meanwhile.
const SEARCH_INTERVAL: Duration = Duration::from_millis(100);

/// A session, as HTTP knows it.
pub struct Entry {
    /// Its viewer on the media thread.
    pub viewer: ViewerId,
    /// What it shows.
    pub stream: Arc<Stream>,
    /// The viewer's address, as [`crate::base::addresses::client`] groups addresses; `None` if many people share it.
    pub client: Option<IpAddr>,
    /// Names its ICE session (draft-ietf-wish-whep-03, 4.4.1): a strong entity tag without its quotes.
    pub tag: String,
    /// The viewer's credentials in that ICE session.
    pub remote: Credentials,
    /// For the answer to a restart.
    pub frame: Frame,
    /// What is noted of it.
    pub record: Record,
    /// Who asked for it.
    pub caller: Option<Caller>,
}

/// Which limit leaves no place for another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Of all sessions.
    #[error("the server has reached its limit of viewers")]
    Viewers,
    /// Of those of the stream.
    #[error("the stream has reached its limit of viewers")]
    Stream,
    /// Of those from the client's address.
    #[error("your address has reached its limit of viewers")]
    Address,
    /// Of those that are not connected yet.
    #[error("too many viewers are joining; try again soon")]
    Setups,
}

/// By the sessions' names.
pub struct Table {
    entries: HashMap<SessionId, Entry>,
    limits: Limits,
    /// Sessions that are not connected yet, in the order in which they were made.
    setups: BTreeMap<ViewerId, SessionId>,
    /// When the last search for one that gives way was in vain.
    searched: Option<Instant>,
    /// Who watches without a session.
    seats: usize,
    by_stream: HashMap<String, u32>,
    by_client: HashMap<IpAddr, u32>,
    /// Of those that are over.
    failures: Failures,
}

impl Table {
    /// Whether there is a place for another session.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admits(
        &mut self,
        now: Instant,
        stream: &str,
        client: Option<IpAddr>,
    ) -> Result<(), Limit> {
        self.has_room(stream, client)?;
        if self.is_setup_full() && self.unheard(now).is_none() {
            return Err(Limit::Setups);
        }
        Ok(())
    }

    fn is_setup_full(&self) -> bool {
        self.setups.len() >= self.limits.setups as usize
    }

    /// The oldest session that is not connected and has not been heard of for [`UNHEARD`].
    fn unheard(&mut self, now: Instant) -> Option<(ViewerId, SessionId)> {
        let is_early = |at| now.saturating_duration_since(at) < SEARCH_INTERVAL;
        if self.searched.is_some_and(is_early) {
            return None;
        }
        let is_unheard = |session: &SessionId| {
            let entry = self.entries.get(session);
            entry.is_some_and(|entry| entry.record.silence(now) >= UNHEARD)
        };
        let mut setups = self.setups.iter();
        let found = setups.find(|(_, session)| is_unheard(session));
        let found = found.map(|(viewer, session)| (*viewer, session.clone()));
        self.searched = found.is_none().then_some(now);
        found
    }

    /// Whether there is a place for another viewer, with or without a session.
    fn has_room(&self, stream: &str, client: Option<IpAddr>) -> Result<(), Limit> {
        let limits = &self.limits;
        let of_stream = self.by_stream.get(stream).copied().unwrap_or_default();
        let of_client = client.and_then(|client| self.by_client.get(&client).copied());
        if of_client.is_some_and(|count| count >= limits.viewers_per_address) {
            Err(Limit::Address)
        } else if self.entries.len() + self.seats >= limits.viewers as usize {
            Err(Limit::Viewers)
        } else if of_stream >= limits.viewers_per_stream {
            Err(Limit::Stream)
        } else {
            Ok(())
        }
    }

    fn count(&mut self, stream: &str, client: Option<IpAddr>) {
        *self.by_stream.entry(stream.to_owned()).or_default() += 1;
        if let Some(client) = client {
            *self.by_client.entry(client).or_default() += 1;
        }
    }

    fn uncount(&mut self, stream: &str, client: Option<IpAddr>) {
        less(&mut self.by_stream, stream.to_owned());
        if let Some(client) = client {
            less(&mut self.by_client, client);
        }
    }

    /// Adds a session that is about to connect, once `hand_over` has handed it to the media thread, together with the viewer
    /// whose session gives way to it, if one has to. If that fails, the table stays as it was: a session that is in no table
    /// can't be ended.
    ///
    /// # Errors
    /// The limit that leaves no place for it, or the error of `hand_over`.
    pub fn insert<E: From<Limit>>(
        &mut self,
        now: Instant,
        session: SessionId,
        entry: Entry,
        hand_over: impl FnOnce(Option<ViewerId>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.admits(now, entry.stream.name(), entry.client)?;
        let gives_way = if self.is_setup_full() {
            self.unheard(now)
        } else {
            None
        };
        hand_over(gives_way.as_ref().map(|(viewer, _)| *viewer))?;
        if let Some((_, session)) = &gives_way {
            self.end(session, now, EndReason::GaveWay);
        }
        self.count(entry.stream.name(), entry.client);
        self.setups.insert(entry.viewer, session.clone());
        self.entries.insert(session, entry);
        Ok(())
    }

    /// A session's handshake is done.
    pub fn connected(&mut self, session: &str) {
        if let Some(entry) = self.entries.get(session) {
            self.setups.remove(&entry.viewer);
        }
    }

    /// The session of that name that shows that stream.
    pub fn get_mut(&mut self, stream: &str, session: &str) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(session)?;
        (entry.stream.name() == stream).then_some(entry)
    }

    /// All of them, with their names.
    pub fn entries(&self) -> impl Iterator<Item = (&SessionId, &Entry)> {
        self.entries.iter()
    }

    /// Forgets a session, but for the facts of one that failed.
    pub fn end(&mut self, session: &str, now: Instant, reason: EndReason) {
        let Some((session, entry)) = self.entries.remove_entry(session) else {
            return;
        };
        self.setups.remove(&entry.viewer);
        let stream = entry.stream.name();
        self.uncount(stream, entry.client);
        entry.record.ended(now, reason);
        self.failures.add(session, stream.to_owned(), entry.record);
    }

    /// The stream and the facts of a session that there is, or that failed a short time ago.
    pub fn facts(&mut self, session: &str, now: Instant) -> Option<(String, Facts)> {
        match self.entries.get(session) {
            Some(entry) => Some((entry.stream.name().to_owned(), entry.record.read())),
            None => self.failures.find(session, now),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Counts one less, and does not keep nothing.
fn less<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// The handle to the table.
#[derive(Clone)]
pub struct Sessions(Arc<Mutex<Table>>);

impl Sessions {
    /// No sessions yet.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Table {
            entries: HashMap::new(),
            limits,
            setups: BTreeMap::new(),
            searched: None,
            seats: 0,
            by_stream: HashMap::new(),
            by_client: HashMap::new(),
            failures: Failures::default(),
        })))
    }

    /// A place for a viewer who needs no session: it watches by other means.
    ///
    /// # Errors
    /// The limit that leaves none.
    pub fn seat(&self, stream: &str, client: Option<IpAddr>) -> Result<Seat, Limit> {
        let mut table = self.lock();
        table.has_room(stream, client)?;
        table.count(stream, client);
        table.seats += 1;
        Ok(Seat {
            sessions: self.clone(),
            stream: stream.to_owned(),
            client,
        })
    }

    /// For as short as can be.
    pub fn lock(&self) -> MutexGuard<'_, Table> {
        // Every critical section leaves the table whole, so a panic elsewhere can't break it.
        self.0.lock()
    }
}

/// A viewer without a session is counted as long as this lives.
pub struct Seat {
    sessions: Sessions,
    stream: String,
    client: Option<IpAddr>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.sessions.lock();
        table.uncount(&self.stream, self.client);
        table.seats -= 1;
    }
}

/// A tag that no other ICE session has.
pub fn tag() -> String {
    format!("{:016x}", rand::random::<u64>())
}
