//! Loss, duplicates and reordering of one RTP stream, told by sequence numbers that wrap around.

/// How far back a packet can be told to be a duplicate or late: 15 seconds of 2.5 Mbit/s.
const WINDOW: u64 = 4096;
const WORDS: usize = (WINDOW / 64) as usize;

/// What a packet's sequence number says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one beyond a gap.
    Newer,
    /// It fills a gap.
    Late,
    /// It was here before, or is too old to know.
    Duplicate,
}

/// The sequence numbers of one source, extended to 64 bits.
#[derive(Debug, Clone)]
pub struct Sequence {
    lowest: u64,
    highest: u64,
    unique: u64,
    /// One bit for each of the last [`WINDOW`] numbers that arrived, at its remainder.
    seen: [u64; WORDS],
}

impl Sequence {
    /// Begins with the first packet.
    pub fn new(first: u16) -> Self {
        // Room below, for packets that were sent before the first one and overtaken by it.
        let first = (1 << 16) + u64::from(first);
        let mut sequence = Self {
            lowest: first,
            highest: first,
            unique: 1,
            seen: [0; WORDS],
        };
        sequence.mark(first);
        sequence
    }

    /// Takes in the next packet.
    pub fn arrived(&mut self, number: u16) -> Arrival {
        // The nearest number of those with these 16 bits (RFC 3711, 3.3.1).
        let ahead = number.wrapping_sub(self.highest as u16) as i16;
        let number = self.highest.saturating_add_signed(i64::from(ahead));
        if number > self.highest {
            let passed = (self.highest + 1..=number).take(WINDOW as usize);
            for passed in passed {
                self.clear(passed);
            }
            // A gap longer than the window: what it left out has the same remainders as what it passed.
            self.highest = number;
            self.unique += 1;
            self.mark(number);
            return Arrival::Newer;
        }
        if self.highest - number >= WINDOW || self.is_marked(number) {
            return Arrival::Duplicate;
        }
        self.lowest = self.lowest.min(number);
        self.unique += 1;
        self.mark(number);
        Arrival::Late
    }

    /// Packets that were sent, as far as the numbers tell.
    pub const fn expected(&self) -> u64 {
        self.highest - self.lowest + 1
    }

    /// Different packets that arrived.
    pub const fn unique(&self) -> u64 {
        self.unique
    }

    /// The highest number, with the count of wrap-arounds in the upper half, as receiver reports have it.
    pub const fn highest(&self) -> u32 {
        (self.highest - (1 << 16)) as u32
    }

    fn mark(&mut self, number: u64) {
        self.seen[word(number)] |= 1 << (number % 64);
    }

    fn clear(&mut self, number: u64) {
        self.seen[word(number)] &= !(1 << (number % 64));
    }

    fn is_marked(&self, number: u64) -> bool {
        self.seen[word(number)] >> (number % 64) & 1 == 1
    }
}

const fn word(number: u64) -> usize {
    (number % WINDOW / 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fed(numbers: impl IntoIterator<Item = u16>) -> (Sequence, Vec<Arrival>) {
        let mut numbers = numbers.into_iter();
        let mut sequence = Sequence::new(numbers.next().unwrap());
        let arrivals = numbers.map(|number| sequence.arrived(number)).collect();
        (sequence, arrivals)
    }

    fn lost(sequence: &Sequence) -> u64 {
        sequence.expected() - sequence.unique()
    }

    #[test]
    fn wrapping_around_is_no_loss() {
        let (sequence, arrivals) = fed((0..200_000_u32).map(|n| (n + 65_000) as u16));
        assert!(arrivals.iter().all(|arrival| *arrival == Arrival::Newer));
        assert_eq!((sequence.expected(), lost(&sequence)), (200_000, 0));
        assert_eq!(sequence.highest(), 264_999);
    }

    #[test]
    fn gaps_are_lost_until_they_are_filled() {
        use Arrival::{Duplicate, Late, Newer};
        let (sequence, arrivals) = fed([65_534, 65_535, 2, 1, 1, 3, 65_535]);
        assert_eq!(arrivals, [Newer, Newer, Late, Duplicate, Newer, Duplicate]);
        assert_eq!((sequence.expected(), lost(&sequence)), (6, 1));
    }

    #[test]
    fn what_the_first_packet_overtook_is_late() {
        let (sequence, arrivals) = fed([0, 65_535, 1]);
        assert_eq!(arrivals, [Arrival::Late, Arrival::Newer]);
        assert_eq!((sequence.expected(), lost(&sequence)), (3, 0));
    }

    #[test]
    fn a_gap_longer_than_the_window_leaves_no_marks() {
        let (mut sequence, _) = fed((0..5000).chain([20_000]));
        assert_eq!(lost(&sequence), 15_000);
        assert_eq!(sequence.arrived(19_000), Arrival::Late);
        assert_eq!(sequence.arrived(10_000), Arrival::Duplicate);
    }

    proptest! {
        #[test]
        fn every_disorder_within_the_window_is_counted_exactly(
            start: u16,
            steps in proptest::collection::vec((0_u64..300, 0_u8..4), 1..2000),
        ) {
            // Each step sends a number near the front: lost, once or twice.
            let base = 1 << 20 | u64::from(start);
            let mut sent: Vec<u64> = vec![base + 300];
            for (front, (back, copies)) in (base + 301..).zip(steps) {
                for _ in 0..copies.min(2) {
                    sent.push(front - back.min(front - base));
                }
            }
            let (sequence, arrivals) = fed(sent.iter().map(|number| *number as u16));
            let mut unique = sent.clone();
            unique.sort_unstable();
            unique.dedup();
            let duplicates = arrivals.iter().filter(|a| **a == Arrival::Duplicate).count();
            prop_assert_eq!(duplicates, sent.len() - unique.len());
            prop_assert_eq!(sequence.unique(), unique.len() as u64);
            let span = unique[unique.len() - 1] - unique[0] + 1;
            prop_assert_eq!(sequence.expected(), span);
        }
    }
}
