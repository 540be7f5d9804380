//! Which viewer a datagram belongs to: by its remote address or TCP connection, or, while that is unknown, by the user
//! name in its STUN request (RFC 7983 for telling the protocols apart, RFC 8489 for STUN).

use super::paths::{Transaction, owner};
use crate::rtc::wire::outbox::{ConnectionId, Path, Via};
use crate::rtc::wire::stun::{BINDING_REQUEST, BINDING_SUCCESS, stun};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Number of a viewer within the daemon's life.
pub type ViewerId = u64;

/// The tables. How many addresses and connections one viewer has in them is bounded by its
/// [`Paths`](super::paths::Paths).
#[derive(Debug, Default)]
pub struct Demux {
    by_address: HashMap<SocketAddr, ViewerId>,
    by_connection: HashMap<ConnectionId, ViewerId>,
    by_ufrag: HashMap<Box<str>, ViewerId>,
    /// Of each viewer: that of the ICE session that it uses, and that of the one that it has begun.
    ufrags: HashMap<ViewerId, (Box<str>, Option<Box<str>>)>,
}

impl Demux {
    /// Makes a viewer known by the user name fragment that its STUN requests will name.
    pub fn insert(&mut self, id: ViewerId, ufrag: &str) {
        self.by_ufrag.insert(ufrag.into(), id);
        self.ufrags.insert(id, (ufrag.into(), None));
    }

    /// Makes a viewer known by a second fragment, that of an ICE session it begins. One that it had begun before is
    /// forgotten: there are two at the most.
    pub fn begin(&mut self, id: ViewerId, ufrag: &str) {
        let Some((_, next)) = self.ufrags.get_mut(&id) else {
            return;
        };
        if let Some(given_up) = next.replace(ufrag.into()) {
            self.by_ufrag.remove(&given_up);
        }
        self.by_ufrag.insert(ufrag.into(), id);
    }

    /// The ICE session that a viewer had begun takes the place of the one before.
    pub fn take_over(&mut self, id: ViewerId) {
        if let Some((current, next)) = self.ufrags.get_mut(&id)
            && let Some(next) = next.take()
        {
            self.by_ufrag.remove(current);
            *current = next;
        }
    }

    /// Forgets a viewer, who has these paths.
    pub fn remove(&mut self, id: ViewerId, paths: impl Iterator<Item = Path>) {
        if let Some((current, next)) = self.ufrags.remove(&id) {
            self.by_ufrag.remove(&current);
            next.map(|next| self.by_ufrag.remove(&next));
        }
        for path in paths {
            self.forget(id, path);
        }
    }

    /// Forgets that a path is a viewer's.
    pub fn forget(&mut self, id: ViewerId, path: Path) {
        match path.via {
            // It may have passed to another viewer.
            Via::Udp(_) if self.by_address.get(&path.remote) == Some(&id) => {
                self.by_address.remove(&path.remote);
            }
            Via::Tcp(connection) if self.owner(connection) == Some(id) => {
                self.by_connection.remove(&connection);
            }
            Via::Udp(_) | Via::Tcp(_) => {}
        }
    }

    /// Forgets a connection that has ended.
    pub fn hung_up(&mut self, connection: ConnectionId) {
        self.by_connection.remove(&connection);
    }

    /// Whose a connection is, as far as anybody has proved it.
    pub fn owner(&self, connection: ConnectionId) -> Option<ViewerId> {
        self.by_connection.get(&connection).copied()
    }

    /// Whose datagram it is. A STUN request goes by its user name first, since an address may have
    /// passed to another viewer (a browser that reconnects, a NAT that reuses a port).
    pub fn find(&self, path: Path, datagram: &[u8]) -> Option<ViewerId> {
        if let Some(ufrag) = request_ufrag(datagram) {
            return self.by_ufrag.get(ufrag).copied();
        }
        // An answer to a check goes to the viewer that was asked: the address may be another's as well, until it is proven.
        if let Some(transaction) = binding_success(datagram) {
            let id = owner(transaction);
            return self.ufrags.contains_key(&id).then_some(id);
        }
        match path.via {
            Via::Udp(_) => self.by_address.get(&path.remote).copied(),
            Via::Tcp(connection) => self.owner(connection),
        }
    }

    /// Learns that a path is a viewer's, whose authentic check came by it. A path of another viewer stays that viewer's until
    /// this one `is_proven` to be there: anybody can send from an address that is not theirs.
    pub fn learn(&mut self, id: ViewerId, path: Path, is_proven: bool) {
        let owner = match path.via {
            Via::Udp(_) => self.by_address.entry(path.remote).or_insert(id),
            Via::Tcp(connection) => self.by_connection.entry(connection).or_insert(id),
        };
        if is_proven {
            *owner = id;
        }
    }
}

/// What a datagram is by its first byte (RFC 7983, 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Connectivity checks.
    Stun,
    /// The handshake and data channels.
    Dtls,
    /// RTP and RTCP.
    Media,
}

/// Tells the protocols apart; `None` for anything else.
pub fn kind(datagram: &[u8]) -> Option<Kind> {
    match datagram.first()? {
        0..=3 => Some(Kind::Stun),
        20..=63 => Some(Kind::Dtls),
        128..=191 => Some(Kind::Media),
        _ => None,
    }
}

const USERNAME: u16 = 0x0006;
const USE_CANDIDATE: u16 = 0x0025;

/// The receiver's fragment of a binding request's user name (RFC 8445, 7.2.2).
pub fn request_ufrag(datagram: &[u8]) -> Option<&str> {
    let mut attributes = stun(datagram, BINDING_REQUEST)?;
    let (_, name) = attributes.find(|(kind, _)| *kind == USERNAME)?;
    Some(std::str::from_utf8(name).ok()?.split_once(':')?.0)
}

/// Whether a datagram is a check that names a viewer, whole and with nothing behind it (RFC 8489, 5): what a connection
/// of a viewer's begins with.
pub fn is_check(datagram: &[u8]) -> bool {
    let announced = datagram.get(2..4).map(|len| [len[0], len[1]]);
    let len = announced.map(|len| 20 + usize::from(u16::from_be_bytes(len)));
    len == Some(datagram.len()) && request_ufrag(datagram).is_some()
}

/// Whether a datagram is a binding request that nominates its pair.
pub fn is_nomination(datagram: &[u8]) -> bool {
    stun(datagram, BINDING_REQUEST)
        .is_some_and(|mut attributes| attributes.any(|(kind, _)| kind == USE_CANDIDATE))
}

/// The transaction of a positive answer to a binding request; `None` for any other datagram.
pub fn binding_success(datagram: &[u8]) -> Option<Transaction> {
    let is_answer = stun(datagram, BINDING_SUCCESS).is_some();
    is_answer.then(|| datagram.get(8..20)?.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::wire::stun::MAGIC_COOKIE;
    use proptest::prelude::*;

    fn request(name: &str) -> Vec<u8> {
        let mut message = [&BINDING_REQUEST[..], &[0, 0], &MAGIC_COOKIE, &[7; 12]].concat();
        message.extend(USERNAME.to_be_bytes());
        message.extend((name.len() as u16).to_be_bytes());
        message.extend(name.as_bytes());
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn address(n: u16) -> Path {
        Path::udp(SocketAddr::from(([10, 0, 0, 1], n)), None)
    }

    #[test]
    fn a_request_is_found_by_its_user_name_and_the_rest_by_the_address_learned() {
        let mut demux = Demux::default();
        demux.insert(1, "alpha");
        demux.insert(2, "beta");
        assert_eq!(demux.find(address(9), &request("beta:x")), Some(2));
        assert_eq!(demux.find(address(9), &request("gamma:x")), None);
        assert_eq!(demux.find(address(9), &[22]), None, "not learned yet");
        demux.learn(2, address(9), false);
        assert_eq!(demux.find(address(9), &[22]), Some(2));
        demux.remove(2, [address(9)].into_iter());
        assert_eq!(demux.find(address(9), &[22]), None);
        assert_eq!(demux.find(address(9), &request("beta:x")), None);
    }

    #[test]
    fn an_address_passes_to_the_viewer_that_proves_it_last() {
        let mut demux = Demux::default();
        demux.insert(1, "alpha");
        demux.insert(2, "beta");
        demux.learn(1, address(9), false);
        assert_eq!(demux.find(address(9), &request("beta:x")), Some(2));
        demux.learn(2, address(9), false);
        let found = demux.find(address(9), &[22]);
        assert_eq!(found, Some(1), "a check may come from a forged address");
        demux.learn(2, address(9), true);
        demux.remove(1, [address(9)].into_iter());
        assert_eq!(demux.find(address(9), &[22]), Some(2));
    }

    #[test]
    fn an_answer_goes_to_the_viewer_that_was_asked() {
        let mut demux = Demux::default();
        for id in [1, 70_000] {
            demux.insert(id, &id.to_string());
        }
        demux.learn(1, address(9), true);
        let answer = |id: u64| {
            let transaction = [&id.to_be_bytes()[3..], &[7; 7]].concat();
            [&BINDING_SUCCESS[..], &[0, 0], &MAGIC_COOKIE, &transaction].concat()
        };
        let found = [1, 2, 70_000].map(|id| demux.find(address(9), &answer(id)));
        assert_eq!(found, [Some(1), None, Some(70_000)]);
    }

    #[test]
    fn a_viewer_that_restarts_is_known_by_the_session_it_uses_and_the_newest_one() {
        let mut demux = Demux::default();
        demux.insert(1, "first");
        let found = |demux: &Demux, name: &str| demux.find(address(9), &request(name)).is_some();
        for ufrag in ["second", "third"] {
            demux.begin(1, ufrag);
        }
        let known = ["first:x", "second:x", "third:x"].map(|name| found(&demux, name));
        assert_eq!(known, [true, false, true]);
        demux.take_over(1);
        demux.take_over(1);
        let known = ["first:x", "second:x", "third:x"].map(|name| found(&demux, name));
        assert_eq!(known, [false, false, true]);
        demux.begin(1, "fourth");
        demux.remove(1, std::iter::empty());
        demux.begin(1, "late");
        assert!(demux.by_ufrag.is_empty() && demux.ufrags.is_empty());
    }

    #[test]
    fn a_connection_is_its_viewers_and_has_nothing_to_do_with_the_address_of_datagrams() {
        let mut demux = Demux::default();
        demux.insert(1, "alpha");
        demux.insert(2, "beta");
        let connection = |id| Path::tcp(address(9).remote, id);
        demux.learn(1, address(9), true);
        demux.learn(2, connection(5), true);
        let found = |demux: &Demux, path| demux.find(path, &[22]);
        assert_eq!(found(&demux, address(9)), Some(1));
        assert_eq!(found(&demux, connection(5)), Some(2));
        assert_eq!(found(&demux, connection(6)), None, "another connection");
        assert_eq!(demux.owner(5), Some(2));
        demux.hung_up(5);
        assert_eq!((found(&demux, connection(5)), demux.owner(5)), (None, None));
        for n in [98, 99] {
            demux.learn(2, connection(n), true);
        }
        demux.forget(2, connection(98));
        assert_eq!(found(&demux, connection(98)), None);
        demux.learn(1, connection(99), true);
        demux.remove(2, [connection(99)].into_iter());
        assert_eq!(demux.by_connection.len(), 1, "it has passed to another");
        assert_eq!(found(&demux, connection(99)), Some(1));
        assert_eq!(found(&demux, address(9)), Some(1));
    }

    #[test]
    fn a_nomination_is_known_by_its_attribute() {
        let mut message = request("alpha:beta");
        assert!(!is_nomination(&message));
        message.extend(USE_CANDIDATE.to_be_bytes());
        message.extend([0, 0]);
        assert!(is_nomination(&message));
        assert_eq!(binding_success(&message), None);
        message[0] = 1;
        assert_eq!(binding_success(&message), Some([7; 12]));
        assert!(!is_nomination(&message));
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..80)) {
            let message = [&request("a:b")[..], &tail].concat();
            for len in 0..message.len() {
                request_ufrag(&message[..len]);
                is_nomination(&message[..len]);
                kind(&message[..len]);
            }
            request_ufrag(&tail);
        }
    }
}
