//! STUN messages as bytes (RFC 8489), and the question to a server where it sees us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Names a request, and the answer to it: 96 bits that nobody can guess (RFC 8489, 5).
pub type Transaction = [u8; 12];

/// The type of a STUN message (RFC 8489, 5).
pub const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
/// The positive answer to it.
pub const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
/// Of every STUN message (RFC 8489, 5).
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// The attributes of a STUN message of one type; `None` for any other datagram.
pub fn stun(datagram: &[u8], message_type: [u8; 2]) -> Option<impl Iterator<Item = (u16, &[u8])>> {
    let (header, mut rest) = datagram.split_at_checked(20)?;
    if header[..2] != message_type || header[4..8] != MAGIC_COOKIE {
        return None;
    }
    Some(std::iter::from_fn(move || {
        let (head, tail) = rest.split_at_checked(4)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = tail.get(..len)?;
        // Values are padded to four bytes; the last one's padding may be cut off.
        rest = tail.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }))
}

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Where the request came from.
    Mapped(SocketAddr),
    /// It does not say, with this error code, or none.
    Refused(Option<u16>),
}

/// A binding request without attributes, which are for those who have something to prove.
pub fn request(transaction: Transaction) -> Vec<u8> {
    [&BINDING_REQUEST[..], &[0, 0], &MAGIC_COOKIE, &transaction].concat()
}

/// The answer to that request; `None` for any other datagram.
pub fn answer(datagram: &[u8], transaction: Transaction) -> Option<Answer> {
    if datagram.get(8..20)? != transaction {
        return None;
    }
    if let Some(mut attributes) = stun(datagram, BINDING_SUCCESS) {
        let address = attributes.find(|(kind, _)| *kind == XOR_MAPPED_ADDRESS);
        let address = address.and_then(|(_, value)| mapped(value, transaction));
        return Some(address.map_or(Answer::Refused(None), Answer::Mapped));
    }
    let mut attributes = stun(datagram, BINDING_ERROR)?;
    let code = attributes.find(|(kind, _)| *kind == ERROR_CODE);
    // RFC 8489, 14.8: hundreds, and the rest.
    let code = code.and_then(|(_, value)| {
        Some(u16::from(value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
    });
    Some(Answer::Refused(code))
}

/// RFC 8489, 14.2. None of an address where nobody can be reached.
fn mapped(value: &[u8], transaction: Transaction) -> Option<SocketAddr> {
    let (head, address) = value.split_at_checked(4)?;
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE);
    mask[4..].copy_from_slice(&transaction);
    let port = u16::from_be_bytes([head[2] ^ mask[0], head[3] ^ mask[1]]);
    let ip = match head[1] {
        1 => {
            let address = <[u8; 4]>::try_from(address).ok()?;
            IpAddr::V4(Ipv4Addr::from(
                u32::from_be_bytes(address) ^ u32::from_be_bytes(MAGIC_COOKIE),
            ))
        }
        2 => {
            let address = <[u8; 16]>::try_from(address).ok()?;
            IpAddr::V6(Ipv6Addr::from(
                u128::from_be_bytes(address) ^ u128::from_be_bytes(mask),
            ))
        }
        _ => return None,
    };
    let is_usable = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
    is_usable.then(|| SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRANSACTION: Transaction = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    /// RFC 5769, 2.2, to the end of XOR-MAPPED-ADDRESS.
    const OVER_IPV4: &[u8] =
        b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
        \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
    /// RFC 5769, 2.3, likewise.
    const OVER_IPV6: &[u8] = b"\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
        \x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";

    #[test]
    fn the_vectors_of_rfc_5769_are_read() {
        let mapped = |text: &str| Some(Answer::Mapped(text.parse().unwrap()));
        assert_eq!(answer(OVER_IPV4, TRANSACTION), mapped("192.0.2.1:32853"));
        let address = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
        assert_eq!(answer(OVER_IPV6, TRANSACTION), mapped(address));
    }

    #[test]
    fn what_answers_another_request_is_no_answer() {
        let mut other = TRANSACTION;
        other[11] ^= 1;
        assert_eq!(answer(OVER_IPV4, other), None);
        assert_eq!(answer(&request(TRANSACTION), TRANSACTION), None);
    }

    #[test]
    fn a_refusal_tells_its_code() {
        let refusal = [
            &BINDING_ERROR[..],
            &[0, 8],
            &MAGIC_COOKIE,
            &TRANSACTION,
            &[0, 9, 0, 4, 0, 0, 4, 20],
        ]
        .concat();
        assert_eq!(
            answer(&refusal, TRANSACTION),
            Some(Answer::Refused(Some(420)))
        );
        assert_eq!(
            answer(&refusal[..20], TRANSACTION),
            Some(Answer::Refused(None))
        );
        assert_eq!(
            answer(&OVER_IPV4[..36], TRANSACTION),
            Some(Answer::Refused(None))
        );
    }

    #[test]
    fn nobody_is_sent_where_nobody_can_be() {
        let with = |port: [u8; 2], ip: [u8; 4]| {
            let value = [&[0, 1], &port[..], &ip].concat();
            let attribute = [&[0, 0x20, 0, 8], &value[..]].concat();
            let datagram = [
                &BINDING_SUCCESS[..],
                &[0, 12],
                &MAGIC_COOKIE,
                &TRANSACTION,
                &attribute,
            ]
            .concat();
            answer(&datagram, TRANSACTION)
        };
        let cookie = MAGIC_COOKIE;
        assert_eq!(
            with([cookie[0], cookie[1]], [1, 2, 3, 4]),
            Some(Answer::Refused(None)),
            "port 0"
        );
        assert_eq!(with([1, 2], cookie), Some(Answer::Refused(None)), "0.0.0.0");
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..60), is_error: bool) {
            let kind = if is_error { BINDING_ERROR } else { BINDING_SUCCESS };
            let message = [&kind[..], &[0, 0], &MAGIC_COOKIE, &TRANSACTION, &tail].concat();
            for len in 0..=message.len() {
                answer(&message[..len], TRANSACTION);
            }
        }
    }
}
