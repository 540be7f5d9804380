//! What a viewer was sent, frame by frame, as `load --trace` wrote it.

use std::time::Duration;

/// Ticks of a video timestamp in a second.
const CLOCK: u64 = 90_000;

/// Frames with the time since the first one, and the lengths of their packets.
pub struct Trace {
    frames: Vec<(Duration, Vec<usize>)>,
    /// Of all of them.
    length: Duration,
}

impl Trace {
    /// Reads the text.
    ///
    /// # Errors
    /// The first line that is none of a trace; frames must come in the order of their times.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut frames: Vec<(Duration, Vec<usize>)> = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let numbers: Result<Vec<u32>, _> = line.split(' ').map(str::parse).collect();
            let numbers = numbers.map_err(|error| format!("line {}: {error}", n + 1))?;
            let [ticks, packets @ ..] = &numbers[..] else {
                continue;
            };
            let at = Duration::from_micros(u64::from(*ticks) * 1_000_000 / CLOCK);
            if frames.last().is_some_and(|(last, _)| *last >= at) {
                return Err(format!("line {}: is not after the one before", n + 1));
            }
            frames.push((at, packets.iter().map(|len| *len as usize).collect()));
        }
        let [.., (before, _), (last, _)] = &frames[..] else {
            return Err("fewer than two frames".to_owned());
        };
        let length = *last + (*last - *before);
        Ok(Self { frames, length })
    }

    /// All frames, again and again, with their times.
    pub fn frames(&self) -> impl Iterator<Item = (Duration, &[usize])> {
        let rounds = (0..).map(|round| self.length * round);
        rounds.flat_map(|start| {
            let frames = self.frames.iter();
            frames.map(move |(at, packets)| (start + *at, &packets[..]))
        })
    }

    /// Bytes of the longest frame.
    pub fn longest(&self) -> usize {
        let lengths = self.frames.iter().map(|(_, packets)| packets.iter().sum());
        lengths.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_again_at_the_same_pace() {
        let trace = Trace::read("0 40 1200\n3000 100\n9000 9\n").unwrap();
        let frames: Vec<_> = trace.frames().take(5).collect();
        let at = frames.iter().map(|(at, _)| at.as_micros());
        assert_eq!(
            at.collect::<Vec<_>>(),
            [0, 33_333, 100_000, 166_667, 200_000]
        );
        assert_eq!(frames[4].1, [100]);
        assert_eq!(trace.longest(), 1240);
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        for text in ["", "0 1", "0 1\n0 2", "0 1\nx 2"] {
            assert!(Trace::read(text).is_err(), "{text:?}");
        }
    }
}
