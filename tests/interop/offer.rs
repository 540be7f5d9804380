//! Offers made by hand, and answers read by hand.

/// What every section says of its transport.
const TRANSPORT: &str = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\n";

/// One codec that everybody has.
pub const BASELINE: &str = "a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
    a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n";

/// An offer of these sections; with `group`, of one transport for these.
pub fn offer(group: Option<&str>, sections: &[String]) -> String {
    let group = group.map(|mids| format!("a=group:BUNDLE {mids}\r\n"));
    let head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    format!("{head}{}{}", group.unwrap_or_default(), sections.concat())
}

/// A section to receive video, with these lines for its codecs and whatever else.
pub fn video(mid: &str, lines: &str) -> String {
    let payload_types: Vec<_> = lines
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:")?.split(' ').next())
        .collect();
    let payload_types = payload_types.join(" ");
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF {payload_types}\r\n{TRANSPORT}a=mid:{mid}\r\na=recvonly\r\na=rtcp-mux\r\n{lines}"
    )
}

/// A section to receive audio, as browsers make it.
pub fn audio(mid: &str) -> String {
    format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 9 0 8\r\n{TRANSPORT}a=mid:{mid}\r\na=recvonly\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:9 G722/8000\r\n"
    )
}

/// A section for data channels.
pub fn data(mid: &str) -> String {
    format!(
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{TRANSPORT}a=mid:{mid}\r\na=sctp-port:5000\r\n"
    )
}

/// An offer of one video section.
pub fn plain() -> String {
    offer(Some("0"), &[video("0", BASELINE)])
}

/// An answer, cut in lines.
pub struct Answer<'a> {
    /// What stands before the first section.
    pub session: Vec<&'a str>,
    /// The sections, each with its `m=` line first.
    pub sections: Vec<Vec<&'a str>>,
}

impl<'a> Answer<'a> {
    /// Cuts it. Panics at a line that ends wrongly.
    pub fn read(text: &'a str) -> Self {
        assert!(text.ends_with("\r\n"), "{text}");
        let mut parts: Vec<Vec<&str>> = vec![Vec::new()];
        for line in text.trim_end().split("\r\n") {
            if line.starts_with("m=") {
                parts.push(Vec::new());
            }
            parts.last_mut().unwrap().push(line);
        }
        Self {
            session: parts.remove(0),
            sections: parts,
        }
    }

    /// The section with video.
    pub fn video(&self) -> &[&'a str] {
        let mut sections = self.sections.iter();
        sections
            .find(|lines| lines.contains(&"a=sendonly"))
            .unwrap()
    }

    /// What follows that beginning in the first line of a section that has it.
    pub fn value(section: &[&'a str], beginning: &str) -> &'a str {
        let mut values = section
            .iter()
            .filter_map(|line| line.strip_prefix(beginning));
        values
            .next()
            .unwrap_or_else(|| panic!("no {beginning} in {section:?}"))
    }

    /// The addresses of all candidates, in order.
    pub fn candidates(&self) -> Vec<String> {
        let lines = self.sections.iter().flatten();
        let candidates = lines.filter_map(|line| line.strip_prefix("a=candidate:"));
        let words = candidates.map(|line| line.split(' ').collect::<Vec<_>>());
        words
            .map(|words| format!("{} {}", words[4], words[5]))
            .collect()
    }
}
