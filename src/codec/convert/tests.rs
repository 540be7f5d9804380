//! Every converter against a slow reference that looks up one sample at a time, on any size and content.

use super::*;
use crate::media::{Flip, Rotation};
use proptest::prelude::*;
use std::time::Instant;
use turbojpeg::{Compressor, Image, Subsamp};

/// Reads (Y, U, V) at a pixel.
type Sampler<'a> = &'a dyn Fn(usize, usize) -> [u8; 3];

fn frame(format: PixelFormat, size: Size, data: &[u8]) -> RawFrame<'_> {
    RawFrame {
        data,
        format,
        size,
        stride: 0,
        captured_at: Instant::now(),
        lost: 0,
        is_late: false,
        full_range: false,
    }
}

fn convert(frame: &RawFrame<'_>) -> Result<I420, ConvertError> {
    let mut picture = I420::new(Size::new(2, 2));
    Converter::new().convert(frame, &mut picture)?;
    Ok(picture)
}

/// Luma as it is, chroma the mean of each 2x2 pixels, mapped by `range`.
fn reference(size: Size, sample: Sampler, range: impl Fn(usize, f64) -> f64) -> I420 {
    let mut picture = I420::new(size);
    let width = picture.size().width as usize;
    for index in 0..picture.y.len() {
        let [y, ..] = sample(index % width, index / width);
        picture.y[index] = range(0, f64::from(y)).round() as u8;
    }
    for index in 0..picture.u.len() {
        let (x, y) = (index % (width / 2) * 2, index / (width / 2) * 2);
        let square = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| sample(x + dx, y + dy));
        let mean = |plane: usize| square.iter().map(|s| f64::from(s[plane])).sum::<f64>() / 4.0;
        picture.u[index] = range(1, mean(1)).round() as u8;
        picture.v[index] = range(2, mean(2)).round() as u8;
    }
    picture
}

fn unchanged(_: usize, value: f64) -> f64 {
    value
}

fn full_to_limited(plane: usize, value: f64) -> f64 {
    match plane {
        0 => 16.0 + value * 219.0 / 255.0,
        _ => 128.0 + (value - 128.0) * 224.0 / 255.0,
    }
}

/// A function from a plane's index and a sample to the new sample.
type Mapping = fn(usize, f64) -> f64;

/// Both ranges of samples.
const RANGES: [(bool, Mapping); 2] = [(false, unchanged), (true, full_to_limited)];

/// Equal but for the direction in which exact halves are rounded.
fn assert_close(actual: &I420, expected: &I420) {
    assert_eq!(actual.size(), expected.size());
    assert_eq!(actual.y, expected.y, "luma");
    for (actual, expected) in [(&actual.u, &expected.u), (&actual.v, &expected.v)] {
        assert_eq!(actual.len(), expected.len());
        for (at, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
            assert!(
                actual.abs_diff(expected) <= 1,
                "chroma at {at}: {actual}, expected {expected}"
            );
        }
    }
}

/// A JPEG of noise over smooth colours, so that every plane has content.
fn jpeg(size: Size, subsamp: Subsamp, seed: u8) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let pixels: Vec<u8> = (0..width * height * 3)
        .map(|at| {
            let (x, y, channel) = (at / 3 % width, at / 3 / width, at % 3);
            let smooth = (x * (channel + 1) * 5 + y * (4 - channel) * 7) as u8;
            smooth.wrapping_add(seed).wrapping_add((at * 31 % 13) as u8)
        })
        .collect();
    let mut compressor = Compressor::new().unwrap();
    compressor.set_subsamp(subsamp).unwrap();
    compressor.set_quality(90).unwrap();
    let image = Image {
        pixels: &pixels[..],
        width,
        pitch: width * 3,
        height,
        format: turbojpeg::PixelFormat::RGB,
    };
    compressor.compress_to_vec(image).unwrap()
}

fn sizes() -> impl Strategy<Value = Size> {
    // Beyond the widest vector of the SIMD code twice over, and beyond one band of rows.
    (2_u32..150, 2_u32..40).prop_map(|(width, height)| Size::new(width, height))
}

/// A size and exactly the bytes that a raw frame of it has.
fn raw(format: PixelFormat) -> impl Strategy<Value = (Size, Vec<u8>)> {
    sizes().prop_flat_map(move |size| {
        let len = format.frame_len(size, 0).unwrap();
        (
            Just(size),
            proptest::collection::vec(any::<u8>(), len..=len),
        )
    })
}

proptest! {
    #[test]
    fn packed_formats_match_the_reference((size, data) in raw(PixelFormat::Yuyv)) {
        let stride = size.width.div_ceil(2) as usize * 4;
        for (format, y, u, v) in [
            (PixelFormat::Yuyv, [0, 2], 1, 3),
            (PixelFormat::Uyvy, [1, 3], 0, 2),
            (PixelFormat::Yvyu, [0, 2], 3, 1),
            (PixelFormat::Vyuy, [1, 3], 2, 0),
        ] {
            let sample = |x: usize, row: usize| {
                let group = &data[row * stride + x / 2 * 4..][..4];
                [group[y[x % 2]], group[u], group[v]]
            };
            for (full_range, range) in RANGES {
                let expected = reference(size, &sample, range);
                let frame = RawFrame { full_range, ..frame(format, size, &data) };
                assert_close(&convert(&frame).unwrap(), &expected);
            }
        }
    }

    #[test]
    fn semi_planar_formats_match_the_reference((size, data) in raw(PixelFormat::Nv12)) {
        let (width, chroma) = (size.width as usize, size.width.div_ceil(2) as usize * 2);
        for (format, u, v) in [(PixelFormat::Nv12, 0, 1), (PixelFormat::Nv21, 1, 0)] {
            let sample = |x: usize, y: usize| {
                let pair = &data[size.pixels() + y / 2 * chroma + x / 2 * 2..][..2];
                [data[y * width + x], pair[u], pair[v]]
            };
            for (full_range, range) in RANGES {
                let expected = reference(size, &sample, range);
                let frame = RawFrame { full_range, ..frame(format, size, &data) };
                prop_assert_eq!(convert(&frame).unwrap(), expected);
            }
        }
    }

    #[test]
    fn planar_formats_match_the_reference((size, data) in raw(PixelFormat::I420)) {
        let (width, chroma) = (size.width as usize, size.width.div_ceil(2) as usize);
        let plane = chroma * size.height.div_ceil(2) as usize;
        for (format, u, v) in [(PixelFormat::I420, 0, plane), (PixelFormat::Yv12, plane, 0)] {
            let sample = |x: usize, y: usize| {
                let at = size.pixels() + y / 2 * chroma + x / 2;
                [data[y * width + x], data[at + u], data[at + v]]
            };
            for (full_range, range) in RANGES {
                let expected = reference(size, &sample, range);
                let frame = RawFrame { full_range, ..frame(format, size, &data) };
                prop_assert_eq!(convert(&frame).unwrap(), expected);
            }
        }
    }

    #[test]
    fn luma_alone_matches_the_reference((size, data) in raw(PixelFormat::Y16)) {
        let width = size.width as usize;
        let deep = |at: usize| u16::from_le_bytes([data[2 * at], data[2 * at + 1]]);
        for format in [PixelFormat::Grey, PixelFormat::Y10, PixelFormat::Y10p, PixelFormat::Y16] {
            let sample = |x: usize, y: usize| {
                let at = y * width + x;
                let luma = match format {
                    PixelFormat::Grey => data[at],
                    PixelFormat::Y10 => (deep(at) >> 2) as u8,
                    PixelFormat::Y10p => data[y * width.div_ceil(4) * 5 + x / 4 * 5 + x % 4],
                    _ => (deep(at) >> 8) as u8,
                };
                [luma, 128, 128]
            };
            let Some(len) = format.frame_len(size, 0).filter(|len| *len <= data.len()) else { continue };
            for (full_range, range) in RANGES {
                let expected = reference(size, &sample, range);
                let frame = RawFrame { full_range, ..frame(format, size, &data[..len]) };
                prop_assert_eq!(convert(&frame).unwrap(), expected, "{}", format);
            }
        }
    }

    #[test]
    fn colours_match_the_reference((size, data) in raw(PixelFormat::Rgb3)) {
        for (format, red, blue) in [(PixelFormat::Rgb3, 0, 2), (PixelFormat::Bgr3, 2, 0)] {
            for full_range in [true, false] {
                // BT.601.
                let sample = |x: usize, y: usize| {
                    let pixel = &data[(y * size.width as usize + x) * 3..][..3];
                    let of = |channel: usize| f64::from(pixel[channel]);
                    let (r, g, b) = (of(red), of(1), of(blue));
                    let luma = 0.299 * r + 0.587 * g + 0.114 * b;
                    [luma, (b - luma) / 1.772, (r - luma) / 1.402]
                };
                let picture = convert(&RawFrame { full_range, ..frame(format, size, &data) }).unwrap();
                let width = picture.size().width as usize;
                let (offset, luma, chroma) = if full_range {
                    (16.0, 219.0 / 255.0, 224.0 / 255.0)
                } else {
                    (0.0, 1.0, 224.0 / 219.0)
                };
                for (at, &y) in picture.y.iter().enumerate() {
                    let expected = offset + luma * sample(at % width, at / width)[0];
                    prop_assert!((f64::from(y) - expected).abs() <= 1.5, "{format} {at}: {y}, {expected}");
                }
                for (plane, kind) in [(&picture.u, 1), (&picture.v, 2)] {
                    for (at, &actual) in plane.iter().enumerate() {
                        let (x, y) = (at % (width / 2) * 2, at / (width / 2) * 2);
                        let square = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| sample(x + dx, y + dy)[kind]);
                        let expected = 128.0 + chroma * square.iter().sum::<f64>() / 4.0;
                        // Of limited-range colours chroma comes out a little weaker.
                        let slack = if full_range { 2.0 } else { 5.0 };
                        prop_assert!((f64::from(actual) - expected.clamp(0.0, 255.0)).abs() <= slack, "{format} {at}: {actual}, {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn mjpeg_of_every_subsampling_matches_the_reference(size in sizes(), seed: u8) {
        for subsamp in [
            Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub1x2, Subsamp::Sub2x2, Subsamp::Sub4x1, Subsamp::Sub1x4, Subsamp::Gray,
        ] {
            let jpeg = jpeg(size, subsamp, seed);
            let (across, down) = match subsamp {
                Subsamp::Sub2x1 => (2, 1),
                Subsamp::Sub1x2 => (1, 2),
                Subsamp::Sub2x2 => (2, 2),
                Subsamp::Sub4x1 => (4, 1),
                Subsamp::Sub1x4 => (1, 4),
                _ => (1, 1),
            };
            let planes = turbojpeg::decompress_to_yuv(&jpeg).unwrap();
            let align = |len: usize| len.next_multiple_of(planes.align);
            let width = (size.width as usize).next_multiple_of(across);
            let height = (size.height as usize).next_multiple_of(down);
            let (luma, chroma) = planes.pixels.split_at(align(width) * height);
            let plane = chroma.len() / 2;
            let sample = |x: usize, y: usize| {
                let at = y / down * align(width / across) + x / across;
                let chroma = |at| chroma.get(at).copied().unwrap_or(NEUTRAL);
                [luma[y * align(width) + x], chroma(at), chroma(at + plane)]
            };
            let expected = reference(size, &sample, full_to_limited);
            let actual = convert(&frame(PixelFormat::Mjpeg, size, &jpeg)).unwrap();
            assert_close(&actual, &expected);
        }
    }

    #[test]
    fn no_damage_to_a_jpeg_makes_it_panic(
        at in proptest::collection::vec((0.0..1.0, any::<u8>()), 1..20),
        keep in 0.0..1.0,
    ) {
        let size = Size::new(64, 48);
        let mut data = jpeg(size, Subsamp::Sub2x1, 0);
        let len = data.len() as f64;
        for (place, value) in at {
            data[(len * place) as usize] = value;
        }
        data.truncate((len * keep * 2.0) as usize);
        let _ = convert(&frame(PixelFormat::Mjpeg, size, &data));
    }

    #[test]
    fn padding_of_rows_is_left_out(size in sizes(), padding in 1_usize..20, seed: u8) {
        for format in PixelFormat::ALL {
            let Some(len) = format.frame_len(size, 0) else { continue };
            let packed: Vec<u8> = (0..len).map(|at| (at * 7) as u8 ^ seed).collect();
            let row = format.stride(size.width, 0);
            // A whole pair, so that rows of chroma have a whole number of it.
            let stride = (row + 2 * padding).next_multiple_of(2);
            let luma = packed.chunks(row).take(size.height as usize).map(|row| (row, stride));
            let rest = &packed[row * size.height as usize..];
            let (chroma_row, chroma_stride) = match format {
                PixelFormat::I420 | PixelFormat::Yv12 => (row.div_ceil(2), stride / 2),
                _ => (row.next_multiple_of(2), stride),
            };
            let chroma = rest.chunks(chroma_row).map(|row| (row, chroma_stride));
            let padded: Vec<u8> = luma
                .chain(chroma)
                .flat_map(|(row, stride)| row.iter().copied().chain(std::iter::repeat_n(99, stride - row.len())))
                .collect();
            prop_assert_eq!(format.frame_len(size, stride), Some(padded.len()));
            let padded = RawFrame { stride, ..frame(format, size, &padded) };
            prop_assert_eq!(convert(&padded), convert(&frame(format, size, &packed)), "{}", format);
        }
    }

    #[test]
    fn a_raw_frame_that_lacks_a_byte_is_an_error(size in sizes()) {
        for format in PixelFormat::ALL {
            if let Some(expected) = format.frame_len(size, 0) {
                let zeros = vec![0; expected];
                let short = frame(format, size, &zeros[..expected - 1]);
                prop_assert_eq!(
                    convert(&short),
                    Err(ConvertError::Short { format, size, expected, actual: expected - 1 })
                );
            }
        }
    }
}

#[test]
fn one_converter_takes_changing_formats_and_sizes() {
    let mut converter = Converter::new();
    let mut picture = I420::new(Size::new(2, 2));
    for (width, height) in [(64, 48), (32, 16), (128, 96), (63, 47)] {
        let size = Size::new(width, height);
        let jpeg = jpeg(size, Subsamp::Sub2x1, 9);
        let expected = convert(&frame(PixelFormat::Mjpeg, size, &jpeg)).unwrap();
        converter
            .convert(&frame(PixelFormat::Mjpeg, size, &jpeg), &mut picture)
            .unwrap();
        assert_eq!(picture, expected);
        let sevens = vec![77; size.pixels()];
        let grey = frame(PixelFormat::Grey, size, &sevens);
        converter.convert(&grey, &mut picture).unwrap();
        assert_eq!(picture.size(), size.even());
        assert!(picture.y.iter().all(|&y| y == 77));
    }
}

#[test]
fn what_is_turned_is_converted_first_and_a_bad_frame_spoils_nothing() {
    let quarter = Orientation::new(Rotation::Quarter, Flip::None);
    let mut converter = Converter::turning(quarter);
    let mut picture = I420::new(Size::new(2, 2));
    // Bright on the left, and so at the top once it is turned clockwise.
    let data = [235, 128, 16, 128].repeat(4);
    let good = frame(PixelFormat::Yuyv, Size::new(2, 4), &data);
    let short = frame(PixelFormat::Yuyv, Size::new(2, 4), &data[..8]);
    for _ in 0..2 {
        converter.convert(&good, &mut picture).unwrap();
        assert_eq!(picture.size(), Size::new(4, 2));
        assert_eq!(picture.y, [235, 235, 235, 235, 16, 16, 16, 16]);
        assert!(converter.convert(&short, &mut picture).is_err());
    }
}

#[test]
fn a_truncated_jpeg_is_a_bad_frame() {
    let size = Size::new(160, 120);
    let whole = jpeg(size, Subsamp::Sub2x1, 0);
    for keep in [0, 1, 2, 100, whole.len() / 2, whole.len() - 20] {
        let cut = frame(PixelFormat::Mjpeg, size, &whole[..keep]);
        assert!(
            matches!(convert(&cut), Err(ConvertError::Jpeg(_))),
            "{keep} bytes"
        );
    }
}

#[test]
fn what_webcams_do_to_a_good_jpeg_is_forgiven() {
    let size = Size::new(64, 48);
    let good = jpeg(size, Subsamp::Sub2x1, 3);
    let expected = convert(&frame(PixelFormat::Mjpeg, size, &good)).unwrap();
    // Padding behind the image, as in a buffer that is longer than the frame.
    let mut padded = good.clone();
    padded.resize(good.len() + 5000, 0);
    // Stray bytes before the end-of-image marker, which libjpeg warns of.
    let mut stray = good[..good.len() - 2].to_vec();
    stray.extend([0x12, 0x34, 0xff, 0xd9]);
    // No Huffman tables: Motion JPEG implies the standard ones.
    let mut bare = good.clone();
    while let Some(at) = bare.windows(2).position(|marker| marker == [0xff, 0xc4]) {
        let len = usize::from(u16::from_be_bytes([bare[at + 2], bare[at + 3]]));
        bare.drain(at..at + 2 + len);
    }
    assert!(bare.len() < good.len());
    for data in [padded, stray, bare] {
        assert_eq!(
            convert(&frame(PixelFormat::Mjpeg, size, &data)).as_ref(),
            Ok(&expected)
        );
    }
}

#[test]
fn a_frame_without_pixels_is_an_error() {
    for size in [Size::new(0, 0), Size::new(1, 480), Size::new(640, 1)] {
        for format in PixelFormat::ALL {
            let empty = frame(format, size, &[0; 4096]);
            assert_eq!(convert(&empty), Err(ConvertError::Empty(size)));
        }
    }
}

#[test]
fn grey_and_colour_jpegs_keep_black_and_white() {
    let size = Size::new(32, 32);
    for (level, luma) in [(0, 16), (255, 235)] {
        for subsamp in [Subsamp::Gray, Subsamp::Sub2x2, Subsamp::Sub2x1] {
            let image = Image {
                pixels: &vec![level; size.pixels() * 3][..],
                width: 32,
                pitch: 96,
                height: 32,
                format: turbojpeg::PixelFormat::RGB,
            };
            let data = turbojpeg::compress(image, 95, subsamp).unwrap().to_vec();
            let picture = convert(&frame(PixelFormat::Mjpeg, size, &data)).unwrap();
            assert!(picture.y.iter().all(|&y| y == luma), "{subsamp:?} {level}");
            assert!(picture.u.iter().chain(&picture.v).all(|&c| c == NEUTRAL));
        }
    }
}
