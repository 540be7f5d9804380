//! For tests: offers that make one step of the reading do as much as it can.

use std::fmt::Write as _;

const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
const TRANSPORT: &str = "a=mid:v\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=setup:actpass\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n";
/// Lines of an offer, fewer than the limit by those that stand around them.
const LINES: usize = 3900;

/// Offers of that many bytes, with the names of what they have too much of.
pub fn nasty_offers(len: usize) -> Vec<(&'static str, String)> {
    // Each payload type is better than the one before it, so that each is looked at.
    let rising: String = (96..)
        .zip(["640c1f", "64001f", "4d001f", "42001f", "42e01f"])
        .fold(String::new(), |mut text, (number, id)| {
            let mode = "packetization-mode=1;profile-level-id";
            let _ = write!(
                text,
                "a=rtpmap:{number} H264/90000\r\na=fmtp:{number} {mode}={id}\r\n"
            );
            text
        });
    let served = format!("{VIDEO}{TRANSPORT}{rising}");
    // In the section that is served, before it, and in sections that are looked at before it.
    let within = |lines: &[&str]| {
        let start = format!("{HEAD}{served}");
        let repeated = repeat(lines, LINES, len - start.len());
        filled(start + &repeated, len, "")
    };
    let before = |lines: &[&str]| {
        let repeated = repeat(lines, LINES, len - HEAD.len() - served.len());
        filled(HEAD.to_owned() + &repeated, len, &served)
    };
    // Without rtcp-mux, so that none of them is served.
    let sections = |line: &str| {
        let section = format!("{VIDEO}{rising}{}", format!("{line}\r\n").repeat(45));
        filled(HEAD.to_owned() + &section.repeat(60), len, &served)
    };
    let mids = (0..(len - 2000) / 4).fold("a=group:BUNDLE v".to_owned(), |mut mids, n| {
        let _ = write!(mids, " {:03}", n % 1000);
        mids
    });
    let playout_delay = "a=extmap:1 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
    vec![
        (
            "retransmissions of nothing",
            within(&["a=rtpmap:9 rtx/90000", "a=fmtp:8 x"]),
        ),
        (
            "parameters",
            within(&["a=rtpmap:9 rtx/90000", "a=fmtp:9 ;;;apt=1"]),
        ),
        ("feedback", within(&["a=rtcp-fb:* nack"])),
        ("fingerprints", within(&["a=fingerprint:sha-512 AA"])),
        (
            "candidates",
            within(&["a=candidate:1 1 udp 1 192.0.2.1 9 typ host"]),
        ),
        ("extensions", within(&[playout_delay, "a=extmap:1 urn:x"])),
        ("groups", before(&["a=group:BUNDLE 0 1 2"])),
        (
            "members of a group",
            filled(format!("{HEAD}{mids}\r\n"), len, &served),
        ),
        ("bytes in a line", filled(HEAD.to_owned(), len, &served)),
        ("sections", sections("a=mid:v")),
        ("sections with extensions", sections("a=extmap:1 urn:x")),
    ]
}

/// So many lines of these, each as long as that many bytes in all allow.
fn repeat(lines: &[&str], count: usize, bytes: usize) -> String {
    let width = bytes / count - 2;
    let lines = lines.iter().cycle().take(count);
    let padded = lines.map(|line| format!("{line:width$}\r\n"));
    let mut length = 0;
    let fitting = padded.take_while(|line| {
        length += line.len();
        // Room for a last line that fills the rest.
        length + 100 < bytes
    });
    fitting.collect()
}

/// A text, a line that makes the whole that long, and an end.
fn filled(mut text: String, len: usize, end: &str) -> String {
    let missing = len - text.len() - end.len() - "a=\r\n".len();
    let _ = write!(text, "a={}\r\n{end}", "x".repeat(missing));
    text
}
