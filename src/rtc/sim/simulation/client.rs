//! A viewer of the simulation: an independent WebRTC stack, and what it saw.

use super::network::{Faults, Network};
use super::picture::{State, examine_picture};
use crate::rtc::net::demux::{binding_success, is_nomination};
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::outbox::ConnectionId;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use str0m::media::{KeyframeRequestKind, MediaData, Mid};
use str0m::{Event, IceConnectionState, Output, Rtc};

/// How long a datagram waits before a narrow way.
const QUEUE: Duration = Duration::from_millis(100);

/// A picture as a viewer received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Counts the encoder's pictures.
    pub number: u32,
    pub keyframe: bool,
    pub at: Instant,
}

/// A viewer.
pub struct Client {
    pub(super) rtc: Rtc,
    mid: Mid,
    /// Where its stack believes to be.
    pub(super) local: SocketAddr,
    /// Where the daemon sees it.
    pub(super) address: SocketAddr,
    /// Its way is TCP, as far as the daemon knows: the network is the same.
    pub connection: Option<ConnectionId>,
    /// Where the daemon saw it before.
    pub(super) former: Vec<SocketAddr>,
    /// The daemon's names in the ICE session, and the viewer's.
    pub names: (Credentials, Credentials),
    pub faults: Faults,
    pub joined: Instant,
    /// Whole pictures, in the order of their arrival.
    pub frames: Vec<Frame>,
    /// Those that a decoder could show: a keyframe, or the one after the last.
    pub shown: Vec<Frame>,
    /// Times when RTP packets left for it.
    pub sent: Vec<Instant>,
    /// How many of them left for where it was before.
    pub sent_to_former: usize,
    /// How many of them left by TCP.
    pub sent_by_tcp: usize,
    pub keyframe_requests: usize,
    /// Its checks that nominate are lost.
    pub nominates_no_more: bool,
    /// Its answers to the daemon's checks are lost.
    pub answers_no_more: bool,
    /// Its checks went without an answer.
    pub lost_ice: bool,
    /// Its stack gave up.
    pub is_broken: bool,
    /// When the way to it has room for the next datagram.
    free: Instant,
    last_request: Option<Instant>,
    pub(super) numbers: Numbers,
}

/// Checks what the numbers of sent packets must be: gapless for each SSRC, and the timestamp never going back.
#[derive(Default)]
pub(super) struct Numbers(HashMap<u32, (u16, u32)>);

impl Numbers {
    pub(super) fn check(&mut self, packet: &[u8]) {
        let at = |n: usize| u32::from_be_bytes(packet[n..n + 4].try_into().unwrap());
        let (number, timestamp, ssrc) = (at(0) as u16, at(4), at(8));
        let Some((last, last_timestamp)) = self.0.insert(ssrc, (number, timestamp)) else {
            return;
        };
        assert_eq!(
            number,
            last.wrapping_add(1),
            "sequence numbers have no gaps"
        );
        if self.0.len() == 1 {
            let step = timestamp.wrapping_sub(last_timestamp);
            assert!(step < 1 << 31, "the timestamp goes back by {step}");
        }
    }
}

impl Client {
    /// One that has sent and received nothing yet.
    pub(super) fn new(
        now: Instant,
        (rtc, mid): (Rtc, Mid),
        address: SocketAddr,
        names: (Credentials, Credentials),
        faults: Faults,
    ) -> Self {
        Self {
            rtc,
            mid,
            local: address,
            address,
            connection: None,
            former: Vec::new(),
            names,
            faults,
            joined: now,
            frames: Vec::new(),
            shown: Vec::new(),
            sent: Vec::new(),
            sent_to_former: 0,
            sent_by_tcp: 0,
            keyframe_requests: 0,
            nominates_no_more: false,
            answers_no_more: false,
            lost_ice: false,
            is_broken: false,
            free: now,
            last_request: None,
            numbers: Numbers::default(),
        }
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It says goodbye.
    pub fn close(&mut self) {
        self.rtc.close().unwrap();
    }

    /// Its NAT sends from another port from now on.
    pub fn rebind(&mut self, port: u16) {
        self.former.push(self.address);
        self.address.set_port(port);
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        to_server: bool,
        data: &[u8],
        network: &mut Network,
    ) {
        if to_server
            && (self.nominates_no_more && is_nomination(data)
                || self.answers_no_more && binding_success(data).is_some())
        {
            return;
        }
        let mut now = now;
        if let Some(rate) = self.faults.rate.filter(|_| !to_server) {
            self.free = self.free.max(now);
            if self.free > now + QUEUE {
                return;
            }
            self.free += Duration::from_secs(8) * data.len() as u32 / rate;
            now = self.free;
        }
        network.send(now, &self.faults, self.address, to_server, data);
    }

    pub(super) fn poll(&mut self, now: Instant, network: &mut Network) {
        while !self.is_broken {
            let Ok(output) = self.rtc.poll_output() else {
                self.is_broken = true;
                return;
            };
            match output {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    let data = transmit.contents.to_vec();
                    self.send(now, true, &data, network);
                }
                Output::Event(Event::MediaData(data)) => self.received(now, &data),
                Output::Event(Event::IceConnectionStateChange(state)) => {
                    self.lost_ice |= state == IceConnectionState::Disconnected;
                }
                Output::Event(_) => {}
            }
        }
    }

    fn received(&mut self, now: Instant, data: &MediaData) {
        let (number, keyframe, state) = examine_picture(&data.data);
        if state == State::WithoutParameterSets {
            return;
        }
        assert_eq!(state, State::Whole, "picture {number}");
        let frame = Frame {
            number,
            keyframe,
            at: now,
        };
        self.frames.push(frame);
        let follows = |last: &Frame| last.number + 1 == number;
        if keyframe || self.shown.last().is_some_and(follows) {
            self.shown.push(frame);
        } else if self
            .last_request
            .is_none_or(|last| now >= last + Duration::from_millis(100))
        {
            self.last_request = Some(now);
            self.keyframe_requests += 1;
            let mut api = self.rtc.direct_api();
            let stream = api.stream_rx_by_mid(self.mid, None).unwrap();
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }
}
