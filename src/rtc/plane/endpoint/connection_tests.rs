//! The audience with viewers whose way is a TCP connection.

use super::tests::{DISTANT, SECOND, gapless, ms};
use crate::metrics::Transport;
use crate::rtc::net::tcp::{IDLE, SPARE};
use crate::rtc::sim::simulation::Simulation;
use crate::rtc::wire::outbox::Path;
use std::time::Duration;

#[test]
fn a_full_connection_costs_nobody_else_anything_and_its_viewer_goes_on_at_a_keyframe() {
    let mut network = Simulation::new(1).with_keyframes_each(5 * SECOND);
    let slow = network.join(DISTANT);
    let other = network.join(DISTANT);
    network.clients[slow].connection = Some(7);
    network.run(SECOND);
    // So short that all is still there.
    network.fill(7);
    network.run(ms(300));
    network.empty(7);
    network.run(ms(200));
    gapless(&network.clients[slow].frames);
    let client = &network.clients[slow];
    assert_eq!(client.sent_by_tcp, client.sent.len());

    let (sent, keyframes) = (client.sent.len(), network.keyframes.len());
    network.fill(7);
    network.run(3 * SECOND);
    assert_eq!(network.clients[slow].sent.len(), sent);
    network.empty(7);
    let emptied = network.now;
    network.run(4 * SECOND);
    // It is content with those that come anyhow.
    assert_eq!(network.keyframes.len(), keyframes + 1);
    gapless(&network.clients[other].frames);
    let client = &network.clients[slow];
    // Every picture that arrived could be shown.
    assert_eq!(client.frames, client.shown);
    assert_eq!(client.keyframe_requests, 0);
    let later: Vec<_> = client.frames.iter().filter(|f| f.at > emptied).collect();
    assert!(later[0].keyframe && later[0].at < emptied + 3 * SECOND);
    let (_, last) = gapless(&client.shown[client.shown.len() - 20..]);
    assert!(last + 4 > network.pictures());
}

/// A keyframe leaves in three portions.
#[test]
fn a_connection_that_is_full_within_a_keyframe_is_sent_another_and_never_the_half_of_one() {
    for portions in 1..=3 {
        let mut network = Simulation::new(1).with_keyframes_each(5 * SECOND);
        let slow = network.join(DISTANT);
        network.clients[slow].connection = Some(7);
        network.run(SECOND);
        let (keyframes, mut sent) = (network.keyframes.len(), network.clients[slow].sent.len());
        while network.keyframes.len() == keyframes {
            sent = network.clients[slow].sent.len();
            network.run(ms(1));
        }
        network.run(ms(2 * (portions - 1)));
        let of_keyframe = network.clients[slow].sent.len() - sent;
        assert_eq!(of_keyframe, [24, 48, 54][portions as usize - 1]);
        network.fill(7);
        network.run(3 * SECOND);
        network.empty(7);
        let emptied = network.now;
        network.run(4 * SECOND);
        // The client's stack asserts that each picture is whole, and asks for a keyframe if one does not follow the last.
        let client = &network.clients[slow];
        assert_eq!(client.frames, client.shown);
        assert_eq!(client.keyframe_requests, 0);
        let first = client
            .frames
            .iter()
            .find(|frame| frame.at > emptied + ms(50));
        assert!(first.is_some_and(|frame| frame.keyframe), "{first:?}");
    }
}

#[test]
fn a_connection_that_is_full_again_and_again_costs_a_keyframe_each_few_seconds() {
    let mut network = Simulation::new(1);
    let slow = network.join(DISTANT);
    let other = network.join(DISTANT);
    network.clients[slow].connection = Some(7);
    network.run(SECOND);
    for _ in 0..20 {
        network.fill(7);
        network.run(ms(900));
        network.empty(7);
        network.run(ms(100));
    }
    let keyframes = network.keyframes.len();
    assert!(
        (2..=9).contains(&keyframes),
        "{keyframes} keyframes in 21 s"
    );
    gapless(&network.clients[other].frames);
}

#[test]
fn a_viewer_goes_from_datagrams_to_a_connection_and_back_without_missing_a_picture() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(5 * SECOND);
    let by_tcp = |network: &Simulation| network.clients[client].sent_by_tcp;
    assert_eq!(by_tcp(&network), 0);
    // Its address is the same: the connection is told from the datagrams by nothing else.
    network.clients[client].connection = Some(7);
    network.run(10 * SECOND);
    let there = by_tcp(&network);
    assert!(there > 200, "{there}");
    assert_eq!(network.stats.list()[0].transport(), Transport::Tcp);
    // A further one, after which the first is gone.
    network.clients[client].connection = Some(8);
    network.run(5 * SECOND);
    network.hang_up(7);
    network.run(5 * SECOND);
    assert!(by_tcp(&network) > there + 200);
    network.clients[client].connection = None;
    network.run(10 * SECOND);
    let back = by_tcp(&network);
    network.run(5 * SECOND);
    assert_eq!(by_tcp(&network), back);
    assert_eq!(network.stats.list()[0].transport(), Transport::Udp);
    let client = &network.clients[client];
    assert!(!client.lost_ice);
    let (first, last) = gapless(&client.frames);
    assert!(
        first < 10 && last + 8 > network.pictures(),
        "{first} {last}"
    );
}

#[test]
fn a_viewer_keeps_the_connection_that_it_watches_by_however_many_ways_it_tries() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.clients[client].connection = Some(7);
    network.run(SECOND);
    let remote = network.clients[client].address();
    for n in 100..200 {
        network.check(client, Path::tcp(remote, n), &[]);
        let path = Path::udp(([10, 8, 8, 8], n as u16).into(), None);
        network.check(client, path, &[]);
    }
    let patience = [7, 199, 100].map(|connection| network.patience(connection));
    assert_eq!(patience, [IDLE, SPARE, Duration::ZERO]);
    network.run(SECOND);
    let client = &network.clients[client];
    assert_eq!(client.sent_by_tcp, client.sent.len());
    gapless(&client.frames);
}

#[test]
fn while_the_udp_socket_has_no_room_viewers_on_tcp_are_sent_every_picture() {
    let mut network = Simulation::new(1).with_keyframes_each(SECOND);
    let by_udp = network.join(DISTANT);
    let by_tcp = network.join(DISTANT);
    network.clients[by_tcp].connection = Some(7);
    network.run(SECOND);
    network.is_blocked = true;
    let (sent, since) = (network.clients[by_udp].sent.len(), network.pictures());
    // So many that keyframes, which leave in portions, are among them.
    network.run(3 * SECOND);
    assert_eq!(network.clients[by_udp].sent.len(), sent);
    let late = network.join(DISTANT);
    network.clients[late].connection = Some(8);
    network.run(SECOND);
    for client in [by_tcp, late] {
        let (_, last) = gapless(&network.clients[client].frames);
        assert!(last > since && last + 4 > network.pictures(), "{last}");
    }
    // At once, and not when it is their turn to be the first.
    let mut frames = network.clients[by_tcp].frames.windows(2);
    assert!(frames.all(|pair| pair[1].at - pair[0].at < ms(60)));
    network.is_blocked = false;
    network.run(2 * SECOND);
    for client in &network.clients {
        let (_, last) = gapless(&client.shown[client.shown.len() - 20..]);
        assert!(last + 4 > network.pictures(), "{last}");
    }
}

/// As browsers do, which connect to every candidate.
#[test]
fn a_connection_is_kept_until_its_viewer_has_chosen_another_way_and_then_for_a_moment() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    let address = network.clients[client].address();
    network.check(client, Path::tcp(address, 7), &[]);
    assert_eq!(network.patience(7), IDLE, "it may be the only way");
    network.run(SECOND);
    assert_eq!(network.patience(7), SPARE);
    network.clients[client].connection = Some(7);
    network.run(5 * SECOND);
    assert_eq!(network.patience(7), IDLE, "it has moved there");
    assert_eq!(network.patience(8), Duration::ZERO, "nobody's");
}
