//! DTLS records as far as they can be read from outside (RFC 6347, 4.1): forged ones, and alerts that end a handshake.

/// Content types (RFC 5246, 6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const FATAL: u8 = 2;

/// A fatal alert before there were keys (RFC 5246, 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeAlert {
    /// The viewer sent it; otherwise the server did.
    pub is_viewers: bool,
    /// Its number.
    pub description: u8,
}

/// The records of a datagram: content type, epoch, and the fragment, which may be cut off.
fn records(mut datagram: &[u8]) -> impl Iterator<Item = (u8, u16, &[u8])> {
    std::iter::from_fn(move || {
        let (header, rest) = datagram.split_at_checked(13)?;
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let (fragment, rest) = rest.split_at(len.min(rest.len()));
        datagram = rest;
        let epoch = u16::from_be_bytes([header[3], header[4]]);
        Some((header[0], epoch, fragment))
    })
}

/// Whether a datagram has a record that changes the cipher within an epoch that has one: there is one handshake in a session,
/// so no honest peer sends it. The core does not ask whether it is authentic, and ends the session if it is malformed, so
/// that anybody who can forge an address could end any.
pub fn has_forged_cipher_change(datagram: &[u8]) -> bool {
    records(datagram).any(|(kind, epoch, _)| kind == CHANGE_CIPHER_SPEC && epoch > 0)
}

/// The description of the fatal alert in a datagram (RFC 5246, 7.2), unless it is encrypted.
pub fn fatal_alert(datagram: &[u8]) -> Option<u8> {
    records(datagram).find_map(|record| match record {
        (ALERT, 0, &[FATAL, description]) => Some(description),
        _ => None,
    })
}

/// Whether a datagram has a message of the handshake before there are keys.
pub fn is_handshake(datagram: &[u8]) -> bool {
    records(datagram).any(|(kind, epoch, _)| kind == HANDSHAKE && epoch == 0)
}

/// Whether a datagram has an alert of any kind, encrypted or not.
pub fn has_alert(datagram: &[u8]) -> bool {
    records(datagram).any(|(kind, ..)| kind == ALERT)
}

/// The name of an alert (RFC 5246, 7.2).
pub const fn alert_name(description: u8) -> &'static str {
    match description {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        _ => "of an unknown kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, fragment: &[u8]) -> Vec<u8> {
        let header = [kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0, 0];
        [&header[..], &[fragment.len() as u8], fragment].concat()
    }

    #[test]
    fn a_change_of_the_cipher_is_honest_before_there_is_one() {
        let is_forged = |records: &[Vec<u8>]| has_forged_cipher_change(&records.concat());
        let honest = [
            record(22, 0, &[1]),
            record(20, 0, &[1]),
            record(22, 1, &[1]),
        ];
        assert!(!is_forged(&honest));
        assert!(is_forged(&[record(20, 1, &[1])]));
        assert!(is_forged(&[&honest[..], &[record(20, 1, &[1])]].concat()));
        for len in 0..14 {
            has_forged_cipher_change(&record(20, 0, &[1])[..len]);
        }
    }

    #[test]
    fn alerts_are_found_behind_other_records_and_only_fatal_ones_in_the_clear_are_named() {
        let alert =
            |level, epoch| [record(22, 0, &[9; 3]), record(21, epoch, &[level, 42])].concat();
        assert_eq!(fatal_alert(&alert(2, 0)), Some(42));
        assert_eq!(fatal_alert(&alert(1, 0)), None, "a warning");
        assert_eq!(fatal_alert(&alert(2, 1)), None, "it is encrypted");
        assert!(has_alert(&alert(2, 1)) && !has_alert(&record(22, 0, &[21])));
        let whole = alert(2, 0);
        for len in 0..whole.len() {
            assert_eq!(fatal_alert(&whole[..len]), None);
        }
    }
}
