//! The whole media thread, with sockets on loopback and viewers of an independent stack, in virtual time: each system call of a
//! short session fails once, with each error that the kernel may give.

use super::*;
use crate::media::AccessUnit;
use crate::metrics::{Format, Metrics};
use crate::rtc::net::faults::{self, Call};
use crate::rtc::net::tcp::HEADER;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::sim::simulation::{TERMS, answered, read_picture, write_picture};
use crate::stream::Channel;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket as StdSocket};
use std::sync::mpsc::{SyncSender, sync_channel};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

const ERRNOS: [i32; 13] = [
    libc::EAGAIN,
    libc::ENOBUFS,
    libc::EPERM,
    libc::ENETUNREACH,
    libc::EHOSTUNREACH,
    libc::ECONNREFUSED,
    libc::EMSGSIZE,
    libc::EINVAL,
    libc::EMFILE,
    libc::ECONNRESET,
    libc::EPIPE,
    libc::EINTR,
    libc::ENOMEM,
];

const STEP: Duration = Duration::from_millis(8);
/// Steps between two pictures.
const FRAME: u32 = 4;
/// Steps of the session in which a call may fail.
const SCRIPT: u32 = 40;

/// How a viewer reaches the server.
enum Way {
    Udp(StdSocket),
    Tcp {
        stream: TcpStream,
        /// The server's end, until the first check is there.
        end: Option<TcpStream>,
        bytes: Vec<u8>,
    },
}

struct Client {
    rtc: Rtc,
    mid: Mid,
    way: Way,
    local: SocketAddr,
    pictures: Vec<u32>,
}

struct Session {
    now: Instant,
    reactor: Reactor,
    events: Events,
    commands: SyncSender<Command>,
    server: SocketAddr,
    listener: TcpListener,
    channel: Arc<Channel>,
    metrics: Metrics,
    clients: Vec<Client>,
    steps: u32,
    pictures: u32,
    keyframes: u32,
    places: Arc<()>,
}

impl Session {
    fn new() -> Self {
        let now = Instant::now();
        let metrics = Metrics::new();
        let (commands, inbox) = sync_channel(16);
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = socket.local_addr();
        let sessions = Sessions::new(crate::config::Limits::default());
        Self {
            now,
            reactor: Reactor::new(now, socket, inbox, sessions, metrics.rtc()).unwrap(),
            events: Events::with_capacity(64),
            commands,
            server,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            channel: Arc::new(Channel::new("test".into(), TERMS, metrics.stream("test"))),
            metrics,
            clients: Vec::new(),
            steps: 0,
            pictures: 0,
            keyframes: 0,
            places: Arc::new(()),
        }
    }

    fn join(&mut self, over_tcp: bool) {
        let way = if over_tcp {
            let stream = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            let (end, _) = self.listener.accept().unwrap();
            Way::Tcp {
                stream,
                end: Some(end),
                bytes: Vec::new(),
            }
        } else {
            let socket = StdSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            Way::Udp(socket)
        };
        let local = match &way {
            Way::Udp(socket) => socket.local_addr(),
            Way::Tcp { stream, .. } => stream.local_addr(),
        };
        let local = local.unwrap();
        let mut rtc = Rtc::new(self.now);
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        let (peer, names, text) = answered(self.now, &offer.to_sdp_string());
        // Where the simulation's server is said to be.
        let text = text.replace("10.0.0.1 8080", &self.server.to_string().replace(':', " "));
        let text = str0m::change::SdpAnswer::from_sdp_string(&text).unwrap();
        rtc.sdp_api().accept_answer(pending, text).unwrap();
        let id = self.clients.len() as u64;
        let channel = self.channel.clone();
        let viewer = Viewer::new(
            self.now,
            id,
            id.to_string().as_str().into(),
            local.ip(),
            names,
            peer,
            (channel, None),
        );
        let command = Command::Add {
            viewer: Box::new(viewer),
            gives_way: None,
        };
        self.commands.try_send(command).ok().unwrap();
        self.clients.push(Client {
            rtc,
            mid,
            way,
            local,
            pictures: Vec::new(),
        });
    }

    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            self.now += STEP;
            self.steps += 1;
            if self.steps.is_multiple_of(FRAME) {
                self.encode();
            }
            for index in 0..self.clients.len() {
                self.step(index);
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        let now = self.now;
        self.reactor
            .poll
            .poll(&mut self.events, Some(Duration::ZERO))
            .unwrap();
        let done = self.reactor.turn(&self.events, || now);
        assert!(matches!(done, Ok(ControlFlow::Continue(_))), "{done:?}");
    }

    fn encode(&mut self) {
        let keyframe = self.channel.take_keyframe_request() || self.pictures == 0;
        self.keyframes += u32::from(keyframe);
        self.channel.publish(Arc::new(AccessUnit {
            data: write_picture(self.pictures, keyframe, 2500),
            keyframe,
            temporal_layer: 0,
            captured_at: self.now,
            encoded_at: self.now,
        }));
        self.pictures += 1;
    }

    /// A client's turn: reads what there is, and sends what it has to say.
    fn step(&mut self, index: usize) {
        let (now, server) = (self.now, self.server);
        let client = &mut self.clients[index];
        let mut datagram = [0; 2048];
        while let Some(len) = client.way.receive(&mut datagram) {
            let Ok(contents) = datagram[..len].try_into() else {
                continue;
            };
            let receive = Receive {
                proto: Protocol::Udp,
                source: server,
                destination: client.local,
                contents,
            };
            let _ = client.rtc.handle_input(Input::Receive(now, receive));
            client.poll(server, &self.commands, &self.places);
        }
        let _ = client.rtc.handle_input(Input::Timeout(now));
        if self.steps.is_multiple_of(25) && client.is_in_want(self.pictures) {
            let mut api = client.rtc.direct_api();
            if let Some(stream) = api.stream_rx_by_mid(client.mid, None) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
        client.poll(server, &self.commands, &self.places);
    }
}

impl Way {
    /// The length of the next datagram.
    fn receive(&mut self, datagram: &mut [u8]) -> Option<usize> {
        match self {
            Self::Udp(socket) => socket.recv(datagram).ok(),
            Self::Tcp { stream, bytes, .. } => {
                let mut more = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut more) {
                    bytes.extend_from_slice(&more[..count]);
                }
                let len = usize::from(u16::from_be_bytes(bytes.get(..HEADER)?.try_into().ok()?));
                datagram[..len].copy_from_slice(bytes.get(HEADER..HEADER + len)?);
                bytes.drain(..HEADER + len);
                Some(len)
            }
        }
    }
}

impl Client {
    /// It has not seen one of the last pictures.
    fn is_in_want(&self, pictures: u32) -> bool {
        self.pictures.last().is_none_or(|last| last + 4 < pictures)
    }

    fn poll(&mut self, server: SocketAddr, commands: &SyncSender<Command>, places: &Arc<()>) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(_)) | Err(_) => return,
                Ok(Output::Transmit(transmit)) => {
                    let data = &transmit.contents[..];
                    match &mut self.way {
                        Way::Udp(socket) => {
                            let _ = socket.send_to(data, server);
                        }
                        Way::Tcp { stream, end, .. } => match end.take() {
                            // As the listener does, which reads the first frame.
                            Some(end) => {
                                let arrival = Arrival {
                                    stream: end,
                                    remote: stream.local_addr().unwrap(),
                                    check: data.to_vec(),
                                    place: Box::new(places.clone()),
                                };
                                let command = Command::Connect(Box::new(arrival));
                                commands.try_send(command).ok().unwrap();
                            }
                            None => {
                                let len = (data.len() as u16).to_be_bytes();
                                let _ = stream.write_all(&[&len[..], data].concat());
                            }
                        },
                    }
                }
                Ok(Output::Event(Event::MediaData(data))) => {
                    self.pictures.push(read_picture(&data.data).0);
                }
                Ok(Output::Event(_)) => {}
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when the kernel has passed a datagram on"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

/// A short session, in which that call fails: how often it was made, if it did.
fn session(call: Call, after: u32, errno: i32) -> Option<u32> {
    let mut session = Session::new();
    faults::inject(call, after, errno);
    for over_tcp in [false, false, true] {
        session.join(over_tcp);
    }
    session.run(SCRIPT);
    if faults::is_pending() {
        faults::inject(call, u32::MAX, errno);
        return None;
    }
    let calls = faults::calls(call);
    let what = format!("{call:?} {after} fails with {errno}");
    // A connection that fails is closed: its viewer has to make another.
    let concerned = if matches!(call, Call::Send | Call::Receive) {
        3
    } else {
        2
    };
    let is_well = |session: &Session| {
        let clients = session.clients.iter().take(concerned);
        let well = clients.filter(|client| !client.is_in_want(session.pictures));
        well.count() >= concerned
    };
    // A handshake is repeated after a second, and a keyframe comes within another.
    for _ in 0..60 {
        session.run(10);
        // On a loaded machine the kernel delivers a moment later, which virtual time does not see.
        pause();
        if is_well(&session) {
            break;
        }
    }
    session.run(10);
    let seen: Vec<_> = session.clients.iter().map(|c| &c.pictures[..]).collect();
    assert!(
        is_well(&session),
        "{what}: of {}, {seen:?} were seen, {:#?}",
        session.pictures,
        (0..3)
            .map(|id| session.reactor.audience.facts(id))
            .collect::<Vec<_>>()
    );
    let misses = |client: &&Client| {
        let mut steps = client.pictures.windows(2).map(|pair| pair[1] - pair[0]);
        client.pictures.first().is_none_or(|first| *first > 10)
            || steps.any(|step| step > 1)
            || client.is_in_want(session.pictures)
    };
    let hurt = session
        .clients
        .iter()
        .take(concerned)
        .filter(misses)
        .count();
    assert!(hurt <= 1, "{what}: {hurt} viewers miss pictures");
    assert!(
        session.keyframes <= 8,
        "{what}: {} keyframes",
        session.keyframes
    );
    for id in 0..3 {
        let command = Command::End(id, EndReason::Deleted);
        session.commands.try_send(command).ok().unwrap();
    }
    session.clients.clear();
    session.run(200);
    let network = &session.reactor.network;
    assert_eq!(network.tcp.len(), 0, "{what}: a connection is left");
    assert!(!network.is_blocked(), "{what}: it waits for room");
    assert_eq!(
        Arc::strong_count(&session.places),
        1,
        "{what}: a place is taken"
    );
    let metrics = session.metrics.render(Format::Text);
    assert!(
        metrics.contains("\nfanlight_sessions_active 0\n"),
        "{metrics}"
    );
    Some(calls)
}

/// Each call of the session fails, with one error after the other, and one of them with every error.
fn every_call_fails_once(call: Call) {
    let errno = |n: u32| ERRNOS[n as usize % ERRNOS.len()];
    let calls = (0..).map_while(|after| session(call, after, errno(after)));
    let most = calls.max().expect("the session makes such calls");
    for errno in ERRNOS {
        session(call, most / 3, errno);
    }
}

#[test]
fn a_send_that_fails_hurts_one_viewer_at_the_most() {
    every_call_fails_once(Call::Send);
}

#[test]
fn a_receive_that_fails_hurts_one_viewer_at_the_most() {
    every_call_fails_once(Call::Receive);
}

#[test]
fn a_connection_that_cannot_be_read_hurts_its_viewer_only() {
    every_call_fails_once(Call::Read);
}

#[test]
fn a_connection_that_cannot_be_written_hurts_its_viewer_only() {
    every_call_fails_once(Call::Write);
}

#[test]
fn a_connection_that_cannot_be_taken_over_hurts_its_viewer_only() {
    every_call_fails_once(Call::TakeOver);
}
