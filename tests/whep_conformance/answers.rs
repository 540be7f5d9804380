//! Answers to hand-made offers: sections, directions, payload types, roles and addresses.

use crate::daemon::{pattern, request, start};
use crate::exchange::{post, text};
use crate::offer::{Answer, BASELINE, audio, data, offer, plain, video};
use hyper::{Request, StatusCode};

fn heads(answer: &Answer<'_>) -> Vec<String> {
    let heads = answer.sections.iter().map(|lines| {
        let mut words = lines[0].split(' ');
        let (media, port) = (words.next().unwrap(), words.next().unwrap());
        let is_off = if port == "0" { "off" } else { "on" };
        format!("{} {is_off}", &media[2..])
    });
    heads.collect()
}

/// The sections of an answer's group.
fn groups_of(answered: Option<&str>) -> Vec<&str> {
    answered.map_or_else(Vec::new, |mids| mids.split(' ').collect())
}

#[tokio::test]
async fn every_section_is_answered_in_its_place() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let (audio, video, data) = (audio("a"), video("v", BASELINE), data("d"));
    let (a, v, d) = (|| audio.clone(), || video.clone(), || data.clone());
    let off = ["audio off", "video on", "application off"];
    for (group, sections, expected, answered) in [
        (Some("v"), vec![v()], vec!["video on"], Some("v")),
        (None, vec![v()], vec!["video on"], None),
        (None, vec![a(), v(), d()], off.to_vec(), None),
        // The video's own transport: audio is not needed for it.
        (Some("v a d"), vec![a(), v(), d()], off.to_vec(), Some("v")),
        // All use the first one's transport, so it can't be rejected.
        (
            Some("a v d"),
            vec![a(), v(), d()],
            vec!["audio on", "video on", "application off"],
            Some("a v"),
        ),
        (
            Some("v d"),
            vec![v(), d()],
            vec!["video on", "application off"],
            Some("v"),
        ),
    ] {
        let reply = post(&daemon, "/whep", &offer(group, &sections)).await;
        assert_eq!(reply.status(), StatusCode::CREATED);
        let answer = Answer::read(text(&reply));
        assert_eq!(heads(&answer), expected, "{group:?}");
        let groups = answer.session.iter();
        let mut groups = groups.filter_map(|line| line.strip_prefix("a=group:BUNDLE "));
        assert_eq!(groups.next(), answered, "{group:?}");
        // Candidates belong to one transport, that of the group's first section.
        let first = answered
            .and_then(|mids| mids.split(' ').next())
            .unwrap_or("v");
        for section in &answer.sections {
            let has_candidates = section.contains(&"a=end-of-candidates");
            assert_eq!(has_candidates, Answer::value(section, "a=mid:") == first);
            let direction = if section[0].starts_with("m=video") {
                "a=sendonly"
            } else {
                "a=inactive"
            };
            assert!(section.contains(&direction), "{section:?}");
            // draft-ietf-wish-whep-03, 4.5.1.
            if groups_of(answered).contains(&Answer::value(section, "a=mid:")) {
                assert!(section.contains(&"a=rtcp-mux"), "{section:?}");
                assert!(section.contains(&"a=rtcp-mux-only"), "{section:?}");
            }
            // 4.5.2: one media stream, of one track.
            let streams = section.iter().filter(|line| line.starts_with("a=msid:"));
            let expected = usize::from(section[0].starts_with("m=video"));
            assert_eq!(streams.count(), expected, "{section:?}");
        }
    }
    daemon.stop().await.unwrap();
}

fn h264(payload_type: u8, mode: &str, profile: &str) -> String {
    format!(
        "a=rtpmap:{payload_type} H264/90000\r\n\
         a=fmtp:{payload_type} level-asymmetry-allowed=1{mode};profile-level-id={profile}\r\n"
    )
}

#[tokio::test]
async fn of_all_profiles_in_any_order_the_one_that_is_sent_is_answered() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let (one, zero, none) = (";packetization-mode=1", ";packetization-mode=0", "");
    let vp8 = "a=rtpmap:120 VP8/90000\r\na=rtpmap:121 rtx/90000\r\na=fmtp:121 apt=120\r\n";
    for (client, lines, expected) in [
        (
            "Chromium",
            vec![
                vp8.to_owned(),
                h264(102, one, "42001f"),
                h264(104, zero, "42001f"),
                h264(106, one, "42e01f"),
                h264(108, zero, "42e01f"),
                h264(127, one, "4d001f"),
                h264(39, zero, "4d001f"),
                h264(112, one, "64001f"),
            ],
            106,
        ),
        (
            "Firefox",
            vec![
                vp8.to_owned(),
                h264(126, one, "42e01f"),
                h264(97, none, "42e01f"),
            ],
            126,
        ),
        (
            "Safari, High first",
            vec![
                h264(96, one, "640c1f"),
                h264(98, one, "42e01f"),
                h264(100, zero, "640c1f"),
                vp8.to_owned(),
            ],
            98,
        ),
        (
            "mode 0 first",
            vec![h264(97, zero, "42e01f"), h264(96, one, "42E01F")],
            96,
        ),
        ("High alone", vec![h264(99, one, "64001f")], 99),
        (
            "Main before High",
            vec![h264(99, one, "64001f"), h264(98, one, "4d0032")],
            98,
        ),
        (
            "Baseline before Main",
            vec![h264(98, one, "4d0032"), h264(97, one, "42001f")],
            97,
        ),
        (
            "Constrained Baseline spelled as Main",
            vec![h264(97, one, "42001f"), h264(96, one, "4d801f")],
            96,
        ),
        ("level 5.2", vec![h264(35, one, "42e034")], 35),
    ] {
        let reply = post(
            &daemon,
            "/whep",
            &offer(Some("0"), &[video("0", &lines.concat())]),
        )
        .await;
        assert_eq!(
            reply.status(),
            StatusCode::CREATED,
            "{client}: {}",
            text(&reply)
        );
        let answer = Answer::read(text(&reply));
        let section = answer.video();
        let payload_types = section[0].split(' ').nth(3).unwrap();
        assert_eq!(payload_types, expected.to_string(), "{client}");
        assert_eq!(
            Answer::value(section, "a=rtpmap:"),
            format!("{expected} H264/90000")
        );
        let parameters = Answer::value(section, &format!("a=fmtp:{expected} "));
        assert!(
            parameters.contains("packetization-mode=1"),
            "{client}: {parameters}"
        );
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn retransmissions_and_feedback_are_answered_as_far_as_they_are_offered() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let rtx = "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 goog-remb\r\n";
    for (lines, expected) in [(BASELINE.to_owned(), 0), (BASELINE.to_owned() + rtx, 1)] {
        let reply = post(&daemon, "/whep", &offer(Some("0"), &[video("0", &lines)])).await;
        let answer = Answer::read(text(&reply));
        let count = |beginning| {
            let lines = answer.video().iter();
            lines.filter(|line| line.starts_with(beginning)).count()
        };
        assert_eq!(count("a=fmtp:97 apt=96"), expected);
        assert_eq!(count("a=ssrc-group:FID "), expected);
        assert_eq!(count("a=ssrc:"), 1 + expected);
        // Without retransmission only the picture's loss can be reported.
        assert_eq!(count("a=rtcp-fb:96 nack pli"), 1);
        assert_eq!(count("a=rtcp-fb:96 nack"), 1 + expected);
        assert_eq!(count("a=rtcp-fb:96 ccm fir"), expected);
        assert_eq!(count("a=rtcp-fb:96 goog-remb"), 0);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn the_handshake_begins_on_the_side_that_the_offer_names() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    for (offered, answered) in [
        ("actpass", "passive"),
        ("active", "passive"),
        ("passive", "active"),
    ] {
        let offer = plain().replace("setup:actpass", &format!("setup:{offered}"));
        let reply = post(&daemon, "/whep", &offer).await;
        let answer = Answer::read(text(&reply));
        assert_eq!(Answer::value(answer.video(), "a=setup:"), answered);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn every_answer_is_complete_whatever_candidates_the_offer_has() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let local = "a=candidate:1 1 udp 2113937151 3f6f0a4e-53a6-4a0f-93b0-0a0b0c0d0e0f.local 50000 typ host\r\n";
    let odd = "a=candidate:1 1 tcp 1518280447 10.0.0.9 9 typ host tcptype active\r\n\
        a=candidate:2 2 udp 1 10.0.0.9 4 typ srflx raddr 0.0.0.0 rport 0\r\na=candidate:nonsense\r\n";
    for candidates in ["", local, odd, "a=ice-options:trickle\r\n"] {
        let lines = BASELINE.to_owned() + candidates;
        let reply = post(&daemon, "/whep", &offer(Some("0"), &[video("0", &lines)])).await;
        assert_eq!(reply.status(), StatusCode::CREATED, "{}", text(&reply));
        let answer = Answer::read(text(&reply));
        let expected = format!("127.0.0.1 {}", daemon.address.port());
        // By UDP and by TCP.
        assert_eq!(answer.candidates(), [expected.as_str(); 2]);
        let candidates = text(&reply)
            .lines()
            .filter(|line| line.starts_with("a=candidate:"));
        let transports = candidates.map(|line| line.split(' ').nth(2).unwrap());
        assert_eq!(transports.collect::<Vec<_>>(), ["udp", "tcp"]);
        assert!(answer.session.contains(&"a=ice-lite"));
        let options = "a=ice-options:trickle ice2";
        assert!(answer.session.contains(&options));
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn the_address_that_was_reached_is_offered_first() {
    let daemon = start("::", vec![pattern("camera")]);
    for (ip, connection) in [("127.0.0.1", "IN IP4 127.0.0.1"), ("::1", "IN IP6 ::1")] {
        let post = Request::post("/whep").header("host", "localhost");
        let post = post.header("content-type", "application/sdp");
        let to = daemon.at(ip.parse().unwrap());
        let reply = request(to, post.body(plain()).unwrap()).await;
        let answer = Answer::read(text(&reply));
        assert_eq!(answer.candidates()[0], format!("{ip} {}", to.port()));
        assert_eq!(Answer::value(answer.video(), "c="), connection);
    }
    daemon.stop().await.unwrap();
}
