//! RTP header extensions (RFC 8285): which of them a viewer takes, and writing them in the one-byte form.

use crate::config::PlayoutDelay;
use std::time::Duration;

/// A number for each packet, by which the viewer reports when it arrived.
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// When the picture was captured.
const CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
/// How long the viewer holds pictures back.
const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// The extensions that a session has, by the identifiers that stand for them in packets: 1 to 14 each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The transport-wide sequence number, if the viewer also gives feedback on it.
    pub transport_cc: Option<u8>,
    /// `abs-capture-time`.
    pub capture_time: Option<u8>,
    /// `playout-delay`.
    pub playout_delay: Option<u8>,
}

/// What some pictures say, in each of their packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Details {
    /// When the picture was captured, as an NTP timestamp: seconds since 1900, 32 bits of fraction.
    pub capture_ntp: u64,
    /// The stream's.
    pub playout_delay: PlayoutDelay,
}

impl Extensions {
    /// Chooses among the values of an offered section's `a=extmap` (RFC 8285, 5), and returns the values to answer with.
    /// `has_feedback` says whether `transport-cc` feedback was offered; without it the number would be of no use. Reads each
    /// value a few times, however many there are.
    pub fn choose<'a>(
        offered: impl Iterator<Item = &'a str> + Clone,
        has_feedback: bool,
    ) -> (Self, Vec<String>) {
        let offers = Offers::index(offered.clone());
        let mut answer = Vec::new();
        let mut choose = |uri| {
            let usable = |map: &Map<'_>| map.uri == uri && offers.are_one(map.id);
            let map = offered.clone().filter_map(Map::parse).find(usable)?;
            answer.push(map.answer());
            Some(map.id)
        };
        let extensions = Self {
            transport_cc: has_feedback.then(|| choose(TRANSPORT_CC)).flatten(),
            capture_time: choose(CAPTURE_TIME),
            playout_delay: choose(PLAYOUT_DELAY),
        };
        (extensions, answer)
    }

    /// The block of a picture's packets. All of them, and retransmissions alike, are equally long.
    pub fn block(&self, details: Option<&Details>) -> Block {
        let mut block = Block::default();
        if let Some(id) = self.transport_cc {
            block.push(id, &[0, 0]);
            block.has_sequence = true;
        }
        if let Some(details) = details {
            if let Some(id) = self.capture_time {
                block.push(id, &details.capture_ntp.to_be_bytes());
            }
            if let Some(id) = self.playout_delay {
                let PlayoutDelay { min, max } = details.playout_delay;
                let both = steps(min) << 12 | steps(max);
                block.push(id, &both.to_be_bytes()[1..]);
            }
        }
        block.close();
        block
    }
}

/// Of 10 ms, 12 bits of them.
fn steps(delay: Duration) -> u32 {
    const MOST: u128 = 0xfff;
    (delay.as_millis() / 10).min(MOST) as u32
}

/// The value of one `a=extmap`.
struct Map<'a> {
    id: u8,
    direction: Option<&'a str>,
    uri: &'a str,
}

impl<'a> Map<'a> {
    /// `None` if it is of no use to a sender with one-byte headers.
    fn parse(value: &'a str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (id, direction) = head(words.next()?);
        let uri = words.next()?;
        let id = id.parse().ok().filter(|id| (1..=14).contains(id))?;
        // The offerer's view: it has to receive.
        let receives = matches!(direction, None | Some("sendrecv" | "recvonly"));
        receives.then_some(Self { id, direction, uri })
    }

    /// `recvonly` has to be answered with `sendonly`; all else leaves the direction to the section.
    fn answer(&self) -> String {
        let direction = match self.direction {
            Some("recvonly") => "/sendonly",
            _ => "",
        };
        format!("{}{direction} {}", self.id, self.uri)
    }
}

/// Identifiers of one-byte headers, and the one beyond them, which is unused.
const IDS: usize = 16;

/// What each identifier was offered for.
#[derive(Default)]
struct Offers<'a> {
    /// The first URI; `None` inside if the line has none.
    uris: [Option<Option<&'a str>>; IDS],
    /// Another URI was offered too: such an identifier tells the viewer nothing.
    are_several: [bool; IDS],
}

impl<'a> Offers<'a> {
    fn index(offered: impl Iterator<Item = &'a str>) -> Self {
        let mut offers = Self::default();
        for value in offered {
            let mut words = value.split_ascii_whitespace();
            let id = words.next().and_then(|word| head(word).0.parse().ok());
            let Some(id) = id.filter(|id: &usize| *id < IDS) else {
                continue;
            };
            let uri = words.next();
            offers.are_several[id] |= *offers.uris[id].get_or_insert(uri) != uri;
        }
        offers
    }

    fn are_one(&self, id: u8) -> bool {
        !self.are_several[usize::from(id)]
    }
}

/// Identifier and direction.
fn head(word: &str) -> (&str, Option<&str>) {
    match word.split_once('/') {
        Some((id, direction)) => (id, Some(direction)),
        None => (word, None),
    }
}

/// A header extension block, ready but for the packet's own number: it stands between the fixed header and the payload
/// of a packet whose X bit is set (RFC 3550, 5.3.1), in the clear and authenticated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    bytes: [u8; Self::LONGEST],
    len: usize,
    has_sequence: bool,
}

impl Block {
    /// All three: 3, 9 and 4 bytes behind the block's own header.
    const LONGEST: usize = 20;
    /// Profile and length (RFC 8285, 4.2).
    const HEAD: usize = 4;
    /// The transport-wide sequence number comes first: behind the block's and its own header.
    const SEQUENCE: usize = 5;

    /// Bytes; 0 if there is nothing to say, and packets then have no block.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The block with a packet's transport-wide sequence number, if the session has them.
    pub fn numbered(&mut self, transport_sequence: u16) -> &[u8] {
        if self.has_sequence {
            let bytes = transport_sequence.to_be_bytes();
            self.bytes[Self::SEQUENCE..][..2].copy_from_slice(&bytes);
        }
        &self.bytes[..self.len]
    }

    fn push(&mut self, id: u8, value: &[u8]) {
        let at = self.len.max(Self::HEAD);
        // RFC 8285, 4.2: the length counts from one.
        self.bytes[at] = id << 4 | (value.len() as u8 - 1);
        self.bytes[at + 1..][..value.len()].copy_from_slice(value);
        self.len = at + 1 + value.len();
    }

    /// Zeros up to a whole word, which the bytes are from the beginning, and the length in words.
    fn close(&mut self) {
        if self.len > 0 {
            self.len = self.len.next_multiple_of(4);
            let words = (self.len - Self::HEAD) / 4;
            self.bytes[..Self::HEAD].copy_from_slice(&[0xbe, 0xde, 0, words as u8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc::rtp::Header;
    use rtc::rtp::extension::playout_delay_extension::PlayoutDelayExtension;
    use rtc::rtp::extension::transport_cc_extension::TransportCcExtension;
    use rtc::shared::marshal::Unmarshal;

    const ALL: Extensions = Extensions {
        transport_cc: Some(3),
        capture_time: Some(14),
        playout_delay: Some(1),
    };

    fn details(capture_ntp: u64, min: u64, max: u64) -> Details {
        Details {
            capture_ntp,
            playout_delay: PlayoutDelay {
                min: Duration::from_millis(min),
                max: Duration::from_millis(max),
            },
        }
    }

    fn choose(offered: &[&str]) -> (Extensions, Vec<String>) {
        Extensions::choose(offered.iter().copied(), true)
    }

    #[test]
    fn all_three_make_four_words() {
        let mut block = ALL.block(Some(&details(0x0102_0304_0506_0708, 20, 40_950)));
        let expected = [
            0xbe, 0xde, 0, 4, // one-byte headers, four words
            0x31, 0xab, 0xcd, // id 3, two bytes
            0xe7, 1, 2, 3, 4, 5, 6, 7, 8, // id 14, eight bytes
            0x12, 0x00, 0x2f, 0xff, // id 1, three bytes: 2 and 4095
        ];
        assert_eq!(block.numbered(0xabcd), expected);
    }

    #[test]
    fn a_block_is_padded_to_whole_words_and_is_not_there_without_content() {
        let mut block = ALL.block(None);
        assert_eq!(block.numbered(0x0102), [0xbe, 0xde, 0, 1, 0x31, 1, 2, 0]);
        let without_number = Extensions {
            transport_cc: None,
            ..ALL
        };
        let mut block = without_number.block(None);
        assert_eq!((block.len(), block.numbered(7)), (0, &[][..]));
        let capture_only = Extensions {
            capture_time: Some(2),
            ..Extensions::default()
        };
        let mut block = capture_only.block(Some(&details(1, 0, 0)));
        let expected = [0xbe, 0xde, 0, 3, 0x27, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(block.numbered(7), expected, "there is no number in it");
    }

    fn any_id() -> impl Strategy<Value = [Option<u8>; 3]> {
        let ids = Just((1..=14).collect::<Vec<u8>>()).prop_shuffle();
        (ids, any::<[bool; 3]>())
            .prop_map(|(ids, there)| std::array::from_fn(|n| there[n].then_some(ids[n])))
    }

    proptest! {
        #[test]
        fn the_core_reads_what_is_written(
            ids in any_id(), ntp: u64, min in 0..4096u64, max in 0..4096u64, number: u16, with_details: bool,
        ) {
            let [transport_cc, capture_time, playout_delay] = ids;
            let extensions = Extensions { transport_cc, capture_time, playout_delay };
            let details = details(ntp, min * 10, max * 10);
            let mut block = extensions.block(with_details.then_some(&details));
            prop_assert_eq!(block.numbered(!number).len(), block.len());
            let has_block = block.len() > 0;
            let mut packet = vec![if has_block { 0x90 } else { 0x80 }, 96];
            packet.resize(12, 0);
            packet.extend_from_slice(block.numbered(number));
            let mut rest = &packet[..];
            let header = Header::unmarshal(&mut rest).unwrap();
            prop_assert!(rest.is_empty());
            let value = |id: Option<u8>| id.and_then(|id| header.get_extension(id));
            let read = value(transport_cc).map(|mut bytes| TransportCcExtension::unmarshal(&mut bytes).unwrap());
            prop_assert_eq!(read.map(|read| read.transport_sequence), transport_cc.map(|_| number));
            let of_details = |id: Option<u8>| id.filter(|_| with_details);
            let read = value(capture_time).map(|bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()));
            prop_assert_eq!(read, of_details(capture_time).map(|_| ntp));
            let read = value(playout_delay).map(|mut bytes| PlayoutDelayExtension::unmarshal(&mut bytes).unwrap());
            let expected = of_details(playout_delay).map(|_| PlayoutDelayExtension::new(min as u16, max as u16));
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn no_offer_makes_it_panic(values in proptest::collection::vec("[0-9]{0,3}/?[a-z]{0,8} ?\\PC{0,20}", 0..4)) {
            Extensions::choose(values.iter().map(String::as_str), true);
        }
    }

    #[test]
    fn identifiers_are_answered_as_they_were_offered() {
        let offered = [
            &format!("2 {CAPTURE_TIME}"),
            "3 urn:ietf:params:rtp-hdrext:sdes:mid",
            &format!("14/recvonly {TRANSPORT_CC}"),
            &format!("5/sendrecv {PLAYOUT_DELAY} with attributes"),
        ];
        let (extensions, answer) = choose(&offered);
        let expected = Extensions {
            transport_cc: Some(14),
            capture_time: Some(2),
            playout_delay: Some(5),
        };
        assert_eq!(extensions, expected);
        let expected = [
            format!("14/sendonly {TRANSPORT_CC}"),
            format!("2 {CAPTURE_TIME}"),
            format!("5 {PLAYOUT_DELAY}"),
        ];
        assert_eq!(answer, expected);
        let without_feedback = Extensions::choose(offered.iter().copied(), false);
        assert_eq!(without_feedback.0.transport_cc, None);
        assert_eq!(without_feedback.1.len(), 2);
    }

    #[test]
    fn what_we_cannot_send_is_not_answered() {
        for head in [
            "0",
            "15",
            "256",
            "-1",
            "x",
            "",
            "3/sendonly",
            "3/inactive",
            "3/",
        ] {
            let (extensions, answer) = choose(&[&format!("{head} {PLAYOUT_DELAY}")]);
            assert_eq!((extensions, answer.len()), Default::default(), "{head:?}");
        }
        // RFC 6904: encrypted ones name what they are behind their own URI.
        let encrypted = format!("4 urn:ietf:params:rtp-hdrext:encrypt {PLAYOUT_DELAY}");
        let same_id = format!("4 {PLAYOUT_DELAY}");
        assert_eq!(choose(&[&encrypted]).0, Extensions::default());
        assert_eq!(choose(&[&same_id, &encrypted]).0, Extensions::default());
        let second = format!("6 {PLAYOUT_DELAY}");
        let too_large = format!("4096 {PLAYOUT_DELAY}");
        assert_eq!(choose(&[&too_large, &second]).0.playout_delay, Some(6));
    }
}
