//! Which viewer a datagram belongs to: by its remote address or TCP connection, or, while that is unknown, by the user
//! name in its STUN request (RFC 7983 for telling the protocols apart, RFC 8489 for STUN).

use super::outbox::{ConnectionId, Path, Via};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Number of a viewer within the daemon's life.
pub type ViewerId = u64;

/// Addresses and connections that one viewer may be known by: its candidates behind NATs. Beyond that, the oldest that it
/// does not use is forgotten, so that no viewer can fill the tables.
pub const MAX_PATHS: usize = 32;

/// The tables.
#[derive(Debug, Default)]
pub struct Demux {
    by_address: HashMap<SocketAddr, ViewerId>,
    by_connection: HashMap<ConnectionId, ViewerId>,
    by_ufrag: HashMap<Box<str>, ViewerId>,
    /// Of each viewer: that of the ICE session that it uses, and that of the one that it has begun.
    ufrags: HashMap<ViewerId, (Box<str>, Option<Box<str>>)>,
    paths: HashMap<ViewerId, Vec<Path>>,
}

impl Demux {
    /// Makes a viewer known by the user name fragment that its STUN requests will name.
    pub fn insert(&mut self, id: ViewerId, ufrag: &str) {
        self.by_ufrag.insert(ufrag.into(), id);
        self.ufrags.insert(id, (ufrag.into(), None));
        self.paths.insert(id, Vec::new());
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

    /// Forgets a viewer.
    pub fn remove(&mut self, id: ViewerId) {
        if let Some((current, next)) = self.ufrags.remove(&id) {
            self.by_ufrag.remove(&current);
            next.map(|next| self.by_ufrag.remove(&next));
        }
        for path in self.paths.remove(&id).into_iter().flatten() {
            self.forget(id, path);
        }
    }

    fn forget(&mut self, id: ViewerId, path: Path) {
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
        let owner = self.by_connection.remove(&connection);
        if let Some(paths) = owner.and_then(|id| self.paths.get_mut(&id)) {
            paths.retain(|path| path.connection() != Some(connection));
        }
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
        match path.via {
            Via::Udp(_) => self.by_address.get(&path.remote).copied(),
            Via::Tcp(connection) => self.owner(connection),
        }
    }

    /// Learns that a path is a viewer's. To be called once the viewer has proved it: its STUN request
    /// was answered, so its integrity was right. `used` is the path that its media takes.
    pub fn learn(&mut self, id: ViewerId, path: Path, used: Option<Path>) {
        let before = match path.via {
            Via::Udp(_) => self.by_address.insert(path.remote, id),
            Via::Tcp(connection) => self.by_connection.insert(connection, id),
        };
        if before == Some(id) {
            return;
        }
        let Some(paths) = self.paths.get_mut(&id) else {
            return;
        };
        let is_unused = |path: &Path| used.is_none_or(|used| !used.leads_as(path));
        let oldest = (paths.len() == MAX_PATHS).then(|| paths.iter().position(is_unused));
        let oldest = oldest.flatten().map(|at| paths.remove(at));
        paths.push(path);
        if let Some(oldest) = oldest {
            self.forget(id, oldest);
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

/// Whether a datagram has a DTLS record (RFC 6347, 4.1) that changes the cipher within an epoch that has one: there is one
/// handshake in a session, so nobody honest sends it. The core does not ask whether it is authentic, and ends the session
/// if it is malformed, so that whoever can forge an address could end any.
pub fn has_forged_cipher_change(mut datagram: &[u8]) -> bool {
    const CHANGE_CIPHER_SPEC: u8 = 20;
    while let Some((header, rest)) = datagram.split_at_checked(13) {
        if header[0] == CHANGE_CIPHER_SPEC && header[3..5] != [0, 0] {
            return true;
        }
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        datagram = rest.get(len..).unwrap_or_default();
    }
    false
}

/// The type of a STUN message (RFC 8489, 5).
pub const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
/// The positive answer to it.
pub const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
/// Of every STUN message (RFC 8489, 5).
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;
const USE_CANDIDATE: u16 = 0x0025;

/// The attributes of a STUN message of one type; `None` for any other datagram.
pub fn stun(datagram: &[u8], message_type: [u8; 2]) -> Option<impl Iterator<Item = (u16, &[u8])>> {
    let (header, mut rest) = datagram.split_at_checked(20)?;
    if header[..2] != message_type || header[4..8] != MAGIC_COOKIE {
        return None;
    }
    Some(std::iter::from_fn(move || {
        let (head, tail) = rest.split_at_checked(4)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = tail.get(..len)?;
        // Values are padded to four bytes; the last one's padding may be cut off.
        rest = tail.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }))
}

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

/// Whether a datagram is the positive answer to a binding request.
pub fn is_binding_success(datagram: &[u8]) -> bool {
    stun(datagram, BINDING_SUCCESS).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
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
        demux.learn(2, address(9), None);
        assert_eq!(demux.find(address(9), &[22]), Some(2));
        demux.remove(2);
        assert_eq!(demux.find(address(9), &[22]), None);
        assert_eq!(demux.find(address(9), &request("beta:x")), None);
    }

    #[test]
    fn an_address_passes_to_the_viewer_that_proves_it_last() {
        let mut demux = Demux::default();
        demux.insert(1, "alpha");
        demux.insert(2, "beta");
        demux.learn(1, address(9), None);
        assert_eq!(demux.find(address(9), &request("beta:x")), Some(2));
        demux.learn(2, address(9), None);
        demux.remove(1);
        assert_eq!(demux.find(address(9), &[22]), Some(2));
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
        demux.remove(1);
        demux.begin(1, "late");
        assert!(demux.by_ufrag.is_empty() && demux.ufrags.is_empty());
    }

    #[test]
    fn a_viewer_has_a_bounded_number_of_addresses() {
        let mut demux = Demux::default();
        demux.insert(1, "alpha");
        for n in 1..=100 {
            demux.learn(1, address(n), None);
        }
        assert_eq!(demux.by_address.len(), MAX_PATHS);
        assert_eq!(demux.find(address(100), &[22]), Some(1));
        demux.remove(1);
        assert!(demux.by_address.is_empty());
    }

    #[test]
    fn the_path_that_a_viewer_uses_is_not_forgotten_for_its_others() {
        let mut demux = Demux::default();
        demux.insert(1, "alpha");
        let used = Path::tcp(address(9).remote, 5);
        demux.learn(1, used, None);
        for n in 1..=100 {
            demux.learn(1, address(n), Some(used));
        }
        assert_eq!(demux.owner(5), Some(1));
        assert_eq!(demux.by_address.len(), MAX_PATHS - 1);
        demux.learn(1, Path::tcp(address(9).remote, 6), None);
        assert_eq!(demux.owner(5), None, "it uses another by now");
    }

    #[test]
    fn a_connection_is_its_viewers_and_has_nothing_to_do_with_the_address_of_datagrams() {
        let mut demux = Demux::default();
        demux.insert(1, "alpha");
        demux.insert(2, "beta");
        let connection = |id| Path::tcp(address(9).remote, id);
        demux.learn(1, address(9), None);
        demux.learn(2, connection(5), None);
        let found = |demux: &Demux, path| demux.find(path, &[22]);
        assert_eq!(found(&demux, address(9)), Some(1));
        assert_eq!(found(&demux, connection(5)), Some(2));
        assert_eq!(found(&demux, connection(6)), None, "another connection");
        assert_eq!(demux.owner(5), Some(2));
        demux.hung_up(5);
        assert_eq!((found(&demux, connection(5)), demux.owner(5)), (None, None));
        for n in 10..100 {
            demux.learn(2, connection(n), None);
        }
        assert_eq!(demux.by_connection.len(), MAX_PATHS);
        demux.learn(1, connection(99), None);
        demux.remove(2);
        assert_eq!(demux.by_connection.len(), 1, "it has passed to another");
        assert_eq!(found(&demux, connection(99)), Some(1));
        assert_eq!(found(&demux, address(9)), Some(1));
    }

    #[test]
    fn a_change_of_the_cipher_is_honest_before_there_is_one() {
        let record = |kind: u8, epoch: u8| {
            let header = [kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0, 0, 1];
            [&header[..], &[1]].concat()
        };
        let is_forged = |records: &[Vec<u8>]| has_forged_cipher_change(&records.concat());
        let honest = [record(22, 0), record(20, 0), record(22, 1)];
        assert!(!is_forged(&honest));
        assert!(is_forged(&[record(20, 1)]));
        assert!(is_forged(&[&honest[..], &[record(20, 1)]].concat()));
        for len in 0..14 {
            has_forged_cipher_change(&record(20, 0)[..len]);
        }
    }

    #[test]
    fn a_nomination_is_known_by_its_attribute() {
        let mut message = request("alpha:beta");
        assert!(!is_nomination(&message));
        message.extend(USE_CANDIDATE.to_be_bytes());
        message.extend([0, 0]);
        assert!(is_nomination(&message));
        assert!(!is_binding_success(&message));
        message[0] = 1;
        assert!(is_binding_success(&message) && !is_nomination(&message));
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
