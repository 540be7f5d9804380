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

/// The number of a picture that must be whole, and whether it is a keyframe.
pub fn read_picture(data: &[u8]) -> (u32, bool) {
    let (number, keyframe, is_whole) = examine_picture(data);
    assert!(is_whole, "picture {number} is damaged");
    (number, keyframe)
}

/// The number of a picture, whether it is a keyframe, and whether it is whole.
pub fn examine_picture(data: &[u8]) -> (u32, bool, bool) {
    let nals: Vec<_> = nal::units(data).collect();
    let slice = nals.last().unwrap();
    let keyframe = slice[0] == 0x65;
    let end = slice.iter().position(|byte| *byte == b'.').unwrap();
    let number = std::str::from_utf8(&slice[2..end]).unwrap();
    let number = number.parse().unwrap();
    let expected = write_picture(number, keyframe, (slice.len() - end - 1) as u32);
    let is_whole = nal::units(&expected).eq(nals);
    (number, keyframe, is_whole)
}
