//! The media thread's alarm clock: which viewer is to be looked at next, and when.

use crate::rtc::net::demux::ViewerId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// Alarms go off at multiples of this, those of many viewers together: no protocol timer here is finer. It is also the
/// shortest wait, so that a viewer whose deadline is in the past can't spin the thread.
const TICK: Duration = Duration::from_millis(16);

/// One alarm a viewer; the earliest is found at once.
#[derive(Debug)]
pub struct Timers {
    origin: Instant,
    heap: BinaryHeap<Reverse<(Instant, ViewerId)>>,
    /// The alarm that counts; other entries of the heap are stale.
    current: HashMap<ViewerId, Instant>,
}

impl Timers {
    /// Without an alarm.
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            heap: BinaryHeap::new(),
            current: HashMap::new(),
        }
    }

    /// Wakes a viewer at that time or soon after. An earlier alarm stays: who is woken sets the next one, and putting an
    /// alarm off with every datagram would fill the heap.
    pub fn set(&mut self, id: ViewerId, at: Instant, now: Instant) {
        let at = self.tick_after(at.max(now));
        if self.current.get(&id).is_none_or(|current| at < *current) {
            self.current.insert(id, at);
            self.heap.push(Reverse((at, id)));
        }
    }

    fn tick_after(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.origin).as_nanos();
        let past = (since % TICK.as_nanos()) as u64;
        at + TICK - Duration::from_nanos(past)
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
    fn alarms_go_off_in_order_and_the_earliest_setting_counts() {
        let now = Instant::now();
        let at = |ticks| now + ticks * TICK;
        let mut timers = Timers::new(now);
        assert_eq!(timers.next(), None);
        timers.set(1, at(50), now);
        timers.set(2, at(20), now);
        timers.set(1, at(10), now);
        timers.set(2, at(30), now);
        timers.set(3, at(5), now);
        timers.remove(3);
        assert_eq!(timers.next(), Some(at(11)));
        assert_eq!(timers.pop(at(10)), None);
        assert_eq!(timers.pop(at(100)), Some(1));
        assert_eq!(timers.pop(at(20)), None);
        assert_eq!(timers.pop(at(21)), Some(2));
        assert_eq!(timers.pop(at(100)), None);
    }

    #[test]
    fn alarms_at_about_the_same_time_go_off_together() {
        let now = Instant::now();
        let mut timers = Timers::new(now);
        for id in 0..100 {
            timers.set(id, now + Duration::from_micros(id * 100), now);
        }
        assert_eq!(timers.next(), Some(now + TICK));
        let woken = std::iter::from_fn(|| timers.pop(now + TICK));
        assert_eq!(woken.count(), 100);
    }

    #[test]
    fn a_deadline_in_the_past_is_put_off_a_little() {
        let now = Instant::now();
        let mut timers = Timers::new(now);
        timers.set(1, now.checked_sub(Duration::from_secs(1)).unwrap(), now);
        assert_eq!(timers.next(), Some(now + TICK));
    }
}
