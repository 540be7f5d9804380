//! Datagrams that wait to be sent, in the order in which they leave.

use crate::rtc::wire::outbox::{Path, Via};
use std::ops::Range;

/// Bytes that one segmented send may carry: an IPv4 datagram's limit less headers.
const MAX_RUN: usize = 65_000;

/// Bytes that have left, after which those that wait are moved to the front.
const COMPACT: usize = 256 << 10;

/// Datagrams of one size to one destination, which can be sent as one. Only the last may be shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub path: Path,
    /// Bytes of a datagram.
    pub segment: usize,
    /// Where they are in [`Batch::data`].
    pub bytes: Range<usize>,
}

impl Run {
    /// Number of datagrams.
    pub fn datagrams(&self) -> usize {
        self.bytes.len().div_ceil(self.segment)
    }

    fn takes(&self, path: Path, len: usize, max_segments: usize) -> bool {
        self.path == path
            && len <= self.segment
            && self.bytes.len().is_multiple_of(self.segment)
            && self.bytes.len() + len <= MAX_RUN
            && self.datagrams() < max_segments
    }
}

/// A queue of runs, with the bytes of all in one buffer that is reused.
#[derive(Debug, Default)]
pub struct Batch {
    data: Vec<u8>,
    runs: Vec<Run>,
    /// Runs that were sent already.
    sent: usize,
}

impl Batch {
    /// Whether all was sent.
    pub fn is_empty(&self) -> bool {
        self.sent == self.runs.len()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        let start = self.waiting().first().map(|run| run.bytes.start);
        start.map_or(0, |start| self.data.len() - start)
    }

    /// The runs that wait.
    pub fn waiting(&self) -> &[Run] {
        &self.runs[self.sent..]
    }

    /// A run's bytes.
    pub fn data(&self, run: &Run) -> &[u8] {
        &self.data[run.bytes.clone()]
    }

    /// Notes that the first `count` of the waiting runs have left.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            self.data.clear();
            self.runs.clear();
            self.sent = 0;
        }
        let start = self.waiting().first().map_or(0, |run| run.bytes.start);
        if start >= COMPACT {
            self.data.drain(..start);
            self.runs.drain(..self.sent);
            self.sent = 0;
            for run in &mut self.runs {
                run.bytes = run.bytes.start - start..run.bytes.end - start;
            }
        }
    }

    /// Makes a run of its own of each datagram of the first that waits.
    pub fn split_first(&mut self) {
        let Some(run) = self.waiting().first().cloned() else {
            return;
        };
        let ends = |at: usize| (at + run.segment).min(run.bytes.end);
        let singles = run.bytes.clone().step_by(run.segment).map(|at| Run {
            bytes: at..ends(at),
            segment: ends(at) - at,
            ..run.clone()
        });
        let singles: Vec<_> = singles.collect();
        self.runs.splice(self.sent..=self.sent, singles);
    }

    /// Leaves the source of the first that waits to the kernel.
    pub fn forget_source(&mut self) {
        if let Some(run) = self.runs.get_mut(self.sent) {
            run.path.via = Via::Udp(None);
        }
    }

    /// Whether a datagram would become part of the last run.
    pub fn joins(&self, path: Path, len: usize, max_segments: usize) -> bool {
        let last = self.waiting().last();
        last.is_some_and(|run| run.takes(path, len, max_segments))
    }

    /// Adds a datagram of `len` bytes, which `write` appends. `false` if it failed to, and nothing was added.
    pub fn push<E>(
        &mut self,
        path: Path,
        len: usize,
        max_segments: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> bool {
        let start = self.data.len();
        let written = write(&mut self.data);
        if written.is_err() || self.data.len() != start + len || len == 0 {
            // A datagram of another length would shift the borders of those behind it.
            self.data.truncate(start);
            return false;
        }
        if self.joins(path, len, max_segments)
            && let Some(run) = self.runs.last_mut()
            && run.bytes.end == start
        {
            run.bytes.end += len;
        } else {
            self.runs.push(Run {
                path,
                segment: len,
                bytes: start..start + len,
            });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path::udp(([127, 0, 0, 1], port).into(), None)
    }

    fn push(batch: &mut Batch, port: u16, len: usize) -> bool {
        batch.push(path(port), len, 64, |buffer| {
            buffer.extend(std::iter::repeat_n(port as u8, len));
            Ok::<_, ()>(())
        })
    }

    #[test]
    fn equal_datagrams_to_one_destination_are_one_run_that_a_shorter_one_ends() {
        let mut batch = Batch::default();
        for (port, len) in [(1, 100), (1, 100), (1, 40), (1, 40), (2, 40), (1, 41)] {
            assert!(push(&mut batch, port, len));
        }
        let runs: Vec<_> = batch.waiting().iter().collect();
        let counts: Vec<_> = runs.iter().map(|run| run.datagrams()).collect();
        assert_eq!(counts, [3, 1, 1, 1]);
        assert_eq!(batch.data(runs[2]), [2; 40]);
        batch.advance(3);
        assert_eq!(batch.waiting().len(), 1);
        batch.advance(1);
        assert_eq!((batch.is_empty(), batch.data.len()), (true, 0));
    }

    #[test]
    fn a_run_is_bounded_in_datagrams_and_bytes() {
        let mut batch = Batch::default();
        (0..130).for_each(|_| assert!(push(&mut batch, 1, 10)));
        let counts = |batch: &Batch| {
            batch
                .waiting()
                .iter()
                .map(Run::datagrams)
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(&batch), [64, 64, 2]);
        let mut batch = Batch::default();
        (0..50).for_each(|_| assert!(push(&mut batch, 1, 1500)));
        assert_eq!(counts(&batch), [43, 7]);
    }

    #[test]
    fn a_run_is_split_into_its_datagrams() {
        let mut batch = Batch::default();
        for len in [100, 100, 40, 7] {
            push(&mut batch, 1, len);
        }
        batch.split_first();
        let lengths = batch
            .waiting()
            .iter()
            .map(|run| (run.bytes.len(), run.segment));
        assert_eq!(
            lengths.collect::<Vec<_>>(),
            [(100, 100), (100, 100), (40, 40), (7, 7)]
        );
    }

    #[test]
    fn what_has_left_takes_no_room() {
        let mut batch = Batch::default();
        (0..1000).for_each(|n| assert!(push(&mut batch, n, 1000)));
        batch.advance(600);
        assert_eq!((batch.len(), batch.data.len()), (400_000, 400_000));
        let next = batch.waiting()[0].clone();
        assert_eq!(
            (next.path.remote.port(), batch.data(&next)[0]),
            (600, 600u16 as u8)
        );
    }

    #[test]
    fn what_can_not_be_written_as_announced_is_left_out() {
        let mut batch = Batch::default();
        assert!(push(&mut batch, 1, 10));
        let short = batch.push(path(1), 10, 64, |buffer| {
            buffer.push(1);
            Ok::<_, ()>(())
        });
        let failed = batch.push(path(1), 10, 64, |_| Err(()));
        assert!(!short && !failed);
        assert_eq!((batch.len(), batch.waiting().len()), (10, 1));
    }
}
