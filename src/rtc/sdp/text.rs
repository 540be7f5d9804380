//! A reader of SDP (RFC 8866) that forgives what other stacks forgive, and whose work is linear in the text's length.
//!
//! The order of lines, and every line but `v=`, `m=` and `a=`, are of no consequence for an answer and are not checked.

/// Most media sections of a description. Browsers in large conferences offer some tens.
const MAX_SECTIONS: usize = 64;
/// Most lines of a description, empty ones included.
const MAX_LINES: usize = 4096;
/// Most bytes of an `m=` line, which a session keeps and an answer repeats: 128 payload types take 500.
const MAX_MEDIA_LINE: usize = 1024;

const EMPTY: &str = "it is empty";
const NO_VERSION: &str = "it does not begin with v=0";
const NOT_A_LINE: &str = "each line must be of the form x=…";
const STRAY: &str = "it has a NUL, or a carriage return without a line feed";
const TOO_MANY_SECTIONS: &str = "it has more than 64 media sections (m=)";
const TOO_MANY_LINES: &str = "it has more than 4096 lines";
const NOT_MEDIA: &str =
    "each m= line must name a medium, a port, a protocol and at least one format";

/// A session description.
#[derive(Debug)]
pub struct Description<'a> {
    /// The attributes that stand before the first section.
    pub session: Attributes<'a>,
    /// The sections, in order.
    pub sections: Vec<Section<'a>>,
}

/// A media section.
#[derive(Debug)]
pub struct Section<'a> {
    /// `video`, `audio`, `application`…
    pub media: &'a str,
    /// 0 if the section is rejected or bundled.
    pub port: u16,
    /// `UDP/TLS/RTP/SAVPF`…
    pub protocol: &'a str,
    /// The first format: the preferred payload type, or `webrtc-datachannel`.
    pub format: &'a str,
    /// Its attributes.
    pub attributes: Attributes<'a>,
}

/// The attributes of a section, or of the session: pairs of a name and a value, which is empty where there is none.
#[derive(Debug, Default)]
pub struct Attributes<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Description<'a> {
    /// Reads a description.
    ///
    /// # Errors
    /// A sentence that says why the text is none, or is larger than any that clients send.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        // A byte order mark, as text editors on Windows write it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(EMPTY);
        }
        let mut description = Self {
            session: Attributes::default(),
            sections: Vec::new(),
        };
        let mut has_version = false;
        for (number, line) in text.split('\n').enumerate() {
            if number >= MAX_LINES && !line.is_empty() {
                return Err(TOO_MANY_LINES);
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            // RFC 8866, 9: no value has them, and some values are repeated in the answer.
            if line.contains(['\0', '\r']) {
                return Err(STRAY);
            }
            let (kind, value) = pair(line).ok_or(NOT_A_LINE)?;
            if !has_version && (kind, value.trim()) != (b'v', "0") {
                return Err(NO_VERSION);
            }
            has_version = true;
            description.take(kind, value)?;
        }
        Ok(description)
    }

    fn take(&mut self, kind: u8, value: &'a str) -> Result<(), &'static str> {
        match kind {
            b'm' if self.sections.len() == MAX_SECTIONS => return Err(TOO_MANY_SECTIONS),
            b'm' => self.sections.push(Section::parse(value).ok_or(NOT_MEDIA)?),
            b'a' => {
                let section = self.sections.last_mut();
                let attributes =
                    section.map_or(&mut self.session, |section| &mut section.attributes);
                let (name, value) = value.split_once(':').unwrap_or((value, ""));
                attributes.0.push((name.trim(), value.trim()));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The type and the value of a line.
fn pair(line: &str) -> Option<(u8, &str)> {
    let kind = line.bytes().next().filter(u8::is_ascii_lowercase)?;
    Some((kind, line.get(1..)?.strip_prefix('=')?))
}

impl<'a> Section<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let is_clean = line.len() <= MAX_MEDIA_LINE
            && line
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let mut words = line.split_ascii_whitespace().filter(|_| is_clean);
        let (media, port, protocol, format) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        // RFC 8866, 5.14: a number of ports may follow.
        let port = port.split('/').next()?.parse().ok()?;
        Some(Self {
            media,
            port,
            protocol,
            format,
            attributes: Attributes::default(),
        })
    }
}

impl<'a> Attributes<'a> {
    /// Whether there is an attribute of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| *key == name)
    }

    /// The first value of that name.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        let mut values = self.0.iter().filter(|(key, _)| *key == name);
        values.next().map(|(_, value)| *value)
    }

    /// All values of that name, in order.
    pub fn values(&self, name: &'static str) -> impl Iterator<Item = &'a str> + Clone {
        let named = self.0.iter().filter(move |(key, _)| *key == name);
        named.map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_end_as_they_do_and_a_byte_order_mark_is_no_part_of_them() {
        let text = "v=0\r\ns=-\r\na=group:BUNDLE 0\r\nm=video 9/2 RTP/AVP 96 97\r\na=mid:0\r\n";
        for text in [
            text.to_owned(),
            text.replace("\r\n", "\n"),
            text.replace("\r\n", "\r\n\r\n"),
            text.trim_end_matches('\n').to_owned(),
            text.trim_end().to_owned(),
            format!("\u{feff}{text}"),
        ] {
            let read = Description::parse(&text).unwrap();
            assert_eq!(read.session.value("group"), Some("BUNDLE 0"), "{text:?}");
            let [section] = &read.sections[..] else {
                panic!("{read:?}");
            };
            assert_eq!((section.media, section.port), ("video", 9));
            assert_eq!((section.protocol, section.format), ("RTP/AVP", "96"));
            assert_eq!(section.attributes.value("mid"), Some("0"), "{text:?}");
        }
    }

    #[test]
    fn text_that_is_no_description_or_too_large_is_told_why() {
        let repeat = |line: &str, count| format!("v=0\r\n{}", line.repeat(count));
        let section = "m=audio 9 RTP/AVP 0\r\n";
        assert!(Description::parse(&repeat(section, 64)).is_ok());
        assert!(Description::parse(&repeat("a=x\r\n", 4095)).is_ok());
        for (text, problem) in [
            (String::new(), EMPTY),
            (" \r\n".to_owned(), EMPTY),
            ("\u{feff}".to_owned(), EMPTY),
            ("hello".to_owned(), NOT_A_LINE),
            ("é=0".to_owned(), NOT_A_LINE),
            ("v".to_owned(), NOT_A_LINE),
            ("v=1\r\n".to_owned(), NO_VERSION),
            ("s=-\r\nv=0\r\n".to_owned(), NO_VERSION),
            ("v=0\r\na=mid:\0".to_owned(), STRAY),
            ("v=0\r\na=mid:0\r\r\n".to_owned(), STRAY),
            ("v=0\ra=mid:0".to_owned(), STRAY),
            ("v=0\r\nm=video".to_owned(), NOT_MEDIA),
            ("v=0\r\nm=video 9 RTP/AVP\r\n".to_owned(), NOT_MEDIA),
            ("v=0\r\nm=video 70000 RTP/AVP 9\r\n".to_owned(), NOT_MEDIA),
            ("v=0\r\nm=vidéo 9 RTP/AVP 9\r\n".to_owned(), NOT_MEDIA),
            (
                format!("v=0\r\nm=video 9 RTP/AVP {}", "9 ".repeat(512)),
                NOT_MEDIA,
            ),
            (repeat(section, 65), TOO_MANY_SECTIONS),
            (repeat("a=x\r\n", 4096), TOO_MANY_LINES),
        ] {
            let read = Description::parse(&text).map(|_| ());
            assert_eq!(read, Err(problem), "{text:?}");
        }
    }
}
