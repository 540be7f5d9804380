//! The fan-out of one stream's access units to a few subscribers (the media thread; recorders).
//!
//! Subscribers read from one ring, each at its own cursor. The ring is bounded; its drop policy: the oldest
//! unit goes, and a subscriber that had not read it learns by [`Lagged`] and goes on at the next keyframe.
//! So nobody is ever handed a delta picture whose reference is missing, and a slow subscriber costs
//! nobody else anything.

use crate::base::sync::Mutex;
use crate::media::AccessUnit;
use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};

/// Units that a subscriber may be behind, about two seconds: beyond that it is better served by a fresh keyframe.
const CAPACITY: usize = 64;

/// Called after each published unit, on the publisher's thread: must not block.
pub type Notify = Box<dyn Fn() + Send>;

/// Units were dropped before this subscriber read them; the next unit that it gets is a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missed} access units were dropped before they were read")]
pub struct Lagged {
    /// The number of dropped units.
    pub missed: u64,
}

#[derive(Default)]
struct Ring {
    ring: VecDeque<Arc<AccessUnit>>,
    /// Number of the ring's first unit; units are numbered from 0 in order of publication.
    first: u64,
    notify: Vec<(u64, Notify)>,
    next_subscriber: u64,
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }
}

/// The end at which the encoder publishes. Clones share one ring.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<Ring>>);

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Every critical section leaves the state whole, so a panic elsewhere can't break it.
        self.0.lock()
    }

    /// Hands a unit to all subscribers.
    pub fn publish(&self, unit: Arc<AccessUnit>) {
        let mut state = self.lock();
        if state.ring.len() == CAPACITY {
            state.ring.pop_front();
            state.first += 1;
        }
        state.ring.push_back(unit);
        for (_, notify) in &state.notify {
            notify();
        }
    }

    /// A subscription that begins at the last keyframe, if the ring has it, else at the next to be published.
    pub fn subscribe(&self, notify: Notify) -> Subscription {
        let mut state = self.lock();
        let id = state.next_subscriber;
        state.next_subscriber += 1;
        state.notify.push((id, notify));
        let last = state.ring.iter().rposition(|unit| unit.keyframe);
        Subscription {
            cursor: last.map_or(state.end(), |index| state.first + index as u64),
            hub: self.clone(),
            id,
            needs_keyframe: true,
        }
    }
}

/// A cursor into the ring. Dropping it ends the subscription.
pub struct Subscription {
    hub: Hub,
    id: u64,
    cursor: u64,
    needs_keyframe: bool,
}

impl Subscription {
    /// The next unit, or `None` when all were read.
    ///
    /// # Errors
    /// [`Lagged`] once after units were lost; the next unit is a keyframe.
    pub fn try_next(&mut self) -> Result<Option<Arc<AccessUnit>>, Lagged> {
        let state = self.hub.lock();
        if self.cursor < state.first {
            let missed = state.first - self.cursor;
            self.cursor = state.first;
            self.needs_keyframe = true;
            return Err(Lagged { missed });
        }
        while self.cursor < state.end() {
            // Below `end`, so the difference is an index.
            let unit = &state.ring[(self.cursor - state.first) as usize];
            self.cursor += 1;
            if unit.keyframe || !self.needs_keyframe {
                self.needs_keyframe = false;
                return Ok(Some(unit.clone()));
            }
        }
        Ok(None)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.lock().notify.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    fn unit(n: u8, keyframe: bool) -> Arc<AccessUnit> {
        let now = Instant::now();
        Arc::new(AccessUnit {
            data: Bytes::copy_from_slice(&[n]),
            keyframe,
            temporal_layer: 0,
            captured_at: now,
            encoded_at: now,
        })
    }

    fn next(subscription: &mut Subscription) -> Option<u8> {
        subscription.try_next().unwrap().map(|unit| unit.data[0])
    }

    #[test]
    fn a_subscription_begins_at_a_keyframe() {
        let hub = Hub::default();
        hub.publish(unit(0, false));
        let mut early = hub.subscribe(Box::new(|| ()));
        for n in 1..7 {
            assert_eq!(next(&mut early), None, "{n}");
            hub.publish(unit(n, n > 2 && n.is_multiple_of(3)));
            if n > 2 {
                assert_eq!(next(&mut early), Some(n));
            }
        }
        hub.publish(unit(7, false));
        let mut late = hub.subscribe(Box::new(|| ()));
        assert_eq!(next(&mut late), Some(6), "the last one, not the first");
        assert_eq!(next(&mut late), Some(7));
        assert_eq!(next(&mut late), None);
    }

    #[test]
    fn a_lagging_subscriber_is_told_and_goes_on_at_a_keyframe() {
        let hub = Hub::default();
        let mut slow = hub.subscribe(Box::new(|| ()));
        let mut fast = hub.subscribe(Box::new(|| ()));
        for n in 0..=CAPACITY {
            hub.publish(unit(n as u8, n == 0));
            assert_eq!(next(&mut fast), Some(n as u8));
        }
        assert_eq!(slow.try_next().unwrap_err(), Lagged { missed: 1 });
        assert_eq!(next(&mut slow), None, "all that is left is delta pictures");
        hub.publish(unit(200, true));
        assert_eq!(next(&mut slow), Some(200));
    }

    #[test]
    fn subscribers_are_notified_until_they_are_dropped() {
        let hub = Hub::default();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        let subscription = hub.subscribe(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        hub.publish(unit(0, true));
        drop(subscription);
        hub.publish(unit(1, true));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
