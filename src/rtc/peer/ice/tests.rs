//! Tests of the ICE agent of one viewer.

use super::*;
use crate::rtc::sim::fuzz::{check, with_integrity};
use crate::rtc::wire::credentials::IcePassword;
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::RingProvider;
use std::time::Duration;

const NOMINATION: &[u8] = &[0, 0x25, 0, 0];

struct Setup {
    ice: Ice,
    ours: Credentials,
    theirs: Credentials,
    provider: RingProvider,
    now: Instant,
    transactions: u64,
}

impl Setup {
    fn new() -> Self {
        let [ours, theirs] = [0; 2].map(|_| Credentials::generate());
        Self {
            ice: Ice::new(1, ours.clone(), theirs.clone()),
            ours,
            theirs,
            provider: RingProvider::new(),
            now: Instant::now(),
            transactions: 0,
        }
    }

    /// A check of the viewer's that was not made before.
    fn check(&mut self, attributes: &[u8]) -> Vec<u8> {
        self.transactions += 1;
        let mut message = check(&self.ours.ufrag, &self.theirs.ufrag, attributes);
        message[8..16].copy_from_slice(&self.transactions.to_be_bytes());
        with_integrity(&message, self.ours.password.as_str()).unwrap()
    }

    fn receive(&mut self, path: Path, datagram: &[u8]) -> Received {
        let crypto = self.provider.crypto();
        self.ice.receive(self.now, path, datagram, crypto)
    }

    /// What was sent, by path.
    fn sent(&mut self) -> Vec<(Path, BytesMut)> {
        std::iter::from_fn(|| self.ice.poll_transmit()).collect()
    }

    /// What the viewer answers to the last check that was sent.
    fn answer(&mut self, password: &IcePassword) -> Vec<u8> {
        let sent = self.sent();
        let (path, check) = sent.last().unwrap();
        let crypto = self.provider.crypto();
        let request = binding::authentic(check, &self.theirs.password, crypto).unwrap();
        let answer = binding::success(&request, path.remote, password, crypto);
        answer.unwrap().to_vec()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::iter::from_fn(|| self.ice.poll_change()).collect()
    }
}

fn udp(n: u16) -> Path {
    Path::udp(([10, 0, 0, 1], n).into(), None)
}

#[test]
fn a_path_is_selected_by_a_nomination_and_an_authentic_answer_on_it() {
    let mut setup = Setup::new();
    let nomination = setup.check(NOMINATION);
    assert_eq!(setup.receive(udp(1), &nomination), Received::Check);
    assert_eq!(setup.changes(), [Change::Heard(udp(1))]);
    let password = setup.theirs.password.clone();
    let answer = setup.answer(&password);
    assert_eq!(
        setup.receive(udp(2), &answer),
        Received::Refused,
        "another path"
    );
    assert_eq!(setup.ice.selected(), None);
    assert_eq!(setup.receive(udp(1), &answer), Received::Answer);
    let changes = [Change::Proven(udp(1)), Change::Selected(udp(1))];
    assert_eq!(setup.changes(), changes);
    assert_eq!(
        setup.receive(udp(1), &answer),
        Received::Refused,
        "once more"
    );
}

#[test]
fn an_answer_under_another_password_proves_nothing() {
    let mut setup = Setup::new();
    let nomination = setup.check(NOMINATION);
    setup.receive(udp(1), &nomination);
    let answer = setup.answer(&Credentials::new("", "a password of nobody's").password);
    assert_eq!(setup.receive(udp(1), &answer), Received::Refused);
    assert_eq!(setup.ice.selected(), None);
}

#[test]
fn a_copy_of_a_check_is_answered_and_changes_nothing() {
    let mut setup = Setup::new();
    let nomination = setup.check(NOMINATION);
    setup.receive(udp(1), &nomination);
    let password = setup.theirs.password.clone();
    let answer = setup.answer(&password);
    setup.receive(udp(1), &answer);
    setup.changes();
    for n in 2..100 {
        assert_eq!(setup.receive(udp(n), &nomination), Received::Copy);
    }
    let sent = setup.sent();
    assert_eq!(sent.len(), 98);
    assert!(
        sent.iter()
            .all(|(_, answer)| answer.len() < nomination.len())
    );
    assert_eq!(setup.changes(), []);
    assert_eq!(setup.ice.paths().count(), 1);
    // The viewer's own repetition is answered too, and is no news either.
    assert_eq!(setup.receive(udp(1), &nomination), Received::Check);
    assert_eq!((setup.sent().len(), setup.changes().len()), (1, 0));
}

#[test]
fn a_bounded_number_of_transactions_is_remembered() {
    let mut setup = Setup::new();
    let first = setup.check(&[]);
    setup.receive(udp(1), &first);
    for _ in 1..MAX_SEEN {
        let check = setup.check(&[]);
        setup.receive(udp(1), &check);
    }
    assert_eq!(setup.receive(udp(2), &first), Received::Copy);
    for _ in 0..100 {
        let check = setup.check(&[]);
        setup.receive(udp(1), &check);
    }
    assert_eq!(setup.ice.current.seen.len(), MAX_SEEN);
    assert_eq!(setup.receive(udp(2), &first), Received::Check);
}

#[test]
fn a_restarted_session_takes_over_when_a_check_in_it_is_answered() {
    let mut setup = Setup::new();
    let nomination = setup.check(NOMINATION);
    setup.receive(udp(1), &nomination);
    let password = setup.theirs.password.clone();
    let answer = setup.answer(&password);
    setup.receive(udp(1), &answer);
    let old = setup.check(&[]);

    let [ours, theirs] = [0; 2].map(|_| Credentials::generate());
    setup.ice.restart(ours.clone(), theirs.clone());
    (setup.ours, setup.theirs) = (ours, theirs);
    setup.changes();
    // On the path that is in use already.
    let nomination = setup.check(NOMINATION);
    assert_eq!(setup.receive(udp(1), &nomination), Received::Check);
    assert_eq!(setup.receive(udp(1), &old), Received::Check, "it goes on");
    assert!(!setup.changes().contains(&Change::Restarted));
    let sent = setup.sent();
    let crypto = setup.provider.crypto();
    let password = &setup.theirs.password;
    let request = sent
        .iter()
        .find_map(|(_, check)| binding::authentic(check, password, crypto).ok())
        .unwrap();
    let answer = binding::success(&request, udp(1).remote, password, crypto).unwrap();
    assert_eq!(setup.receive(udp(1), &answer), Received::Answer);
    let changes = setup.changes();
    assert_eq!(
        changes[1..],
        [Change::Restarted, Change::Selected(udp(1))],
        "{changes:?}"
    );
    assert_eq!(setup.receive(udp(1), &old), Received::Refused, "it is over");
    setup.now += Duration::from_secs(7);
    setup.ice.timeout(setup.now, setup.provider.crypto());
    assert_eq!(setup.sent().len(), 1, "consent in the new session");
}
