//! Sessions of those whose permission may end: they end with it, if their viewers don't leave before.

use super::whep::Made;
use crate::access::Access;
use crate::auth::{Grant, Now};
use crate::rtc::Plane;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a session may outlive its permission.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Sessions that are remembered: more than there can be. Those that are over are forgotten soon; when there are more, the oldest ends.
const MOST: usize = 131_072;

struct Lease {
    made: Made,
    grant: Grant,
}

/// The sessions whose permission may end.
#[derive(Default)]
pub struct Leases {
    list: Mutex<VecDeque<Lease>>,
    added: Notify,
}

impl Leases {
    /// Remembers a session, if the permission for it may end.
    pub fn add(&self, made: Made, grant: Grant, plane: &Plane) {
        if !grant.may_end() {
            return;
        }
        let mut list = self.lock();
        if list.len() >= MOST
            && let Some(Lease { made, .. }) = list.pop_front()
        {
            plane.end(&made.stream, &made.session);
        }
        list.push_back(Lease { made, grant });
        drop(list);
        self.added.notify_one();
    }

    /// Forgets a session that was ended.
    pub fn remove(&self, session: &str) {
        self.lock().retain(|lease| lease.made.session != session);
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
        self.lock().retain(|lease| {
            let Made { stream, session } = &lease.made;
            let holds = still_holds(&lease.grant);
            if !holds && plane.end(stream, session) {
                tracing::info!(stream, "a session ends with its permission");
            }
            // Most sessions end long before: who has a link could else fill the list, at the cost of others who have one.
            holds && plane.has(stream, session)
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Lease>> {
        // Every critical section leaves the list whole.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
