//! What the viewer says: a line for each step and for each second, for people or as JSON for programs.

use crate::frames::Counts;
use serde_json::json;
use std::time::{Duration, Instant};

/// Prints, and remembers what a rate needs.
pub struct Report {
    json: bool,
    /// When the offer was sent: all times count from there.
    start: Instant,
    previous: Totals,
}

/// Everything counted until some moment.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    /// The moment.
    pub at: Instant,
    /// Pictures received whole.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// On the wire.
    pub wire: Counts,
}

impl Totals {
    /// Nothing yet.
    pub fn new(at: Instant) -> Self {
        Self {
            at,
            frames: 0,
            keyframes: 0,
            wire: Counts::default(),
        }
    }
}

impl Report {
    /// Begins now.
    pub fn new(json: bool) -> Self {
        let start = Instant::now();
        Self {
            json,
            start,
            previous: Totals::new(start),
        }
    }

    /// When the offer was sent.
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// A step of the session: `answered`, `connected`…
    pub fn step(&self, name: &str) {
        let ms = self.start.elapsed().as_secs_f64() * 1e3;
        if self.json {
            println!("{}", json!({ "event": name, "ms": round(ms) }));
        } else {
            println!("{name} after {ms:.1} ms");
        }
    }

    /// The rates since the last call. Nothing before the first packet.
    pub fn second(&mut self, now: Totals) {
        let before = std::mem::replace(&mut self.previous, now);
        if now.wire.packets > 0 {
            self.line("second", now.at - before.at, before, now);
        }
    }

    /// The sum of everything, with mean rates from the first packet on.
    pub fn end(&self, first_packet: Instant, now: Totals) {
        let span = now.at.saturating_duration_since(first_packet);
        self.line("end", span, Totals::new(first_packet), now);
    }

    fn line(&self, name: &str, span: Duration, before: Totals, now: Totals) {
        let rate = |count: u64| count as f64 / span.as_secs_f64().max(1e-3);
        let Totals {
            frames,
            keyframes,
            wire,
            ..
        } = now;
        let fps = rate(frames - before.frames);
        let bitrate = rate((wire.bytes - before.wire.bytes) * 8);
        let seconds = now.at.saturating_duration_since(self.start).as_secs_f64();
        if self.json {
            let line = json!({
                "event": name, "seconds": round(seconds), "frames": frames, "keyframes": keyframes, "fps": round(fps),
                "bitrate": bitrate.round() as u64, "packets": wire.packets, "lost": wire.lost,
                "reordered": wire.reordered, "skipped": wire.skipped,
            });
            println!("{line}");
            return;
        }
        println!(
            "{name} {seconds:.1}: {frames} frames ({keyframes} keyframes), {fps:.1} fps, {:.2} Mbit/s, \
             {} packets, {} lost, {} reordered, {} frames skipped",
            bitrate / 1e6,
            wire.packets,
            wire.lost,
            wire.reordered,
            wire.skipped,
        );
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
