//! Durations summed up: a histogram of fixed size for many, exact order statistics for a few.

use serde::Serialize;
use std::time::Duration;

/// Buckets for each doubling, so that a bucket is 3 % wide at the most.
const STEPS: u64 = 32;

/// Counts of durations, in microseconds, to within 3 %; the ends are exact.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; bucket(u64::MAX) + 1],
            count: 0,
            min: u64::MAX,
            max: 0,
        }
    }
}

/// Order statistics; durations are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub count: u64,
    pub min: f64,
    pub median: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Histogram {
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)] += 1;
        self.count += 1;
        self.min = self.min.min(micros);
        self.max = self.max.max(micros);
    }

    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *ours += theirs;
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// `None` if nothing was added.
    pub fn summary(&self) -> Option<Summary> {
        if self.count == 0 {
            return None;
        }
        let millis = |micros: u64| micros as f64 / 1000.0;
        let at = |part: f64| millis(self.at(part));
        Some(Summary {
            count: self.count,
            min: millis(self.min),
            median: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: millis(self.max),
        })
    }

    /// The value below which that part of all lies, between the ends.
    fn at(&self, part: f64) -> u64 {
        let rank = rank(part, self.count as usize) as u64;
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if below > rank {
                return value(bucket).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

impl Summary {
    /// Of exact values; `None` if there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| values.get(rank(part, values.len())).copied();
        Some(Self {
            count: values.len() as u64,
            min: at(0.0)?,
            median: at(0.5)?,
            p95: at(0.95)?,
            p99: at(0.99)?,
            max: at(1.0)?,
        })
    }
}

/// The nearest rank, counted from 0.
fn rank(part: f64, count: usize) -> usize {
    let rank = (part * count as f64).ceil() as usize;
    rank.clamp(1, count.max(1)) - 1
}

/// Small values have buckets of their own; above, each doubling has [`STEPS`].
const fn bucket(micros: u64) -> usize {
    if micros < 2 * STEPS {
        return micros as usize;
    }
    let doublings = (micros.ilog2() - STEPS.ilog2()) as u64;
    (doublings * STEPS + (micros >> doublings)) as usize
}

/// The middle of a bucket.
const fn value(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let doublings = bucket / STEPS - 1;
    let low = (bucket - doublings * STEPS) << doublings;
    low + (1 << doublings) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_statistics_are_by_nearest_rank() {
        let summary = Summary::of((1..=100).map(f64::from).collect()).unwrap();
        assert_eq!((summary.min, summary.median), (1.0, 50.0));
        assert_eq!((summary.p95, summary.p99, summary.max), (95.0, 99.0, 100.0));
        let one = Summary::of(vec![7.0]).unwrap();
        assert_eq!(
            (one.min, one.median, one.p99, one.max),
            (7.0, 7.0, 7.0, 7.0)
        );
        assert_eq!(Summary::of(vec![]), None);
        assert_eq!(Histogram::default().summary(), None);
    }

    #[test]
    fn merged_histograms_are_the_histogram_of_all() {
        let mut all = Histogram::default();
        let mut halves = [Histogram::default(), Histogram::default()];
        for n in 0..1000_u64 {
            all.add(Duration::from_micros(n * n));
            halves[n as usize % 2].add(Duration::from_micros(n * n));
        }
        let [mut first, second] = halves;
        first.merge(&second);
        assert_eq!(first.summary(), all.summary());
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_own_middle_and_is_three_percent_wide(micros: u64) {
            let middle = value(bucket(micros));
            prop_assert_eq!(bucket(middle), bucket(micros));
            prop_assert!(middle.abs_diff(micros) <= micros / 32);
        }
    }
}
