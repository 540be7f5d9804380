//! A stream that somebody watches: its newest pictures, and who they go to.

use super::cache::{Cache, MAX_AGE, Picture};
use crate::base::log_limit::LogLimit;
use crate::media::AccessUnit;
use crate::metrics;
use crate::rtc::net::demux::ViewerId;
use crate::stream::Channel;
use crate::stream::hub::Subscription;
use std::time::Instant;

/// A flood of datagrams can cause it again and again.
static OVERLOADED: LogLimit = LogLimit::once_a_minute();

/// A watched stream.
pub struct Feed {
    subscription: Subscription,
    /// Origin of the RTP timestamps.
    epoch: Instant,
    /// What the stream counts.
    pub metrics: metrics::StreamMetrics,
    /// Who watches.
    pub viewers: Vec<ViewerId>,
    /// Pictures of the last seconds.
    pub cache: Cache,
    /// When viewers that are behind get their next portion.
    pub portion_at: Option<Instant>,
    /// Since when viewers wait for room in the UDP socket, which those on TCP do without.
    pub waits_since: Option<Instant>,
    /// Index of the viewer who was first in the last round.
    first: usize,
}

impl Feed {
    /// Subscribes; `wake` is called for every picture, on the encoder's thread.
    pub fn new(channel: &Channel, epoch: Instant, wake: impl Fn() + Send + 'static) -> Self {
        Self {
            subscription: channel.subscribe(Box::new(wake)),
            epoch,
            metrics: channel.metrics().clone(),
            viewers: Vec::new(),
            cache: Cache::default(),
            portion_at: None,
            waits_since: None,
            first: 0,
        }
    }

    /// Takes in what the encoder made since. Whether there was anything.
    pub fn take_in(&mut self, now: Instant, channel: &Channel) -> bool {
        let before = self.cache.end();
        self.cache.waits_for_keyframes = !channel.makes_keyframes();
        loop {
            match self.subscription.try_next() {
                // Left over from when the source was open before.
                Ok(Some(unit)) if is_stale(now, &unit) => {}
                Ok(Some(unit)) => self.cache.push(Picture::new(now, &unit, self.epoch)),
                Ok(None) => return self.cache.end() > before,
                Err(lagged) => {
                    if let Some(left_out) = OVERLOADED.admit(now) {
                        tracing::warn!(%lagged, left_out, "the media thread is overloaded");
                    }
                    // What comes next is one, and nobody waits longer for it than needed.
                    channel.request_keyframe();
                }
            }
        }
    }

    /// Indices of all viewers, each time beginning with another: nobody is always the last.
    pub fn round(&mut self) -> impl Iterator<Item = usize> + use<> {
        let len = self.viewers.len();
        self.first = if self.first + 1 < len {
            self.first + 1
        } else {
            0
        };
        (self.first..len).chain(0..self.first.min(len))
    }
}

fn is_stale(now: Instant, unit: &AccessUnit) -> bool {
    now.saturating_duration_since(unit.encoded_at) > MAX_AGE
}
