//! What one viewer is sent, frame by frame, for a program that sends the same.

use std::fmt::Write;

/// The lengths of one viewer's packets. It grows for as long as it is measured, by two bytes a packet.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    frames: Vec<(u32, Vec<u16>)>,
}

impl Trace {
    /// Takes in a packet that is no duplicate; frames that came in disorder are sent in order.
    pub fn packet(&mut self, timestamp: u32, len: usize) {
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        // A late packet is of one of the last few frames.
        let known = self.frames.iter_mut().rev().take(8);
        match known.into_iter().find(|(at, _)| *at == timestamp) {
            Some((_, packets)) => packets.push(len),
            None => self.frames.push((timestamp, vec![len])),
        }
    }

    /// A line a frame: ticks since the first one, then lengths.
    pub fn write(&self) -> String {
        let mut text = String::new();
        let first = self.frames.first().map_or(0, |(timestamp, _)| *timestamp);
        for (timestamp, packets) in &self.frames {
            // Writing to a `String` can't fail.
            let _ = write!(text, "{}", timestamp.wrapping_sub(first));
            for len in packets {
                let _ = write!(text, " {len}");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_stand_with_their_frame() {
        let mut trace = Trace::default();
        let start = u32::MAX - 1000;
        for (ticks, len) in [(0, 40), (0, 1200), (3000, 1200), (0, 1201), (3000, 7)] {
            trace.packet(start.wrapping_add(ticks), len);
        }
        assert_eq!(trace.write(), "0 40 1200 1201\n3000 1200 7\n");
    }
}
