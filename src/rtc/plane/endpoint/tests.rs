//! The audience on bad networks, with viewers of an independent stack.

use crate::rtc::peer::panic_guard::BROKEN;
use crate::rtc::sim::simulation::{Client, Faults, Frame, Simulation};
use std::time::Duration;

pub const SECOND: Duration = Duration::from_secs(1);

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Numbers of the first and the last picture, between which none is missing or out of order.
pub fn gapless(frames: &[Frame]) -> (u32, u32) {
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
pub const DISTANT: Faults = Faults {
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

/// Who knows a session's name, which every check says in the clear, and can't seal a check.
#[test]
fn forged_checks_from_many_addresses_take_nothing_from_the_viewer() {
    let mut network = Simulation::new(1);
    let client = network.join(DISTANT);
    // From the first moment on, as one who wants to be the controlled side (RFC 8445, 7.3.1.1).
    const CONTROLLED: [u8; 12] = [0x80, 0x29, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    for port in 1..=40 {
        network.forge(client, port, &CONTROLLED);
    }
    network.run(SECOND);
    for port in 1..=40 {
        network.forge(client, port, &[0, 0x25, 0, 0]);
    }
    network.run(SECOND);
    network.clients[client].rebind(6000);
    network.run(20 * SECOND);
    let client = &network.clients[client];
    assert!(wait(client) < ms(400), "{:?}", wait(client));
    let (_, last) = gapless(&client.shown[client.shown.len() - 100..]);
    assert!(last + 8 > network.pictures(), "{last}");
}

/// As behind a NAT that forgets, for hours.
#[test]
fn a_viewer_that_moves_ever_again_is_followed() {
    let mut network = Simulation::new(1);
    let client = network.join(Faults::NONE);
    network.run(SECOND);
    for port in 6000..6040 {
        network.clients[client].rebind(port);
        network.run(5 * SECOND);
    }
    let client = &network.clients[client];
    let last = client.shown.last().unwrap().number;
    assert!(last + 8 > network.pictures(), "{last}");
}

#[test]
fn a_panic_of_the_core_ends_one_session_and_is_counted() {
    let mut network = Simulation::new(1);
    let clients = [0; 3].map(|_| network.join(Faults::NONE));
    network.run(SECOND);
    let counted = |network: &Simulation, panics| {
        let metrics = network.metrics();
        metrics.contains(&format!("\nfanlight_core_panics_total {panics}\n"))
    };
    assert!(counted(&network, 0));
    let address = network.clients[clients[1]].address();
    // DTLS, which the core reads.
    BROKEN.set(true);
    network.inject(address, &[22, 254, 253]);
    BROKEN.set(false);
    assert!(counted(&network, 1));
    let ended = "fanlight_sessions_ended_total{reason=\"panic\"} 1";
    assert!(network.metrics().contains(ended));
    let before = clients.map(|client| network.clients[client].frames.len());
    network.run(SECOND);
    let seen = clients.map(|client| network.clients[client].frames.len() - before[client]);
    assert!(seen[1] <= 1, "what was on its way: {seen:?}");
    for client in [clients[0], clients[2]] {
        assert!(seen[client] >= 29, "{seen:?}");
        gapless(&network.clients[client].frames);
    }
    // It makes no difference when the session is over anyway.
    BROKEN.set(true);
    network.end(clients[0]);
    BROKEN.set(false);
    assert!(counted(&network, 2));
    network.run(SECOND);
    gapless(&network.clients[clients[2]].frames);
}

/// Who knows the address of a viewer, and can send from it.
#[test]
fn forged_dtls_ends_no_session() {
    let mut network = Simulation::new(1);
    let client = network.join(Faults::NONE);
    network.run(SECOND);
    let address = network.clients[client].address();
    let record = |kind: u8, epoch: u8, body: &[u8]| {
        let header = [
            kind,
            254,
            253,
            0,
            epoch,
            0,
            0,
            0,
            0,
            0,
            7,
            0,
            body.len() as u8,
        ];
        [&header[..], body].concat()
    };
    for epoch in 0..3 {
        for body in [&[9, 9, 9][..], &[2, 40], &[1, 0], &[1], &[]] {
            for kind in 20..26 {
                network.inject(address, &record(kind, epoch, body));
            }
        }
    }
    // Its own, once more and cut.
    for ago in 0..64 {
        let Some(datagram) = network.heard(ago) else {
            continue;
        };
        network.inject(address, &datagram);
        network.inject(address, &datagram[..datagram.len() / 2]);
    }
    network.run(SECOND);
    let viewer = &network.clients[client];
    assert!(!viewer.is_broken);
    let (_, last) = gapless(&viewer.frames);
    assert!(last + 8 > network.pictures(), "{last}");
    // And its own goodbye is still heard.
    network.clients[client].close();
    network.run(SECOND);
    let ended = "fanlight_sessions_ended_total{reason=\"closed\"} 1";
    assert!(network.metrics().contains(ended));
}
