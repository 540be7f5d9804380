//! The meeting point of a stream and its viewers: the stream's pictures, and the viewers' wish for a keyframe.

use super::capture::picture_health::Flaws;
use super::hub::{Hub, Notify, Subscription};
use super::jpegs::Jpegs;
use crate::config::PlayoutDelay;
use crate::media::AccessUnit;
use crate::metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The parameters with which a stream is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// The encoder's target, in bits per second.
    pub bitrate: u32,
    /// The time for which viewers hold pictures back.
    pub playout_delay: PlayoutDelay,
}

/// Shared by the thread that makes the pictures and those that send them on; neither waits for the other.
pub struct Channel {
    name: String,
    hub: Hub,
    keyframe_requested: AtomicBool,
    makes_keyframes: AtomicBool,
    metrics: metrics::StreamMetrics,
    terms: Terms,
    jpegs: Jpegs,
    flaws: Arc<Flaws>,
}

impl Channel {
    /// A channel without pictures yet.
    pub fn new(name: String, terms: Terms, metrics: metrics::StreamMetrics) -> Self {
        Self {
            name,
            hub: Hub::default(),
            keyframe_requested: AtomicBool::new(false),
            makes_keyframes: AtomicBool::new(true),
            metrics,
            terms,
            jpegs: Jpegs::default(),
            flaws: Arc::default(),
        }
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters with which it is sent.
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// The part of the metrics that counts this stream.
    pub const fn metrics(&self) -> &metrics::StreamMetrics {
        &self.metrics
    }

    /// Its pictures as JPEG images.
    pub const fn jpegs(&self) -> &Jpegs {
        &self.jpegs
    }

    /// The flaws of its pictures.
    pub const fn flaws(&self) -> &Arc<Flaws> {
        &self.flaws
    }

    /// Hands an access unit to all who watch.
    pub fn publish(&self, unit: Arc<AccessUnit>) {
        self.hub.publish(unit);
    }

    /// Access units from the last keyframe on, if it is there, else from the next; `notify` is called after each.
    pub fn subscribe(&self, notify: Notify) -> Subscription {
        self.hub.subscribe(notify)
    }

    /// Says whether keyframes are made on request, or come when the camera chooses.
    pub fn set_makes_keyframes(&self, makes: bool) {
        self.makes_keyframes.store(makes, Ordering::Relaxed);
    }

    /// Whether keyframes are made when they are asked for.
    pub fn makes_keyframes(&self) -> bool {
        self.makes_keyframes.load(Ordering::Relaxed)
    }

    /// Asks for a keyframe. Requests are coalesced and rate-limited (see `policy`).
    pub fn request_keyframe(&self) {
        self.keyframe_requested.store(true, Ordering::Relaxed);
    }

    /// Whether a keyframe was asked for since the last call.
    pub fn take_keyframe_request(&self) -> bool {
        self.keyframe_requested.swap(false, Ordering::Relaxed)
    }
}
