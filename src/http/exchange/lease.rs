//! Sessions, and replies without an end, of those whose permission may end: they end with it, if their viewers don't leave
//! before.

use crate::access::Access;
use crate::access::judge::{Grant, Now};
use crate::base::log_limit::LogLimit;
use crate::base::shutdown::Shutdown;
use crate::base::sync::Mutex;
use crate::http::Context;
use crate::rtc::SessionId;
use crate::rtc::{Plane, SessionError};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, MutexGuard, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a session may outlive its permission.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// For the media thread to end those that it was told of, when it can't be told of more.
const PAUSE: Duration = Duration::from_millis(50);
/// Sessions and replies that are remembered: more than there can be with as many viewers and connections as the configuration takes,
/// 100,000 each, and those that are over, which are forgotten soon. With one more, the oldest ends.
const MOST: usize = 262_144;

/// A link may have hundreds of sessions, and all of them end with it.
static ENDED: LogLimit = LogLimit::new(20, Duration::from_secs(60));
/// How often links that have expired are forgotten, and whether the time is to be written is asked.
const TEND_AGAIN: Duration = Duration::from_secs(10);

/// Ends what outlives its permission, and forgets permissions that have expired.
pub async fn watch(context: &Arc<Context>) -> Infallible {
    tokio::select! {
        never = context.leases.watch(&context.access, &context.plane) => never,
        never = tend(context) => never,
    }
}

async fn tend(context: &Arc<Context>) -> Infallible {
    loop {
        let context = context.clone();
        let tended = tokio::task::spawn_blocking(move || context.access.tend(Now::system()));
        // A panic there is told by the panic's own message.
        let _ = tended.await;
        tokio::time::sleep(TEND_AGAIN).await;
    }
}

/// What ends with the permission for it.
enum Leased {
    Session(Made),
    /// A reply, as long as its body is there.
    Reply(Weak<Shutdown>),
}

impl Leased {
    fn is_there(&self, plane: &Plane) -> bool {
        match self {
            Self::Session(Made { stream, session }) => plane.has(stream, session),
            Self::Reply(end) => end.strong_count() > 0,
        }
    }

    /// Whether it is over now. If not, the media thread has too much to do: it is to be ended later.
    fn end(&self, plane: &Plane) -> bool {
        match self {
            Self::Session(Made { stream, session }) => {
                let ended = plane.end(stream, session);
                matches!(ended, Ok(()) | Err(SessionError::NoSession))
            }
            Self::Reply(end) => {
                if let Some(end) = end.upgrade() {
                    end.cancel();
                }
                true
            }
        }
    }
}

struct Lease {
    held: Leased,
    grant: Grant,
}

/// With a reply, for whoever has to know: the session that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its stream.
    pub stream: String,
    /// Its unguessable name.
    pub session: SessionId,
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
        self.hold(Leased::Session(made), grant, plane);
    }

    /// The same for a reply, whose body ends when `end` is cancelled.
    pub fn add_reply(&self, end: &Arc<Shutdown>, grant: Grant, plane: &Plane) {
        self.hold(Leased::Reply(Arc::downgrade(end)), grant, plane);
    }

    fn hold(&self, held: Leased, grant: Grant, plane: &Plane) {
        if !grant.may_end() {
            return;
        }
        let mut list = self.lock();
        let is_oldest_over = || list.front().is_some_and(|oldest| oldest.held.end(plane));
        if list.len() >= MOST && is_oldest_over() {
            list.pop_front();
        }
        list.push_back(Lease { held, grant });
        drop(list);
        self.added.notify_one();
    }

    /// Forgets a session that was ended.
    pub fn remove(&self, session: &str) {
        let is_it =
            |held: &Leased| matches!(held, Leased::Session(made) if *made.session == *session);
        self.lock().retain(|lease| !is_it(&lease.held));
    }

    /// Ends sessions as their permissions end.
    async fn watch(&self, access: &Arc<Access>, plane: &Plane) -> Infallible {
        loop {
            while self.lock().is_empty() {
                self.added.notified().await;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            access.look_if_due(Instant::now()).await;
            while !self.sweep(plane, |grant| access.still_holds(grant, Now::system())) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Whether all have ended that should.
    fn sweep(&self, plane: &Plane, still_holds: impl Fn(&Grant) -> bool) -> bool {
        let mut is_done = true;
        self.lock().retain(|Lease { held, grant }| {
            // Most end long before: who has a link could else fill the list, at the cost of others who have one.
            if !held.is_there(plane) {
                return false;
            }
            if still_holds(grant) {
                return true;
            }
            let is_over = held.end(plane);
            if is_over {
                log_end(Instant::now());
            }
            is_done &= is_over;
            !is_over
        });
        is_done
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Lease>> {
        // Every critical section leaves the list whole.
        self.list.lock()
    }
}

fn log_end(now: Instant) {
    if let Some(left_out) = ENDED.admit(now) {
        tracing::info!(left_out, "a session ends with its permission");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::judge::{Basis, Token};

    #[test]
    fn all_sessions_end_with_their_permission_however_many_end_at_once() {
        const SESSIONS: usize = 1000;
        let (plane, names, taken) = Plane::without_thread(SESSIONS);
        let leases = Leases::default();
        for session in names {
            let stream = "camera".to_owned();
            let session = session.as_str().into();
            let made = Made { stream, session };
            leases.add(made, Grant::all(Basis::Token(Token::generate())), &plane);
        }
        assert!(leases.sweep(&plane, |_| true));
        assert_eq!((plane.sessions(), taken()), (SESSIONS, 0));
        let mut ended = 0;
        while !leases.sweep(&plane, |_| false) {
            let now = taken();
            assert!(now > 0, "as many as the queue holds");
            ended += now;
            // Those that were not ended yet are still there, and still to be ended.
            assert_eq!(plane.sessions(), SESSIONS - ended);
            assert_eq!(leases.lock().len(), SESSIONS - ended);
        }
        assert_eq!((ended + taken(), plane.sessions()), (SESSIONS, 0));
        assert!(leases.lock().is_empty());
    }
}
