//! NAL units: finding them in a byte stream, and their types (ITU-T H.264, 7.4.1 and B.1).

use memchr::memmem;

/// Stands before every unit. A longer one has zeros before it, which count as the last unit's.
pub const START_CODE: [u8; 3] = [0, 0, 1];

/// `nal_unit_type`: a slice of a picture that others precede.
pub const SLICE: u8 = 1;
/// A slice of an IDR picture, at which decoding can begin.
pub const IDR: u8 = 5;
/// Supplemental enhancement information.
pub const SEI: u8 = 6;
/// Sequence parameter set.
pub const SPS: u8 = 7;
/// Picture parameter set.
pub const PPS: u8 = 8;
/// Access unit delimiter.
pub const AUD: u8 = 9;

/// The type of a unit, which has a byte at least.
pub const fn kind(unit: &[u8]) -> u8 {
    unit[0] & 0x1f
}

/// Whether pictures after this one may refer to it.
pub const fn is_reference(unit: &[u8]) -> bool {
    unit[0] & 0x60 != 0
}

/// The units of an Annex B byte stream, without start codes and never empty. What stands before the first start code is
/// left out.
pub fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start_codes = memmem::find_iter(data, &START_CODE);
    let mut next = start_codes.next();
    std::iter::from_fn(move || {
        let begin = next? + START_CODE.len();
        next = start_codes.next();
        let unit = &data[begin..next.unwrap_or(data.len())];
        // Zero bytes that trail a unit are not part of it.
        let used = unit.iter().rposition(|&byte| byte != 0);
        Some(&unit[..used.map_or(0, |last| last + 1)])
    })
    .filter(|unit| !unit.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn both_start_codes_and_trailing_zeros_are_understood() {
        let data = [9, 0, 0, 1, 0x67, 1, 0, 0, 0, 0, 1, 0x68, 2, 0, 0, 1];
        let found: Vec<_> = units(&data).collect();
        assert_eq!(found, [&[0x67, 1][..], &[0x68, 2][..]]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_without_a_panic(data in vec(0..3u8, 0..200)) {
            for unit in units(&data) {
                prop_assert!(!unit.windows(3).any(|window| window == START_CODE));
                prop_assert!(!unit.is_empty());
            }
        }
    }
}
