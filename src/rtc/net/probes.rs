//! STUN requests of our own that are under way: sent from the media port, so that what a server sees is what a NAT makes of
//! that port.

use crate::rtc::wire::outbox::{Outbox, Path};
use crate::rtc::wire::stun::BINDING_REQUEST;
use crate::rtc::wire::stun::{self, Answer, Transaction};
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::sync::mpsc::Sender;

/// Requests that wait for an answer: two for each server that may be configured. When there are more, the new one is not
/// sent; it counts as lost, and is repeated.
const MOST: usize = 32;

/// A request to be sent.
#[derive(Debug)]
pub struct Probe {
    /// The server.
    pub to: SocketAddr,
    /// Names it.
    pub transaction: Transaction,
    /// Where the answer goes. Who drops the other end has given up.
    pub answer: Sender<Answer>,
}

/// Those that are under way.
#[derive(Debug, Default)]
pub struct Probes(Vec<Probe>);

impl Probes {
    /// Sends a request, or sends it again.
    pub fn send(&mut self, probe: Probe, out: &mut impl Outbox) {
        self.0
            .retain(|other| !other.answer.is_closed() && other.transaction != probe.transaction);
        if self.0.len() == MOST {
            return;
        }
        let path = Path::udp(probe.to, None);
        let request = stun::request(probe.transaction);
        out.push(path, request.len(), |buffer| {
            buffer.extend_from_slice(&request);
            Ok::<_, Infallible>(())
        });
        self.0.push(probe);
    }

    /// Takes in a datagram, if it is the answer to one of them: of the same transaction, and from where the request went, so
    /// that nobody else can give it.
    pub fn receive(&mut self, remote: SocketAddr, datagram: &[u8]) -> bool {
        // Almost always: then it costs nothing.
        if self.0.is_empty() || datagram.starts_with(&BINDING_REQUEST) {
            return false;
        }
        let found = self.0.iter().enumerate().find_map(|(index, probe)| {
            let answer = stun::answer(datagram, probe.transaction)?;
            (probe.to == remote).then_some((index, answer))
        });
        let Some((index, answer)) = found else {
            return false;
        };
        let probe = self.0.swap_remove(index);
        // Full, it has one; closed, nobody wants it any more.
        let _ = probe.answer.try_send(answer);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{Receiver, channel};

    #[derive(Default)]
    struct SentProbes(Vec<(SocketAddr, Vec<u8>)>);

    impl Outbox for SentProbes {
        fn push<E>(
            &mut self,
            path: Path,
            _: usize,
            write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
        ) {
            let mut datagram = Vec::new();
            if write(&mut datagram).is_ok() {
                self.0.push((path.remote, datagram));
            }
        }

        fn flush(&mut self) {}

        fn is_blocked(&self) -> bool {
            false
        }
    }

    fn server(n: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], n))
    }

    fn probe(n: u8) -> (Probe, Receiver<Answer>) {
        let (answer, receiver) = channel(1);
        let to = server(3478);
        let transaction = [n; 12];
        (
            Probe {
                to,
                transaction,
                answer,
            },
            receiver,
        )
    }

    /// An answer that says 1.2.3.4:258.
    fn success(n: u8) -> Vec<u8> {
        let mut datagram = stun::request([n; 12]);
        datagram[0] = 1;
        datagram.extend([0, 0x20, 0, 8, 0, 1, 0x21 ^ 1, 0x12 ^ 2]);
        datagram.extend([0x21 ^ 1, 0x12 ^ 2, 0xa4 ^ 3, 0x42 ^ 4]);
        datagram
    }

    #[test]
    fn an_answer_is_passed_on_once() {
        let (mut probes, mut sent) = (Probes::default(), SentProbes::default());
        let (first, mut receiver) = probe(7);
        probes.send(first, &mut sent);
        assert_eq!(sent.0, [(server(3478), stun::request([7; 12]))]);
        assert!(probes.receive(server(3478), &success(7)));
        let mapped = "1.2.3.4:258".parse().unwrap();
        assert_eq!(receiver.try_recv(), Ok(Answer::Mapped(mapped)));
        assert!(!probes.receive(server(3478), &success(7)));
    }

    #[test]
    fn nobody_but_the_server_can_answer_and_nobody_what_was_not_asked() {
        let (mut probes, mut sent) = (Probes::default(), SentProbes::default());
        let (first, mut receiver) = probe(7);
        probes.send(first, &mut sent);
        assert!(!probes.receive(server(3479), &success(7)), "another port");
        let elsewhere = SocketAddr::from(([192, 0, 2, 2], 3478));
        assert!(!probes.receive(elsewhere, &success(7)), "another host");
        assert!(!probes.receive(server(3478), &success(8)), "a guess");
        assert!(!probes.receive(server(3478), &stun::request([7; 12])));
        assert!(receiver.try_recv().is_err());
        assert!(probes.receive(server(3478), &success(7)));
    }

    #[test]
    fn requests_are_bounded_and_given_up_with_those_who_asked() {
        let (mut probes, mut sent) = (Probes::default(), SentProbes::default());
        let mut receivers = Vec::new();
        for n in 0..100 {
            let (probe, receiver) = probe(n);
            probes.send(probe, &mut sent);
            receivers.push(receiver);
        }
        assert_eq!((probes.0.len(), sent.0.len()), (MOST, MOST));
        // The same once more is no other.
        let (again, receiver) = probe(3);
        probes.send(again, &mut sent);
        receivers.push(receiver);
        assert_eq!((probes.0.len(), sent.0.len()), (MOST, MOST + 1));
        receivers.clear();
        probes.send(probe(200).0, &mut sent);
        assert_eq!(probes.0.len(), 1);
    }
}
