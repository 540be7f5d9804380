//! Tests of the reading of offers, on offers as real clients make them.

use super::*;
use crate::media::Profile;
use crate::rtc::sdp::codecs::{NO_FRAGMENTS, NO_H264, NO_PASSED_PROFILE, NO_PROFILE};
use crate::rtc::sdp::nasty_offers::nasty_offers;
use crate::rtc::sim::fuzz::processor_time;
use proptest::prelude::*;

/// As an offer says it.
const FINGERPRINT: &str = "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";

/// For a stream that OpenH264 encodes.
fn parse(text: &str) -> Result<Offer, OfferError> {
    Offer::parse(text, Profiles::ENCODED)
}

/// An offer with the given lines in its only video section.
fn offer(section: &str) -> String {
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 104 106 108\r\nc=IN IP4 0.0.0.0\r\n\
         a=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
         a=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\na=rtcp-mux\r\n{section}"
    )
}

fn h264(payload_type: u8, profile: &str, mode: u8) -> String {
    format!(
        "a=rtpmap:{payload_type} H264/90000\r\n\
         a=fmtp:{payload_type} level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}\r\n"
    )
}

fn malformed(text: &str) -> String {
    match parse(text) {
        Err(OfferError::Malformed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn problem(text: &str) -> &'static str {
    match parse(text) {
        Err(OfferError::Unusable(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_many_codecs_constrained_baseline_with_fragmentation_is_chosen() {
    let section = [
        "a=recvonly\r\na=rtpmap:96 VP8/90000\r\n".to_owned(),
        h264(97, "42001f", 1),
        h264(102, "42e01f", 0),
        h264(104, "64001f", 1),
        h264(106, "42e01f", 1),
        h264(108, "4d001f", 1),
    ];
    let offer = parse(&offer(&section.concat())).unwrap();
    assert_eq!(offer.video.codec.payload_type, 106);
    assert_eq!(offer.video.codec.profile.to_string(), "42e01f");
    assert!(offer.video.codec.level_asymmetry);
    assert_eq!(offer.bundle, [0]);
    assert_eq!(offer.video.mid, "0");
    assert_eq!(offer.video.setup, Setup::Passive);
}

#[test]
fn constrained_baseline_is_known_by_its_flag_and_not_by_its_spelling() {
    let section = h264(97, "42001f", 1) + &h264(102, "42C015", 1);
    let offer = parse(&offer(&section)).unwrap();
    assert_eq!(offer.video.codec.payload_type, 102);
}

#[test]
fn a_decoder_of_a_higher_profile_is_better_than_none() {
    let offer = parse(&offer(&h264(104, "640c1f", 1))).unwrap();
    assert_eq!(offer.video.codec.payload_type, 104);
}

#[test]
fn the_payload_type_is_the_nearest_that_plays_what_the_camera_may_send() {
    use Profile::{ConstrainedBaseline as Baseline, High, Main};
    let choose = |least, most, offered: &[&str]| {
        let numbered = (96..).zip(offered);
        let section: String = numbered.map(|(number, id)| h264(number, id, 1)).collect();
        let chosen = Offer::parse(&offer(&section), Profiles { least, most });
        chosen.map(|offer| {
            (
                offer.video.codec.profile.to_string(),
                offer.video.codec.plays,
            )
        })
    };
    let chromium = &["42001f", "42e01f", "4d001f", "f4001f", "64001f"];
    for (most, expected) in [(Baseline, "42e01f"), (Main, "4d001f"), (High, "64001f")] {
        let chosen = choose(Baseline, most, chromium);
        assert_eq!(chosen, Ok((expected.to_owned(), most)));
    }
    assert_eq!(
        choose(Baseline, Main, &["42e01f", "640c1f"]),
        Ok(("640c1f".into(), High))
    );
    assert_eq!(
        choose(Baseline, High, &["42e01f", "4d001f"]),
        Ok(("4d001f".into(), Main))
    );
    assert_eq!(
        choose(Baseline, High, &["42001f", "42e01f"]),
        Ok(("42e01f".into(), Baseline))
    );
    let refused = choose(Main, Main, &["42001f", "42e01f"]);
    assert_eq!(refused, Err(OfferError::Unusable(NO_PASSED_PROFILE)));
}

#[test]
fn each_unusable_offer_is_told_why() {
    let good = h264(96, "42e01f", 1);
    let vp8 = "a=rtpmap:96 VP8/90000\r\n";
    assert_eq!(problem(&offer(vp8)), NO_H264);
    assert_eq!(problem(&offer(&h264(96, "42e01f", 0))), NO_FRAGMENTS);
    assert_eq!(problem(&offer(&h264(96, "f4001f", 1))), NO_PROFILE);
    assert_eq!(
        problem(&offer(&format!("a=sendonly\r\n{good}"))),
        NOT_RECEIVING
    );
    let without = |line: &str| offer(&good).replace(line, "");
    assert_eq!(problem(&without("a=rtcp-mux\r\n")), NO_MUX);
    assert_eq!(problem(&without("a=ice-ufrag:abcd\r\n")), NO_ICE);
    assert_eq!(
        problem(&without(&format!("a=fingerprint:{FINGERPRINT}\r\n"))),
        NO_DTLS
    );
    let audio = offer(&good).replace("m=video 9", "m=audio 9");
    assert_eq!(problem(&audio), NO_VIDEO);
    let rejected = offer(&good).replace("m=video 9", "m=video 0");
    assert_eq!(problem(&rejected), NO_VIDEO);
}

#[test]
fn retransmissions_have_the_payload_type_that_was_offered_for_them() {
    let rtx = "a=rtpmap:104 rtx/90000\r\na=fmtp:104 apt=102\r\n\
        a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
    let parsed = parse(&offer(&(h264(96, "42e01f", 1) + rtx))).unwrap();
    assert_eq!(parsed.video.codec.retransmission, Some(97));
    let parsed = parse(&offer(&(h264(106, "42e01f", 1) + rtx))).unwrap();
    assert_eq!(parsed.video.codec.retransmission, None);
}

#[test]
fn text_that_is_not_sdp_is_malformed() {
    for text in ["", " \r\n", "hello", "{\"sdp\":\"\"}", "v=0\r\n\0"] {
        let error = parse(text).unwrap_err();
        assert!(matches!(error, OfferError::Malformed(_)), "{text:?}");
    }
}

#[test]
fn transport_attributes_may_stand_for_the_whole_session_or_in_another_bundled_section() {
    let text = offer(&h264(96, "42e01f", 1));
    for (line, moved_to) in [
        ("a=setup:actpass\r\n", "a=group:BUNDLE 0\r\n"),
        (
            format!("a=fingerprint:{FINGERPRINT}\r\n").as_str(),
            "a=group:BUNDLE 0\r\n",
        ),
        ("a=ice-ufrag:abcd\r\n", "a=group:BUNDLE 0\r\n"),
    ] {
        let text = text
            .replace(line, "")
            .replace(moved_to, &(moved_to.to_owned() + line));
        let offer = parse(&text).unwrap();
        assert_eq!(offer.video.ice.ufrag, "abcd");
        assert_eq!(offer.video.fingerprint, FINGERPRINT);
    }
}

#[test]
fn feedback_is_answered_only_where_it_was_offered_for_the_payload_type() {
    let fb = "a=rtcp-fb:96 nack\r\na=rtcp-fb:* nack pli\r\na=rtcp-fb:97 ccm fir\r\na=rtcp-fb:96 goog-remb\r\n";
    let feedback = |lines: &str| {
        let offer = parse(&offer(&(h264(96, "42e01f", 1) + lines))).unwrap();
        offer.video.codec.feedback
    };
    let rtx = "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
    assert_eq!(feedback(&(fb.to_owned() + rtx)), ["nack", "nack pli"]);
    assert_eq!(feedback(fb), ["nack pli"], "nothing is sent again");
}

#[test]
fn header_extensions_of_the_section_are_taken_and_transport_cc_needs_its_feedback() {
    let h264 = h264(96, "42e01f", 1);
    let maps = "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time\r\n\
        a=extmap:16 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n\
        a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n";
    for (feedback, transport_cc) in [
        ("a=rtcp-fb:96 transport-cc\r\n", Some(4)),
        ("a=rtcp-fb:* transport-cc\r\n", Some(4)),
        ("a=rtcp-fb:97 transport-cc\r\n", None),
        ("", None),
    ] {
        let text = offer(&format!("{h264}{maps}{feedback}"));
        let video = parse(&text).unwrap().video;
        let expected = Extensions {
            transport_cc,
            capture_time: Some(2),
            playout_delay: None,
        };
        assert_eq!(video.extensions, expected, "{feedback}");
        let answered = if transport_cc.is_some() { 2 } else { 1 };
        assert_eq!(video.extmaps.len(), answered);
        assert!(video.codec.feedback.is_empty());
    }
}

#[test]
fn what_would_break_the_lines_of_an_answer_is_malformed() {
    let good = offer(&h264(96, "42e01f", 1));
    assert!(parse(&good.replace("\r\n", "\n")).is_ok());
    for stray in ["a=mid:0\0x", "a=mid:0\rx", "a=mid:0\r"] {
        let bad = good.replace("a=mid:0", stray);
        let refused = parse(&bad);
        assert!(
            matches!(refused, Err(OfferError::Malformed(_))),
            "{stray:?}"
        );
    }
}

#[test]
fn h264_that_names_no_mode_is_taken_at_a_lower_rank() {
    let without_mode = |payload_type, profile: &str| {
        format!(
            "a=rtpmap:{payload_type} H264/90000\r\na=fmtp:{payload_type} profile-level-id={profile}\r\n"
        )
    };
    let bare = "a=rtpmap:96 H264/90000\r\n".to_owned();
    for (section, expected) in [
        (bare.clone(), (96, false)),
        (without_mode(97, "42e01f"), (97, false)),
        // Mode 1 is better, be the profile further away.
        (bare + &h264(106, "640c1f", 1), (106, true)),
        (
            without_mode(97, "42e01f") + &h264(102, "42001f", 1),
            (102, true),
        ),
        // A mode that is named to be 0 may be meant.
        (
            h264(102, "42e01f", 0) + &without_mode(97, "42e01f"),
            (97, false),
        ),
    ] {
        let codec = parse(&offer(&section)).unwrap().video.codec;
        assert_eq!(
            (codec.payload_type, codec.names_mode),
            expected,
            "{section}"
        );
    }
}

#[test]
fn an_encoding_may_name_a_number_of_channels_and_no_other_clock() {
    let fmtp = "a=fmtp:96 packetization-mode=1\r\n";
    for (encoding, is_taken) in [
        ("H264/90000", true),
        ("h264/90000/1", true),
        ("H264/48000", false),
        ("H264", false),
        ("H265/90000", false),
    ] {
        let parsed = parse(&offer(&format!("a=rtpmap:96 {encoding}\r\n{fmtp}")));
        assert_eq!(parsed.is_ok(), is_taken, "{encoding}");
    }
}

#[test]
fn a_fingerprint_by_sha_256_is_found_among_others_and_in_capitals() {
    let own = format!("a=fingerprint:{FINGERPRINT}\r\n");
    let good = offer(&h264(96, "42e01f", 1));
    let with = |lines: &str| good.replace(&own, lines);
    let sha_1 =
        "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13\r\n";
    for lines in [
        own.replace("sha", "SHA"),
        format!("{sha_1}{own}"),
        format!("{own}{sha_1}"),
        format!(
            "{sha_1}a=fingerprint:sha-512 AA\r\n{}",
            own.replace("sha", "Sha")
        ),
    ] {
        let parsed = parse(&with(&lines)).unwrap();
        assert_eq!(parsed.video.fingerprint, FINGERPRINT, "{lines}");
    }
    // The session has what the section lacks.
    let session = format!("a=group:BUNDLE 0\r\n{own}");
    let moved = with(sha_1).replace("a=group:BUNDLE 0\r\n", &session);
    assert_eq!(parse(&moved).unwrap().video.fingerprint, FINGERPRINT);
    assert_eq!(problem(&with(sha_1)), NO_SHA_256);
    for bad in [
        "sha-256 AA:BB",
        "sha-256 ",
        &FINGERPRINT.replace("1F", "1G"),
        &FINGERPRINT.replace(':', "-"),
        &format!("{FINGERPRINT}:20"),
    ] {
        let text = with(&format!("a=fingerprint:{bad}\r\n"));
        assert!(
            matches!(
                parse(&text),
                Err(OfferError::Malformed(_) | OfferError::Unusable(_))
            ),
            "{bad}"
        );
    }
    assert_eq!(
        malformed(&with("a=fingerprint:sha-256 AA:BB\r\n")),
        BAD_FINGERPRINT
    );
}

#[test]
fn what_a_session_keeps_of_an_offer_has_a_length() {
    let good = offer(&h264(96, "42e01f", 1));
    let password = "0123456789abcdefghijkl";
    for (from, to, problem) in [
        ("ufrag:abcd", "ufrag:abc".to_owned(), BAD_UFRAG),
        (
            "ufrag:abcd",
            format!("ufrag:{}", "a".repeat(257)),
            BAD_UFRAG,
        ),
        ("ufrag:abcd", "ufrag:ab:d".to_owned(), BAD_UFRAG),
        (password, "0".repeat(21), BAD_PASSWORD),
        (password, "0".repeat(100_000), BAD_PASSWORD),
        (password, format!("{password} x"), BAD_PASSWORD),
        ("a=mid:0", format!("a=mid:{}", "0".repeat(257)), BAD_MID),
    ] {
        assert_eq!(malformed(&good.replace(from, &to)), problem);
    }
    let long = good
        .replace("ufrag:abcd", &format!("ufrag:{}", "a".repeat(256)))
        .replace(password, &"0".repeat(256));
    assert_eq!(parse(&long).unwrap().video.ice.ufrag.len(), 256);
}

#[test]
fn no_debug_output_has_a_password() {
    let offer = parse(&offer(&h264(96, "42e01f", 1))).unwrap();
    let fragment = crate::rtc::Fragment {
        ice: Some(offer.video.ice.clone()),
    };
    let ours = crate::rtc::wire::credentials::Credentials::generate();
    let text = format!("{offer:?} {fragment:?} {ours:?}");
    assert!(
        text.contains(&ours.ufrag) && text.contains("abcd"),
        "{text}"
    );
    assert!(
        !text.contains(ours.password.as_str()) && !text.contains(offer.video.ice.password.as_str()),
        "{text}"
    );
}

#[test]
fn rtcp_mux_may_be_offered_for_the_whole_session() {
    let text = offer(&h264(96, "42e01f", 1)).replace("a=rtcp-mux\r\n", "");
    let group = "a=group:BUNDLE 0\r\n";
    let text = text.replace(group, &format!("{group}a=rtcp-mux\r\n"));
    assert!(parse(&text).is_ok());
}

/// The fuzz target bounds the time that one offer takes.
#[test]
fn the_largest_offers_take_time_in_proportion_to_their_length() {
    for (name, text) in nasty_offers(128 << 10) {
        assert_eq!(text.len(), 128 << 10, "{name}");
        let is_within_bounds = !matches!(parse(&text), Err(OfferError::Malformed(_)));
        assert!(is_within_bounds, "{name}: {:?}", parse(&text));
        let start = processor_time();
        crate::rtc::sim::fuzz::offer(text.as_bytes());
        println!("{name}: {:.1?}", processor_time().saturating_sub(start));
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,300}") {
        let _ = parse(&text);
        let _ = parse(&offer(&text));
    }

    #[test]
    fn no_line_out_of_place_makes_it_panic(at in 0..40usize, line in "[a-z]=[ -~]{0,40}") {
        let mut lines: Vec<_> = offer(&h264(96, "42e01f", 1)).lines().map(str::to_owned).collect();
        lines.insert(at.min(lines.len()), line);
        let _ = parse(&lines.join("\r\n"));
    }
}
