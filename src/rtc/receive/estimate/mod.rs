//! What a viewer's path carries, estimated from when its packets arrived (draft-ietf-rmcat-gcc-02).
//!
//! The filters and controllers are the core's, joined here as its `Gcc` joins them, but for three things. The received
//! rate is measured on the viewer's clock: by the arrival of feedback it comes out too high by what one feedback covers.
//! A queue that stands counts as overuse: the delay-based half sees only one that grows fast. And the
//! estimate keeps to what the received rate bears out, since what is sent does not follow it.

use super::twcc::{History, Queue, Received, ViewerClock};
use rtc::interceptor::{LossController, OveruseDetector, PacketReport, RateController};
use rtc::interceptor::{SlopeEstimator, Usage};
use rtc::rtcp::transport_feedbacks::cc_feedback_report::Ecn;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
};
use std::time::{Duration, Instant};

/// The lowest estimate, in bits per second.
const FLOOR: f64 = 50_000.0;

/// Draft, 5.5: more than this is not known of a path that carried so much.
const MOST_OF_RECEIVED: f64 = 1.5;

/// What was received is carried, and a congested path is left a little room to drain; as where the rate controller
/// backs off to.
const LEAST_OF_RECEIVED: f64 = 0.85;

/// The estimate for one viewer. Takes 9 kB.
pub struct Estimator {
    history: History,
    clock: ViewerClock,
    received: Received,
    queue: Queue,
    /// Once the received rate is known.
    control: Option<RateControl>,
    ceiling: f64,
}

impl Estimator {
    /// Knows nothing yet. `ceiling` is the most that is ever estimated, in bits per second: some times what is sent,
    /// so that an estimate that was never tested comes down soon.
    pub fn new(now: Instant, ceiling: u32) -> Self {
        Self {
            history: History::new(now),
            clock: ViewerClock::default(),
            received: Received::default(),
            queue: Queue::default(),
            control: None,
            ceiling: f64::from(ceiling).max(FLOOR),
        }
    }

    /// A packet of so many bytes on the wire leaves with this number; numbers are taken in order.
    pub fn sent(&mut self, now: Instant, transport_sequence: u16, bytes: usize) {
        self.history.add(now, transport_sequence, bytes);
    }

    /// The viewer reports. What it says of packets that were forgotten, or that it told of before, is ignored.
    pub fn feedback(&mut self, now: Instant, feedback: &TransportLayerCc) {
        self.received.follow(feedback);
        let micros = self.history.micros(now);
        let mut arrival = self.clock.micros(feedback.reference_time);
        let mut deltas = feedback.recv_deltas.iter();
        let symbols = feedback.packet_chunks.iter().flat_map(symbols);
        let (mut total, mut lost, mut late) = (0, 0, 0);
        let mut usage = self.control.as_ref().map(|c| c.detector.usage());
        for (n, symbol) in (0..feedback.packet_status_count).zip(symbols) {
            let has_arrived = symbol != SymbolTypeTcc::PacketNotReceived;
            let has_delta = has_arrived && symbol != SymbolTypeTcc::PacketReceivedWithoutDelta;
            let delta = has_delta.then(|| deltas.next()).flatten();
            arrival += delta.map_or(0, |delta| delta.delta);
            let number = feedback.base_sequence_number.wrapping_add(n);
            let Some(news) = self.history.news(micros, number, has_arrived) else {
                continue;
            };
            total += 1;
            if !has_arrived {
                lost += 1;
                continue;
            }
            late += usize::from(news.was_lost);
            self.received.add(arrival, news.size);
            if delta.is_none() {
                continue;
            }
            self.queue.add(news.departure, arrival - news.departure);
            if let Some(control) = &mut self.control {
                let departure = self.history.instant(news.departure);
                let report = report(number, news.size, departure, arrival);
                usage = control.trend(&report).or(usage);
            }
        }
        if total == 0 {
            return;
        }
        let Some(received) = self.received.rate() else {
            return;
        };
        let ceiling = self.ceiling;
        let control = self
            .control
            .get_or_insert_with(|| RateControl::new(received, ceiling));
        let usage = match usage {
            _ if self.queue.stands() => Usage::Over,
            usage => usage.unwrap_or_default(),
        };
        control.rate.update(now, usage, Some(received));
        // Those were counted as lost before.
        let lost = usize::saturating_sub(lost, late);
        control.loss.update(now, lost, total);
        control.raise(LEAST_OF_RECEIVED * received, ceiling);
    }

    /// `None` until about half a second of media was reported on.
    pub fn bits_per_second(&self) -> Option<u64> {
        let control = self.control.as_ref()?;
        let received = self.received.rate().unwrap_or_default();
        let target = control.rate.target().min(control.loss.target());
        // Draft, 5.5: the constant lets slow paths come up.
        let most = MOST_OF_RECEIVED * received + 10_000.0;
        Some(target.min(most).clamp(FLOOR, self.ceiling) as u64)
    }
}

/// A chunk's symbols, one a packet.
fn symbols(chunk: &PacketStatusChunk) -> impl Iterator<Item = SymbolTypeTcc> {
    let (len, list, all) = match chunk {
        PacketStatusChunk::RunLengthChunk(run) => {
            (run.run_length.into(), &[][..], run.packet_status_symbol)
        }
        PacketStatusChunk::StatusVectorChunk(vector) => {
            let list = &vector.symbol_list[..];
            (list.len(), list, SymbolTypeTcc::default())
        }
    };
    (0..len).map(move |n| list.get(n).copied().unwrap_or(all))
}

/// Only a few of these are used.
fn report(number: u16, size: usize, departure: Instant, arrival: i64) -> PacketReport {
    PacketReport {
        ssrc: 0,
        id: 0,
        rtp_sequence_number: 0,
        is_twcc: true,
        twcc_sequence_number: number,
        size,
        arrived: true,
        departure,
        arrival: Some(Duration::from_micros(arrival.try_into().unwrap_or(0))),
        ecn: Ecn::NotEct,
    }
}

struct RateControl {
    slope: SlopeEstimator,
    detector: OveruseDetector,
    rate: RateController,
    loss: LossController,
}

impl RateControl {
    fn new(initial: f64, ceiling: f64) -> Self {
        Self {
            slope: SlopeEstimator::new(),
            detector: OveruseDetector::new(),
            rate: RateController::new(initial, FLOOR, ceiling),
            loss: LossController::new(initial, FLOOR, ceiling),
        }
    }

    /// Begins anew with what is below `least`. The controllers expect to be obeyed: under a load that does not give way
    /// they fall on and on, and it would take them half a minute to come back.
    fn raise(&mut self, least: f64, ceiling: f64) {
        if self.rate.target() < least {
            self.rate = RateController::new(least, FLOOR, ceiling);
        }
        if self.loss.target() < least {
            self.loss = LossController::new(least, FLOOR, ceiling);
        }
    }

    /// What an arrival says of the path, if anything new.
    fn trend(&mut self, report: &PacketReport) -> Option<Usage> {
        let trend = self.slope.accumulate(report)?;
        Some(self.detector.update(trend.at, trend.estimate_ms))
    }
}

#[cfg(test)]
mod tests;
