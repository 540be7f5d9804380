//! The handle to the media thread without one: what becomes of commands that it does not take.

use super::*;
use crate::capture::Request;
use crate::capture::pattern::Pattern;
use crate::media::{FrameRate, Size, TestPicture};
use crate::metrics::Metrics;
use facts::Record;
use std::sync::mpsc::Receiver;

const OFFER: &str = include_str!("../../tests/fuzz/seeds/offer/plain");

impl Plane {
    /// One whose commands nobody carries out, with so many sessions of the stream `camera`, their names, and what takes the commands
    /// that wait, and tells how many there were.
    pub(crate) fn without_thread(count: usize) -> (Self, Vec<String>, impl Fn() -> usize) {
        let (plane, names, inbox) = idle(count);
        (plane, names, move || inbox.try_iter().count())
    }
}

fn idle(count: usize) -> (Plane, Vec<String>, Receiver<Command>) {
    let (commands, inbox) = sync_channel(COMMANDS);
    let poll = mio::Poll::new().unwrap();
    let bound = "127.0.0.1:8080".parse().unwrap();
    let limits = Limits {
        setups: count as u32,
        ..Limits::default()
    };
    let metrics = Metrics::new();
    let plane = Plane {
        commands,
        waker: Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap()),
        identity: Identity::load(None, SystemTime::now()).unwrap(),
        reach: Reach::new(bound, None, config::Rtc::new(bound), Interfaces::read()),
        sessions: Sessions::new(limits),
        turns: Arc::default(),
        next_viewer: AtomicU64::new(0),
        metrics: metrics.rtc(),
        ended: Shutdown::new(),
        thread: Mutex::new(None),
    };
    let request = Request {
        size: Size::new(640, 360),
        rate: FrameRate::whole(30),
        format: None,
    };
    let picture = TestPicture::Bars;
    let pattern = Pattern::new("camera", picture, request);
    let config = config::Stream::new("camera", config::Source::Pattern(picture));
    let stream = Stream::start(config, Arc::new(pattern), metrics.stream("camera")).unwrap();
    let frame = Frame::new(&Offer::parse(OFFER, Profiles::ENCODED).unwrap());
    let names: Vec<_> = (0..count).map(|n| format!("session {n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let entry = Entry {
            viewer: n as u64,
            stream: stream.clone(),
            client: None,
            tag: String::new(),
            remote: (String::new(), String::new()),
            frame: frame.clone(),
            record: Record::new(Instant::now()),
            caller: None,
        };
        plane.sessions.lock().insert(name.clone(), entry).unwrap();
    }
    stream.signal();
    stream.join();
    (plane, names, inbox)
}

#[test]
fn a_session_that_the_media_thread_is_not_told_of_goes_on_and_can_be_ended_later() {
    let (plane, names, inbox) = idle(COMMANDS + 1);
    let (last, others) = names.split_last().unwrap();
    for name in others {
        assert_eq!(plane.end("camera", name), Ok(()));
        assert_eq!(plane.end("camera", name), Err(SessionError::NoSession));
    }
    assert_eq!(plane.end("camera", last), Err(SessionError::Overloaded));
    assert!(plane.has("camera", last) && plane.sessions() == 1);
    let told = inbox.try_iter().map(|command| match command {
        Command::End(viewer) => viewer,
        _ => panic!("another command"),
    });
    assert!(told.eq(0..COMMANDS as u64));
    assert_eq!(plane.end("camera", last), Ok(()));
    assert!(!plane.has("camera", last));
    drop(inbox);
    assert_eq!(plane.end("camera", last), Err(SessionError::NoSession));
}
