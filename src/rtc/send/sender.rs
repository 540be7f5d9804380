//! One viewer's place in its stream: what it is sent next, and when it is sent less.
//!
//! A viewer is a cursor into the cache that all viewers of the stream share, so one that is slow holds no memory. It is
//! sent pictures in portions, or, when it can't keep up, whole pictures less: none up to the next keyframe.

use super::cache::{Cache, Picture};
use super::egress::{Egress, Sent};
use super::liveness::Silence;
use crate::rtc::receive::feedback::{Feedback, SentReports};
use crate::rtc::wire::outbox::{Outbox, Path};
use std::time::{Duration, Instant};

/// Packets in one portion. Delta pictures up to 6 Mbit/s at 30 fps are smaller; a keyframe in one burst would overflow
/// the queues of small routers.
const PORTION: usize = 24;

/// Portions that a picture has at the most, so that each is sent within half a frame interval at 30 fps.
const PORTIONS: usize = 8;

/// Time between two portions.
pub const PORTION_INTERVAL: Duration = Duration::from_millis(2);

/// Time between two sender reports (RFC 3550, 6.2, for a session of this bandwidth).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Of 256 packets, so many are lost on a path that has collapsed: it carries less than half, and no picture of it whole.
const HEAVY_LOSS: u8 = 128;

/// For how long a viewer has to report nothing else before its path is given up, and how long it then waits for a
/// keyframe that comes anyhow before it asks for one.
const TRIAL: Duration = Duration::from_secs(2);

/// The next that a viewer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// That packet of that picture.
    At { picture: u64, packet: usize },
    /// A keyframe after that picture.
    Waiting { after: Option<u64> },
}

/// What [`Delivery::advance`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Packets that were queued.
    pub packets: usize,
    /// Pictures that were sent to their end.
    pub pictures: u64,
    /// There is more for the viewer, in [`PORTION_INTERVAL`].
    pub is_behind: bool,
    /// It can't go on without a keyframe.
    pub needs_keyframe: bool,
    /// The first picture that it is sent, or the first after an interruption.
    pub begins: bool,
    /// A keyframe was sent to its end.
    pub keyframe: bool,
    /// Pictures that it won't be sent.
    pub skipped: u64,
}

/// What a sender report says (RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The wall clock at the moment of `timestamp`.
    pub ntp: u64,
    /// In the viewer's RTP clock.
    pub timestamp: u32,
    /// What was sent.
    pub sent: Sent,
}

/// A connected viewer's media.
pub struct Delivery {
    egress: Egress,
    /// Where it goes.
    pub path: Path,
    place: Place,
    silence: Silence,
    /// Before that it asks for no keyframe.
    patient_until: Instant,
    /// Since when all reports tell of [`HEAVY_LOSS`].
    lossy_since: Option<Instant>,
    next_report: Instant,
    reports: SentReports,
    round_trip: Option<Duration>,
}

impl Delivery {
    /// Begins with the next keyframe after that picture.
    pub fn new(now: Instant, egress: Egress, path: Path, after: Option<u64>) -> Self {
        Self {
            egress,
            path,
            place: Place::Waiting { after },
            silence: Silence::default(),
            patient_until: now,
            lossy_since: None,
            next_report: now,
            reports: SentReports::default(),
            round_trip: None,
        }
    }

    /// The viewer proved that it is there.
    pub fn heard(&mut self, now: Instant) {
        self.silence.heard(now);
    }

    /// Whether a keyframe would be of use to it: over a path that has just collapsed it would not arrive.
    pub fn may_ask(&self, now: Instant) -> bool {
        now >= self.patient_until
    }

    /// Takes in what the viewer says of its reception.
    pub fn reported(&mut self, now: Instant, feedback: &Feedback) {
        self.egress.arrived(now, &feedback.arrivals);
        let reception = feedback.reception.as_ref();
        let round_trip = reception.and_then(|reception| self.reports.round_trip(now, reception));
        self.round_trip = round_trip.or(self.round_trip);
        if let Some(reception) = reception {
            let is_heavy = reception.fraction_lost >= HEAVY_LOSS;
            self.lossy_since = is_heavy.then(|| self.lossy_since.unwrap_or(now));
        }
    }

    /// The time of a packet's way to the viewer and back, by its last report.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What the viewer's path carries, in bits per second, where that is known.
    pub fn estimate(&self) -> Option<u64> {
        self.egress.estimate()
    }

    /// Sends the next portion.
    pub fn advance(&mut self, now: Instant, cache: &Cache, out: &mut impl Outbox) -> Progress {
        let mut progress = Progress::default();
        if !out.has_room(self.path) {
            // A connection that is full: what comes meanwhile waits in the cache, or grows too old there.
            return progress;
        }
        if self.silence.is_long(now) {
            self.skip(cache, &mut progress);
            return progress;
        }
        if self.lossy_since.is_some_and(|since| now >= since + TRIAL) {
            self.lossy_since = None;
            self.patient_until = now + TRIAL;
            self.skip(cache, &mut progress);
        }
        loop {
            let (picture, packet) = match self.place {
                Place::At { picture, packet } => (picture, packet),
                Place::Waiting { after } => {
                    let Some(picture) = cache.start(now, after) else {
                        progress.needs_keyframe = true;
                        return progress;
                    };
                    progress.begins = true;
                    self.lossy_since = None;
                    (picture, 0)
                }
            };
            if picture == cache.end() {
                return progress;
            }
            let found = cache
                .get(picture)
                .filter(|_| cache.end() - picture <= cache.max_behind());
            let Some(found) = found else {
                self.skip(cache, &mut progress);
                if self.path.connection().is_some() {
                    // Over TCP it falls behind where others lose: a keyframe would not arrive in time either.
                    self.patient_until = now + TRIAL;
                }
                continue;
            };
            let portion = found.payloads.len().div_ceil(PORTIONS).max(PORTION);
            let Some(room) = portion.checked_sub(progress.packets).filter(|&n| n > 0) else {
                progress.is_behind = true;
                return progress;
            };
            let end = found.payloads.len().min(packet + room);
            self.egress
                .send(now, picture, found, packet..end, self.path, out);
            progress.packets += end - packet;
            let is_whole = end == found.payloads.len();
            progress.pictures += u64::from(is_whole);
            progress.keyframe |= is_whole && found.keyframe;
            self.place = Place::At {
                picture: picture + u64::from(is_whole),
                packet: if is_whole { 0 } else { end },
            };
        }
    }

    /// Leaves out what there is, up to the next keyframe.
    fn skip(&mut self, cache: &Cache, progress: &mut Progress) {
        if let Place::At { picture, packet } = self.place {
            progress.skipped += cache.end() - picture;
            // One that was not begun can be begun with.
            let after = if packet == 0 {
                picture.checked_sub(1)
            } else {
                Some(picture)
            };
            self.place = Place::Waiting { after };
        }
    }

    /// Sends lost packets again. Returns how many.
    pub fn repeat(
        &mut self,
        now: Instant,
        lost: &[u16],
        cache: &Cache,
        out: &mut impl Outbox,
    ) -> u64 {
        let Self { egress, path, .. } = self;
        let repeated = lost
            .iter()
            .filter(|number| egress.repeat(now, **number, cache, *path, out));
        repeated.count() as u64
    }

    /// What is to be reported, if that is due: about the newest picture.
    pub fn report(&mut self, now: Instant, newest: &Picture) -> Option<Report> {
        if now < self.next_report {
            return None;
        }
        self.next_report = now + REPORT_INTERVAL;
        self.reports.sent(now, newest.ntp);
        Some(Report {
            ntp: newest.ntp,
            timestamp: self.egress.timestamp(newest.timestamp),
            sent: self.egress.sent(),
        })
    }
}
