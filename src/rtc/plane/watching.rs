//! Connected sessions as the API shows them: the origin of each one's request beside its figures.

use crate::metrics::ViewerStats;
use crate::rtc::Plane;
use crate::rtc::SessionError;
use crate::rtc::net::demux::ViewerId;
use crate::rtc::plane::session_id::SessionId;
use crate::rtc::wire::outbox::Endpoint;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The origin of a request to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The address that the request came from: a reverse proxy's, if there is one.
    pub address: IpAddr,
    /// The `User-Agent` of the request.
    pub user_agent: Option<String>,
    /// The id of the shared link that let it in, if one did.
    pub link: Option<String>,
    /// That link's name, if it has one.
    pub link_name: Option<String>,
}

/// A viewer whose session is connected.
#[derive(Debug, Clone)]
pub struct Watching {
    /// `None` for a moment, until the request that made the session is answered.
    pub caller: Option<Caller>,
    /// Where its media goes.
    pub media: Option<Endpoint>,
    /// Its figures, among them its id and its stream.
    pub stats: Arc<ViewerStats>,
}

impl Plane {
    /// A number that no other viewer has, for one who watches without a session.
    pub fn number(&self) -> ViewerId {
        self.next_viewer.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes the origin of the request that made a session.
    pub fn introduce(&self, stream: &str, session: &str, caller: Caller) {
        if let Some(entry) = self.sessions.lock().get_mut(stream, session) {
            entry.caller = Some(caller);
        }
    }

    /// All connected sessions, in the order of their viewers' ids.
    pub fn watching(&self) -> Vec<Watching> {
        // The table is locked while handles are copied, and no longer.
        let entries: Vec<_> = self
            .sessions
            .lock()
            .entries()
            .map(|(_, entry)| (entry.caller.clone(), entry.record.clone()))
            .collect();
        let connected = entries.into_iter().filter_map(|(caller, record)| {
            let facts = record.read();
            Some(Watching {
                caller,
                media: facts.chosen,
                stats: facts.media?,
            })
        });
        let mut watching: Vec<_> = connected.collect();
        watching.sort_by_key(|watching| watching.stats.id());
        watching
    }

    /// Ends the session of a viewer, with a goodbye. Returns the session's name.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn dismiss(&self, viewer: ViewerId) -> Result<SessionId, SessionError> {
        let found = self.sessions.lock().entries().find_map(|(session, entry)| {
            let names = || (entry.stream.name().to_owned(), session.clone());
            (entry.viewer == viewer).then(names)
        });
        let (stream, session) = found.ok_or(SessionError::NoSession)?;
        self.end(&stream, &session)?;
        Ok(session)
    }
}
