//! The sessions there are, by the names that URLs have for them. Shared by HTTP and the media thread; touched when a
//! session begins, restarts or ends, never by media.

use super::demux::ViewerId;
use super::fragment::Frame;
use crate::stream::Stream;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A session, as HTTP knows it.
pub struct Entry {
    /// Its viewer on the media thread.
    pub viewer: ViewerId,
    /// What it shows.
    pub stream: Arc<Stream>,
    /// Names its ICE session (draft-ietf-wish-whep-03, 4.4.1): a strong entity tag without its quotes.
    pub tag: String,
    /// The viewer's user name fragment and password in that ICE session.
    pub remote: (String, String),
    /// For the answer to a restart.
    pub frame: Frame,
}

/// By the sessions' names.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<String, Entry>>>);

impl Sessions {
    /// For as short as can be.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Every critical section leaves the map whole, so a panic elsewhere can't break it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tag that no other ICE session has.
pub fn tag() -> String {
    format!("{:016x}", rand::random::<u64>())
}
