//! The handle to the media thread without one: what becomes of commands that it does not take.

use super::net::demux::ViewerId;
use super::plane::facts::Record;
use super::*;
use crate::capture::Request;
use crate::capture::pattern::Pattern;
use crate::media::{FrameRate, Size, TestPicture};
use crate::metrics::Metrics;
use std::sync::mpsc::Receiver;
use std::time::Duration;

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
            caller: None,
            tag: String::new(),
            remote: Credentials::new("", ""),
            frame: frame.clone(),
            record: Record::new(Instant::now()),
        };
        plane
            .sessions
            .lock()
            .insert(Instant::now(), name.as_str().into(), entry, |_| {
                Ok::<_, Limit>(())
            })
            .unwrap();
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
        Command::End(viewer, EndReason::Deleted) => viewer,
        _ => panic!("another command"),
    });
    assert!(told.eq(0..COMMANDS as u64));
    assert_eq!(plane.end("camera", last), Ok(()));
    assert!(!plane.has("camera", last));
    drop(inbox);
    assert_eq!(plane.end("camera", last), Err(SessionError::NoSession));
}

#[test]
fn when_set_up_is_full_the_oldest_session_without_a_check_for_three_seconds_gives_way() {
    let (plane, names, _inbox) = idle(3);
    let path = crate::rtc::wire::outbox::Path::udp("192.0.2.7:5000".parse().unwrap(), None);
    let start = Instant::now();
    let record = |name: &str| {
        let mut sessions = plane.sessions.lock();
        sessions.get_mut("camera", name).unwrap().record.clone()
    };
    let later = |ms| start + Duration::from_millis(ms);
    // The oldest is at it.
    record(&names[0]).proved(later(2000), &path, false);
    let (stream, frame) = {
        let mut sessions = plane.sessions.lock();
        let entry = sessions.get_mut("camera", &names[0]).unwrap();
        (entry.stream.clone(), entry.frame.clone())
    };
    let insert = |viewer: ViewerId, now: Instant| {
        let entry = Entry {
            viewer,
            stream: stream.clone(),
            client: None,
            caller: None,
            tag: String::new(),
            remote: Credentials::new("", ""),
            frame: frame.clone(),
            record: Record::new(now),
        };
        let name = format!("new {viewer}");
        let mut gave_way = None;
        let hand_over = |viewer| {
            gave_way = viewer;
            Ok::<_, Limit>(())
        };
        let mut sessions = plane.sessions.lock();
        let done = sessions.insert(now, name.as_str().into(), entry, hand_over);
        done.map(|()| gave_way)
    };
    assert_eq!(insert(10, later(2900)), Err(Limit::Setups));
    assert_eq!(insert(11, later(3001)), Ok(Some(1)));
    assert_eq!(insert(12, later(3001)), Ok(Some(2)));
    assert_eq!(insert(13, later(3001)), Err(Limit::Setups), "these are new");
    assert!(plane.has("camera", &names[0]) && !plane.has("camera", &names[1]));
    assert_eq!(plane.sessions(), 3);
    assert_eq!(
        insert(14, later(5001)),
        Ok(Some(0)),
        "it has checked no more"
    );
    assert_eq!(insert(15, later(6002)), Ok(Some(11)));
    // One that connects takes no place in set-up.
    plane.sessions.lock().connected("new 12");
    assert_eq!(insert(16, later(6002)), Ok(None));
    assert_eq!(plane.sessions(), 4);
}

#[test]
fn a_session_gives_way_only_to_one_that_the_media_thread_is_told_of() {
    let (plane, names, inbox) = idle(1);
    let stream = {
        let mut sessions = plane.sessions.lock();
        let entry = sessions.get_mut("camera", &names[0]).unwrap();
        entry.record = Record::new(Instant::now() - Duration::from_secs(4));
        entry.stream.clone()
    };
    let address = "192.0.2.7".parse().unwrap();
    let ask = || plane.answer(OFFER, &stream, None, address, None);
    for _ in 0..COMMANDS {
        plane.send(Command::Stop).unwrap();
    }
    assert!(matches!(ask(), Err(AnswerError::Overloaded)));
    assert!(plane.has("camera", &names[0]) && plane.sessions() == 1);
    assert_eq!(inbox.try_iter().count(), COMMANDS);
    let new = ask().unwrap();
    assert!(!plane.has("camera", &names[0]) && plane.has("camera", &new.id));
    let told = inbox.try_recv().unwrap();
    assert!(matches!(
        told,
        Command::Add {
            gives_way: Some(0),
            ..
        }
    ));
}

#[test]
fn refused_offers_walk_through_the_sessions_that_join_ten_times_a_second_at_the_most() {
    let (plane, ..) = idle(3);
    let mut table = plane.sessions.lock();
    let begun = table.entries().map(|(_, entry)| entry.record.read().begun);
    let begun = begun.min().unwrap();
    let mut admits = |ms| {
        let now = begun + Duration::from_millis(ms);
        table.admits(now, "other", None).is_ok()
    };
    assert!(!admits(2990), "each may still be heard");
    assert!(!admits(3089), "it is not looked for again so soon");
    assert!(admits(3090));
    assert!(admits(3091), "what was found stays found");
}
