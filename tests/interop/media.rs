//! Video over sessions that were negotiated in unusual ways.

use crate::daemon::{pattern, start};
use crate::exchange::{post, text};
use crate::offer::{Answer, plain};
use crate::viewer::{Habits, Viewer};
use fanlight::config::Stream;
use fanlight::media::Size;

/// An offer without its lines that begin so.
fn without(offer: &str, beginning: &str) -> String {
    let lines = offer.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with(beginning)).collect()
}

/// Watches a little, with offers of that kind.
async fn plays(audio_first: bool, edit: fn(String) -> String) {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let habits = Habits { audio_first, edit };
    let mut viewer = Viewer::connect_as(&habits, daemon.address, "/whep").await;
    let counters = tokio::task::block_in_place(|| viewer.counters(10));
    assert!(counters.is_sorted_by(|a, b| a < b), "{counters:?}");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_candidates_is_known_by_its_first_check() {
    plays(false, |offer| without(&offer, "a=candidate")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_whose_candidates_are_names_is_known_by_its_first_check() {
    plays(false, |offer| {
        offer.replace(" 127.0.0.1 ", " 3f6f0a4e-53a6-4a0f.local ")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_waits_for_the_handshake_gets_it() {
    plays(false, |offer| {
        offer.replace("setup:actpass", "setup:passive")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_begins_the_handshake_is_waited_for() {
    plays(false, |offer| {
        offer.replace("setup:actpass", "setup:active")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transport_of_an_audio_section_carries_the_video() {
    plays(true, |offer| offer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_the_profile_and_level_that_the_video_says() {
    let sizes = [
        ("small", Size::new(320, 180)),
        ("large", Size::new(1920, 1080)),
    ];
    let streams = sizes.map(|(name, size)| Stream {
        size,
        ..pattern(name)
    });
    let daemon = start("127.0.0.1", streams.to_vec());
    for (name, _) in sizes {
        let path = format!("/{name}/whep");
        // Said before the encoder has made anything.
        let reply = post(&daemon, &path, &plain()).await;
        let answer = Answer::read(text(&reply));
        let parameters = Answer::value(answer.video(), "a=fmtp:96 ");
        let (_, said) = parameters.split_once("profile-level-id=").unwrap();

        let mut viewer = Viewer::connect(daemon.address, &path).await;
        let mut sent = None;
        tokio::task::block_in_place(|| {
            viewer.receive(|picture| {
                let sps = picture.data.windows(7).find(|b| b[..4] == [0, 0, 1, 0x67]);
                sent = sps.map(|b| format!("{:02x}{:02x}{:02x}", b[4], b[5], b[6]));
                sent.is_some()
            });
        });
        assert_eq!(sent.as_deref(), Some(said), "{name}");
    }
    daemon.stop().await.unwrap();
}
