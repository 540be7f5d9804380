//! A camera's own H.264, watched: all of it arrives as it is, or it is encoded after all.

use crate::daemon::{Running, request, run, until};
use crate::encoding::Camera;
use crate::viewer::{Habits, Viewer};
use crate::{assert_in_order, watching};
use fanlight::capture::Wanted;
use fanlight::client::rtc::Client;
use fanlight::config::{Config, Encode, Source, Stream};
use hyper::{Request, StatusCode};
use openh264::decoder::Decoder;
use std::sync::Arc;
use std::time::Duration;
use str0m::media::KeyframeRequestKind;

const B_FRAMES: &[u8] = include_bytes!("../../src/codec/h264/fixtures/main_b.h264");

fn start(camera: &Camera, encode: Encode) -> Running {
    let stream = Stream {
        encode,
        // Who can be asked is asked so seldom without a reason.
        keyframe_interval: Duration::from_secs(10),
        linger: Duration::ZERO,
        ..Stream::new("camera", Source::Device("/dev/video0".into()))
    };
    let camera = camera.clone();
    let streams = |config: &mut Config| config.streams = vec![stream];
    run("127.0.0.1", streams, |daemon| {
        daemon.with_sources(move |_| Arc::new(camera.clone()))
    })
}

/// The pictures that the camera handed over, and no others, none missing.
fn assert_all_of(camera: &Camera, counters: &[u32]) {
    let shown = camera.shown_from(counters[0]);
    assert_eq!(shown[..counters.len()], *counters);
}

async fn passed(daemon: &Running) -> f64 {
    let name = "fanlight_frames_passed_total{stream=\"camera\"}";
    daemon.metric(name).await
}

async fn encoded(daemon: &Running) -> f64 {
    let name = "fanlight_frames_encoded_total{stream=\"camera\"}";
    daemon.metric(name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_picture_of_the_cameras_own_arrives_once_and_in_order() {
    let camera = Camera::default();
    let daemon = start(&camera, Encode::Auto);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    assert_all_of(&camera, &watching(|| viewer.counters(100)));
    assert_eq!(camera.opened(), [Wanted::Either]);
    assert_eq!(daemon.stream("camera").await["format"], "h264");
    assert!(passed(&daemon).await >= 100.0);
    assert_eq!(encoded(&daemon).await, 0.0);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_between_two_keyframes_begins_with_the_last() {
    // One keyframe each ten seconds, and those that are made here.
    let camera = Camera::with_groups_of(300);
    let daemon = start(&camera, Encode::Never);
    let mut first = Viewer::connect(daemon.address, "/whep").await;
    watching(|| first.counters(1));
    // Where joining takes longer than the past is kept, it is tried again.
    for _ in 0..20 {
        camera.make_keyframe();
        let before = first.keyframes;
        let keyframe = watching(|| {
            loop {
                let counter = first.counters(1)[0];
                if first.keyframes > before {
                    return counter;
                }
            }
        });
        // More than a newcomer begins with where keyframes can be asked for.
        watching(|| first.counters(13));
        let mut second = Viewer::connect(daemon.address, "/whep").await;
        let late = watching(|| second.counters(40));
        assert_all_of(&camera, &late);
        assert_eq!(daemon.stream("camera").await["makes_keyframes"], false);
        if late[0] == keyframe {
            assert_eq!(second.keyframes, 1, "it needed no other");
            return daemon.stop().await.unwrap();
        }
    }
    panic!("nobody began with the keyframe, and all since");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_can_be_asked_for_a_keyframe_is_asked() {
    let camera = Camera::that_can_be_asked();
    let daemon = start(&camera, Encode::Auto);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    let mut counters = watching(|| viewer.counters(30));
    viewer.ask_for_keyframe(KeyframeRequestKind::Pli);
    let before = viewer.keyframes;
    while viewer.keyframes == before {
        counters.extend(watching(|| viewer.counters(1)));
    }
    assert!(
        counters.len() < 250,
        "its own next one comes after 300 pictures"
    );
    assert_eq!(daemon.stream("camera").await["makes_keyframes"], true);
    assert_all_of(&camera, &counters);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_damaged_buffer_viewers_go_on_at_the_next_keyframe() {
    let camera = Camera::default();
    let daemon = start(&camera, Encode::Auto);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    let mut counters = watching(|| viewer.counters(10));
    camera.damage(1);
    // The decoder, which never refuses a picture here, has all that each refers to.
    counters.extend(watching(|| viewer.counters(60)));
    assert_in_order(&counters);
    let gaps = counters.windows(2).filter(|pair| pair[1] > pair[0] + 1);
    assert!(gaps.count() >= 1, "{counters:?}");
    assert!(
        daemon
            .metric("fanlight_frames_dropped_total{stream=\"camera\"}")
            .await
            >= 1.0
    );
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_damaged_buffer_a_camera_that_can_be_asked_is_asked_though_no_viewer_asks() {
    let camera = Camera::that_can_be_asked();
    let daemon = start(&camera, Encode::Auto);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    let mut counters = watching(|| viewer.counters(30));
    camera.damage(1);
    counters.extend(watching(|| viewer.counters(30)));
    assert_in_order(&counters);
    let made = camera.shown_from(counters[0]);
    let last = made
        .iter()
        .position(|counter| counters.last() == Some(counter));
    assert!(last.unwrap() < 100, "its own next one comes after 300");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn b_frames_are_encoded_after_all_or_refused_with_a_reason() {
    let camera = Camera::of_clip(B_FRAMES);
    let daemon = start(&camera, Encode::Auto);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    assert_in_order(&watching(|| viewer.counters(30)));
    assert_eq!(camera.opened(), [Wanted::Either, Wanted::Frames]);
    assert_eq!(passed(&daemon).await, 0.0);
    daemon.stop().await.unwrap();

    let daemon = start(&camera, Encode::Never);
    let _viewer = Viewer::connect(daemon.address, "/whep").await;
    until("the failure is shown", async || {
        daemon.stream("camera").await["error"]["kind"] == "not_passable"
    })
    .await;
    let error = &daemon.stream("camera").await["error"];
    let (detail, cure) = (error["detail"].to_string(), error["cure"].to_string());
    assert!(detail.contains("B-frames"), "{detail}");
    assert!(cure.contains("encode = "), "{cure}");
    daemon.stop().await.unwrap();
}

/// An offer of nothing but Constrained Baseline, as some browsers make it.
fn baseline_only(offer: String) -> String {
    let others = ["42001f", "4d001f", "640032", "64001f", "640c1f", "f4001f"];
    others
        .iter()
        .fold(offer, |offer, id| offer.replace(id, "42e01f"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_does_not_play_the_cameras_profile_has_it_encoded_for_all() {
    let camera = Camera::of_main_profile();
    let daemon = start(&camera, Encode::Auto);
    let mut first = Viewer::connect(daemon.address, "/whep").await;
    watching(|| first.counters(30));
    assert_eq!(camera.opened(), [Wanted::Either]);
    let habits = Habits {
        audio_first: false,
        edit: baseline_only,
    };
    let mut second = Viewer::connect_as(&habits, daemon.address, "/whep").await;
    let counters = watching(|| second.counters(30));
    assert_in_order(&counters);
    assert_eq!(camera.opened(), [Wanted::Either, Wanted::Frames]);
    // The pattern of the camera that was opened anew counts from 0: nothing was sent that this viewer does not play.
    assert!(counters[0] < 30, "{counters:?}");
    assert!(encoded(&daemon).await >= 30.0);
    let on = watching(|| first.counters(60)).split_off(40);
    assert_in_order(&on);
    drop((first, second));
    daemon.stop().await.unwrap();
}

/// `fanlight doctor`'s own viewer: to look must change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_examines_a_stream_has_it_encoded_for_nobody() {
    for (encode, wanted) in [
        (Encode::Auto, Wanted::Either),
        (Encode::Never, Wanted::H264),
    ] {
        let camera = Camera::of_main_profile();
        let daemon = start(&camera, encode);
        let mut client = Client::new(daemon.address.ip()).await.unwrap();
        let post = Request::post("/whep")
            .header("host", "localhost")
            .header("content-type", "application/sdp");
        let offer = client.offer().unwrap();
        let answer = request(daemon.address, post.body(offer).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        let answer = String::from_utf8(answer.into_body().to_vec()).unwrap();
        client.accept(&answer).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let mut pictures = 0;
        while pictures < 10 {
            let unit = client.next().await.unwrap();
            pictures += u32::from(decoder.decode(&unit.data).unwrap().is_some());
        }
        assert_eq!(camera.opened(), [wanted]);
        client.close().await;
        daemon.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_needs_frames_of_a_camera_without_any_is_refused_and_disturbs_nobody_for_good() {
    let camera = Camera::without_frames();
    let daemon = start(&camera, Encode::Auto);
    let mut first = Viewer::connect(daemon.address, "/whep").await;
    let before = watching(|| first.counters(10));
    let habits = Habits {
        audio_first: false,
        edit: baseline_only,
    };
    // One who was answered before the profile was known, or by a daemon that had frames in mind.
    let second = Viewer::connect_as(&habits, daemon.address, "/whep").await;
    // The camera that is opened anew counts from 0.
    let after = watching(|| {
        let mut last = before[9];
        loop {
            let next = first.counters(1)[0];
            if next < last {
                return next;
            }
            last = next;
        }
    });
    assert!(after < 30, "{after}");
    let image = crate::daemon::get(daemon.address, "/camera/mjpeg").await;
    assert!(image.contains("has no JPEG images"), "{image}");
    let refused = Viewer::offer_as(&habits, daemon.address, "/whep").await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    drop(second);
    watching(|| first.counters(30));
    let wanted = [Wanted::Either, Wanted::Frames, Wanted::Either];
    assert_eq!(camera.opened(), wanted);
    assert_eq!(encoded(&daemon).await, 0.0);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_waited_for_is_refused_when_the_camera_turns_out_to_have_no_frames() {
    let camera = Camera::without_frames();
    let daemon = start(&camera, Encode::Auto);
    let image = crate::daemon::get(daemon.address, "/camera/jpeg").await;
    assert!(image.contains("has no JPEG images"), "{image}");
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    watching(|| viewer.counters(30));
    let images = crate::daemon::get(daemon.address, "/camera/mjpeg").await;
    assert!(images.contains("has no JPEG images"), "{images}");
    assert_eq!(camera.opened()[..2], [Wanted::Frames, Wanted::Either]);
    assert_eq!(daemon.stream("camera").await["state"], "live");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_never_encoded_refuses_who_does_not_play_it() {
    let camera = Camera::of_main_profile();
    let daemon = start(&camera, Encode::Never);
    let mut first = Viewer::connect(daemon.address, "/whep").await;
    watching(|| first.counters(10));
    let habits = Habits {
        audio_first: false,
        edit: baseline_only,
    };
    let refused = Viewer::offer_as(&habits, daemon.address, "/whep").await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let text = String::from_utf8(refused.into_body().to_vec()).unwrap();
    assert!(text.contains("encode = "), "{text}");
    let image = crate::daemon::get(daemon.address, "/camera/mjpeg").await;
    assert!(image.contains("has no JPEG images"), "{image}");
    daemon.stop().await.unwrap();
}
