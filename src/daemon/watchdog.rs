//! Whether the daemon does what it is for, and what is done when it does not: a camera's USB device is reset, and in the end the process
//! gives up, for systemd to start it anew. Pure: time is an argument.
//!
//! The first rung of that ladder is not here: a stream opens a source that failed or stalled again and again by itself.

use std::fmt;
use std::time::{Duration, Instant};

/// An observation of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    /// Pictures are wanted of it.
    pub is_wanted: bool,
    /// It has a camera, as far as is known: it did not fail for want of one.
    pub has_camera: bool,
    /// Pictures of its source so far.
    pub deliveries: u64,
    /// Its camera may be reset.
    pub may_reset: bool,
}

/// The actions to be taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Streams whose USB devices are to be reset, by their place.
    pub resets: Vec<usize>,
    /// The reason for which the process is to give up.
    pub fault: Option<Fault>,
}

/// A fault that another process may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// That stream, by its place, delivers nothing any more.
    Stream(usize),
    /// The media thread does not turn.
    Media,
    /// HTTP takes in no connections.
    Http,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(_) => write!(f, "no picture for {:?}", Watchdog::GIVE_UP),
            Self::Media => write!(
                f,
                "the media thread has not responded for {:?}",
                Watchdog::TURN
            ),
            Self::Http => write!(
                f,
                "the HTTP server has not responded for {:?}",
                Watchdog::TURN
            ),
        }
    }
}

/// How often the parts turned that are asked to at each look; `None` if there is nothing for one to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turns {
    /// The media thread.
    pub media: Option<u64>,
    /// The HTTP server.
    pub http: Option<u64>,
}

/// The observations so far.
#[derive(Debug, Default)]
pub struct Watchdog {
    streams: Vec<StreamWatch>,
    media: Part,
    http: Part,
}

/// A part that turns when it is asked to.
#[derive(Debug, Default)]
struct Part {
    turns: Option<u64>,
    /// The time since which it has not turned.
    still_since: Option<Instant>,
}

#[derive(Debug, Default, Clone)]
struct StreamWatch {
    deliveries: u64,
    /// The time for which it has delivered nothing that it should.
    silence: Duration,
    /// When it was last seen to be silent, with its camera there.
    silent_at: Option<Instant>,
    /// The device was reset in this silence.
    was_reset: bool,
}

impl Watchdog {
    /// After so long without a picture a device is reset. It was opened anew several times until then.
    pub const RESET: Duration = Duration::from_secs(20);
    /// After so long the process gives up.
    pub const GIVE_UP: Duration = Duration::from_secs(60);
    /// The media thread and the HTTP server are asked at each look to turn, which takes them no time.
    pub const TURN: Duration = Duration::from_secs(15);

    /// Looks at all streams, in the same order each time, and at the turns of the other parts.
    pub fn look(&mut self, now: Instant, streams: &[Sight], turns: Turns) -> Verdict {
        self.streams.resize(streams.len(), StreamWatch::default());
        let mut verdict = Verdict::default();
        for (place, (stream, sight)) in self.streams.iter_mut().zip(streams).enumerate() {
            let silence = stream.look(now, *sight);
            if sight.may_reset && !stream.was_reset && silence >= Self::RESET {
                stream.was_reset = true;
                verdict.resets.push(place);
            }
            // A stream that never came in this process would not come in the next one either, and the other streams' viewers would
            // lose theirs again and again.
            if stream.deliveries > 0 && silence >= Self::GIVE_UP {
                verdict.fault = Some(Fault::Stream(place));
            }
        }
        if self.media.stillness(now, turns.media) >= Self::TURN {
            verdict.fault = Some(Fault::Media);
        }
        if self.http.stillness(now, turns.http) >= Self::TURN {
            verdict.fault = Some(Fault::Http);
        }
        verdict
    }
}

impl Part {
    fn stillness(&mut self, now: Instant, turns: Option<u64>) -> Duration {
        if turns.is_none() || turns != self.turns {
            self.turns = turns;
            self.still_since = None;
            return Duration::ZERO;
        }
        now.saturating_duration_since(*self.still_since.get_or_insert(now))
    }
}

impl StreamWatch {
    /// Returns the time for which it has delivered nothing that it should.
    fn look(&mut self, now: Instant, sight: Sight) -> Duration {
        // A reset takes the camera away for a moment, which ends no silence. If it stays away, the silence does not grow.
        let has_camera = sight.has_camera || self.was_reset;
        if sight.deliveries != self.deliveries || !sight.is_wanted || !has_camera {
            *self = Self {
                deliveries: sight.deliveries,
                ..Self::default()
            };
            return Duration::ZERO;
        }
        if !sight.has_camera {
            self.silent_at = None;
            return Duration::ZERO;
        }
        let last = self.silent_at.replace(now).unwrap_or(now);
        self.silence += now.saturating_duration_since(last);
        self.silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: u64 = 5;
    const SIGHT: Sight = Sight {
        is_wanted: true,
        has_camera: true,
        deliveries: 0,
        may_reset: true,
    };

    /// Looks every five seconds for that long; when there was a first verdict of each kind.
    fn watch(
        seconds: u64,
        sight: impl Fn(u64) -> Sight,
        media: impl Fn(u64) -> Option<u64>,
    ) -> (Option<u64>, Option<(u64, Fault)>) {
        let start = Instant::now();
        let mut watchdog = Watchdog::default();
        let (mut reset, mut fault) = (None, None);
        for at in (0..seconds).step_by(LOOK as usize) {
            let now = start + Duration::from_secs(at);
            let turns = Turns {
                media: media(at),
                http: Some(at),
            };
            let verdict = watchdog.look(now, &[another(at), sight(at)], turns);
            if let Some(place) = verdict.resets.first() {
                assert_eq!((*place, reset), (1, None), "once in a silence");
                reset = Some(at);
            }
            if let Some(what) = verdict.fault {
                fault = fault.or(Some((at, what)));
            }
        }
        (reset, fault)
    }

    /// A stream that does well.
    fn another(at: u64) -> Sight {
        Sight {
            deliveries: 1 + at,
            ..SIGHT
        }
    }

    #[test]
    fn who_delivers_is_left_alone() {
        let delivers = |at| Sight {
            deliveries: at / 15,
            ..SIGHT
        };
        assert_eq!(watch(3600, delivers, |_| None), (None, None));
    }

    #[test]
    fn a_camera_that_falls_silent_is_reset_and_then_the_process_gives_up() {
        let falls_silent = |at: u64| Sight {
            deliveries: at.min(100),
            ..SIGHT
        };
        let (reset, fault) = watch(600, falls_silent, |_| None);
        assert_eq!(reset, Some(105 + 20));
        assert_eq!(fault, Some((105 + 60, Fault::Stream(1))));
        let stubborn = |at| Sight {
            may_reset: false,
            ..falls_silent(at)
        };
        assert_eq!(watch(600, stubborn, |_| None), (None, fault));
    }

    #[test]
    fn a_reset_that_takes_the_camera_away_for_a_moment_does_not_begin_the_silence_anew() {
        let away_until = |back| {
            move |at: u64| Sight {
                deliveries: at.min(100),
                has_camera: !(130..back).contains(&at),
                ..SIGHT
            }
        };
        // Once, says `watch`. What is gone gives no reason, nor does it give one as soon as it is back.
        for (back, at) in [(140, 180), (1000, 1040)] {
            let (reset, fault) = watch(1200, away_until(back), |_| None);
            assert_eq!(reset, Some(105 + 20));
            assert_eq!(fault, Some((at, Fault::Stream(1))));
        }
        assert_eq!(watch(3600, away_until(3600), |_| None).1, None);
        let mends = |at: u64| Sight {
            deliveries: if at < 1000 { at.min(100) } else { at },
            ..away_until(1000)(at)
        };
        assert_eq!(watch(1200, mends, |_| None), (Some(125), None));
    }

    #[test]
    fn what_is_unplugged_not_wanted_or_never_came_is_no_reason_to_give_up() {
        let silent = |at: u64| Sight {
            deliveries: at.min(100),
            ..SIGHT
        };
        let unplugged = |at| Sight {
            has_camera: at < 100,
            ..silent(at)
        };
        assert_eq!(watch(3600, unplugged, |_| None), (None, None));
        let unwanted = |at| Sight {
            is_wanted: at < 100,
            ..silent(at)
        };
        assert_eq!(watch(3600, unwanted, |_| None), (None, None));
        let (reset, fault) = watch(3600, |_| SIGHT, |_| None);
        assert_eq!((reset, fault), (Some(20), None), "but it may be reset");
    }

    #[test]
    fn a_silence_that_ends_is_forgotten() {
        let coughs = |at: u64| Sight {
            deliveries: at / 55,
            may_reset: false,
            ..SIGHT
        };
        assert_eq!(watch(3600, coughs, |_| None), (None, None));
    }

    #[test]
    fn a_part_that_has_something_to_do_must_turn() {
        let well = |at| Sight {
            deliveries: at,
            ..SIGHT
        };
        assert_eq!(watch(3600, well, Some), (None, None));
        let hangs = |at: u64| Some(at.min(50));
        assert_eq!(watch(600, well, hangs).1, Some((70, Fault::Media)));
        let start = Instant::now();
        let mut watchdog = Watchdog::default();
        let mut look = |at: u64| {
            let turns = Turns {
                media: Some(at),
                http: Some(at.min(50)),
            };
            let now = start + Duration::from_secs(at);
            watchdog.look(now, &[], turns).fault
        };
        let faults: Vec<_> = (0..=70).step_by(5).map(&mut look).collect();
        let (before, last) = faults.split_at(faults.len() - 1);
        assert!(before.iter().all(Option::is_none), "{faults:?}");
        assert_eq!(last, [Some(Fault::Http)]);
        let rests = |at: u64| (at < 50).then_some(7 * at);
        assert_eq!(watch(600, well, rests), (None, None));
    }
}
