//! ICE with one viewer (RFC 8445): a lite agent, which answers the viewer's checks, and which besides checks each path itself
//! before media takes it.
//!
//! The core has no part in it. A viewer that restarts ICE goes on in the session before until media can take a path in the
//! new one, so a restart that gets lost costs nothing; and a viewer may move any number of times.

use crate::rtc::net::demux::{ViewerId, binding_success, is_nomination, request_ufrag};
use crate::rtc::net::paths::{Paths, Transaction};
use crate::rtc::wire::binding;
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::outbox::{ConnectionId, Path};
use bytes::BytesMut;
use rtc::crypto::RTCCrypto;
use std::collections::VecDeque;
use std::time::Instant;

/// Transactions that are remembered of an ICE session: with one more, the oldest is forgotten.
const MAX_SEEN: usize = 64;

/// Bytes of a check of ours, apart from its user name (RFC 8489, 5, 14.3, 14.5, 14.7; RFC 8445, 16.1).
const CHECK_LEN: usize = 20 + 4 + 12 + 8 + 24 + 8;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It proves nothing.
    Refused,
    /// A check of the viewer's, which was answered.
    Check,
    /// A copy of one that came by another path: it was answered, and changes nothing.
    Copy,
    /// The viewer's answer to a check of ours: it is there.
    Answer,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A check of the viewer's came by this path.
    Heard(Path),
    /// The viewer answered a check of ours on this path.
    Proven(Path),
    /// This path is not remembered any more.
    Forgotten(Path),
    /// Media takes this path from now on.
    Selected(Path),
    /// The viewer goes on in its newest ICE session.
    Restarted,
}

/// An ICE session.
struct IceSession {
    /// They are numbered as they begin.
    number: u32,
    local: Credentials,
    remote: Credentials,
    /// The last checks that were authentic, and the path by which each came first.
    seen: VecDeque<(Transaction, Path)>,
}

impl IceSession {
    const fn new(number: u32, local: Credentials, remote: Credentials) -> Self {
        Self {
            number,
            local,
            remote,
            seen: VecDeque::new(),
        }
    }

    /// The path by which a check came before; takes note of it otherwise.
    fn seen(&mut self, transaction: Transaction, path: Path) -> Option<Path> {
        let mut seen = self.seen.iter();
        if let Some((_, before)) = seen.find(|(seen, _)| *seen == transaction) {
            return Some(*before);
        }
        if self.seen.len() == MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back((transaction, path));
        None
    }

    const fn check_len(&self) -> usize {
        let name = self.local.ufrag.len() + 1 + self.remote.ufrag.len();
        CHECK_LEN + name.next_multiple_of(4)
    }
}

/// The ICE agent of one viewer.
pub struct Ice {
    current: IceSession,
    /// Begun, and without a selected path so far. The one before it goes on until there is one (RFC 8445, 9).
    next: Option<IceSession>,
    begun: u32,
    paths: Paths,
    out: VecDeque<(Path, BytesMut)>,
    changes: VecDeque<Change>,
}

impl Ice {
    /// Begins the first session.
    pub fn new(viewer: ViewerId, local: Credentials, remote: Credentials) -> Self {
        Self {
            current: IceSession::new(0, local, remote),
            next: None,
            begun: 0,
            paths: Paths::new(viewer),
            out: VecDeque::new(),
            changes: VecDeque::new(),
        }
    }

    /// Begins a further session. One that was begun before and has no selected path is forgotten.
    pub fn restart(&mut self, local: Credentials, remote: Credentials) {
        self.begun += 1;
        self.next = Some(IceSession::new(self.begun, local, remote));
    }

    /// The path that media takes.
    pub fn selected(&self) -> Option<Path> {
        self.paths.selected()
    }

    /// When media may go there no more, unless the viewer answers a check there.
    pub fn consent_ends(&self) -> Option<Instant> {
        self.paths.consent_ends()
    }

    /// All paths that are remembered.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        self.paths.all()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(Path, BytesMut)> {
        self.out.pop_front()
    }

    /// The next thing that has changed.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When [`timeout`](Self::timeout) is due.
    pub fn deadline(&self) -> Option<Instant> {
        let next = self.next.as_ref();
        let len = |number| check_len(find(&self.current, next, number));
        self.paths.deadline(len)
    }

    /// Sends the checks that are due.
    pub fn timeout(&mut self, now: Instant, crypto: &dyn RTCCrypto) {
        let (current, next) = (&self.current, self.next.as_ref());
        let len = |number| check_len(find(current, next, number));
        while let Some((path, number, transaction)) = self.paths.next_check(now, len) {
            let check = find(current, next, number).and_then(|session| {
                binding::check(transaction, &session.local, &session.remote, crypto).ok()
            });
            if let Some(check) = check {
                self.out.push_back((path, check));
            }
        }
    }

    /// Takes in a STUN message.
    pub fn receive(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        crypto: &dyn RTCCrypto,
    ) -> Received {
        let received = match (request_ufrag(datagram), binding_success(datagram)) {
            (Some(ufrag), _) => self.request(now, path, datagram, ufrag, crypto),
            (None, Some(transaction)) => self.success(now, path, datagram, transaction, crypto),
            (None, None) => Received::Refused,
        };
        if matches!(received, Received::Check | Received::Answer) {
            self.timeout(now, crypto);
        }
        received
    }

    /// Bytes came by a path that are no message of ICE.
    pub fn note_received(&mut self, path: &Path, len: usize) {
        self.paths.received(path, len);
    }

    /// Answers a check (RFC 8445, 7.3).
    fn request(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        ufrag: &str,
        crypto: &dyn RTCCrypto,
    ) -> Received {
        let next = self.next.as_mut();
        let session = match next.filter(|next| next.local.ufrag == ufrag) {
            Some(next) => next,
            None if self.current.local.ufrag == ufrag => &mut self.current,
            None => return Received::Refused,
        };
        let (local, remote) = (&session.local, &session.remote);
        let answer = binding::answer(datagram, local, remote, path.remote, crypto);
        let (Ok(answer), Some(transaction)) = (answer, transaction(datagram)) else {
            return Received::Refused;
        };
        let number = session.number;
        let before = session.seen(transaction, path);
        let len = answer.len();
        self.out.push_back((path, answer));
        match before {
            // The first to bring it may have been the copy: so neither keeps the viewer from being answered.
            Some(before) if !before.leads_as(&path) => return Received::Copy,
            Some(_) => {}
            None => {
                if let Some(forgotten) = self.paths.heard(now, path, number) {
                    self.forget(&[forgotten]);
                }
                self.changes.push_back(Change::Heard(path));
            }
        }
        self.paths.received(&path, datagram.len());
        self.paths.sent(&path, len);
        if before.is_none() && is_nomination(datagram) {
            let used = self.paths.selected();
            if self.paths.nominated(now, path, number) && used != Some(path) {
                self.note_selection();
            }
        }
        Received::Check
    }

    /// Takes in the answer to a check of ours (RFC 8445, 7.2.5).
    fn success(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        transaction: Transaction,
        crypto: &dyn RTCCrypto,
    ) -> Received {
        let Some(number) = self.paths.asked(&path, transaction) else {
            return Received::Refused;
        };
        let next = self.next.as_ref().filter(|next| next.number == number);
        let session = next.unwrap_or(&self.current);
        let password = &session.remote.password;
        if session.number != number || binding::authentic(datagram, password, crypto).is_err() {
            return Received::Refused;
        }
        self.changes.push_back(Change::Proven(path));
        if self.paths.proven(now, &path, number) {
            self.note_selection();
        }
        Received::Answer
    }

    /// Another path was selected.
    fn note_selection(&mut self) {
        let session = self.paths.selected_session();
        if let Some(next) = self.next.take_if(|next| Some(next.number) == session) {
            let forgotten = self.paths.forget_before(next.number);
            self.current = next;
            self.changes.push_back(Change::Restarted);
            self.forget(&forgotten);
        }
        self.changes
            .extend(self.paths.selected().map(Change::Selected));
    }

    fn forget(&mut self, paths: &[Path]) {
        for path in paths {
            if !self.paths.all().any(|known| known.leads_as(path)) {
                self.changes.push_back(Change::Forgotten(*path));
            }
        }
    }

    /// A connection has ended.
    pub fn hung_up(&mut self, now: Instant, connection: ConnectionId, crypto: &dyn RTCCrypto) {
        if self.paths.hung_up(now, connection) {
            self.note_selection();
        }
        self.timeout(now, crypto);
    }
}

/// The session of that number, unless it was given up.
fn find<'a>(
    current: &'a IceSession,
    next: Option<&'a IceSession>,
    number: u32,
) -> Option<&'a IceSession> {
    let mut sessions = next.into_iter().chain([current]);
    sessions.find(|session| session.number == number)
}

/// The length of a session's checks. No leave is large enough for those of one that was given up.
fn check_len(session: Option<&IceSession>) -> usize {
    session.map_or(usize::MAX, IceSession::check_len)
}

/// The transaction of a STUN message (RFC 8489, 5).
fn transaction(message: &[u8]) -> Option<Transaction> {
    message.get(8..20)?.try_into().ok()
}

#[cfg(test)]
mod tests;
