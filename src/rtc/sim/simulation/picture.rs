//! Pictures that tell by their bytes which they are, and whether they are whole.

use crate::codec::h264::nal;
use bytes::Bytes;

/// An access unit of that number; its bytes follow from it. A keyframe has 60 kB, the others `len` bytes.
pub fn write_picture(number: u32, keyframe: bool, len: u32) -> Bytes {
    const START: [u8; 4] = [0, 0, 0, 1];
    let mut unit = Vec::new();
    let (kind, len) = if keyframe {
        (0x65, 60_000)
    } else {
        (0x41, len)
    };
    if keyframe {
        unit.extend([&START[..], &[0x67, 66, 192, 31, 1], &START, &[0x68, 2]].concat());
    }
    unit.extend(START);
    unit.extend([kind, b'#']);
    unit.extend(number.to_string().bytes());
    unit.push(b'.');
    // No zeros, hence no start codes.
    unit.extend((0..len).map(|n: u32| (number.wrapping_mul(31).wrapping_add(n) % 255 + 1) as u8));
    unit.into()
}

/// How much of a picture arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Whole,
    /// A keyframe that is whole but for its parameter sets. They travel in a packet of their own, the first. If that is lost for
    /// good, the receiver takes the next one for the first, as that begins a NAL unit too (str0m 0.25: `is_partition_head` in
    /// `packet/h264.rs`, and `update_segments` in `packet/buffer_rx.rs`).
    WithoutParameterSets,
    Damaged,
}

/// The number of a picture that must be whole, and whether it is a keyframe.
pub fn read_picture(data: &[u8]) -> (u32, bool) {
    let (number, keyframe, state) = examine_picture(data);
    assert_eq!(state, State::Whole, "picture {number}");
    (number, keyframe)
}

/// The number of a picture, whether it is a keyframe, and how much of it is there.
pub fn examine_picture(data: &[u8]) -> (u32, bool, State) {
    let nals: Vec<_> = nal::units(data).collect();
    let slice = nals.last().unwrap();
    let keyframe = slice[0] == 0x65;
    let end = slice.iter().position(|byte| *byte == b'.').unwrap();
    let number = std::str::from_utf8(&slice[2..end]).unwrap();
    let number = number.parse().unwrap();
    let expected = write_picture(number, keyframe, (slice.len() - end - 1) as u32);
    let expected: Vec<_> = nal::units(&expected).collect();
    let state = if expected == nals {
        State::Whole
    } else if keyframe && expected[2..] == nals[..] {
        State::WithoutParameterSets
    } else {
        State::Damaged
    };
    (number, keyframe, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_without_parameter_sets_is_told_from_damaged_pictures() {
        let keyframe = write_picture(266, true, 0);
        assert_eq!(examine_picture(&keyframe), (266, true, State::Whole));
        let units: Vec<_> = nal::units(&keyframe).collect();
        let slice = keyframe.slice_ref(units[2]);
        let slice = [&[0, 0, 0, 1], &slice[..]].concat();
        let state = |data: &[u8]| examine_picture(data).2;
        assert_eq!(state(&slice), State::WithoutParameterSets);
        let without_a_packet = [&slice[..2000], &slice[3150..]].concat();
        assert_eq!(state(&without_a_packet), State::Damaged);
        let other = write_picture(267, false, 5000);
        let of_two = [&other[..2000], &keyframe[2000..6000]].concat();
        assert_eq!(state(&of_two), State::Damaged);
    }
}
