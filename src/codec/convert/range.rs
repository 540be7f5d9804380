//! Samples from full range, 0 to 255, to limited range, 16 to 235 for luma and 16 to 240 for chroma (ITU-R BT.601).

use crate::media::I420;

/// `numerator / 255`, rounded, for numerators that leave room for the rounding in 16 bits: there the compiler computes
/// eight and more samples at once, which a table look-up can't.
const fn div255(numerator: u16) -> u8 {
    let rounded = numerator + 128;
    ((rounded + (rounded >> 8)) >> 8) as u8
}

/// 0…255 to 16…235.
pub(super) const fn limited_luma(sample: u8) -> u8 {
    div255(sample as u16 * 219 + 16 * 255)
}

/// 128 ± 127.5 to 128 ± 112, scaled by 255. What remains of the centre after the samples are multiplied by 224.
const CENTRE: u16 = 128 * (255 - 224);

/// A picture whose samples have full range.
pub(super) fn limit(picture: &mut I420) {
    for sample in &mut picture.y {
        *sample = limited_luma(*sample);
    }
    for plane in [&mut picture.u, &mut picture.v] {
        for sample in plane {
            *sample = div255(u16::from(*sample) * 224 + CENTRE);
        }
    }
}

/// One sample from each of two rows. Not inlined: within the loop over the rows the compiler gives up on vector code,
/// which makes it ten times slower.
#[inline(never)]
pub(super) fn mean_of_two(upper: &[u8], lower: &[u8], output: &mut [u8]) {
    for ((output, &upper), &lower) in output.iter_mut().zip(upper).zip(lower) {
        *output = div255((u16::from(upper) + u16::from(lower)) * (224 / 2) + CENTRE);
    }
}

/// Two samples from each of two rows. Not inlined for the same reason.
#[inline(never)]
pub(super) fn mean_of_four(upper: &[u8], lower: &[u8], output: &mut [u8]) {
    // A pair is added as one number: that is vector code, two bytes are not.
    let sum = |pair: &[u8; 2]| {
        let pair = u16::from_le_bytes(*pair);
        (pair & 0xff) + (pair >> 8)
    };
    let pairs = upper.as_chunks().0.iter().zip(lower.as_chunks().0);
    for (output, (upper, lower)) in output.iter_mut().zip(pairs) {
        *output = div255((sum(upper) + sum(lower)) * (224 / 4) + CENTRE);
    }
}

/// One sample from each of two rows, for two samples of the output.
#[inline(never)]
pub(super) fn twice_mean_of_two(upper: &[u8], lower: &[u8], output: &mut [u8]) {
    for ((pair, &upper), &lower) in output.chunks_mut(2).zip(upper).zip(lower) {
        pair.fill(div255(
            (u16::from(upper) + u16::from(lower)) * (224 / 2) + CENTRE,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_rounded_to_its_limited_range_value() {
        for sample in 0..=255_u8 {
            let x = f64::from(sample);
            let luma = 16.0 + x * 219.0 / 255.0;
            let chroma = 128.0 + (x - 128.0) * 224.0 / 255.0;
            assert_eq!(limited_luma(sample), luma.round() as u8);
            let mut output = [0; 4];
            mean_of_two(&[sample; 1], &[sample; 1], &mut output[..1]);
            mean_of_four(&[sample; 2], &[sample; 2], &mut output[1..2]);
            twice_mean_of_two(&[sample; 1], &[sample; 1], &mut output[2..]);
            assert_eq!(output, [chroma.round() as u8; 4]);
            let mut picture = I420::new(crate::media::Size::new(2, 2));
            picture.y.fill(sample);
            picture.u.fill(sample);
            picture.v.fill(sample);
            limit(&mut picture);
            assert_eq!(picture.y, [luma.round() as u8; 4]);
            assert_eq!((picture.u[0], picture.v[0]), (output[0], output[0]));
        }
        assert_eq!((limited_luma(0), limited_luma(255)), (16, 235));
    }
}
