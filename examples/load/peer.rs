//! One peer connection: its handshakes in the WebRTC stack, and its media, which the stack need not see.
//!
//! The stack gets everything until a keyframe was seen: only it can tell, since payloads are encrypted. From then on
//! it gets STUN and DTLS alone; RTP is counted by its clear header, and reports are our own. A viewer that
//! verifies goes on giving it everything, retransmissions are asked for, and frames are decoded.

use crate::counts::{Counted, Counter, Counts};
use crate::frames::{Arrived, Ended};
use crate::join::Agreed;
use crate::keys::Keys;
use crate::packet::{Header, Kind, begins_keyframe};
use crate::reports::Reports;
use crate::socket::{self, Datagram, Socket};
use crate::trace::Trace;
use crate::verify::{Checks, Verifier};
use std::time::{Duration, Instant};
use str0m::media::{KeyframeRequestKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Event, IceConnectionState, Input, Output, Rtc, RtcError};

/// A viewer who gets packets but no keyframe asks for one this often.
const PATIENCE: Duration = Duration::from_secs(1);

/// When it asked, and what happened how long after.
#[derive(Debug, Clone, Copy, Default)]
pub struct Milestones {
    pub offered: Arrived,
    pub answered: Duration,
    pub connected: Option<Duration>,
    pub first_packet: Option<Duration>,
    /// Its first packet; of a viewer that verifies, the whole of it, decoded.
    pub first_keyframe: Option<Duration>,
}

/// All of a viewer but its socket.
pub struct Peer {
    rtc: Rtc,
    mid: Mid,
    milestones: Milestones,
    counter: Counter,
    profile: Option<&'static str>,
    transport_id: Option<u8>,
    keys: Option<Keys>,
    /// Set when the stack needs no more media.
    reports: Option<Reports>,
    verifier: Option<Verifier>,
    trace: Option<Trace>,
    /// When the next keyframe is asked for.
    ask: Arrived,
    fault: Option<String>,
    deadline: Instant,
}

impl Peer {
    pub fn new(agreed: Agreed) -> Result<Self, openh264::Error> {
        Ok(Self {
            verifier: agreed.verify.then(Verifier::new).transpose()?,
            rtc: agreed.rtc,
            mid: agreed.mid,
            milestones: Milestones {
                offered: agreed.offered,
                answered: agreed.answered,
                ..Milestones::default()
            },
            counter: Counter::new(agreed.answer.retransmission),
            profile: None,
            transport_id: agreed.answer.transport_id,
            keys: None,
            reports: None,
            trace: None,
            ask: Arrived::MAX,
            fault: None,
            deadline: Instant::now(),
        })
    }

    pub const fn milestones(&self) -> &Milestones {
        &self.milestones
    }

    /// Why it ended.
    pub const fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    /// When it wants to be woken.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The SRTP profile, once it is known.
    pub const fn profile(&self) -> Option<&'static str> {
        self.profile
    }

    /// What it received so far.
    pub fn counts(&self) -> Counts {
        self.counter.counts()
    }

    /// How much the server's sender reports disagreed.
    pub fn clock_error(&self) -> Duration {
        let reports = self.reports.as_ref();
        reports.map_or(Duration::ZERO, |reports| reports.clock_error)
    }

    /// Begins to note what it is sent.
    pub fn begin_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// What was noted.
    pub const fn take_trace(&mut self) -> Option<Trace> {
        self.trace.take()
    }

    /// What it decoded, if it verifies.
    pub fn checks(&self) -> Option<Checks> {
        self.verifier.as_ref().map(Verifier::checks)
    }

    /// Lets the stack's timers run.
    pub fn timeout(&mut self, socket: &Socket, now: Instant, arrived: Arrived) {
        let result = self.rtc.handle_input(Input::Timeout(now));
        self.drain(socket, result, arrived);
    }

    /// Says goodbye over DTLS.
    pub fn close(&mut self, socket: &Socket, arrived: Arrived) {
        let result = self.rtc.close();
        self.drain(socket, result, arrived);
    }

    /// Takes in a datagram; perhaps it ends a frame.
    pub fn datagram(
        &mut self,
        socket: &Socket,
        datagram: &Datagram<'_>,
        now: Instant,
    ) -> Option<Ended> {
        let mut ended = None;
        match Kind::of(datagram.data) {
            Kind::Rtp => {
                ended = self.count(socket, datagram);
                if self.reports.is_some() {
                    return ended;
                }
            }
            Kind::Rtcp => {
                let source = self.counter.source().map(|source| source.ssrc);
                if let (Some(reports), Some(source)) = (&mut self.reports, source) {
                    reports.rtcp(source, datagram.data, datagram.arrived);
                    return None;
                }
            }
            Kind::Stun | Kind::Dtls => {}
            Kind::Other => return None,
        }
        let local = socket.local();
        // What is no valid STUN is not for us.
        let receive = Receive::new(Protocol::Udp, datagram.from, local, datagram.data).ok()?;
        let result = self.rtc.handle_input(Input::Receive(now, receive));
        self.drain(socket, result, datagram.arrived);
        ended
    }

    /// Counts a packet, and reports if that is due.
    fn count(&mut self, socket: &Socket, datagram: &Datagram<'_>) -> Option<Ended> {
        let arrived = datagram.arrived;
        let header = Header::parse(datagram.data)?;
        let since = arrived.saturating_sub(self.milestones.offered);
        if self.milestones.first_packet.is_none() {
            self.milestones.first_packet = Some(since);
            self.ask = arrived + PATIENCE;
        }
        let counted = self.counter.packet(&header, datagram.data.len(), arrived);
        if let Some(reports) = &mut self.reports {
            reports.packet(&header, arrived);
            if matches!(counted, Counted::Video(_)) {
                reports.media(header.timestamp, arrived);
            }
            if let Some(source) = self.counter.source()
                && let Some(report) = reports.due(arrived, source.ssrc, &source.sequence)
            {
                socket.send(datagram.from, &report);
            }
        } else if self.milestones.first_keyframe.is_none() && arrived >= self.ask {
            self.ask_for_keyframe(arrived);
        }
        let Counted::Video(ended) = counted else {
            return None;
        };
        if let Some(trace) = &mut self.trace {
            trace.packet(header.timestamp, datagram.data.len());
        }
        let ended = ended?;
        let reports = self.reports.as_ref();
        Some(Ended {
            captured: reports.and_then(|reports| reports.captured(header.timestamp)),
            ..ended
        })
    }

    /// Lets the stack do what follows from an input.
    fn drain(&mut self, socket: &Socket, result: Result<(), RtcError>, arrived: Arrived) {
        let mut result = result.and_then(|()| self.rtc.poll_output());
        loop {
            match result {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    socket.send(transmit.destination, &transmit.contents);
                }
                Ok(Output::Event(event)) => self.event(event, arrived),
                Err(error) => {
                    self.fail(error.to_string());
                    self.rtc.disconnect();
                }
            }
            result = self.rtc.poll_output();
        }
    }

    fn event(&mut self, event: Event, arrived: Arrived) {
        match event {
            Event::Connected => {
                let since = arrived.saturating_sub(self.milestones.offered);
                self.milestones.connected.get_or_insert(since);
                self.keys = Keys::take();
                self.profile = self.keys.as_ref().map(Keys::profile);
            }
            Event::RtpPacket(packet) if begins_keyframe(&packet.payload) => {
                self.keyframe(arrived);
                self.detach();
            }
            Event::MediaData(data) => {
                if self.verifier.as_mut().is_some_and(|v| v.frame(&data.data)) {
                    self.keyframe(socket::now());
                } else if arrived >= self.ask {
                    self.ask_for_keyframe(arrived);
                }
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.fail("the server stopped answering STUN".to_owned());
            }
            Event::Closed => self.fail("the server closed the session".to_owned()),
            _ => {}
        }
    }

    fn keyframe(&mut self, at: Arrived) {
        let since = at.saturating_sub(self.milestones.offered);
        self.milestones.first_keyframe.get_or_insert(since);
    }

    /// Takes the media away from the stack, which would else ask for all that it misses.
    fn detach(&mut self) {
        let contexts = self.keys.take().map(|keys| keys.contexts());
        match contexts {
            Some(Ok(contexts)) => self.reports = Some(Reports::new(contexts, self.transport_id)),
            Some(Err(error)) => self.fail(format!("its keys: {error}")),
            None => {}
        }
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(self.mid, None) {
            stream.suppress_nack(true);
        }
    }

    fn ask_for_keyframe(&mut self, now: Arrived) {
        self.ask = now + PATIENCE;
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(self.mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// Only the first reason counts: the others follow from it.
    pub fn fail(&mut self, why: String) {
        self.fault.get_or_insert(why);
    }
}
