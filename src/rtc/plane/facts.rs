//! What is noted of each session for the day that it fails: how far it came, and what was seen of its viewer. Shared by the
//! media thread, which writes, and HTTP, which is asked why.
//!
//! Written when a check or a piece of the handshake passes, never by media. A failed session is over soon, and its facts
//! are asked for then: they stay a while longer.

use crate::base::sync::Mutex;
pub use crate::metrics::Transport;
use crate::metrics::ViewerStats;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::plane::session_id::SessionId;
use crate::rtc::wire::dtls::HandshakeAlert;
use crate::rtc::wire::outbox::{Endpoint, Path};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// Addresses of a viewer that are told apart; checks from further ones are counted together.
const MOST_SOURCES: usize = 8;
/// Sessions remembered after their end; with one more, the one that ended first is forgotten.
const MOST_ENDED: usize = 512;
/// For so long.
const KEPT: Duration = Duration::from_secs(300);

/// Connectivity checks from one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Whose.
    pub from: Endpoint,
    /// How many came.
    pub received: u32,
    /// How many of them proved to be the session's, and were answered.
    pub answered: u32,
}

/// What is known of a session.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When it was made.
    pub begun: Instant,
    /// Where the answer says that we are.
    pub offered: Vec<Endpoint>,
    /// By the viewer's address, the first eight.
    pub checks: Vec<Checks>,
    /// Checks from further ones.
    pub other_checks: u32,
    /// When the viewer last proved to be there: by a valid check, or by its answer to a check of ours.
    pub heard: Option<Instant>,
    /// The viewer's end of the pair that it nominated last (RFC 8445, 8).
    pub nominated: Option<Endpoint>,
    /// The same of the pair that is used: the viewer answered a check of ours there.
    pub chosen: Option<Endpoint>,
    /// The alert that ended the handshake.
    pub alert: Option<HandshakeAlert>,
    /// Datagrams of DTLS that came, until there were keys.
    pub handshake_received: u32,
    /// Those that went.
    pub handshake_sent: u32,
    /// What it was sent and reported, since there are keys.
    pub media: Option<Arc<ViewerStats>>,
    /// When it ended, and why.
    pub end: Option<(Instant, EndReason)>,
}

impl Facts {
    fn checks_from(&mut self, path: &Path) -> Option<&mut Checks> {
        let from = path.endpoint();
        let known = self.checks.iter().position(|checks| checks.from == from);
        if known.is_none() && self.checks.len() < MOST_SOURCES {
            self.checks.push(Checks {
                from,
                received: 0,
                answered: 0,
            });
            return self.checks.last_mut();
        }
        self.checks.get_mut(known?)
    }

    /// Whether somebody may want to know them after the end: who came and went as people do, does not.
    fn tell_of_failure(&self) -> bool {
        let reason = self.end.map(|(_, reason)| reason);
        self.media.is_none() || !matches!(reason, Some(EndReason::Closed | EndReason::Deleted))
    }
}

/// The facts of one session, to be written and read.
#[derive(Debug, Clone)]
pub struct Record(Arc<Mutex<Facts>>);

impl Record {
    /// Of a session that begins.
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Facts {
            begun: now,
            offered: Vec::new(),
            checks: Vec::new(),
            other_checks: 0,
            heard: None,
            nominated: None,
            chosen: None,
            alert: None,
            handshake_received: 0,
            handshake_sent: 0,
            media: None,
            end: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        // Every critical section leaves the facts whole.
        self.0.lock()
    }

    /// As they are now.
    pub fn read(&self) -> Facts {
        self.lock().clone()
    }

    /// For how long neither a valid check nor an answer to one of ours has come.
    pub fn silence(&self, now: Instant) -> Duration {
        let facts = self.lock();
        now.saturating_duration_since(facts.heard.unwrap_or(facts.begun))
    }

    /// The answer was given: where it says that we are.
    pub fn offered(&self, answer: &str) {
        self.lock().offered = candidates(answer);
    }

    /// A check came.
    pub fn check(&self, path: &Path) {
        let mut facts = self.lock();
        match facts.checks_from(path) {
            Some(checks) => checks.received = checks.received.saturating_add(1),
            None => facts.other_checks = facts.other_checks.saturating_add(1),
        }
    }

    /// A check proved to be the viewer's, and was answered.
    pub fn proved(&self, now: Instant, path: &Path, nominates: bool) {
        let mut facts = self.lock();
        facts.heard = Some(now);
        if let Some(checks) = facts.checks_from(path) {
            checks.answered = checks.answered.saturating_add(1);
        }
        if nominates {
            facts.nominated = Some(path.endpoint());
        }
    }

    /// The viewer answered a check of ours.
    pub fn answered(&self, now: Instant) {
        self.lock().heard = Some(now);
    }

    /// Media and the handshake take this path.
    pub fn selected(&self, path: &Path) {
        self.lock().chosen = Some(path.endpoint());
    }

    /// An alert ended the handshake. The first counts.
    pub fn alerted(&self, alert: HandshakeAlert) {
        self.lock().alert.get_or_insert(alert);
    }

    /// So many datagrams of the handshake came and went.
    pub fn handshake(&self, received: u32, sent: u32) {
        let mut facts = self.lock();
        facts.handshake_received = facts.handshake_received.saturating_add(received);
        facts.handshake_sent = facts.handshake_sent.saturating_add(sent);
    }

    /// There are keys; from now on the figures tell.
    pub fn connected(&self, media: Arc<ViewerStats>) {
        self.lock().media = Some(media);
    }

    /// It is over. The first reason counts.
    pub fn ended(&self, now: Instant, reason: EndReason) {
        self.lock().end.get_or_insert((now, reason));
    }
}

/// The candidates in an answer of ours, each once.
fn candidates(answer: &str) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for line in answer.lines() {
        let Some(line) = line.strip_prefix("a=candidate:") else {
            continue;
        };
        // RFC 8839, 5.1: foundation, component, transport, priority, address, port.
        let words: Vec<&str> = line.split(' ').collect();
        let [_, _, transport, _, ip, port, ..] = words[..] else {
            continue;
        };
        let transport = if transport.eq_ignore_ascii_case("tcp") {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        if let (Ok(ip), Ok(port)) = (ip.parse(), port.parse()) {
            let address = SocketAddr::new(ip, port);
            let endpoint = Endpoint { transport, address };
            if !found.contains(&endpoint) {
                found.push(endpoint);
            }
        }
    }
    found
}

/// A session that ended.
struct Ended {
    session: SessionId,
    stream: String,
    record: Record,
}

/// The facts of sessions that failed, in the order of their ends.
#[derive(Default)]
pub struct Failures(VecDeque<Ended>);

impl Failures {
    /// Takes in the facts of a session that ended, if they tell of a failure.
    pub fn add(&mut self, session: SessionId, stream: String, record: Record) {
        if !record.lock().tell_of_failure() {
            return;
        }
        if self.0.len() == MOST_ENDED {
            self.0.pop_front();
        }
        self.0.push_back(Ended {
            session,
            stream,
            record,
        });
    }

    /// The stream and the facts of a session that failed a short time ago.
    pub fn find(&mut self, session: &str, now: Instant) -> Option<(String, Facts)> {
        let is_old = |ended: &Ended| {
            let end = ended.record.lock().end;
            end.is_none_or(|(at, _)| now.saturating_duration_since(at) > KEPT)
        };
        while self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
        let found = self.0.iter().find(|ended| *ended.session == *session)?;
        Some((found.stream.clone(), found.record.read()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn path(n: u16) -> Path {
        Path::udp(SocketAddr::from(([10, 0, 0, 1], n)), None)
    }

    #[test]
    fn checks_are_counted_by_address_and_of_many_addresses_together() {
        let record = Record::new(Instant::now());
        for n in [1, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 1] {
            record.check(&path(n));
        }
        let now = Instant::now();
        record.proved(now, &path(1), false);
        record.proved(now, &path(10), true);
        let facts = record.read();
        assert_eq!((facts.checks.len(), facts.other_checks), (8, 2));
        let first = facts.checks[0];
        assert_eq!((first.received, first.answered), (3, 1));
        assert_eq!((facts.chosen, facts.heard), (None, Some(now)));
        assert_eq!(facts.nominated, Some(path(10).endpoint()));
        let later = now + Duration::from_secs(9);
        record.answered(later);
        assert_eq!(record.silence(later), Duration::ZERO);
    }

    #[test]
    fn what_was_offered_is_read_from_the_answer() {
        let answer = "v=0\r\na=candidate:1 1 udp 2130706431 192.0.2.1 8080 typ host\r\n\
            a=candidate:2 1 tcp 1 2001:db8::1 8080 typ host tcptype passive\r\n\
            a=candidate:1 1 udp 2130706431 192.0.2.1 8080 typ host\r\na=candidate:x\r\n";
        let found = candidates(answer).into_iter();
        let found: Vec<_> = found
            .map(|e| format!("{} {}", e.transport, e.address))
            .collect();
        assert_eq!(found, ["UDP 192.0.2.1:8080", "TCP [2001:db8::1]:8080"]);
    }

    #[test]
    fn failed_sessions_are_remembered_for_a_time_and_the_last_of_them() {
        let start = Instant::now();
        let ended = |reason, is_connected: bool| {
            let record = Record::new(start);
            if is_connected {
                let stats = Metrics::new().rtc().viewers.add("camera", 1).stats();
                record.connected(stats);
            }
            record.ended(start, reason);
            record.ended(start + KEPT, EndReason::Deleted);
            record
        };
        let mut failures = Failures::default();
        let mut is_kept = |reason, is_connected, now| {
            let session = format!("{reason} {is_connected}");
            failures.add(
                session.as_str().into(),
                "camera".into(),
                ended(reason, is_connected),
            );
            let found = failures.find(&session, now);
            found.is_some_and(|(_, facts)| facts.end == Some((start, reason)))
        };
        assert!(is_kept(EndReason::ConnectTimeout, false, start + KEPT));
        assert!(is_kept(EndReason::Deleted, false, start) && is_kept(EndReason::Lost, true, start));
        assert!(
            !is_kept(EndReason::Deleted, true, start) && !is_kept(EndReason::Closed, true, start)
        );
        assert!(!is_kept(EndReason::ConnectTimeout, false, start + KEPT * 2));
        for n in 0..2000 {
            failures.add(
                n.to_string().as_str().into(),
                "camera".into(),
                ended(EndReason::Lost, false),
            );
        }
        assert_eq!(failures.0.len(), MOST_ENDED);
        assert!(failures.find("1999", start).is_some() && failures.find("1", start).is_none());
    }
}
