//! Attacks by offers that are as large as they may be.

use crate::support::http::request;
use crate::target::Target;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789abcdefghijkl\r\na=setup:actpass\r\na=recvonly\r\na=rtcp-mux\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n";

/// So many lines behind a text, each with its number.
fn with(text: String, count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(text, |mut text, n| {
        let _ = write!(text, "{}\r\n", line(n));
        text
    })
}

#[test]
fn offers_of_a_thousand_sections_candidates_codecs_or_groups_are_answered_or_refused() {
    let target = Target::start();
    let video = || format!("{HEAD}{VIDEO}");
    let offers = [
        with(video(), 1000, |n| {
            format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{n}\r\na=rtcp-mux")
        }),
        // The section that is served comes last.
        with(HEAD.to_owned(), 1000, |_| {
            "m=video 9 UDP/TLS/RTP/SAVPF 96".into()
        }) + VIDEO,
        with(video(), 1000, |n| {
            format!(
                "a=candidate:{n} 1 udp 2113937151 10.0.{}.{} 50000 typ host",
                n >> 8,
                n & 255
            )
        }),
        with(video(), 1000, |n| {
            format!("a=candidate:{n} 1 udp 1 {n}-5f6f0a4e-53a6-4a0f-93b0.local 50000 typ host")
        }),
        with(video(), 1000, |n| {
            let n = n % 128;
            format!("a=rtpmap:{n} H264/90000\r\na=fmtp:{n} packetization-mode=1;apt={n}")
        }),
        with(video(), 1000, |n| {
            format!("a=extmap:{n} urn:ietf:params:rtp-hdrext:toffset")
        }),
        with(HEAD.to_owned(), 1000, |n| {
            format!("a=group:BUNDLE {n} {n} {n}")
        }) + VIDEO,
    ];
    let (mut slowest, mut largest) = (Duration::ZERO, 0);
    let headers = [("content-type", "application/sdp")];
    for _ in 0..8 {
        for offer in &offers {
            assert!(offer.len() < 128 << 10, "{}", offer.len());
            let start = Instant::now();
            let body = offer.as_bytes();
            let reply = request(target.address(), "POST", "/whep", &headers, body).unwrap();
            slowest = slowest.max(start.elapsed());
            largest = largest.max(reply.body.len());
            assert!(matches!(reply.status, 201 | 400 | 422), "{}", reply.status);
        }
    }
    assert!(largest < 1 << 20, "{largest}");
    target.check(
        &format!("offers of 1000 lines, the slowest answered after {slowest:.1?}"),
        48,
    );
}

/// Each payload type is better than the one before it, and each could have retransmissions. So many lines are not even read.
fn hardest(lines: usize) -> String {
    let profiles = ["640c1f", "64001f", "4d001f", "42001f", "42e01f"];
    let rising = with(VIDEO.to_owned(), profiles.len(), |n| {
        let (number, id) = (100 + n, profiles[n]);
        format!(
            "a=rtpmap:{number} H264/90000\r\na=fmtp:{number} packetization-mode=1;profile-level-id={id}"
        )
    });
    with(format!("{HEAD}{rising}"), lines / 2, |_| {
        "a=rtpmap:9 rtx/90000\r\na=fmtp:8 x".to_owned()
    })
}

#[test]
fn a_hundred_of_the_hardest_offers_at_once_delay_nobody_else() {
    let target = Target::start();
    let address = target.address();
    for (lines, status) in [(7200, 400), (4000, 201)] {
        let offer = hardest(lines);
        assert!(offer.len() < 128 << 10, "{}", offer.len());
        let post = || {
            let headers = [("content-type", "application/sdp")];
            request(address, "POST", "/whep", &headers, offer.as_bytes()).unwrap()
        };
        let (mut took, mut slowest) = (Duration::ZERO, Duration::ZERO);
        std::thread::scope(|scope| {
            let start = Instant::now();
            let posts: Vec<_> = (0..100).map(|_| scope.spawn(post)).collect();
            while posts.iter().any(|post| !post.is_finished()) {
                let asked = Instant::now();
                target.answers();
                slowest = slowest.max(asked.elapsed());
            }
            took = start.elapsed();
            // The rest of them are more than one address may send.
            for reply in posts.into_iter().map(|post| post.join().unwrap()) {
                assert!(reply.status == status || reply.status == 429, "{reply:?}");
            }
        });
        eprintln!("100 offers of {lines} lines: {took:.1?}, others answered within {slowest:.1?}");
        // 100 ms on a machine that has nothing else to do.
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    }
    target.check("100 of the hardest offers at once, twice", 48);
}
