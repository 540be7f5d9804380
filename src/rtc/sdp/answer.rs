//! Writing SDP: the answer for the viewer, and the plain offer that the WebRTC core is given in place of the viewer's.
//!
//! The core never sees what clients really send (other codecs, audio, data channels, vendor attributes), only
//! the one section that is served; and the viewer never sees the core's answer. So what is said on the wire
//! is decided here and nowhere else.

use super::offer::{Codec, Offer, Section, Setup, Video};
use crate::media::ProfileLevelId;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Our side of a session.
#[derive(Debug, Clone)]
pub struct Local<'a> {
    /// ICE user name fragment.
    pub ufrag: &'a str,
    /// ICE password.
    pub password: &'a str,
    /// Hash function and value of our certificate.
    pub fingerprint: &'a str,
    /// Of the video.
    pub ssrc: u32,
    /// Of its retransmissions, where they are negotiated.
    pub rtx_ssrc: u32,
    /// The stream's name, which becomes the media stream's.
    pub stream: &'a str,
    /// What the video's parameter set says.
    pub profile: ProfileLevelId,
    /// Where we are reached.
    pub addresses: &'a Addresses,
}

/// Where we are reached, best first.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// By UDP.
    pub udp: Vec<SocketAddr>,
    /// By TCP, for those whose network blocks UDP.
    pub tcp: Vec<SocketAddr>,
}

/// The answer to an offer: video in the section chosen. Every other section is rejected, or left idle if the video
/// needs its transport.
pub fn answer(offer: &Offer, local: &Local<'_>) -> String {
    let mut sdp = Lines::default();
    sdp.line(format_args!("v=0"));
    // RFC 8866, 5.2: the identifier must be unique; nothing depends on the address.
    let id = rand::random::<u32>();
    sdp.line(format_args!("o=- {id} 1 IN IP4 0.0.0.0"));
    sdp.line(format_args!("s=fanlight"));
    sdp.line(format_args!("t=0 0"));
    let mids = offer.bundle.iter().filter_map(|index| {
        let section = offer.sections.get(*index)?;
        section.mid.as_deref()
    });
    let mids: Vec<_> = mids.collect();
    if !mids.is_empty() {
        sdp.line(format_args!("a=group:BUNDLE {}", mids.join(" ")));
    }
    ice(&mut sdp);
    let tagged = offer.bundle.first().copied().unwrap_or(offer.video.index);
    for (index, section) in offer.sections.iter().enumerate() {
        if index == offer.video.index {
            video(&mut sdp, section, &offer.video, local);
        } else {
            let is_kept = offer.bundle.contains(&index);
            idle(&mut sdp, section, is_kept, local);
        }
        transport(&mut sdp, offer.video.setup, local);
        if index == tagged {
            candidates(&mut sdp, local.addresses);
        }
    }
    sdp.0
}

/// What our ICE agent is: lite (RFC 8445, 2.5), of today's version (RFC 8445, 10), and one that takes candidates later
/// (RFC 8838, 4.1). It ignores them: a lite agent learns addresses from checks.
pub fn ice(sdp: &mut Lines) {
    sdp.line(format_args!("a=ice-lite"));
    sdp.line(format_args!("a=ice-options:trickle ice2"));
}

/// What a section's media is sent over. Every section says it, even if it is rejected: GStreamer (1.22) takes no
/// answer with a section that does not.
fn transport(sdp: &mut Lines, setup: Setup, local: &Local<'_>) {
    sdp.line(format_args!("a=ice-ufrag:{}", local.ufrag));
    sdp.line(format_args!("a=ice-pwd:{}", local.password));
    sdp.line(format_args!("a=fingerprint:{}", local.fingerprint));
    let setup = match setup {
        Setup::Passive => "passive",
        Setup::Active => "active",
    };
    sdp.line(format_args!("a=setup:{setup}"));
}

/// Every address as a candidate, and that these are all: there is no trickling from our side (4.4.2).
pub fn candidates(sdp: &mut Lines, addresses: &Addresses) {
    let Addresses { udp, tcp } = addresses;
    let mut foundation = 0;
    let mut line = |transport, priority, address: &SocketAddr, rest| {
        let (ip, port) = (address.ip(), address.port());
        foundation += 1;
        sdp.line(format_args!(
            "a=candidate:{foundation} 1 {transport} {priority} {ip} {port} typ host{rest}"
        ));
    };
    for (n, address) in udp.iter().enumerate() {
        line("udp", priority(n), address, "");
    }
    for (n, address) in tcp.iter().enumerate() {
        line("tcp", tcp_priority(n), address, " tcptype passive");
    }
    sdp.line(format_args!("a=end-of-candidates"));
}

/// Port 0 rejects a section.
fn head(sdp: &mut Lines, section: &Section, is_kept: bool, formats: &str, local: &Local<'_>) {
    let default = local.addresses.udp.first().filter(|_| is_kept);
    let port = match default {
        Some(address) => address.port(),
        None if is_kept => 9,
        None => 0,
    };
    let Section {
        media, protocol, ..
    } = section;
    sdp.line(format_args!("m={media} {port} {protocol} {formats}"));
    match default.map(SocketAddr::ip) {
        Some(IpAddr::V6(ip)) => sdp.line(format_args!("c=IN IP6 {ip}")),
        Some(IpAddr::V4(ip)) => sdp.line(format_args!("c=IN IP4 {ip}")),
        None => sdp.line(format_args!("c=IN IP4 0.0.0.0")),
    }
}

fn video(sdp: &mut Lines, section: &Section, video: &Video, local: &Local<'_>) {
    let codec = &video.codec;
    let payload_type = codec.payload_type;
    head(sdp, section, true, &formats(codec), local);
    sdp.line(format_args!("a=mid:{}", video.mid));
    sdp.line(format_args!("a=sendonly"));
    mux(sdp);
    if video.reduced_size_rtcp {
        sdp.line(format_args!("a=rtcp-rsize"));
    }
    for extmap in &video.extmaps {
        sdp.line(format_args!("a=extmap:{extmap}"));
    }
    sdp.line(format_args!("a=rtpmap:{payload_type} H264/90000"));
    let asymmetry = if codec.level_asymmetry {
        "level-asymmetry-allowed=1;"
    } else {
        ""
    };
    // RFC 6184, 8.2.2: profile and mode are the offer's, or the payload type would not be, so that a mode which was left out is
    // left out here too; where both profiles are Constrained
    // Baseline, that is also what the parameter set says. The level is the video's own.
    let both = [codec.profile, local.profile];
    let profile = if both.iter().all(|id| id.is_constrained_baseline()) {
        local.profile
    } else {
        ProfileLevelId {
            level: local.profile.level,
            ..codec.profile
        }
    };
    let mode = if codec.names_mode {
        "packetization-mode=1;"
    } else {
        ""
    };
    sdp.line(format_args!(
        "a=fmtp:{payload_type} {asymmetry}{mode}profile-level-id={profile}"
    ));
    for feedback in &codec.feedback {
        sdp.line(format_args!("a=rtcp-fb:{payload_type} {feedback}"));
    }
    // The core is offered none of this: it sends no media.
    if video.extensions.transport_cc.is_some() {
        sdp.line(format_args!("a=rtcp-fb:{payload_type} transport-cc"));
    }
    let Local {
        stream,
        ssrc,
        rtx_ssrc,
        ..
    } = local;
    sdp.line(format_args!("a=msid:{stream} video"));
    // The video's comes first: Chromium takes the first one for it, whatever the group says.
    sdp.line(format_args!("a=ssrc:{ssrc} cname:{stream}"));
    if let Some(rtx) = codec.retransmission {
        retransmission(sdp, rtx, payload_type);
        sdp.line(format_args!("a=ssrc-group:FID {ssrc} {rtx_ssrc}"));
        sdp.line(format_args!("a=ssrc:{rtx_ssrc} cname:{stream}"));
    }
}

/// One port for RTP and RTCP, and no other way (draft-ietf-wish-whep-03, 4.5.1; RFC 8858, 3).
fn mux(sdp: &mut Lines) {
    sdp.line(format_args!("a=rtcp-mux"));
    sdp.line(format_args!("a=rtcp-mux-only"));
}

/// The payload types of the video section.
fn formats(codec: &Codec) -> String {
    let rtx = codec.retransmission.map(|rtx| format!(" {rtx}"));
    format!("{}{}", codec.payload_type, rtx.unwrap_or_default())
}

fn retransmission(sdp: &mut Lines, rtx: u8, payload_type: u8) {
    sdp.line(format_args!("a=rtpmap:{rtx} rtx/90000"));
    sdp.line(format_args!("a=fmtp:{rtx} apt={payload_type}"));
}

/// A section that is not served: it keeps its place (RFC 9429, 5.3.1), and nothing is sent in it.
fn idle(sdp: &mut Lines, section: &Section, is_kept: bool, local: &Local<'_>) {
    head(sdp, section, is_kept, &section.format, local);
    if let Some(mid) = &section.mid {
        sdp.line(format_args!("a=mid:{mid}"));
    }
    sdp.line(format_args!("a=inactive"));
    if section.rtcp_mux {
        mux(sdp);
    }
    if let Some(mapping) = &section.mapping {
        sdp.line(format_args!("a=rtpmap:{mapping}"));
    }
    if let Some(parameters) = &section.parameters {
        sdp.line(format_args!("a=fmtp:{parameters}"));
    }
}

/// RFC 8445, 5.1.2.1, for a host candidate of component 1; `rank` 0 is the best.
fn priority(rank: usize) -> u32 {
    const HOST: u32 = 126;
    let local_preference = u32::from(u16::MAX).saturating_sub(rank as u32);
    (HOST << 24) | (local_preference << 8) | 255
}

/// The same for a passive TCP candidate (RFC 6544, 4.2): below those of UDP, whatever their rank.
fn tcp_priority(rank: usize) -> u32 {
    // As browsers have it.
    const HOST: u32 = 90;
    const PASSIVE: u32 = 4;
    const MOST: u32 = (1 << 13) - 1;
    let other_preference = MOST.saturating_sub(rank as u32);
    (HOST << 24) | (PASSIVE << 21) | (other_preference << 8) | 255
}

/// The section that is served, as the core likes it: one codec with the parameters it was configured with.
pub fn core_offer(video: &Video, codec_parameters: &str) -> String {
    let mut sdp = Lines::default();
    let payload_type = video.codec.payload_type;
    sdp.line(format_args!("v=0"));
    sdp.line(format_args!("o=- 1 1 IN IP4 0.0.0.0"));
    sdp.line(format_args!("s=-"));
    sdp.line(format_args!("t=0 0"));
    sdp.line(format_args!("a=group:BUNDLE 0"));
    sdp.line(format_args!("m=video 9 UDP/TLS/RTP/SAVPF {payload_type}"));
    sdp.line(format_args!("c=IN IP4 0.0.0.0"));
    sdp.line(format_args!("a=mid:0"));
    sdp.line(format_args!("a=recvonly"));
    sdp.line(format_args!("a=rtcp-mux"));
    sdp.line(format_args!("a=rtcp-rsize"));
    sdp.line(format_args!("a=ice-ufrag:{}", video.ice.ufrag));
    sdp.line(format_args!("a=ice-pwd:{}", video.ice.password.as_str()));
    sdp.line(format_args!("a=fingerprint:{}", video.fingerprint));
    let setup = match video.setup {
        Setup::Passive => "active",
        Setup::Active => "passive",
    };
    sdp.line(format_args!("a=setup:{setup}"));
    sdp.line(format_args!("a=rtpmap:{payload_type} H264/90000"));
    sdp.line(format_args!("a=fmtp:{payload_type} {codec_parameters}"));
    for feedback in &video.codec.feedback {
        sdp.line(format_args!("a=rtcp-fb:{payload_type} {feedback}"));
    }
    sdp.0
}

/// SDP lines end with CRLF (RFC 8866, 5).
#[derive(Default)]
pub struct Lines(pub String);

impl Lines {
    /// Adds a line.
    pub fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a `String` can't fail.
        let _ = write!(self.0, "{line}\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Profiles;
    use rtc::sdp::SessionDescription;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE a v d\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=mid:a\r\na=recvonly\r\n\
        a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=recvonly\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
        a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
        a=setup:actpass\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 H264/90000\r\n\
        a=fmtp:97 packetization-mode=1;profile-level-id=42e01f\r\na=rtcp-fb:97 nack pli\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n";

    fn answer_to(offer: &str, profile: &str) -> String {
        let offer = Offer::parse(offer, Profiles::ENCODED).unwrap();
        let all = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).into();
        let addresses = Addresses {
            udp: all(["192.168.1.5:8080", "[fd00::5]:8080"]),
            tcp: all(["192.168.1.5:443", "[fd00::5]:443"]),
        };
        let local = Local {
            ufrag: "UFRAG",
            password: "PASSWORD",
            fingerprint: "sha-256 CC:DD",
            ssrc: 7,
            rtx_ssrc: 8,
            stream: "garden",
            profile: profile.parse().unwrap(),
            addresses: &addresses,
        };
        answer(&offer, &local)
    }

    /// The lines of each section.
    fn sections(sdp: &str) -> Vec<Vec<&str>> {
        let sections = sdp.split("m=").skip(1);
        sections.map(|section| section.lines().collect()).collect()
    }

    #[test]
    fn every_section_of_the_offer_keeps_its_place_and_only_one_gets_video() {
        let without_bundle = OFFER.replace("a=group:BUNDLE a v d\r\n", "");
        let video_first = OFFER.replace("BUNDLE a v d", "BUNDLE v a d");
        for (offer, group) in [(without_bundle, None), (video_first, Some("v"))] {
            let answer = answer_to(&offer, "42c01f");
            let sections = sections(&answer);
            let heads: Vec<_> = sections.iter().map(|lines| lines[0]).collect();
            assert_eq!(
                heads,
                [
                    "audio 0 UDP/TLS/RTP/SAVPF 111",
                    "video 8080 UDP/TLS/RTP/SAVPF 97",
                    "application 0 UDP/DTLS/SCTP webrtc-datachannel"
                ]
            );
            let group_line = answer
                .lines()
                .find_map(|l| l.strip_prefix("a=group:BUNDLE "));
            assert_eq!(group_line, group);
            let directions = ["a=inactive", "a=sendonly", "a=inactive"];
            for (lines, direction) in sections.iter().zip(directions) {
                assert!(lines.contains(&direction), "{lines:?}");
            }
            let with_candidates = |lines: &&Vec<&str>| lines.contains(&"a=end-of-candidates");
            assert_eq!(sections.iter().filter(with_candidates).count(), 1);
            assert!(with_candidates(&&sections[1]));
            assert!(answer.contains("a=rtcp-fb:97 nack pli\r\n") && !answer.contains("ccm fir"));
        }
    }

    #[test]
    fn the_section_whose_transport_the_video_needs_is_left_idle_instead_of_rejected() {
        let answer = answer_to(OFFER, "42c01f");
        assert!(answer.contains("a=group:BUNDLE a v\r\n"));
        let sections = sections(&answer);
        assert_eq!(sections[0][0], "audio 8080 UDP/TLS/RTP/SAVPF 111");
        for line in [
            "c=IN IP4 192.168.1.5",
            "a=mid:a",
            "a=inactive",
            "a=rtcp-mux",
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 useinbandfec=1",
            "a=end-of-candidates",
        ] {
            assert!(sections[0].contains(&line), "{line} is not in {answer}");
        }
        assert!(!sections[1].contains(&"a=end-of-candidates"));
        assert_eq!(
            sections[2][0],
            "application 0 UDP/DTLS/SCTP webrtc-datachannel"
        );
    }

    #[test]
    fn a_data_channel_is_rejected_even_as_the_first_of_its_group() {
        let answer = answer_to(&OFFER.replace("BUNDLE a v d", "BUNDLE d v"), "42c01f");
        assert!(answer.contains("a=group:BUNDLE v\r\n"));
        assert!(answer.contains("m=application 0 "));
    }

    #[test]
    fn every_section_says_the_transport() {
        let answer = answer_to(OFFER, "42c01f");
        for lines in sections(&answer) {
            for line in [
                "a=ice-ufrag:UFRAG",
                "a=ice-pwd:PASSWORD",
                "a=fingerprint:sha-256 CC:DD",
                "a=setup:passive",
            ] {
                assert!(lines.contains(&line), "{line} is not in {lines:?}");
            }
        }
    }

    #[test]
    fn the_answer_says_what_the_parameter_set_says() {
        let answer = answer_to(OFFER, "42c028");
        assert!(answer.contains("a=fmtp:97 packetization-mode=1;profile-level-id=42c028\r\n"));
    }

    #[test]
    fn retransmissions_are_answered_with_a_source_of_their_own() {
        assert!(!answer_to(OFFER, "42c01f").contains("rtx"));
        let rtx = "a=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=97\r\na=rtpmap:97 H264/90000\r\n";
        let answer = answer_to(&OFFER.replace("a=rtpmap:97 H264/90000\r\n", rtx), "42c01f");
        for line in [
            "m=video 8080 UDP/TLS/RTP/SAVPF 97 98",
            "a=fmtp:98 apt=97",
            "a=ssrc-group:FID 7 8",
            "a=ssrc:8 cname:garden",
        ] {
            assert!(
                answer.lines().any(|l| l == line),
                "{line} is not in {answer}"
            );
        }
        let at = |line| answer.find(line).unwrap();
        assert!(at("a=ssrc:7 ") < at("a=ssrc:8 "), "{answer}");
    }

    #[test]
    fn header_extensions_are_answered_in_the_section_that_they_were_offered_in() {
        let uri = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
        let map = format!("a=extmap:3 {uri}\r\n");
        let offered = OFFER
            .replace("a=mid:v\r\n", &format!("a=mid:v\r\n{map}"))
            .replace("a=mid:a\r\n", "a=mid:a\r\na=extmap:3 urn:other\r\n");
        let without_feedback = answer_to(&offered, "42c01f");
        assert!(!without_feedback.contains("extmap"), "{without_feedback}");
        assert!(!without_feedback.contains("transport-cc"));
        let feedback = "a=rtcp-fb:97 nack pli\r\n";
        let offered = offered.replace(
            feedback,
            &format!("{feedback}a=rtcp-fb:97 transport-cc\r\n"),
        );
        let answer = answer_to(&offered, "42c01f");
        let with_extensions: Vec<_> = sections(&answer)
            .into_iter()
            .map(|lines| lines.into_iter().any(|line| line.contains("extmap")))
            .collect();
        assert_eq!(with_extensions, [false, true, false]);
        assert!(answer.contains(&map) && answer.contains("a=rtcp-fb:97 transport-cc\r\n"));
        let core = core_offer(
            &Offer::parse(&offered, Profiles::ENCODED).unwrap().video,
            "x=1",
        );
        assert!(!core.contains("transport-cc") && !core.contains("extmap"));
    }

    #[test]
    fn candidates_are_complete_in_order_of_preference() {
        let answer = answer_to(OFFER, "42c01f");
        let candidates: Vec<_> = answer
            .lines()
            .filter(|line| line.starts_with("a=candidate"))
            .collect();
        assert_eq!(
            candidates,
            [
                "a=candidate:1 1 udp 2130706431 192.168.1.5 8080 typ host",
                "a=candidate:2 1 udp 2130706175 fd00::5 8080 typ host",
                "a=candidate:3 1 tcp 1520435199 192.168.1.5 443 typ host tcptype passive",
                "a=candidate:4 1 tcp 1520434943 fd00::5 443 typ host tcptype passive",
            ]
        );
        assert!(answer.contains(&format!("{}\r\na=end-of-candidates\r\n", candidates[3])));
        // RFC 6544, 4.2: the last of UDP is better than the first of TCP, however many there are.
        assert!(priority(usize::MAX) > tcp_priority(0));
        assert!(tcp_priority(8191) > 1 << 24);
    }

    #[test]
    fn what_is_written_is_valid_sdp() {
        let offer = Offer::parse(OFFER, Profiles::ENCODED).unwrap();
        for text in [answer_to(OFFER, "42c01f"), core_offer(&offer.video, "x=1")] {
            let parsed = SessionDescription::unmarshal(&mut std::io::Cursor::new(&text)).unwrap();
            assert_eq!(parsed.marshal(), text);
        }
    }

    #[test]
    fn a_viewer_that_waits_for_our_handshake_is_told_that_we_begin() {
        let answer = answer_to(&OFFER.replace("setup:actpass", "setup:passive"), "42c01f");
        assert!(answer.contains("a=setup:active\r\n"));
    }
}
