//! Watching, over real HTTP, UDP and TCP, with an independent WebRTC stack and a decoder: what the camera showed arrives.

mod cost;
mod daemon;
mod encoding;
mod passing;
mod picture;
mod tcp;
#[expect(dead_code, reason = "these tests need less of it than others")]
mod viewer;

use daemon::{pattern, start, until};
use fanlight::config::{Source, Stream};
use fanlight::media::{Flip, Orientation, Rotation};
use str0m::media::KeyframeRequestKind;
use viewer::Viewer;

/// Neither stale nor doubled nor reordered. That none is missing is the decoder's word, which has all references:
/// a machine that is too slow for the pattern's rate skips frames before they are encoded.
fn assert_in_order(counters: &[u32]) {
    let is_later = |pair: &[u32]| pair[1] > pair[0];
    assert!(counters.windows(2).all(is_later), "{counters:?}");
}

/// Runs a viewer's blocking part beside the daemon.
fn watching<T>(watch: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(watch)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_arrives_once_and_in_order() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    let counters = watching(|| viewer.counters(90));
    assert_in_order(&counters);
    assert_eq!(daemon.metric("fanlight_nacks_total").await, 0.0);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_viewer_begins_where_the_stream_is() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut first = Viewer::connect(daemon.address, "/camera/whep").await;
    let before = watching(|| first.counters(40));
    let mut second = Viewer::connect(daemon.address, "/whep/camera").await;
    let after = watching(|| second.counters(20));
    assert_in_order(&after);
    assert!(after[0] > before[0] + 20, "{} {}", before[0], after[0]);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_come_over_ipv4_and_ipv6_to_one_wildcard_socket() {
    let daemon = start("::", vec![pattern("camera")]);
    for ip in ["127.0.0.1", "::1"] {
        let address = daemon.at(ip.parse().unwrap());
        let mut viewer = Viewer::connect(address, "/whep").await;
        assert_in_order(&watching(|| viewer.counters(10)));
    }
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_on_its_side_is_seen_upright() {
    let turned = Stream {
        rotate: Rotation::Quarter,
        flip: Flip::Vertical,
        ..pattern("camera")
    };
    let daemon = start("127.0.0.1", vec![turned]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    // A quarter and a flip make a reflection, which undoes itself.
    viewer.turn = Orientation::new(Rotation::Quarter, Flip::Vertical);
    assert_in_order(&watching(|| viewer.counters(20)));
    let stream = daemon.stream("camera").await;
    assert_eq!([&stream["width"], &stream["height"]], [360, 640]);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_sent_again() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    // A stack can't miss what came before the first packet it got.
    watching(|| viewer.counters(20));
    // Every 13th of the sequence numbers, once: what is sent again has the same one.
    viewer.lose = |datagram| {
        use std::sync::atomic::{AtomicU16, Ordering};
        static HIGHEST: AtomicU16 = AtomicU16::new(0);
        let is_rtp = datagram.len() > 12 && datagram[0] >> 6 == 2 && datagram[1] & 0x7f >= 96;
        if !is_rtp {
            return false;
        }
        // What is sent again has a payload type of its own, and numbers of its own.
        static VIDEO: AtomicU16 = AtomicU16::new(0);
        let payload_type = u16::from(datagram[1] & 0x7f);
        let first = VIDEO.compare_exchange(0, payload_type, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_err_and(|video| video != payload_type) {
            return false;
        }
        let number = u16::from_be_bytes([datagram[2], datagram[3]]);
        let is_new = HIGHEST.fetch_max(number, Ordering::Relaxed) < number;
        is_new && number.is_multiple_of(13)
    };
    assert_in_order(&watching(|| viewer.counters(90)));
    let repeated = daemon.metric("fanlight_retransmissions_total").await;
    assert!(repeated >= 4.0, "{repeated}");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_asks_gets_a_keyframe() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    for kind in [KeyframeRequestKind::Pli, KeyframeRequestKind::Fir] {
        watching(|| viewer.counters(20));
        let before = viewer.keyframes;
        viewer.ask_for_keyframe(kind);
        // The stream's own interval between keyframes is longer than this.
        while viewer.keyframes == before {
            watching(|| viewer.counters(1));
        }
    }
    let requests = daemon.metric("fanlight_keyframe_requests_total").await;
    assert!(requests >= 2.0, "{requests}");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_says_goodbye_is_forgotten() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    watching(|| viewer.counters(5));
    viewer.close();
    until("the session is forgotten", async || {
        daemon.metric("fanlight_sessions_active").await == 0.0
    })
    .await;
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_ends_says_goodbye_to_its_viewers() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    watching(|| viewer.counters(5));
    daemon.signal();
    watching(|| viewer.receive(|_| false));
    assert!(viewer.is_closed);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_leaves_the_others_alone_and_says_why() {
    let missing = Stream::new("missing", Source::Device("/dev/video99".into()));
    let daemon = start("127.0.0.1", vec![pattern("camera"), missing]);
    let _waiting = Viewer::connect(daemon.address, "/missing/whep").await;
    until("the failure is shown", async || {
        let stream = daemon.stream("missing").await;
        stream["state"] == "down" && stream["error"]["kind"] == "not_found"
    })
    .await;
    let detail = daemon.stream("missing").await["error"]["detail"].clone();
    assert!(
        detail.as_str().unwrap().contains("/dev/video99"),
        "{detail}"
    );
    let mut viewer = Viewer::connect(daemon.address, "/camera/whep").await;
    assert_in_order(&watching(|| viewer.counters(30)));
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_viewers_at_once_cost_few_keyframes() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewers = Vec::new();
    for _ in 0..20 {
        viewers.push(Viewer::connect(daemon.address, "/whep").await);
    }
    let threads: Vec<_> = viewers
        .into_iter()
        .map(|mut viewer| std::thread::spawn(move || viewer.counters(30)))
        .collect();
    for thread in threads {
        let counters = watching(|| thread.join().unwrap());
        assert_in_order(&counters);
    }
    let keyframes = daemon
        .metric("fanlight_keyframes_total{stream=\"camera\"}")
        .await;
    assert!(keyframes < 20.0, "{keyframes}");
    daemon.stop().await.unwrap();
}
