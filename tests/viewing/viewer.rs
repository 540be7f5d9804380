//! A viewer on str0m, a WebRTC stack that shares no code with the daemon's.

use crate::daemon::{request, resolve};
use crate::picture::counter;
use bytes::Bytes;
use fanlight::media::Orientation;
use hyper::{Request, Response, StatusCode};
use openh264::decoder::Decoder;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, KeyframeRequestKind, MediaData, MediaKind, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// However slow the machine is, by then it must have happened.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connected viewer.
pub struct Viewer {
    rtc: Rtc,
    mid: Mid,
    socket: UdpSocket,
    local: SocketAddr,
    to: SocketAddr,
    /// The session's URL path.
    pub location: String,
    /// The answer, as if it were given anew in the present ICE session.
    pub answer: String,
    /// Datagrams to lose: those for which it returns true.
    pub lose: fn(&[u8]) -> bool,
    pub is_closed: bool,
    /// How what arrives has to be turned to be upright.
    pub turn: Orientation,
    /// Keyframes decoded.
    pub keyframes: usize,
    /// Keeps its references from one call to the next, as a real viewer's does.
    decoder: Decoder,
}

/// What a viewer's offer is like.
pub struct Habits {
    /// It has a section for audio before that for video.
    pub audio_first: bool,
    /// The last touch.
    pub edit: fn(String) -> String,
}

impl Viewer {
    /// Makes the exchange at a path such as `/whep`.
    pub async fn connect(to: SocketAddr, path: &str) -> Self {
        let habits = Habits {
            audio_first: false,
            edit: |offer| offer,
        };
        Self::connect_as(&habits, to, path).await
    }

    /// What an offer of that kind is answered with.
    pub async fn offer_as(habits: &Habits, to: SocketAddr, path: &str) -> Response<Bytes> {
        let mut rtc = Rtc::new(Instant::now());
        let mut change = rtc.sdp_api();
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, _) = change.apply().unwrap();
        let offer = (habits.edit)(offer.to_sdp_string());
        let post = Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/sdp");
        request(to, post.body(offer).unwrap()).await
    }

    /// Makes the exchange with an offer of that kind.
    pub async fn connect_as(habits: &Habits, to: SocketAddr, path: &str) -> Self {
        let mut rtc = Rtc::new(Instant::now());
        let socket = socket_towards(to);
        let local = socket.local_addr().unwrap();
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let mut change = rtc.sdp_api();
        if habits.audio_first {
            change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        }
        let mid = change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        let post = Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/sdp");
        let offer = (habits.edit)(offer.to_sdp_string());
        let reply = request(to, post.body(offer).unwrap()).await;
        assert_eq!(reply.status(), StatusCode::CREATED, "{:?}", reply.body());
        let location = resolve(path, reply.headers()["location"].to_str().unwrap());
        let answer = std::str::from_utf8(reply.body()).unwrap().to_owned();
        let accepted = SdpAnswer::from_sdp_string(&answer).unwrap();
        rtc.sdp_api().accept_answer(pending, accepted).unwrap();
        Self {
            rtc,
            mid,
            socket,
            local,
            to,
            location,
            answer,
            lose: |_| false,
            is_closed: false,
            turn: Orientation::default(),
            keyframes: 0,
            decoder: Decoder::new().unwrap(),
        }
    }

    /// Goes to another network: a new socket in place of the old one, and an ICE restart by PATCH.
    pub async fn restart(&mut self) {
        let mut change = self.rtc.sdp_api();
        let ours = change.ice_restart(false);
        let (_, pending) = change.apply().unwrap();
        let (ufrag, password) = (ours.ufrag, ours.pass);
        let fragment = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n");
        let patch = Request::patch(&self.location)
            .header("host", "localhost")
            .header("if-match", "*")
            .header("content-type", "application/trickle-ice-sdpfrag");
        let reply = request(self.to, patch.body(fragment).unwrap()).await;
        assert_eq!(reply.status(), StatusCode::OK, "{:?}", reply.body());
        let theirs = std::str::from_utf8(reply.body()).unwrap();
        // A whole answer, for a stack that knows no fragments: the first with new credentials.
        for key in ["a=ice-ufrag:", "a=ice-pwd:"] {
            let line = |text: &str| {
                let mut lines = text.lines().filter(|line| line.starts_with(key));
                lines.next().unwrap().to_owned()
            };
            let (old, new) = (line(&self.answer), line(theirs));
            assert_ne!(old, new);
            self.answer = self.answer.replace(&old, &new);
        }
        let answer = SdpAnswer::from_sdp_string(&self.answer).unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        self.socket = socket_towards(self.to);
        self.local = self.socket.local_addr().unwrap();
        let candidate = Candidate::host(self.local, "udp").unwrap();
        self.rtc.add_local_candidate(candidate);
    }

    /// Ends the connection, as a browser does that leaves the page.
    pub fn close(&mut self) {
        self.rtc.close().unwrap();
        while self.rtc.is_alive() {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => self.rtc.handle_input(Input::Timeout(at)).unwrap(),
                Output::Transmit(transmit) => self.send(&transmit),
                Output::Event(_) => {}
            }
        }
    }

    /// Asks for a keyframe.
    pub fn ask_for_keyframe(&mut self, kind: KeyframeRequestKind) {
        let mut api = self.rtc.direct_api();
        let stream = api.stream_rx_by_mid(self.mid, None).unwrap();
        stream.request_keyframe(kind);
    }

    /// Receives frames until `done` returns true of one, or the session is closed.
    pub fn receive(&mut self, mut done: impl FnMut(&MediaData) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut buffer = vec![0; 2000];
        while !self.is_closed {
            assert!(Instant::now() < deadline, "nothing more after {DEADLINE:?}");
            let timeout = loop {
                match self.rtc.poll_output().unwrap() {
                    Output::Timeout(at) => break at,
                    Output::Transmit(transmit) => self.send(&transmit),
                    Output::Event(Event::MediaData(data)) if done(&data) => return,
                    Output::Event(Event::Closed) => self.is_closed = true,
                    Output::Event(_) => {}
                }
            };
            let wait = timeout.saturating_duration_since(Instant::now());
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(100));
            self.socket.set_read_timeout(Some(wait)).unwrap();
            let input = match self.socket.recv_from(&mut buffer) {
                Ok((len, _)) if (self.lose)(&buffer[..len]) => continue,
                Ok((len, source)) => {
                    let Ok(contents) = buffer[..len].try_into() else {
                        continue;
                    };
                    let receive = Receive {
                        proto: Protocol::Udp,
                        source,
                        destination: self.local,
                        contents,
                    };
                    Input::Receive(Instant::now(), receive)
                }
                Err(_) => Input::Timeout(Instant::now()),
            };
            self.rtc.handle_input(input).unwrap();
        }
    }

    /// Receives and decodes `count` frames, and reads the counter that the pattern draws into each.
    pub fn counters(&mut self, count: usize) -> Vec<u32> {
        let mut counters = Vec::new();
        while counters.len() < count {
            let mut unit = None;
            self.receive(|data| unit.replace(data.data.clone()).is_none());
            let unit = unit.expect("a frame, not the end of the session");
            self.keyframes += usize::from(unit.windows(4).any(|nal| nal == [0, 0, 1, 0x65]));
            if let Some(picture) = self.decoder.decode(&unit).unwrap() {
                counters.push(counter(&picture, self.turn));
            }
        }
        counters
    }

    fn send(&self, transmit: &Transmit) {
        // Not every address that is offered can be reached.
        let _ = self
            .socket
            .send_to(&transmit.contents, transmit.destination);
    }
}

/// A socket at the address of this machine that leads there.
fn socket_towards(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let route = UdpSocket::bind((any, 0)).unwrap();
    route.connect(to).unwrap();
    UdpSocket::bind((route.local_addr().unwrap().ip(), 0)).unwrap()
}
