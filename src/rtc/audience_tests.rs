//! The audience on bad networks, with viewers of an independent stack.

use crate::metrics::Transport;
use crate::rtc::simulation::{Client, Faults, Frame, Simulation};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Numbers of the first and the last picture, between which none is missing or out of order.
fn gapless(frames: &[Frame]) -> (u32, u32) {
    for pair in frames.windows(2) {
        assert_eq!(pair[0].number + 1, pair[1].number);
    }
    (frames[0].number, frames[frames.len() - 1].number)
}

/// Time from joining to the first picture.
fn wait(client: &Client) -> Duration {
    client.shown.first().unwrap().at - client.joined
}

/// A round trip of 50 ms.
const DISTANT: Faults = Faults {
    delay: ms(25),
    ..Faults::NONE
};

#[test]
fn with_5_percent_lost_every_picture_arrives_whole_by_retransmission() {
    for seed in 0..3 {
        let mut network = Simulation::new(seed);
        let client = network.join(DISTANT);
        network.run(SECOND);
        network.clients[client].faults = Faults {
            loss: 0.05,
            jitter: ms(5),
            duplicates: 0.02,
            ..DISTANT
        };
        network.run(20 * SECOND);
        network.clients[client].faults = DISTANT;
        network.run(SECOND);
        let client = &network.clients[client];
        let (first, last) = gapless(&client.frames);
        assert!(
            first < 10 && last + 8 > network.pictures(),
            "{first} {last}"
        );
        assert_eq!(client.keyframe_requests, 0);
    }
}

#[test]
fn after_20_percent_were_lost_a_keyframe_mends_the_picture_within_a_second() {
    for seed in 0..3 {
        let mut network = Simulation::new(seed);
        let client = network.join(DISTANT);
        network.run(SECOND);
        network.clients[client].faults.loss = 0.2;
        network.run(10 * SECOND);
        network.clients[client].faults.loss = 0.0;
        network.run(SECOND);
        let mended = network.clients[client].shown.len();
        network.run(2 * SECOND);
        let client = &network.clients[client];
        let (_, last) = gapless(&client.shown[mended - 1..]);
        assert!(last + 4 > network.pictures(), "{last}");
    }
}

#[test]
fn a_bad_link_hurts_only_its_own_viewer() {
    let mut network = Simulation::new(1);
    let good = network.join(DISTANT);
    let bad = network.join(DISTANT);
    network.run(SECOND);
    network.clients[bad].faults.loss = 0.5;
    network.run(10 * SECOND);
    let client = &network.clients[good];
    let (_, last) = gapless(&client.frames);
    assert!(last + 4 > network.pictures());
    // It asks again and again, but each keyframe costs the others quality.
    let keyframes = network.keyframes.len();
    assert!(keyframes <= 15, "{keyframes} keyframes");
}

#[test]
fn a_viewer_who_joins_later_begins_at_a_recent_keyframe_or_is_made_one() {
    let mut network = Simulation::new(1);
    let first = network.join(Faults::NONE);
    network.run(ms(200));
    // Its keyframe is a few pictures old when the second is there.
    let second = network.join(Faults::NONE);
    network.run(SECOND);
    assert_eq!(network.keyframes.len(), 1);
    // Too old by now.
    let third = network.join(Faults::NONE);
    network.run(SECOND);
    assert_eq!(network.keyframes.len(), 2);
    for client in [first, second, third] {
        let client = &network.clients[client];
        // Four round trips of 20 ms for the handshakes, two frame intervals, a way of 10 ms.
        assert!(wait(client) < ms(180), "{:?}", wait(client));
        let (_, last) = gapless(&client.frames);
        assert!(last + 3 > network.pictures());
    }
}

#[test]
fn a_crowd_that_joins_within_a_second_costs_three_keyframes() {
    let mut network = Simulation::new(1);
    network.join(Faults::NONE);
    network.run(2 * SECOND);
    let before = network.keyframes.len();
    for _ in 0..100 {
        network.join(Faults::NONE);
        network.run(ms(10));
    }
    network.run(SECOND);
    let keyframes = network.keyframes.len() - before;
    assert!(keyframes <= 3, "{keyframes} keyframes");
    for client in &network.clients {
        assert!(wait(client) < ms(250), "{:?}", wait(client));
    }
}

#[test]
fn keyframes_leave_in_portions() {
    let mut network = Simulation::new(1);
    let first = network.join(Faults::NONE);
    network.run(ms(250));
    let second = network.join(Faults::NONE);
    network.run(SECOND);
    for client in [first, second] {
        let sent = &network.clients[client].sent;
        // A portion may be followed by the next picture's in the same millisecond.
        let most = sent.chunk_by(|a, b| a == b).map(<[_]>::len).max();
        assert!(most.unwrap() <= 24, "{most:?} packets at once");
    }
    let keyframe = &network.clients[first].sent[..50];
    let time = keyframe[49] - keyframe[0];
    assert!((ms(3)..ms(17)).contains(&time), "{time:?}");
}

#[test]
fn without_room_in_the_socket_whole_pictures_are_left_out_up_to_a_keyframe() {
    let mut network = Simulation::new(1);
    network.join(Faults::NONE);
    network.join(DISTANT);
    network.run(SECOND);
    // So short that nothing is lost.
    network.is_blocked = true;
    network.run(ms(300));
    network.is_blocked = false;
    network.run(SECOND);
    for client in &network.clients {
        gapless(&client.frames);
    }
    network.is_blocked = true;
    network.run(SECOND);
    network.is_blocked = false;
    let (unblocked, pictures) = (network.now, network.pictures());
    network.run(SECOND);
    for client in &network.clients {
        let mut later = client.frames.iter().filter(|f| f.at > unblocked + ms(30));
        assert!(
            later.all(|frame| frame.number + 20 >= pictures),
            "what is old is not sent"
        );
        let (_, last) = gapless(&client.shown[client.shown.len() - 20..]);
        assert!(last + 4 > network.pictures());
        // Every picture that arrived could be shown: none came without those that it builds on.
        assert_eq!(client.frames, client.shown);
        assert_eq!(client.keyframe_requests, 0);
    }
}

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
fn a_viewer_who_is_not_heard_is_sent_nothing_until_it_is_back() {
    let mut network = Simulation::new(1);
    let away = network.join(DISTANT);
    let other = network.join(DISTANT);
    network.run(5 * SECOND);
    network.clients[away].faults.loss = 1.0;
    network.run(8 * SECOND);
    let sent = network.clients[away].sent.len();
    network.run(2 * SECOND);
    assert_eq!(network.clients[away].sent.len(), sent);
    network.clients[away].faults.loss = 0.0;
    network.run(8 * SECOND);
    let client = &network.clients[away];
    let (_, last) = gapless(&client.shown[client.shown.len() - 20..]);
    assert!(last + 4 > network.pictures());
    gapless(&network.clients[other].frames);
}

/// draft-ietf-wish-whep-03, 4.4.3.
#[test]
fn a_restart_that_its_viewer_never_hears_of_costs_nothing() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    network.run(SECOND);
    for _ in 0..6 {
        network.restart_in_vain(client);
        network.run(10 * SECOND);
    }
    let client = &network.clients[client];
    assert!(!client.lost_ice, "its checks were not answered");
    let (first, last) = gapless(&client.frames);
    assert!(
        first < 10 && last + 8 > network.pictures(),
        "{first} {last}"
    );
}

#[test]
fn one_more_viewer_and_packet_cost_no_allocation() {
    let allocations = |viewers| {
        let mut network = Simulation::new(1);
        (0..viewers).for_each(|_| {
            network.join(Faults::NONE);
        });
        network.run(3 * SECOND);
        let counts = (0..20).map(|_| network.allocations_of_a_picture());
        counts.sum::<u64>()
    };
    // What remains is done once for all: packetizing.
    assert_eq!(allocations(20), allocations(1));
}

#[test]
fn a_path_that_carries_next_to_nothing_is_sent_less_and_tried_again() {
    let mut network = Simulation::new(1)
        .with_pictures_of(10_300)
        .with_keyframes_each(4 * SECOND);
    let narrow = network.join(DISTANT);
    let other = network.join(DISTANT);
    network.run(5 * SECOND);
    network.clients[narrow].faults.rate = Some(200_000);
    network.run(10 * SECOND);
    let sent = |network: &Simulation, index: usize| network.clients[index].sent.len();
    let before = [narrow, other].map(|index| sent(&network, index));
    network.run(20 * SECOND);
    let [narrow_sent, other_sent] = [narrow, other].map(|i| sent(&network, i) - before[i]);
    // With what is sent again; without this rule, half as much again would be sent again.
    assert!(
        4 * narrow_sent < 5 * other_sent,
        "{narrow_sent} {other_sent}"
    );
    let keyframes = network.keyframes.len();
    assert!(keyframes <= 25, "{keyframes} keyframes in 35 s");
    network.clients[narrow].faults.rate = None;
    network.run(10 * SECOND);
    let shown = &network.clients[narrow].shown;
    let (_, last) = gapless(&shown[shown.len() - 60..]);
    assert!(last + 4 > network.pictures());
    gapless(&network.clients[other].frames);
}

#[test]
fn what_is_known_of_each_viewer_is_shown() {
    let mut network = Simulation::new(1);
    let good = network.join(DISTANT);
    let bad = network.join(DISTANT);
    network.run(SECOND);
    network.clients[bad].faults.loss = 0.1;
    network.run(10 * SECOND);
    let stats = network.stats.list();
    assert_eq!(stats.len(), 2);
    for (index, stats) in [good, bad].into_iter().zip(&stats) {
        assert_eq!(stats.id(), index as u64);
        let sent = network.clients[index].sent.len() as u64;
        assert_eq!(stats.packets.get(), sent);
        let round_trip = stats.round_trip().unwrap();
        assert!((ms(45)..ms(60)).contains(&round_trip), "{round_trip:?}");
    }
    let [good, bad] = &stats[..] else {
        unreachable!("two viewers");
    };
    // A path without a bottleneck carries more than it is sent: four packets of 1.2 kB a picture.
    assert!(good.estimate().unwrap() > 1_000_000);
    assert_eq!((good.loss(), good.retransmissions.get()), (Some(0.0), 0));
    assert!(bad.retransmissions.get() > 50);
    assert!(bad.nacks.get() >= bad.retransmissions.get());
}

/// 2.5 Mbit/s to twenty viewers, of whose packets one in a hundred is lost. `scripts/bench-instructions.sh` counts what this
/// costs the daemon.
fn a_real_bitrate(seconds: u32) {
    let mut network = Simulation::new(1).with_pictures_of(10_300);
    for _ in 0..20 {
        network.join(DISTANT);
    }
    network.run(SECOND);
    for client in &mut network.clients {
        client.faults.loss = 0.01;
    }
    network.run((seconds - 1) * SECOND);
    for client in &network.clients {
        let (first, last) = gapless(&client.shown);
        assert!(
            first < 15 && last + 15 > network.pictures(),
            "{first} {last}"
        );
    }
    let packets: usize = network.clients.iter().map(|c| c.sent.len()).sum();
    eprintln!("packets: {packets}");
}

#[test]
fn cost_of_2_seconds() {
    a_real_bitrate(2);
}

#[test]
fn cost_of_7_seconds() {
    a_real_bitrate(7);
}
