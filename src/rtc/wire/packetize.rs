//! Access units to RTP payloads (RFC 6184, packetization-mode 1): once for all viewers.

use crate::codec::h264::nal::{self, AUD, PPS, SEI, SPS};
use bytes::{BufMut, Bytes, BytesMut};

/// Largest RTP payload in bytes. With the RTP header, its extensions and the SRTP tag a packet stays within
/// 1200 bytes of UDP payload, which every path that WebRTC is used on carries unfragmented.
pub const MAX_PAYLOAD: usize = 1150;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
const TYPE: u8 = 0x1f;
const F_NRI: u8 = 0xe0;
const NRI: u8 = 0x60;

/// The payloads of one access unit, in order. The last one's packet carries the marker bit.
///
/// Parameter sets travel together in one aggregation packet; access unit delimiters stay behind, since
/// RTP marks the borders itself. Fragments are equally long but for the last, as segmentation offload wants it.
pub fn packetize(access_unit: &Bytes) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    let mut parameter_sets = Vec::new();
    for unit in nal::units(access_unit) {
        let kind = nal::kind(unit);
        let unit = access_unit.slice_ref(unit);
        match kind {
            AUD => {}
            SPS | PPS | SEI => parameter_sets.push(unit),
            _ => {
                aggregate(&mut payloads, &mut parameter_sets);
                fragment(&mut payloads, unit);
            }
        }
    }
    aggregate(&mut payloads, &mut parameter_sets);
    payloads
}

/// Small units as one STAP-A (5.7.1) where there are several and they fit.
fn aggregate(payloads: &mut Vec<Bytes>, units: &mut Vec<Bytes>) {
    let len = 1 + units.iter().map(|unit| 2 + unit.len()).sum::<usize>();
    if units.len() < 2 || len > MAX_PAYLOAD {
        units.drain(..).for_each(|unit| fragment(payloads, unit));
        return;
    }
    let mut payload = BytesMut::with_capacity(len);
    // NRI of the aggregate is the highest of its units'.
    let nri = units.iter().map(|unit| unit[0] & NRI).max();
    payload.put_u8(nri.unwrap_or(0) | STAP_A);
    for unit in units.drain(..) {
        // Within MAX_PAYLOAD by the check above.
        payload.put_u16(unit.len() as u16);
        payload.put(unit);
    }
    payloads.push(payload.freeze());
}

/// A NAL unit as a single packet, or as FU-A fragments (5.8) if it is too long.
fn fragment(payloads: &mut Vec<Bytes>, nal: Bytes) {
    if nal.len() <= MAX_PAYLOAD {
        payloads.push(nal);
        return;
    }
    let header = nal[0];
    let body = &nal[1..];
    let pieces = body.len().div_ceil(MAX_PAYLOAD - 2);
    for (n, piece) in body.chunks(MAX_PAYLOAD - 2).enumerate() {
        let mut flags = header & TYPE;
        if n == 0 {
            flags |= FU_START;
        }
        if n + 1 == pieces {
            flags |= FU_END;
        }
        let mut payload = BytesMut::with_capacity(2 + piece.len());
        payload.put_u8(header & F_NRI | FU_A);
        payload.put_u8(flags);
        payload.put(piece);
        payloads.push(payload.freeze());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rtc::rtp::codec::h264::H264Packet;
    use rtc::rtp::packetizer::Depacketizer;

    fn annex_b(nals: &[Vec<u8>]) -> Bytes {
        let with_start = |nal: &Vec<u8>| [&[0], &nal::START_CODE[..], nal].concat();
        nals.iter().flat_map(with_start).collect()
    }

    /// What an independent depacketizer makes of the payloads.
    fn depacketize(payloads: &[Bytes]) -> Bytes {
        let mut depacketizer = H264Packet::default();
        let unit = |payload: &Bytes| depacketizer.depacketize(payload).unwrap();
        payloads.iter().flat_map(unit).collect()
    }

    /// A NAL unit as an encoder makes it: emulation prevention leaves no start code and no zero at the end. The
    /// depacketizer takes none of less than three bytes.
    fn nal() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![Just(1u8), Just(5), Just(6), Just(7), Just(8)];
        let len = prop_oneof![2..40usize, 1140..1160usize, 2290..2310usize, 2..20_000usize];
        (kind, 0..4u8, len.prop_flat_map(|len| vec(1..=255u8, len))).prop_map(
            |(kind, nri, mut body)| {
                body.insert(0, nri << 5 | kind);
                body
            },
        )
    }

    proptest! {
        #[test]
        fn any_access_unit_survives_the_wire(nals in vec(nal(), 1..8)) {
            let unit = annex_b(&nals);
            let payloads = packetize(&unit);
            prop_assert!(payloads.iter().all(|p| !p.is_empty() && p.len() <= MAX_PAYLOAD));
            prop_assert_eq!(depacketize(&payloads), unit);
        }

        #[test]
        fn any_bytes_are_split_without_a_panic(data in vec(0..3u8, 0..200)) {
            packetize(&Bytes::from(data));
        }
    }

    #[test]
    fn parameter_sets_share_a_packet_and_delimiters_stay_behind() {
        let unit = annex_b(&[vec![9, 0x10], vec![0x67, 1], vec![0x68, 2], vec![0x65, 3]]);
        let payloads = packetize(&unit);
        assert_eq!(payloads[0][..], [0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2]);
        assert_eq!(payloads[1][..], [0x65, 3]);
        assert_eq!(payloads.len(), 2);
    }

    #[test]
    fn fragments_are_equally_long_but_for_the_last() {
        let mut nal = vec![7; 5000];
        nal[0] = 0x65;
        let payloads = packetize(&annex_b(&[nal]));
        let (last, others) = payloads.split_last().unwrap();
        assert!(others.iter().all(|payload| payload.len() == MAX_PAYLOAD));
        assert!(last.len() < MAX_PAYLOAD);
        assert_eq!(others[0][..2], [0x7c, 0x85]);
        assert_eq!(last[..2], [0x7c, 0x45]);
    }
}
