//! The audience with viewers that move, and with others that would have their media move.

use super::tests::{DISTANT, SECOND, gapless, ms};
use crate::rtc::net::demux::is_nomination;
use crate::rtc::sim::simulation::{Faults, Simulation};
use crate::rtc::wire::outbox::Path;
use std::net::SocketAddr;

const NOMINATION: &[u8] = &[0, 0x25, 0, 0];

fn thief(n: u16) -> SocketAddr {
    ([10, 9, 9, 9], n).into()
}

/// The last check that nominates.
fn captured(network: &Simulation) -> Vec<u8> {
    let mut heard = (0..64).filter_map(|ago| network.heard(ago));
    heard.find(|datagram| is_nomination(datagram)).unwrap()
}

/// The viewer has been sent every picture, and nobody else any.
fn assert_unharmed(network: &mut Simulation, client: usize) {
    network.run(SECOND);
    let client = &network.clients[client];
    let (first, last) = gapless(&client.frames);
    assert!(
        first < 10 && last + 8 > network.pictures(),
        "{first} {last}"
    );
}

#[test]
fn a_copy_of_a_nomination_steals_nothing_and_is_sent_less_than_it_has() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(ms(500));
    let nomination = captured(&network);
    let copies = 60;
    for _ in 0..copies / 2 {
        network.inject(thief(1), &nomination);
        network.inject(thief(2), &nomination);
        network.run(ms(300));
    }
    assert_unharmed(&mut network, client);
    let strayed: usize = network.strayed.values().sum();
    assert!(strayed > 0, "it is answered");
    assert!(strayed < copies * nomination.len(), "{strayed} bytes");
}

/// A viewer that has a session can seal checks, and send them from an address that is not its own.
#[test]
fn a_nomination_from_a_forged_address_brings_it_no_media_and_three_times_its_bytes_at_the_most() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(ms(500));
    let bytes = 80;
    for n in 0..40 {
        network.check(client, Path::udp(thief(n), None), NOMINATION);
        network.run(ms(100));
    }
    for _ in 0..40 {
        network.check(client, Path::udp(thief(99), None), NOMINATION);
        network.run(ms(100));
    }
    assert_unharmed(&mut network, client);
    for (address, strayed) in &network.strayed {
        let came = if address.port() == 99 { 40 } else { 1 } * bytes;
        assert!(
            (64..=3 * came).contains(strayed),
            "{strayed} bytes to {address}"
        );
    }
    assert_eq!(network.strayed.len(), 41);
}

/// Before the viewer has connected, too: the handshake goes to nobody who only names an address.
#[test]
fn a_nomination_from_a_forged_address_does_not_divert_the_handshake() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    for n in 0..100 {
        network.check(client, Path::udp(thief(n), None), NOMINATION);
        network.run(ms(2));
    }
    assert_unharmed(&mut network, client);
    assert!(network.strayed.values().all(|bytes| *bytes <= 3 * 80));
}

#[test]
fn media_follows_a_viewer_within_a_round_trip_of_its_nomination() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(2 * SECOND);
    network.clients[client].rebind(6000);
    // Datagrams from the old port have arrived; its stack checks every few seconds.
    network.run(ms(30));
    let before = network.heard(0);
    let nomination = loop {
        network.run(ms(1));
        let last = network.heard(0);
        if last != before && is_nomination(&last.unwrap()) {
            break network.now;
        }
    };
    let sent_there = |network: &Simulation| {
        let client = &network.clients[client];
        client.sent.len() - client.sent_to_former
    };
    let before = sent_there(&network);
    network.run(ms(45));
    assert_eq!(sent_there(&network), before, "nobody has answered yet");
    // The answer, and the time of a picture.
    network.run(ms(5 + 40));
    assert!(sent_there(&network) > before);
    let away = network.clients[client].sent_to_former;
    network.run(SECOND);
    assert_eq!(network.clients[client].sent_to_former, away);
    assert!(network.now - nomination < 2 * SECOND);
}

#[test]
fn a_viewer_whose_connection_ends_is_sent_media_by_its_last_path_at_once() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(5 * SECOND);
    network.clients[client].connection = Some(7);
    network.run(10 * SECOND);
    let by_tcp = network.clients[client].sent_by_tcp;
    assert!(by_tcp > 100, "{by_tcp}");
    network.clients[client].connection = None;
    network.hang_up(7);
    let (sent, now) = (network.clients[client].sent.len(), network.now);
    network.run(ms(100));
    let client = &network.clients[client];
    assert!(client.sent.len() > sent, "nothing was sent");
    assert!(client.sent[sent] - now < ms(50));
}

/// Neither a session's name nor a copy of its checks is enough to fill the table.
#[test]
fn however_many_copies_and_forged_addresses_come_the_viewer_can_move() {
    let mut network = Simulation::new(1);
    let client = network.join(Faults::NONE);
    network.run(SECOND);
    let nomination = captured(&network);
    for n in 1..200 {
        network.inject(thief(n), &nomination);
        network.forge(client, n, NOMINATION);
        network.check(client, Path::udp(thief(1000 + n), None), NOMINATION);
    }
    network.clients[client].rebind(6000);
    network.run(6 * SECOND);
    let client = &network.clients[client];
    let last = client.shown.last().unwrap().number;
    assert!(last + 8 > network.pictures(), "{last}");
}

/// One session's holder forges the address of another viewer.
#[test]
fn a_viewer_keeps_its_address_when_another_session_claims_it() {
    let mut network = Simulation::new(1);
    let victim = network.join(DISTANT);
    let other = network.join(DISTANT);
    network.run(SECOND);
    let address = network.clients[victim].address();
    for _ in 0..300 {
        network.check(other, Path::udp(address, None), NOMINATION);
        network.run(ms(100));
    }
    assert_unharmed(&mut network, victim);
    assert!(!network.clients[victim].is_broken);
    let victim = &network.stats.list()[victim];
    assert!(victim.round_trip().is_some() && victim.loss() == Some(0.0));
}

#[test]
fn a_viewer_that_answers_no_more_is_given_up_however_often_its_checks_are_copied() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(2 * SECOND);
    let nomination = captured(&network);
    let address = network.clients[client].address();
    network.clients[client].faults.loss = 1.0;
    for _ in 0..30 {
        network.inject(address, &nomination);
        network.run(SECOND);
    }
    let ended = "fanlight_sessions_ended_total{reason=\"lost\"} 1";
    assert!(network.metrics().contains(ended));
}

/// It reports, it checks and it answers elsewhere, and yet nobody may want what goes to the path that its media takes.
#[test]
fn media_goes_nowhere_for_more_than_thirty_seconds_without_an_answer_there() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(8 * SECOND);
    let begin = network.now;
    network.clients[client].answers_no_more = true;
    network.run(22 * SECOND);
    let ended = "fanlight_sessions_ended_total{reason=\"lost\"} 1";
    assert!(!network.metrics().contains(ended), "an answer may be lost");
    network.run(10 * SECOND);
    assert!(network.metrics().contains(ended));
    let last = *network.clients[client].sent.last().unwrap();
    assert!(last - begin < 31 * SECOND, "{:?}", last - begin);

    // Answers that come again in time keep it.
    let client = network.join(DISTANT);
    network.run(8 * SECOND);
    for _ in 0..3 {
        network.clients[client].answers_no_more = true;
        network.run(20 * SECOND);
        network.clients[client].answers_no_more = false;
        network.run(2 * SECOND);
    }
    let last = *network.clients[client].sent.last().unwrap();
    assert!(network.now - last < SECOND);
}

#[test]
fn a_viewer_with_another_certificate_than_its_offer_says_leaves_a_fact_of_that() {
    let mut network = Simulation::new(1);
    network.tamper = |offer| {
        let (head, tail) = offer.split_once("a=fingerprint:sha-256 ").unwrap();
        let zeros = ["00"; 32].join(":");
        format!(
            "{head}a=fingerprint:sha-256 {zeros}{}",
            &tail[zeros.len()..]
        )
    };
    let client = network.join(DISTANT);
    network.run(5 * SECOND);
    let facts = network.facts(client).unwrap();
    let told = crate::rtc::diagnose(&facts, None, network.now);
    assert_eq!(told.finding, "dtls_failed");
    assert!(
        told.sentence.contains("does not match the fingerprint"),
        "{}",
        told.sentence
    );
    assert!(network.clients[client].frames.is_empty());
}

/// Its NAT gives it another port, and its checks carry no nomination any more.
#[test]
fn a_viewer_that_moves_without_a_nomination_has_its_media_back_within_fifteen_seconds() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(2 * SECOND);
    network.clients[client].nominates_no_more = true;
    network.clients[client].rebind(6000);
    let address = network.clients[client].address();
    for _ in 0..15 {
        network.check(client, Path::udp(address, None), &[]);
        network.run(SECOND);
    }
    let before = network.clients[client].sent_to_former;
    network.run(SECOND);
    let client = &network.clients[client];
    assert_eq!(client.sent_to_former, before);
    let last = client.shown.last().unwrap().number;
    assert!(last + 8 > network.pictures(), "{last}");
}

#[test]
fn a_session_that_gives_way_is_counted_as_such() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.give_way(client);
    let metrics = network.metrics();
    assert!(metrics.contains("fanlight_sessions_ended_total{reason=\"gave_way\"} 1"));
    assert!(metrics.contains("fanlight_sessions_active 0"));
}
