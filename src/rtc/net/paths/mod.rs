//! The paths to one viewer: which of them are proven, which the viewer nominated, and which one its media takes. Pure.
//!
//! A check of the viewer proves that the viewer made it, and not that the viewer is at the address it came from:
//! MESSAGE-INTEGRITY does not cover the source, so anybody on the way can send a copy from elsewhere, and a viewer can forge
//! its own. So a path is proven only when a check of ours was answered on it (RFC 8445, 7.2.5.3), and media takes no other.

use super::demux::ViewerId;
use crate::rtc::wire::outbox::{ConnectionId, Path};
use std::time::{Duration, Instant};

/// Paths that are remembered of one viewer: its candidates behind NATs. With one more, the unproven one that was heard
/// longest ago is forgotten, else the proven one, and never the selected one.
pub const MAX_PATHS: usize = 32;

/// How long an answer proves that the viewer is there, for a nomination that follows.
const FRESH: Duration = Duration::from_secs(5);

/// How long a path may be sent media since its last proof (RFC 7675, 5.1).
const CONSENT: Duration = Duration::from_secs(30);

/// A path that was proven within that time is sent media at once when the selected one ends: it can be asked anew before its consent
/// does.
const TAKES_OVER: Duration = Duration::from_secs(25);

/// Time between two checks of the selected path (RFC 7675, 5.1: five seconds, a fifth more or less by chance).
const CONSENT_INTERVAL: Duration = Duration::from_millis(4000);
/// The part of it that is left to chance, in 256 steps.
const CONSENT_SPREAD: Duration = Duration::from_millis(8);

/// Without an answer on the selected path for so long, two checks of it were lost: the viewer may have another address now
/// (its NAT has forgotten the old one), and media takes the path where it answers, without a nomination.
const LOST: Duration = Duration::from_secs(12);
/// Time between two checks of a path that is lost: on a bad line as many are lost as are answered, and its consent ends soon.
const LOST_INTERVAL: Duration = Duration::from_secs(1);
/// A check of the selected path is waited for as long, whatever comes: its answer may take longer than the viewer's next check.
const PENDING: Duration = Duration::from_secs(2);

/// Time to the first repetition of a check, which doubles with each.
const REPETITION: Duration = Duration::from_millis(200);
/// How often one check is sent at the most.
const MAX_SENDS: u32 = 4;
/// An unproven path is sent so many times the bytes that came by it (RFC 9000, 8.1): nobody is worth forging an address for.
const AMPLIFICATION: usize = 3;
/// Bytes that a path with consent may be sent in checks when the selected one is gone, without a word of the viewer's.
const REVIVAL: usize = 256;

/// Names one of our checks, and the answer to it: 40 bits that say whose it is, and 56 that nobody can guess.
pub type Transaction = [u8; 12];

/// The viewer that a check of ours was sent to, by the transaction that its answer names.
pub fn owner(transaction: Transaction) -> ViewerId {
    let [a, b, c, d, e, ..] = transaction;
    ViewerId::from_be_bytes([0, 0, 0, a, b, c, d, e])
}

fn transaction(owner: ViewerId) -> Transaction {
    let mut transaction: Transaction = rand::random();
    transaction[..5].copy_from_slice(&owner.to_be_bytes()[3..]);
    transaction
}

/// A check of ours that is to be sent or answered.
#[derive(Debug, Clone, Copy)]
struct Check {
    transaction: Transaction,
    sends: u32,
    /// When it was sent last.
    sent: Option<Instant>,
    /// When it is to be sent next.
    due: Instant,
}

impl Check {
    fn new(owner: ViewerId, due: Instant) -> Self {
        Self {
            transaction: transaction(owner),
            sends: 0,
            sent: None,
            due,
        }
    }
}

/// A path, in one ICE session.
#[derive(Debug, Clone)]
struct KnownPath {
    path: Path,
    session: u32,
    /// When a check of ours was last answered on it.
    proven: Option<Instant>,
    /// The place of its last nomination among all.
    nominated: Option<u64>,
    check: Option<Check>,
    /// Bytes that came and went since the last proof.
    received: usize,
    sent: usize,
}

impl KnownPath {
    fn is_proven_within(&self, now: Instant, time: Duration) -> bool {
        self.proven
            .is_some_and(|at| now.saturating_duration_since(at) <= time)
    }

    /// Whether its check, of `len` bytes, may be sent when it is due. Where bytes have to come first, they bring the time with
    /// them.
    fn may_be_asked(&self, is_selected: bool, len: impl Fn(u32) -> usize) -> bool {
        is_selected
            || self.check.is_some_and(|check| check.sends < MAX_SENDS)
                && self.sent.saturating_add(len(self.session))
                    <= self.received.saturating_mul(AMPLIFICATION)
    }

    fn is(&self, path: &Path, session: u32) -> bool {
        self.session == session && self.path.leads_as(path)
    }
}

/// The path that media takes.
#[derive(Debug, Clone, Copy)]
struct Selected {
    path: Path,
    session: u32,
    /// The place of the viewer's last nomination of it.
    nominated: u64,
}

/// The paths of one viewer.
#[derive(Debug)]
pub struct Paths {
    owner: ViewerId,
    /// The one heard last is the last.
    known: Vec<KnownPath>,
    selected: Option<Selected>,
    nominations: u64,
}

impl Paths {
    /// None yet.
    pub const fn new(owner: ViewerId) -> Self {
        Self {
            owner,
            known: Vec::new(),
            selected: None,
            nominations: 0,
        }
    }

    /// The path that media takes.
    pub fn selected(&self) -> Option<Path> {
        self.selected.map(|selected| selected.path)
    }

    /// The ICE session in which the viewer nominated it.
    pub fn selected_session(&self) -> Option<u32> {
        self.selected.map(|selected| selected.session)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Path> {
        self.known.iter().map(|known| known.path)
    }

    fn find(&mut self, path: &Path, session: u32) -> Option<&mut KnownPath> {
        self.known.iter_mut().find(|known| known.is(path, session))
    }

    fn is_selected(&self, path: &Path, session: u32) -> bool {
        self.selected
            .is_some_and(|selected| selected.session == session && selected.path.leads_as(path))
    }

    /// When media may go to the selected path no more, unless the viewer answers a check there (RFC 7675, 5.1): neither an answer
    /// elsewhere nor a report says that somebody is there who wants it. `None` if there is no such path, or if it has ended.
    pub fn consent_ends(&self) -> Option<Instant> {
        let selected = self.selected?;
        let is_it = |known: &&KnownPath| known.is(&selected.path, selected.session);
        let known = self.known.iter().find(is_it)?;
        known.proven.map(|at| at + CONSENT)
    }

    /// Whether the viewer answers no more on the selected path.
    fn is_lost(&self, now: Instant) -> bool {
        self.selected.is_some_and(|selected| {
            let is_it = |known: &&KnownPath| known.is(&selected.path, selected.session);
            let known = self.known.iter().find(is_it);
            known.is_none_or(|known| !known.is_proven_within(now, LOST))
        })
    }

    /// A check of the viewer's came that is no repetition. Returns the path that is forgotten for its path.
    pub fn heard(&mut self, now: Instant, path: Path, session: u32) -> Option<Path> {
        let is_lost = self.is_lost(now);
        let place = self.known.iter().position(|known| known.is(&path, session));
        let mut known = match place {
            Some(place) => self.known.remove(place),
            None => KnownPath {
                path,
                session,
                proven: None,
                nominated: None,
                check: None,
                received: 0,
                sent: 0,
            },
        };
        known.path = path;
        let is_asked = if self.is_selected(&path, session) {
            // It is asked anyway; an answer that is overdue is asked for at once.
            let is_pending = |at| now.saturating_duration_since(at) < PENDING;
            known
                .check
                .is_some_and(|check| check.sent.is_none_or(is_pending))
        } else {
            known
                .check
                .is_some_and(|check| check.sends < MAX_SENDS || now < check.due)
        };
        if !is_asked && (is_lost || !known.is_proven_within(now, FRESH)) {
            known.check = Some(Check::new(self.owner, now));
        }
        let forgotten = (place.is_none() && self.known.len() >= MAX_PATHS)
            .then(|| self.least())
            .flatten();
        let forgotten = forgotten.map(|place| self.known.remove(place).path);
        self.known.push(known);
        forgotten
    }

    /// The one to be forgotten first.
    fn least(&self) -> Option<usize> {
        let is_unused = |known: &KnownPath| !self.is_selected(&known.path, known.session);
        let mut unused = self.known.iter().enumerate();
        let unproven = unused.find(|(_, known)| known.proven.is_none() && is_unused(known));
        let oldest = || self.known.iter().position(is_unused);
        unproven.map(|(place, _)| place).or_else(oldest)
    }

    /// So many bytes came by a path.
    pub fn received(&mut self, path: &Path, len: usize) {
        for known in &mut self.known {
            if known.path.leads_as(path) {
                known.received = known.received.saturating_add(len);
            }
        }
    }

    /// So many bytes were sent on it, apart from checks.
    pub fn sent(&mut self, path: &Path, len: usize) {
        for known in &mut self.known {
            if known.path.leads_as(path) {
                known.sent = known.sent.saturating_add(len);
            }
        }
    }

    /// The viewer nominated a path. Returns whether media takes it from now on: it does if the viewer has just proven it.
    pub fn nominated(&mut self, now: Instant, path: Path, session: u32) -> bool {
        self.nominations += 1;
        let nominations = self.nominations;
        if self.is_selected(&path, session) {
            self.selected = Some(Selected {
                path,
                session,
                nominated: nominations,
            });
            return true;
        }
        let Some(known) = self.find(&path, session) else {
            return false;
        };
        known.nominated = Some(nominations);
        known.is_proven_within(now, FRESH) && self.select(now, path, session)
    }

    /// The ICE session whose check on this path has that transaction.
    pub fn asked(&self, path: &Path, transaction: Transaction) -> Option<u32> {
        let is_asked = |known: &&KnownPath| {
            let check = known.check.filter(|check| check.sends > 0);
            check.is_some_and(|check| check.transaction == transaction) && known.path.leads_as(path)
        };
        self.known.iter().find(is_asked).map(|known| known.session)
    }

    /// The check on this path was answered. Returns whether media takes the path from now on.
    pub fn proven(&mut self, now: Instant, path: &Path, session: u32) -> bool {
        let is_lost = self.is_lost(now)
            && self.selected_session() == Some(session)
            && !self.is_selected(path, session);
        let nominations = self.nominations + u64::from(is_lost);
        let Some(known) = self.find(path, session) else {
            return false;
        };
        known.proven = Some(now);
        (known.received, known.sent) = (0, 0);
        let path = known.path;
        known.check = None;
        if is_lost {
            known.nominated = Some(nominations);
        }
        self.nominations = nominations;
        if self.is_selected(&path, session) {
            self.consent_later(now);
            return false;
        }
        self.select(now, path, session)
    }

    /// Selects a proven path if the viewer nominated it, and none after it: neither in this ICE session nor in a later one.
    fn select(&mut self, now: Instant, path: Path, session: u32) -> bool {
        let nominated = self.find(&path, session).and_then(|known| known.nominated);
        let last = self.selected.map(|last| (last.session, last.nominated));
        let Some(nominated) = nominated.filter(|nominated| Some((session, *nominated)) > last)
        else {
            return false;
        };
        if let Some(last) = self.selected
            && let Some(known) = self.find(&last.path, last.session)
        {
            known.check = None;
        }
        self.selected = Some(Selected {
            path,
            session,
            nominated,
        });
        self.consent_later(now);
        true
    }

    /// The selected path is checked again in some seconds.
    fn consent_later(&mut self, now: Instant) {
        let mut check = Check::new(self.owner, now);
        check.due += CONSENT_INTERVAL + CONSENT_SPREAD * u32::from(check.transaction[11]);
        let Some(selected) = self.selected else {
            return;
        };
        if let Some(known) = self.find(&selected.path, selected.session) {
            known.check = Some(check);
        }
    }

    /// The next check that is due, of which there are at the most as many as paths: where it goes, its session and its
    /// transaction. `len` tells the length of a session's checks.
    pub fn next_check(
        &mut self,
        now: Instant,
        len: impl Fn(u32) -> usize,
    ) -> Option<(Path, u32, Transaction)> {
        let (selected, is_lost) = (self.selected, self.is_lost(now));
        for known in &mut self.known {
            let is_selected = selected.is_some_and(|s| known.is(&s.path, s.session));
            let may_be_asked = known.may_be_asked(is_selected, &len);
            let Some(check) = known.check.as_mut().filter(|check| check.due <= now) else {
                continue;
            };
            if !may_be_asked {
                continue;
            }
            if is_selected {
                // Each is a transaction of its own (RFC 7675, 5.1), and is waited for until the next.
                if check.sends > 0 {
                    check.transaction = transaction(self.owner);
                }
                let spread = CONSENT_SPREAD * u32::from(check.transaction[11]);
                check.due = match is_lost {
                    true => now + LOST_INTERVAL,
                    false => now + CONSENT_INTERVAL + spread,
                };
            } else {
                known.sent += len(known.session);
                check.due = now + REPETITION * (1 << check.sends);
            }
            check.sends += 1;
            check.sent = Some(now);
            return Some((known.path, known.session, check.transaction));
        }
        None
    }

    /// When [`next_check`](Self::next_check), with the same `len`, has one.
    pub fn deadline(&self, len: impl Fn(u32) -> usize) -> Option<Instant> {
        let selected = self.selected;
        let due = |known: &KnownPath| {
            let is_selected = selected.is_some_and(|s| known.is(&s.path, s.session));
            let check = known.check?;
            known.may_be_asked(is_selected, &len).then_some(check.due)
        };
        self.known.iter().filter_map(due).min()
    }

    /// Forgets the paths of ICE sessions before that one, and returns them.
    pub fn forget_before(&mut self, session: u32) -> Vec<Path> {
        let (kept, gone) = std::mem::take(&mut self.known)
            .into_iter()
            .partition(|known| known.session >= session);
        self.known = kept;
        let is_gone = |path: &Path| !self.known.iter().any(|known| known.path.leads_as(path));
        let gone: Vec<KnownPath> = gone;
        gone.into_iter()
            .map(|known| known.path)
            .filter(is_gone)
            .collect()
    }

    /// A connection has ended. If it was the selected path, media goes back to the path that was proven last, if the viewer
    /// has consented to that; else the paths that are left are checked. Returns whether another path was selected.
    pub fn hung_up(&mut self, now: Instant, connection: ConnectionId) -> bool {
        let is_it = |path: &Path| path.connection() == Some(connection);
        self.known.retain(|known| !is_it(&known.path));
        let Some(lost) = self.selected.filter(|selected| is_it(&selected.path)) else {
            return false;
        };
        let owner = self.owner;
        for known in &mut self.known {
            // Of those not nominated since, each will do.
            known.nominated = known.nominated.max(Some(lost.nominated + 1));
            if known.is_proven_within(now, CONSENT) {
                known.received += REVIVAL;
            }
            known.check = Some(Check::new(owner, now));
        }
        self.nominations = self.nominations.max(lost.nominated + 1);
        let best = self
            .known
            .iter()
            .filter(|known| {
                known.session == lost.session && known.is_proven_within(now, TAKES_OVER)
            })
            .max_by_key(|known| known.proven)
            .map(|known| known.path);
        let Some(path) = best else {
            return false;
        };
        if !self.select(now, path, lost.session) {
            return false;
        }
        // It is asked at once, not when consent is due.
        if let Some(known) = self.find(&path, lost.session) {
            known.check = Some(Check::new(owner, now));
        }
        true
    }
}

#[cfg(test)]
mod tests;
