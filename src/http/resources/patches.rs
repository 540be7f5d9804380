//! How fast the viewer of a session sends PATCH requests. Candidates that trickle one by one are many requests for one session,
//! and must not keep others at the same address from watching.

use crate::base::sync::Mutex;
use crate::http::server::bucket::{Bucket, Rate};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Of one session. A viewer with many interfaces and servers has some thirty candidates.
const RATE: Rate = Rate {
    per_second: 5,
    burst: 100,
};
/// Sessions remembered before those at rest are looked for and forgotten. Afterwards there is room for twice as many as are
/// left: the table is as long as there are sessions with a PATCH within 20 seconds.
const FIRST_SWEEP: usize = 1024;

/// The sessions that had a PATCH lately, by their names.
pub struct Patches(Mutex<PatchTable>);

struct PatchTable {
    sessions: HashMap<String, Bucket>,
    sweep_at: usize,
}

impl Default for Patches {
    fn default() -> Self {
        Self(Mutex::new(PatchTable {
            sessions: HashMap::new(),
            sweep_at: FIRST_SWEEP,
        }))
    }
}

impl Patches {
    /// Takes in a PATCH of a session that there is.
    ///
    /// # Errors
    /// There are too many; the time until the next one may come.
    pub fn take(&self, session: &str, now: Instant) -> Result<(), Duration> {
        // Every critical section leaves the table whole.
        let mut table = self.0.lock();
        if table.sessions.len() >= table.sweep_at {
            table
                .sessions
                .retain(|_, bucket| !bucket.is_full(RATE, now));
            table.sweep_at = (2 * table.sessions.len()).max(FIRST_SWEEP);
        }
        if let Some(bucket) = table.sessions.get_mut(session) {
            return bucket.take(RATE, now);
        }
        let mut bucket = Bucket::full(RATE, now);
        let taken = bucket.take(RATE, now);
        table.sessions.insert(session.to_owned(), bucket);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_has_a_budget_of_its_own_and_those_at_rest_are_forgotten() {
        let (patches, start) = (Patches::default(), Instant::now());
        let taken = |session: &str| {
            (0..200)
                .filter(|_| patches.take(session, start).is_ok())
                .count()
        };
        assert_eq!((taken("a"), taken("b")), (100, 100));
        assert_eq!(patches.take("a", start), Err(Duration::from_millis(200)));
        for n in 0..100_000 {
            let now = start + Duration::from_millis(n);
            assert_eq!(patches.take(&format!("session {n}"), now), Ok(()));
        }
        assert!(patches.0.lock().sessions.len() <= FIRST_SWEEP);
    }
}
