//! A peer and an independent WebRTC stack on a simulated network: virtual time, no sockets.
//! These also pin what the core is known to get wrong, and how `peer` passes it.

use super::ice::{Change, Ice};
use super::*;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::sim::simulation::answered;
use crate::rtc::wire::outbox::Path;
use std::collections::VecDeque;
use std::time::Duration;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol as NetProtocol, Receive};
use str0m::{Candidate, Event as ClientEvent, Input, Output, Rtc};

const CLIENT: &str = "10.0.0.2:5000";
const SERVER: &str = "10.0.0.1:8080";
/// From one end to the other.
const LATENCY: Duration = Duration::from_millis(10);
const STEP: Duration = Duration::from_millis(1);

/// Datagrams on their way: when they arrive, and whether at the server.
type Wire = VecDeque<(Instant, bool, Vec<u8>)>;

/// Whether a datagram is lost, given its direction: `true` to the server.
type Lose = Box<dyn FnMut(bool, &[u8]) -> bool>;

struct Network {
    start: Instant,
    now: Instant,
    peer: Peer,
    ice: Ice,
    client: Rtc,
    wire: Wire,
    /// Decides what is lost on the way; told whether it goes to the server.
    lose: Lose,
    connected: Option<Duration>,
    client_connected: bool,
    client_failed: bool,
    ended: Option<EndReason>,
}

impl Network {
    fn new() -> Self {
        Self::with(|offer| offer)
    }

    /// With an offer that is changed on its way.
    fn with(tamper: impl FnOnce(String) -> String) -> Self {
        let start = Instant::now();
        let mut client = Rtc::new(start);
        client.add_local_candidate(Candidate::host(CLIENT.parse().unwrap(), "udp").unwrap());
        let mut change = client.sdp_api();
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        let (peer, (ours, theirs), text) = answered(start, &tamper(offer.to_sdp_string()));
        let text = str0m::change::SdpAnswer::from_sdp_string(&text).unwrap();
        client.sdp_api().accept_answer(pending, text).unwrap();
        Self {
            start,
            now: start,
            peer,
            ice: Ice::new(1, ours, theirs),
            client,
            wire: Wire::new(),
            lose: Box::new(|_, _| false),
            connected: None,
            client_connected: false,
            client_failed: false,
            ended: None,
        }
    }

    /// Lets that much time pass, or less if `done`.
    fn run(&mut self, time: Duration, done: impl Fn(&Self) -> bool) {
        let until = self.now + time;
        while self.now < until && !done(self) && !self.client_failed {
            self.now += STEP;
            self.deliver();
            self.ice.timeout(self.now, self.peer.crypto());
            if self.peer.deadline().is_some_and(|at| at <= self.now) {
                self.peer.timeout(self.now);
            }
            self.client.handle_input(Input::Timeout(self.now)).unwrap();
            self.poll();
        }
    }

    fn deliver(&mut self) {
        while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
            let Some((_, to_server, datagram)) = self.wire.pop_front() else {
                return;
            };
            if to_server {
                self.receive(&datagram);
            } else if let Ok(contents) = datagram[..].try_into() {
                let receive = Receive {
                    proto: NetProtocol::Udp,
                    source: SERVER.parse().unwrap(),
                    destination: CLIENT.parse().unwrap(),
                    contents,
                };
                let input = Input::Receive(self.now, receive);
                self.client_failed |= self.client.handle_input(input).is_err();
            }
            self.poll();
        }
    }

    fn receive(&mut self, datagram: &[u8]) {
        let path = Path::udp(CLIENT.parse().unwrap(), None);
        if kind(datagram) == Some(Kind::Stun) {
            let crypto = self.peer.crypto();
            self.ice.receive(self.now, path, datagram, crypto);
        } else {
            self.peer.receive(self.now, datagram);
        }
        while let Some(change) = self.ice.poll_change() {
            if let Change::Selected(_) = change {
                self.peer.start(self.now);
            }
        }
    }

    fn poll(&mut self) {
        while let Some((_, datagram)) = self.ice.poll_transmit() {
            self.send(false, datagram.to_vec());
        }
        while let Some(datagram) = self.peer.poll_transmit() {
            self.send(false, datagram.to_vec());
        }
        while let Some(event) = self.peer.poll_event() {
            match event {
                Event::Connected => self.connected = Some(self.now - self.start),
                Event::Ended(reason) => self.ended = Some(reason),
            }
        }
        while !self.client_failed {
            match self.client.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => self.send(true, transmit.contents.to_vec()),
                Output::Event(ClientEvent::Connected) => self.client_connected = true,
                Output::Event(_) => {}
            }
        }
    }

    fn send(&mut self, to_server: bool, datagram: Vec<u8>) {
        if !(self.lose)(to_server, &datagram) {
            let at = self.now + LATENCY;
            self.wire.push_back((at, to_server, datagram));
        }
    }
}

#[test]
fn a_handshake_takes_its_round_trips_and_waits_for_no_repetition() {
    let mut network = Network::new();
    network.run(Duration::from_secs(5), |n| n.connected.is_some());
    // ICE takes two round trips, DTLS 1.2 two; the repetition of what the core dropped would come after a second.
    let after = network.connected.unwrap();
    assert!(after < Duration::from_millis(200), "{after:?}");
}

#[test]
fn the_keys_that_the_core_negotiates_are_seen() {
    let mut network = Network::new();
    assert!(network.peer.media(network.now).is_err(), "no keys yet");
    network.run(Duration::from_secs(5), |n| n.connected.is_some());
    let stats = network
        .peer
        .core
        .get_stats(network.now, StatsSelector::None);
    let cipher = stats.transport().unwrap().srtp_cipher.clone();
    assert!(cipher.starts_with("SRTP_A"), "{cipher}");
    assert!(network.peer.media(network.now).is_ok());
    assert!(network.peer.media(network.now).is_err(), "given out once");
    // That they are the right ones is shown by every test that watches.
}

#[test]
fn the_core_leaves_it_to_others_to_say_that_a_viewer_is_gone() {
    let mut network = Network::new();
    network.run(Duration::from_secs(5), |n| n.connected.is_some());
    network.lose = Box::new(|_, _| true);
    network.run(Duration::from_secs(60), |_| false);
    network.lose = Box::new(|_, _| false);
    network.run(Duration::from_secs(20), |_| false);
    assert_eq!(network.ended, None);
}

/// The fingerprint of another certificate in place of the viewer's.
fn forge_fingerprint(offer: String) -> String {
    let (head, tail) = offer.split_once("a=fingerprint:sha-256 ").unwrap();
    let zeros = ["00"; 32].join(":");
    format!(
        "{head}a=fingerprint:sha-256 {zeros}{}",
        &tail[zeros.len()..]
    )
}

#[test]
fn a_certificate_without_the_fingerprint_of_the_offer_is_refused_with_an_alert() {
    let mut network = Network::with(forge_fingerprint);
    network.run(Duration::from_secs(5), |n| n.connected.is_some());
    assert_eq!(network.connected, None);
    assert!(network.client_failed, "the alert has arrived");
    let alert = network.peer.take_alert().unwrap();
    assert_eq!(
        (
            alert.is_viewers,
            crate::rtc::wire::dtls::alert_name(alert.description)
        ),
        (false, "bad_certificate")
    );
}

#[test]
fn goodbyes_are_understood_in_both_directions() {
    let mut network = Network::new();
    network.run(Duration::from_secs(5), |n| {
        n.connected.is_some() && n.client_connected
    });
    network.client.close().unwrap();
    network.run(Duration::from_secs(1), |n| n.ended.is_some());
    assert_eq!(network.ended, Some(EndReason::Closed));

    let mut network = Network::new();
    network.run(Duration::from_secs(5), |n| {
        n.connected.is_some() && n.client_connected
    });
    network.peer.close(network.now);
    network.run(Duration::from_secs(1), |n| !n.client.is_alive());
    assert!(!network.client.is_alive());
}

#[test]
fn a_handshake_survives_the_loss_of_every_fourth_datagram() {
    let mut network = Network::new();
    let mut count = 0;
    network.lose = Box::new(move |_, _| {
        count += 1;
        count % 4 == 0
    });
    network.run(Duration::from_secs(15), |n| n.connected.is_some());
    assert!(network.connected.is_some());
}

/// Does a handshake without the `lost`-th datagram of DTLS in that direction, and without so many after it. `false` if it has fewer.
/// It is to be done within four repetitions of the viewer's, which come after a second, two, four and eight.
fn handshake_without(
    to_server: bool,
    lost: usize,
    next: usize,
    offer: fn(String) -> String,
) -> bool {
    let mut network = Network::with(offer);
    let (mut count, has_lost) = (0, std::rc::Rc::new(std::cell::Cell::new(false)));
    let told = has_lost.clone();
    network.lose = Box::new(move |direction, datagram| {
        if direction != to_server || kind(datagram) != Some(Kind::Dtls) {
            return false;
        }
        count += 1;
        let is_lost = (lost..=lost + next).contains(&(count - 1));
        told.set(told.get() || is_lost);
        is_lost
    });
    network.run(Duration::from_secs(15), |n| {
        n.connected.is_some() && n.client_connected
    });
    assert!(
        network.connected.is_some(),
        "to the server: {to_server}, without {lost} and {next} more"
    );
    has_lost.get()
}

#[test]
fn a_handshake_survives_the_loss_of_any_of_its_datagrams() {
    let passive = |offer: String| offer.replace("a=setup:actpass", "a=setup:passive");
    // The viewer's repetitions come at random times, and so the order of both sides' timers.
    for offer in [|offer| offer, passive] {
        for to_server in [false, true] {
            for next in 0..2 {
                for lost in 0.. {
                    let lossy = (0..4).filter(|_| handshake_without(to_server, lost, next, offer));
                    if lossy.count() == 0 {
                        assert!(lost > 1, "there is something to lose");
                        break;
                    }
                }
            }
        }
    }
}
