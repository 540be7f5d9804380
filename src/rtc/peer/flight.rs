//! The last flight of the DTLS handshake that went to the viewer, to be sent again.
//!
//! The core stops its retransmission timer with every handshake message that comes, and starts it anew only when the message
//! completes the viewer's flight. So when a flight of ours is lost and the viewer repeats its own, which is how it asks for ours,
//! nobody would send anything new (RFC 6347, 4.2.4: a repeated flight is answered with the last one).

use bytes::BytesMut;
use std::time::{Duration, Instant};

/// A flight that was sent more recently may still be on its way: what comes from the viewer then is the rest of its own flight.
const PATIENCE: Duration = Duration::from_millis(400);
/// Repetitions of one flight. A viewer repeats its own with growing intervals, until it gives up after a minute or so.
const MOST: u32 = 10;

/// A flight of the server's, as its datagrams went.
#[derive(Debug, Default)]
pub struct Flight {
    datagrams: Vec<BytesMut>,
    /// When it went the last time.
    sent: Option<Instant>,
    repetitions: u32,
}

impl Flight {
    /// The core sends this flight now. It takes the place of the one before; an empty one changes nothing.
    pub fn sent(&mut self, now: Instant, datagrams: Vec<BytesMut>) {
        if !datagrams.is_empty() {
            *self = Self {
                datagrams,
                sent: Some(now),
                repetitions: 0,
            };
        }
    }

    /// The datagrams to send again when a handshake message of the viewer's has come to which the core answers nothing; none if it
    /// is too early.
    pub fn repeat(&mut self, now: Instant) -> &[BytesMut] {
        let is_due = self.sent.is_some_and(|sent| now >= sent + PATIENCE);
        if !is_due || self.repetitions == MOST {
            return &[];
        }
        self.sent = Some(now);
        self.repetitions += 1;
        &self.datagrams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_is_sent_again_when_it_has_had_its_time_and_so_often_at_the_most() {
        let start = Instant::now();
        let mut flight = Flight::default();
        assert!(flight.repeat(start).is_empty());
        flight.sent(start, vec![BytesMut::from(&b"one"[..])]);
        flight.sent(start, Vec::new());
        assert!(flight.repeat(start + PATIENCE / 2).is_empty());
        let repeated = (1..100).map(|n| flight.repeat(start + PATIENCE * n).len());
        assert_eq!(repeated.sum::<usize>(), MOST as usize);
    }
}
