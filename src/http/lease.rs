//! Sessions, and replies without an end, of those whose permission may end: they end with it, if their viewers don't leave
//! before.

use super::whep::Made;
use crate::access::Access;
use crate::auth::{Grant, Now};
use crate::rtc::Plane;
use crate::shutdown::Shutdown;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a session may outlive its permission.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Sessions and replies that are remembered: more than there can be with as many viewers and connections as the configuration takes,
/// 100,000 each, and those that are over, which are forgotten soon. With one more, the oldest ends.
const MOST: usize = 262_144;

/// What ends with the permission for it.
enum Held {
    Session(Made),
    /// A reply, as long as its body is there.
    Reply(Weak<Shutdown>),
}

impl Held {
    fn is_there(&self, plane: &Plane) -> bool {
        match self {
            Self::Session(Made { stream, session }) => plane.has(stream, session),
            Self::Reply(end) => end.strong_count() > 0,
        }
    }

    /// Whether there was something to end.
    fn end(&self, plane: &Plane) -> bool {
        match self {
            Self::Session(Made { stream, session }) => plane.end(stream, session),
            Self::Reply(end) => end.upgrade().is_some_and(|end| {
                end.cancel();
                true
            }),
        }
    }
}

struct Lease {
    held: Held,
    grant: Grant,
}

/// What is held by those whose permission may end.
#[derive(Default)]
pub struct Leases {
    list: Mutex<VecDeque<Lease>>,
    added: Notify,
}

impl Leases {
    /// Remembers a session, if the permission for it may end.
    pub fn add(&self, made: Made, grant: Grant, plane: &Plane) {
        self.hold(Held::Session(made), grant, plane);
    }

    /// The same for a reply, whose body ends when `end` is cancelled.
    pub fn add_reply(&self, end: &Arc<Shutdown>, grant: Grant, plane: &Plane) {
        self.hold(Held::Reply(Arc::downgrade(end)), grant, plane);
    }

    fn hold(&self, held: Held, grant: Grant, plane: &Plane) {
        if !grant.may_end() {
            return;
        }
        let mut list = self.lock();
        if list.len() >= MOST
            && let Some(Lease { held, .. }) = list.pop_front()
        {
            held.end(plane);
        }
        list.push_back(Lease { held, grant });
        drop(list);
        self.added.notify_one();
    }

    /// Forgets a session that was ended.
    pub fn remove(&self, session: &str) {
        let is_it = |held: &Held| matches!(held, Held::Session(made) if made.session == session);
        self.lock().retain(|lease| !is_it(&lease.held));
    }

    /// Ends sessions as their permissions end; never completes.
    pub async fn watch(&self, access: &Access, plane: &Plane) {
        loop {
            while self.lock().is_empty() {
                self.added.notified().await;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            self.sweep(plane, |grant| access.still_holds(grant, Now::system()));
        }
    }

    fn sweep(&self, plane: &Plane, still_holds: impl Fn(&Grant) -> bool) {
        self.lock().retain(|Lease { held, grant }| {
            let holds = still_holds(grant);
            if !holds && held.end(plane) {
                tracing::info!("a session ends with its permission");
            }
            // Most end long before: who has a link could else fill the list, at the cost of others who have one.
            holds && held.is_there(plane)
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Lease>> {
        // Every critical section leaves the list whole.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
