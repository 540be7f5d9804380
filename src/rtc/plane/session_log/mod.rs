//! What the log says of a session: who connected from where, why each ended, and what was tried for those that never connected.

use super::diagnosis::{self, diagnose};
use super::facts::Facts;
use crate::base::log_limit::LogLimit;
use crate::base::rounded::Rounded;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::wire::outbox::Endpoint;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A viewer that leaves sooner closed a page, and did not wait for a picture in vain.
const PATIENCE: Duration = Duration::from_secs(2);

/// Anybody who may watch can begin sessions and leave them.
static NEVER_CONNECTED: LogLimit = LogLimit::new(10, Duration::from_secs(10));
static GAVE_WAY: LogLimit = LogLimit::new(1, Duration::from_secs(1));
static CONNECTED: LogLimit = LogLimit::new(100, Duration::from_secs(10));
static LEFT: LogLimit = LogLimit::new(100, Duration::from_secs(10));

/// The keys are there.
pub fn connected(
    span: &tracing::Span,
    client: IpAddr,
    over: Endpoint,
    age: Duration,
    now: Instant,
) {
    if let Some(left_out) = admit(&CONNECTED, now) {
        tracing::info!(
            parent: span,
            %client,
            %over,
            after = %Rounded(age),
            left_out,
            "connected"
        );
    }
}

/// Whether such a line of information may be logged: the number of those that were left out, if there are any.
fn admit(limit: &LogLimit, now: Instant) -> Option<Option<u64>> {
    // A line that the level hides takes no place.
    let left_out = tracing::enabled!(tracing::Level::INFO)
        .then(|| limit.admit(now))
        .flatten()?;
    Some((left_out > 0).then_some(left_out))
}

/// A session is over.
pub fn ended(span: &tracing::Span, client: IpAddr, facts: &Facts, reason: EndReason, now: Instant) {
    let age = now.saturating_duration_since(facts.begun);
    let after = Rounded(age);
    if reason == EndReason::Panic {
        tracing::error!(parent: span, %after, "the WebRTC core panicked, and this session has ended");
    } else if facts.media.is_some() {
        if let Some(left_out) = admit(&LEFT, now) {
            let words = diagnosis::reason_in_words(reason);
            tracing::info!(parent: span, %after, left_out, "left: {words}");
        }
    } else if reason == EndReason::GaveWay {
        if let Some(more) = GAVE_WAY.admit(now) {
            tracing::warn!(
                sessions = more + 1,
                "sessions without a connectivity check gave way to new ones: joining is at its limit (limits.setups)"
            );
        }
    } else if reason == EndReason::Shutdown || reason == EndReason::Deleted && age < PATIENCE {
        tracing::debug!(parent: span, %reason, %after, "left before it connected");
    } else if let Some(left_out) = NEVER_CONNECTED.admit(now) {
        let offered = diagnosis::names(&facts.offered);
        let checks = checks(facts);
        let why = why(facts, now);
        tracing::warn!(parent: span, %client, %after, offered, checks, left_out, "never connected: {why}");
    }
}

/// What an operator can do about it, or what was seen.
fn why(facts: &Facts, now: Instant) -> String {
    if !facts.checks.is_empty() {
        return diagnose(facts, None, now).sentence;
    }
    match &*diagnosis::ports(&facts.offered) {
        "" => "there was no address to offer".to_owned(),
        ports => format!("can it reach {ports}?"),
    }
}

/// `3 from UDP 192.0.2.7:5000 (2 answered), 1 from other addresses`.
fn checks(facts: &Facts) -> String {
    let mut parts: Vec<_> = facts
        .checks
        .iter()
        .map(|c| format!("{} from {} ({} answered)", c.received, c.from, c.answered))
        .collect();
    if facts.other_checks > 0 {
        parts.push(format!("{} from other addresses", facts.other_checks));
    }
    if parts.is_empty() {
        return "none".to_owned();
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests;
