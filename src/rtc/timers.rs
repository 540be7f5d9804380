//! The media thread's alarm clock: which viewer is to be looked at next, and when.

use super::demux::ViewerId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// Shortest time to an alarm, so that a viewer whose deadline is in the past can't spin the thread.
const SHORTEST: Duration = Duration::from_millis(1);

/// One alarm a viewer; the earliest is found at once.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, ViewerId)>>,
    /// The alarm that counts; other entries of the heap are stale.
    current: HashMap<ViewerId, Instant>,
}

impl Timers {
    /// Sets a viewer's alarm in place of its last one.
    pub fn set(&mut self, id: ViewerId, at: Instant, now: Instant) {
        let at = at.max(now + SHORTEST);
        if self.current.insert(id, at) != Some(at) {
            self.heap.push(Reverse((at, id)));
        }
    }

    /// Forgets a viewer.
    pub fn remove(&mut self, id: ViewerId) {
        self.current.remove(&id);
    }

    /// When the next alarm goes off.
    pub fn next(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, id))) = self.heap.peek() {
            if self.current.get(id) == Some(at) {
                return Some(*at);
            }
            self.heap.pop();
        }
        None
    }

    /// A viewer whose alarm went off; it has none then.
    pub fn pop(&mut self, now: Instant) -> Option<ViewerId> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, id)) = self.heap.pop()?;
        self.current.remove(&id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_go_off_in_order_and_the_last_setting_counts() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(1, at(50), now);
        timers.set(2, at(20), now);
        timers.set(1, at(10), now);
        timers.set(2, at(30), now);
        timers.set(3, at(5), now);
        timers.remove(3);
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(100)), Some(1));
        assert_eq!(timers.pop(at(100)), Some(2));
        assert_eq!(timers.pop(at(100)), None);
    }

    #[test]
    fn a_deadline_in_the_past_is_put_off_a_little() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(1, now - Duration::from_secs(1), now);
        assert_eq!(timers.next(), Some(now + SHORTEST));
    }
}
