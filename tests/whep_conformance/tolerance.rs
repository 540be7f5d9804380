//! Offers of stacks that take the RFCs less literally than browsers, one in each file of `offers/`, and viewers who make such.

use crate::daemon::{pattern, start};
use crate::exchange::{detail, post, text};
use crate::viewer::{Habits, Viewer};
use std::fs;
use std::path::Path;

/// Fingerprints by these alone can't be checked.
const REFUSED: [&str; 2] = ["fp-sha1.sdp", "fp-sha512.sdp"];
/// These name no packetization mode.
const WITHOUT_MODE: [&str; 3] = [
    "gst-whepsrc-no-fmtp.sdp",
    "h264-fmtp-without-mode.sdp",
    "sipsorcery-no-fmtp.sdp",
];

#[tokio::test]
async fn what_other_stacks_forgive_is_forgiven() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whep_conformance/offers");
    let mut offers = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let offer = fs::read_to_string(&path).unwrap();
        let reply = post(&daemon, "/whep", &offer).await;
        if REFUSED.contains(&name) {
            assert!(detail(&reply, 422).contains("sha-256"), "{name}");
        } else {
            assert_eq!(reply.status(), 201, "{name}: {}", text(&reply));
            // RFC 6184, 8.2.2: the answer has the offer's mode.
            let names_mode = text(&reply).contains("packetization-mode=1");
            assert_eq!(names_mode, !WITHOUT_MODE.contains(&name), "{name}");
        }
        offers += 1;
    }
    assert_eq!(offers, 17);
    daemon.stop().await.unwrap();
}

/// The handshake is checked against it, so its spelling matters beyond the offer.
#[tokio::test(flavor = "multi_thread")]
async fn viewers_with_such_offers_see_pictures() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let edits: [fn(String) -> String; 4] = [
        |offer| offer.replace("a=fingerprint:sha-256", "a=fingerprint:SHA-256"),
        |offer| {
            let other = "a=fingerprint:sha-512 AA:BB\r\na=fingerprint:sha-256";
            offer.replace("a=fingerprint:sha-256", other)
        },
        |offer| offer.replace("packetization-mode=1;", ""),
        |offer| format!("\u{feff}{}", offer.replace("t=0 0\r\n", "")),
    ];
    for edit in edits {
        let habits = Habits {
            audio_first: false,
            edit,
        };
        let mut viewer = Viewer::connect_as(&habits, daemon.address, "/whep").await;
        let counters = tokio::task::block_in_place(|| viewer.counters(3));
        assert!(counters.is_sorted_by(|a, b| a < b), "{counters:?}");
    }
    daemon.stop().await.unwrap();
}
