//! How the example makes pictures of packets that are late, doubled or lost.

use crate::frames::{Counts, Frames, Picture};
use bytes::Bytes;
use proptest::prelude::*;
use rtc::rtp::{Header, Packet};
use std::time::{Duration, Instant};

/// Longer than any gap is waited for.
const LONG: Duration = Duration::from_secs(1);

const PARAMETERS: &[u8] = &[24, 0, 3, 0x67, 1, 2, 0, 3, 0x68, 3, 4];
const KEYFRAME: [&[u8]; 4] = [
    PARAMETERS,
    &[0x7c, 0x85, 10, 11],
    &[0x7c, 0x05, 12, 13],
    &[0x7c, 0x45, 14, 15],
];
const KEYFRAME_UNIT: &[u8] = &[
    0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 4, 0, 0, 0, 1, 0x65, 10, 11, 12, 13, 14, 15,
];
const DELTA: [&[u8]; 2] = [&[0x5c, 0x81, 20, 21], &[0x5c, 0x41, 22, 23]];
const DELTA_UNIT: &[u8] = &[0, 0, 0, 1, 0x41, 20, 21, 22, 23];

/// The packets of pictures, numbered from `first`; `k` is a keyframe, anything else is not.
fn packets(first: u16, pictures: &str) -> Vec<Packet> {
    let payloads = pictures.chars().flat_map(|kind| {
        let payloads = if kind == 'k' {
            &KEYFRAME[..]
        } else {
            &DELTA[..]
        };
        let last = payloads.len() - 1;
        let payloads = payloads.iter().enumerate();
        payloads.map(move |(n, payload)| (n == last, Bytes::from_static(payload)))
    });
    let numbered = (0..).zip(payloads);
    numbered
        .map(|(n, (marker, payload))| Packet {
            header: Header {
                version: 2,
                marker,
                sequence_number: first.wrapping_add(n),
                ..Default::default()
            },
            payload,
        })
        .collect()
}

/// `k` and `d` for the pictures handed out, each with the right bytes.
fn letters(pictures: &[Picture]) -> String {
    let letter = |picture: &Picture| {
        let (letter, unit) = if picture.keyframe {
            ('k', KEYFRAME_UNIT)
        } else {
            ('d', DELTA_UNIT)
        };
        assert_eq!(picture.data, unit);
        letter
    };
    pictures.iter().map(letter).collect()
}

fn push_all(frames: &mut Frames, packets: impl IntoIterator<Item = Packet>) -> String {
    let now = Instant::now();
    let pictures = packets
        .into_iter()
        .flat_map(|packet| frames.push(now, packet));
    letters(&pictures.collect::<Vec<_>>())
}

#[test]
fn pictures_begin_with_the_first_keyframe() {
    let mut frames = Frames::new();
    assert!(frames.needs_keyframe());
    assert_eq!(push_all(&mut frames, packets(7, "ddkdd")), "kdd");
    assert!(!frames.needs_keyframe());
    assert_eq!(frames.counts().skipped, 2);
}

#[test]
fn a_viewer_who_comes_in_the_middle_of_a_keyframe_waits_for_the_next() {
    for missed in 1..4 {
        let mut frames = Frames::new();
        let packets = packets(0, "kdkd").into_iter().skip(missed);
        assert_eq!(push_all(&mut frames, packets), "kd", "{missed} missed");
    }
}

#[test]
fn after_a_loss_nothing_comes_until_a_keyframe() {
    for lost in 0..6 {
        let mut frames = Frames::new();
        assert_eq!(push_all(&mut frames, packets(0, "kd")), "kd");
        let mut rest = packets(6, "kddkd");
        rest.remove(lost);
        let now = Instant::now();
        // What comes behind the gap waits…
        for packet in rest.drain(..9) {
            let pictures = letters(&frames.push(now, packet));
            assert!(pictures.len() < 2, "{pictures}");
        }
        // …but not for ever.
        let late = rest
            .into_iter()
            .flat_map(|packet| frames.push(now + LONG, packet));
        let late = letters(&late.collect::<Vec<_>>());
        assert_eq!(
            late.chars().rev().take(2).collect::<String>(),
            "dk",
            "{late}"
        );
        assert_eq!(frames.counts().lost, 1);
    }
}

#[test]
fn a_retransmission_in_time_mends_everything() {
    let mut frames = Frames::new();
    let mut packets = packets(65_530, "kddkdd");
    let lost = packets.remove(5);
    packets.insert(11, lost.clone());
    packets.push(lost);
    assert_eq!(push_all(&mut frames, packets), "kddkdd");
    let expected = Counts {
        packets: 16,
        bytes: 2 * (11 + 12) + 4 * 8,
        reordered: 1,
        ..Counts::default()
    };
    assert_eq!(frames.counts(), expected);
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        first: u16,
        pictures in "k[kd]{0,20}",
        moves in proptest::collection::vec((1..200_usize, 1..200_usize), 0..20),
    ) {
        let mut packets = packets(first, &pictures);
        // The first packet stays: what comes before the first that was seen is not waited for.
        for (from, to) in moves {
            let last = packets.len() - 1;
            let moved = packets.remove(1 + (from - 1) % last);
            packets.insert(1 + (to - 1) % last, moved);
        }
        let mut frames = Frames::new();
        prop_assert_eq!(push_all(&mut frames, packets), pictures);
        prop_assert_eq!(frames.counts().lost, 0);
    }

    #[test]
    fn whatever_is_lost_every_picture_handed_out_has_its_references(
        pictures in "[kd]{1,30}",
        kept in proptest::collection::vec(any::<bool>(), 120),
    ) {
        let mut frames = Frames::new();
        let mut now = Instant::now();
        let sent = packets(0, &pictures);
        // Which pictures are whole, in order.
        let mut whole = Vec::new();
        let mut is_whole = true;
        for (packet, kept) in sent.iter().zip(&kept) {
            is_whole &= kept;
            if packet.header.marker {
                whole.push(std::mem::replace(&mut is_whole, true));
            }
        }
        let mut expected = String::new();
        let mut is_synchronized = false;
        for (kind, is_whole) in pictures.chars().zip(whole) {
            is_synchronized = is_whole && (is_synchronized || kind == 'k');
            if is_synchronized {
                expected.push(kind);
            }
        }
        let mut received = String::new();
        for (packet, _) in sent.into_iter().zip(kept).filter(|(_, kept)| *kept) {
            now += LONG;
            received += &letters(&frames.push(now, packet));
        }
        prop_assert!(expected.starts_with(&received), "{received} of {expected}");
    }
}
