//! A viewer on str0m, a WebRTC stack that shares no code with the daemon's.

#[path = "link.rs"]
pub mod link;

use crate::daemon::{request, resolve};
use crate::picture::counter;
use bytes::Bytes;
use fanlight::media::Orientation;
use hyper::{Request, Response, StatusCode};
use link::Link;
use openh264::decoder::Decoder;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use str0m::change::SdpAnswer;
use str0m::change::SdpPendingOffer;
use str0m::media::{Direction, KeyframeRequestKind, MediaData, MediaKind, Mid};
use str0m::net::{Receive, Transmit};
use str0m::{Event, Input, Output, Rtc};

/// However slow the machine is, by then it must have happened.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connected viewer.
pub struct Viewer {
    rtc: Rtc,
    mid: Mid,
    /// Its way to the daemon.
    pub link: Link,
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
    /// The DTLS that it sent.
    pub handshake: Vec<Vec<u8>>,
    /// The last check that it sent and that nominates its pair (RFC 8445, 7.1.2).
    pub nomination: Vec<u8>,
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
        let (begun, offer) = Begun::new(habits, Link::udp(to));
        begun.post(offer, to, path).await
    }

    /// Makes the exchange, and goes that way.
    pub async fn connect_by(link: Link, to: SocketAddr, path: &str) -> Self {
        let habits = Habits {
            audio_first: false,
            edit: |offer| offer,
        };
        let (begun, offer) = Begun::new(&habits, link);
        begun.post(offer, to, path).await
    }
}

/// A viewer that has made its offer.
pub struct Begun {
    rtc: Rtc,
    mid: Mid,
    link: Link,
    pending: SdpPendingOffer,
}

impl Begun {
    /// With the offer.
    pub fn new(habits: &Habits, link: Link) -> (Self, String) {
        let mut rtc = Rtc::new(Instant::now());
        rtc.add_local_candidate(link.candidate());
        let mut change = rtc.sdp_api();
        if habits.audio_first {
            change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        }
        let mid = change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        let begun = Self {
            rtc,
            mid,
            link,
            pending,
        };
        (begun, (habits.edit)(offer.to_sdp_string()))
    }

    async fn post(self, offer: String, to: SocketAddr, path: &str) -> Viewer {
        let post = Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/sdp");
        let reply = request(to, post.body(offer).unwrap()).await;
        assert_eq!(reply.status(), StatusCode::CREATED, "{:?}", reply.body());
        let location = resolve(path, reply.headers()["location"].to_str().unwrap());
        let answer = std::str::from_utf8(reply.body()).unwrap().to_owned();
        self.accept(answer, to, location)
    }

    /// With the answer.
    pub fn accept(self, answer: String, to: SocketAddr, location: String) -> Viewer {
        let Self {
            mut rtc,
            mid,
            link,
            pending,
        } = self;
        let accepted = SdpAnswer::from_sdp_string(&answer).unwrap();
        rtc.sdp_api().accept_answer(pending, accepted).unwrap();
        Viewer {
            rtc,
            mid,
            link,
            to,
            location,
            answer,
            lose: |_| false,
            is_closed: false,
            turn: Orientation::default(),
            handshake: Vec::new(),
            nomination: Vec::new(),
            keyframes: 0,
            decoder: Decoder::new().unwrap(),
        }
    }
}

impl Viewer {
    /// Goes to another network: a new socket in place of the old one, and an ICE restart by PATCH.
    pub async fn restart(&mut self) {
        self.restart_by(Link::udp(self.to)).await;
    }

    /// Goes another way, by an ICE restart.
    pub async fn restart_by(&mut self, link: Link) {
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
        self.rtc.add_local_candidate(link.candidate());
        self.link = link;
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
            let received = self.link.receive(wait);
            let input = match &received {
                Some((datagram, _)) if (self.lose)(datagram) => continue,
                Some((datagram, source)) => {
                    let Ok(contents) = datagram[..].try_into() else {
                        continue;
                    };
                    let receive = Receive {
                        proto: self.link.protocol(),
                        source: *source,
                        destination: self.link.local(),
                        contents,
                    };
                    Input::Receive(Instant::now(), receive)
                }
                None => Input::Timeout(Instant::now()),
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

    /// Sends from its address, beside its stack.
    pub fn socket(&self) -> UdpSocket {
        match &self.link {
            Link::Udp(socket) => socket.try_clone().unwrap(),
            Link::Tcp(..) => unreachable!("a viewer over UDP"),
        }
    }

    /// What the first attribute of that name in the answer says.
    pub fn answered(&self, name: &str) -> &str {
        let mut lines = self.answer.lines();
        lines.find_map(|line| line.strip_prefix(name)).unwrap()
    }

    fn send(&mut self, transmit: &Transmit) {
        if (20..=63).contains(&transmit.contents[0]) {
            self.handshake.push(transmit.contents.to_vec());
        }
        // A binding request with an empty USE-CANDIDATE.
        let data = &transmit.contents[..];
        if data.starts_with(&[0, 1]) && data.windows(4).any(|w| w == [0, 0x25, 0, 0]) {
            self.nomination = data.to_vec();
        }
        self.link.send(transmit);
    }
}
