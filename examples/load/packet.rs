//! What can be told of a datagram without any key: its kind, and the clear header of an RTP packet.

/// What a datagram of a WebRTC session is (RFC 7983, RFC 5761).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Other,
}

impl Kind {
    pub fn of(datagram: &[u8]) -> Self {
        match datagram {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            // RTCP's packet types; an RTP payload type never has these values, with the marker or without.
            [128..=191, 192..=223, ..] => Self::Rtcp,
            [128..=191, ..] => Self::Rtp,
            _ => Self::Other,
        }
    }
}

/// The header of an RTP packet (RFC 3550, 5.1), which SRTP authenticates but does not encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// The elements of a header extension in the one-byte form (RFC 8285); empty if there is none.
    extension: &'a [u8],
}

impl<'a> Header<'a> {
    /// `None` if the packet is too short for what it says.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = packet.split_first_chunk::<12>()?;
        let word = |at: usize| {
            // The fixed part is twelve bytes long.
            u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
        };
        let sources = usize::from(fixed[0] & 0x0f) * 4;
        let rest = rest.get(sources..)?;
        let extension = if fixed[0] & 0x10 == 0 {
            &[]
        } else {
            let (head, rest) = rest.split_first_chunk::<4>()?;
            let len = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
            let elements = rest.get(..len)?;
            if head[..2] == [0xbe, 0xde] {
                elements
            } else {
                &[]
            }
        };
        Some(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: word(4),
            ssrc: word(8),
            extension,
        })
    }

    /// The value of the header extension that was negotiated under that number, if it has two bytes, as a
    /// transport-wide sequence number has.
    pub fn extension(&self, id: u8) -> Option<u16> {
        let mut rest = self.extension;
        loop {
            match rest {
                // Padding.
                [0, tail @ ..] => rest = tail,
                // Nothing may follow number 15.
                [head, ..] if head >> 4 == 15 => return None,
                [head, tail @ ..] => {
                    let (value, tail) = tail.split_at_checked(usize::from(head & 0x0f) + 1)?;
                    if head >> 4 == id {
                        return Some(u16::from_be_bytes(value.try_into().ok()?));
                    }
                    rest = tail;
                }
                [] => return None,
            }
        }
    }
}

/// Whether an H.264 payload (RFC 6184) begins a keyframe: a parameter set or an IDR slice, alone, aggregated or as
/// the first fragment.
pub fn begins_keyframe(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    let is_key = |unit: u8| matches!(unit & 0x1f, IDR | SPS);
    match payload {
        // STAP-A: units follow, each behind its length.
        [head, rest @ ..] if head & 0x1f == 24 => {
            let mut rest = rest;
            while let Some((len, tail)) = rest.split_first_chunk::<2>() {
                let len = usize::from(u16::from_be_bytes(*len));
                if tail.first().is_some_and(|unit| is_key(*unit)) {
                    return true;
                }
                rest = tail.get(len..).unwrap_or_default();
            }
            false
        }
        // FU-A: the type is in the second byte, and so is the mark of the first fragment.
        [head, fragment, ..] if head & 0x1f == 28 => fragment & 0x80 != 0 && is_key(*fragment),
        [head, ..] => is_key(*head),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_first_bytes() {
        let kinds = [
            (vec![0, 1], Kind::Stun),
            (vec![22, 254], Kind::Dtls),
            (vec![0x80, 96], Kind::Rtp),
            // Payload type 127 with the marker: above RTCP's packet types.
            (vec![0x90, 0x80 | 127], Kind::Rtp),
            (vec![0x80, 0x80 | 96], Kind::Rtp),
            (vec![0x80, 200], Kind::Rtcp),
            (vec![0x81, 205], Kind::Rtcp),
            (vec![], Kind::Other),
            (vec![80], Kind::Other),
        ];
        for (datagram, kind) in kinds {
            assert_eq!(Kind::of(&datagram), kind, "{datagram:?}");
        }
    }

    #[test]
    fn a_header_is_read_with_sources_and_extensions() {
        let mut packet = vec![0x92, 0x80 | 96, 0x12, 0x34, 0, 0, 0, 5, 0, 0, 0, 6];
        packet.extend([1; 8]);
        packet.extend([0xbe, 0xde, 0, 3]);
        packet.extend([0x10, 9, 0, 0x31, 0xab, 0xcd, 0x52, 1, 2, 3, 0, 0]);
        packet.extend([7; 20]);
        let header = Header::parse(&packet).unwrap();
        assert!(header.marker);
        assert_eq!((header.payload_type, header.sequence), (96, 0x1234));
        assert_eq!((header.timestamp, header.ssrc), (5, 6));
        assert_eq!(header.extension(3), Some(0xabcd));
        // Of another length, and not there.
        assert_eq!((header.extension(5), header.extension(4)), (None, None));
        for len in 0..36 {
            assert!(Header::parse(&packet[..len]).is_none(), "{len}");
        }
    }

    #[test]
    fn a_keyframe_is_known_in_every_packetization() {
        for payload in [
            &[0x65, 1][..],
            &[0x67, 1],
            &[0x78, 0, 2, 0x67, 1, 0, 1, 0x68],
            &[0x78, 0, 1, 0x09, 0, 2, 0x65, 1],
            &[0x7c, 0x85, 1],
        ] {
            assert!(begins_keyframe(payload), "{payload:?}");
        }
        for payload in [
            &[0x61, 1][..],
            &[0x7c, 0x05],
            &[0x7c, 0x81],
            &[0x78, 0],
            &[],
        ] {
            assert!(!begins_keyframe(payload), "{payload:?}");
        }
    }
}
