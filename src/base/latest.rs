//! A one-slot cell between two threads: a new value overwrites one that nobody took, and that is counted.
//!
//! This is the queue in front of the encoder. Its drop policy is its purpose: an encoder that is late
//! gets the newest frame, so that a slow machine loses frames and never gains latency.

use crate::base::sync::{Condvar, Mutex};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

struct Content<T, E> {
    value: Option<T>,
    overwritten: u64,
    /// The writer's end and its error, if any; `None` while it may still write.
    end: Option<Result<(), E>>,
    reader_is_gone: bool,
}

struct Cell<T, E> {
    state: Mutex<Content<T, E>>,
    changed: Condvar,
}

impl<T, E> Cell<T, E> {
    fn lock(&self) -> MutexGuard<'_, Content<T, E>> {
        // Every critical section below leaves the state whole, so a panic elsewhere can't break it.
        self.state.lock()
    }
}

/// The writing end. Dropping it ends the cell without an error.
pub struct Writer<T, E>(Arc<Cell<T, E>>);

/// The reading end.
pub struct Reader<T, E>(Arc<Cell<T, E>>);

/// The result of [`Reader::take`].
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T, E> {
    /// The newest value.
    Value(T),
    /// None came in time.
    TimedOut,
    /// The writer ended, perhaps with an error, and every value was taken.
    Ended(Result<(), E>),
}

/// Makes an empty cell.
pub fn latest<T, E>() -> (Writer<T, E>, Reader<T, E>) {
    let cell = Arc::new(Cell {
        state: Mutex::new(Content {
            value: None,
            overwritten: 0,
            end: None,
            reader_is_gone: false,
        }),
        changed: Condvar::default(),
    });
    (Writer(cell.clone()), Reader(cell))
}

impl<T, E> Writer<T, E> {
    /// Stores a value in place of one that was not taken, which is given back.
    pub fn put(&self, value: T) -> Option<T> {
        let mut state = self.0.lock();
        let overwritten = state.value.replace(value);
        state.overwritten += u64::from(overwritten.is_some());
        self.0.changed.notify_one();
        overwritten
    }

    /// Stores a value, or has it joined to one that was not taken.
    pub fn join(&self, value: T, join: impl FnOnce(&mut T, T)) {
        let mut state = self.0.lock();
        match &mut state.value {
            Some(waiting) => join(waiting, value),
            none => *none = Some(value),
        }
        self.0.changed.notify_one();
    }

    /// Ends the cell with the reason.
    pub fn fail(self, error: E) {
        self.0.lock().end = Some(Err(error));
        // Dropping `self` wakes the reader.
    }

    /// Whether the reader is gone.
    pub fn is_orphaned(&self) -> bool {
        self.0.lock().reader_is_gone
    }
}

impl<T, E> Drop for Writer<T, E> {
    fn drop(&mut self) {
        self.0.lock().end.get_or_insert(Ok(()));
        self.0.changed.notify_one();
    }
}

impl<T, E> Reader<T, E> {
    /// Waits up to `timeout` for a value that was not taken yet.
    pub fn take(&self, timeout: Duration) -> Taken<T, E> {
        let mut state = self
            .0
            .changed
            .wait_timeout_while(self.0.lock(), timeout, |state| {
                state.value.is_none() && state.end.is_none()
            });
        if let Some(value) = state.value.take() {
            return Taken::Value(value);
        }
        match state.end.take() {
            Some(end) => {
                state.end = Some(Ok(()));
                Taken::Ended(end)
            }
            None => Taken::TimedOut,
        }
    }

    /// The number of values that were overwritten since the last call.
    pub fn take_overwritten(&self) -> u64 {
        std::mem::take(&mut self.0.lock().overwritten)
    }
}

impl<T, E> Drop for Reader<T, E> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.reader_is_gone = true;
        state.value = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn a_late_reader_gets_the_newest_value_and_the_number_it_missed() {
        let (writer, reader) = latest::<_, ()>();
        for n in 1..=3 {
            assert_eq!(writer.put(n), (n > 1).then(|| n - 1));
        }
        assert_eq!(reader.take(NOW), Taken::Value(3));
        assert_eq!(reader.take(NOW), Taken::TimedOut);
        assert_eq!(reader.take_overwritten(), 2);
        assert_eq!(reader.take_overwritten(), 0);
    }

    #[test]
    fn values_that_are_joined_are_all_there_and_none_is_counted_as_missed() {
        let (writer, reader) = latest::<_, ()>();
        for n in 1..=3 {
            writer.join(vec![n], |waiting, more| waiting.extend(more));
        }
        assert_eq!(reader.take(NOW), Taken::Value(vec![1, 2, 3]));
        assert_eq!(reader.take_overwritten(), 0);
        writer.join(vec![4], |_, _| panic!("nothing waits"));
        assert_eq!(reader.take(NOW), Taken::Value(vec![4]));
    }

    #[test]
    fn the_reason_of_the_end_comes_once_and_after_the_last_value() {
        let (writer, reader) = latest();
        assert_eq!(writer.put(1), None);
        writer.fail("gone");
        assert_eq!(reader.take(NOW), Taken::Value(1));
        assert_eq!(reader.take(NOW), Taken::Ended(Err("gone")));
        assert_eq!(reader.take(NOW), Taken::Ended(Ok(())));
    }

    #[test]
    fn a_writer_learns_that_its_reader_is_gone() {
        let (writer, reader) = latest::<u8, ()>();
        assert!(!writer.is_orphaned());
        drop(reader);
        assert!(writer.is_orphaned());
    }

    #[test]
    fn a_waiting_reader_is_woken_by_a_value_and_by_the_end() {
        let (writer, reader) = latest::<_, ()>();
        let waiting = std::thread::spawn(move || {
            let far = Duration::from_secs(60);
            (reader.take(far), reader.take(far))
        });
        assert_eq!(writer.put(7), None);
        while writer.0.lock().value.is_some() {
            std::thread::yield_now();
        }
        drop(writer);
        let (first, second) = waiting.join().unwrap();
        assert_eq!((first, second), (Taken::Value(7), Taken::Ended(Ok(()))));
    }
}
