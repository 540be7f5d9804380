//! Images as cameras make them, and what can become of them on the way. The files in `fixtures/` are 320x240 unless they say
//! otherwise.

use super::markers::Markers;
use super::*;
use proptest::prelude::*;
use std::ops::Range;
use turbojpeg::Compressor;

const SIZE: Size = Size::new(320, 240);

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name, ".jpg")).as_slice()
    };
}

/// Whole, and without anything odd.
const PLAIN: &[u8] = fixture!("base422");

/// With restart markers, and stray bytes in front of the first of them.
const RESTARTS: &[u8] = fixture!("rst-extraneous");

fn decode(data: &[u8]) -> Result<(Size, I420), ConvertError> {
    let mut picture = I420::new(SIZE);
    let size = Decoder::new()?.decode(data, SIZE, &mut picture)?;
    Ok((size, picture))
}

/// The data of the image's scan.
fn scan(image: &[u8]) -> Range<usize> {
    Markers::read(image).unwrap().scan.data
}

fn without(image: &[u8], part: Range<usize>) -> Vec<u8> {
    [&image[..part.start], &image[part.end..]].concat()
}

fn with(image: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&image[..at], bytes, &image[at..]].concat()
}

fn filled(image: &[u8], part: Range<usize>, byte: u8) -> Vec<u8> {
    let mut image = image.to_vec();
    image[part].fill(byte);
    image
}

/// The data between restart markers, from the one before on to the one behind.
fn intervals(image: &[u8]) -> Vec<Range<usize>> {
    let data = scan(image);
    let is_restart = |at: &usize| image[*at] == 0xff && (0xd0..=0xd7).contains(&image[at + 1]);
    let restarts: Vec<_> = data.clone().filter(is_restart).collect();
    let starts = [data.start]
        .into_iter()
        .chain(restarts.iter().map(|at| at + 2));
    let ends = restarts.iter().copied().chain([data.end]);
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

#[test]
fn whole_images_pass_whatever_is_odd_about_them() {
    let (_, plain) = decode(PLAIN).unwrap();
    for (name, image, is_plain) in [
        ("without an end", fixture!("no-eoi"), true),
        ("without end and tables", fixture!("no-eoi-no-dht"), true),
        ("padded with zeros", fixture!("no-eoi-zero-padded"), true),
        ("JFIF 2", fixture!("jfif-version-2"), true),
        ("zeros in front", fixture!("leading-zeros"), true),
        ("stray bytes", RESTARTS, true),
        ("4:1:1", fixture!("411"), false),
    ] {
        let (size, picture) = decode(image).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(size, SIZE, "{name}");
        assert!(!is_plain || picture == plain, "{name}");
    }
}

#[test]
fn halves_and_holes_never_pass_whatever_came_first() {
    for (name, image) in [
        ("half", fixture!("rst-extraneous_truncated-half")),
        ("hole", fixture!("rst-extraneous_hole")),
        ("no restart markers", fixture!("dri-but-no-rst")),
    ] {
        assert!(decode(image).is_err(), "{name}");
    }
}

#[test]
fn an_image_that_is_cut_off_anywhere_never_passes() {
    for image in [PLAIN, RESTARTS] {
        let data = scan(image);
        let near_the_end = data.end - 40..data.end - 2;
        for end in (2..data.end).step_by(67).chain(near_the_end) {
            let cut = &image[..end];
            assert!(decode(cut).is_err(), "{end}");
            assert!(
                decode(&[cut, &[0xff, 0xd9]].concat()).is_err(),
                "{end}, ended"
            );
            // As in a buffer of fixed length, with an end marker or without one. A few zeros may stand for the last block.
            if end < data.end - 12 {
                let padded = [cut, &[0; 20_000]].concat();
                assert!(decode(&padded).is_err(), "{end}, padded");
                let ended = [&padded[..], &[0xff, 0xd9]].concat();
                assert!(decode(&ended).is_err(), "{end}, padded and ended");
            }
        }
    }
}

#[test]
fn an_image_with_a_hole_anywhere_never_passes() {
    for image in [PLAIN, RESTARTS] {
        let data = scan(image);
        for start in (data.start..data.end - 512).step_by(131) {
            let hole = start..start + 512;
            assert!(decode(&without(image, hole.clone())).is_err(), "{start}");
            assert!(
                decode(&filled(image, hole.clone(), 0)).is_err(),
                "{start}, zeros"
            );
            assert!(decode(&filled(image, hole, 0xff)).is_err(), "{start}, ones");
        }
    }
}

#[test]
fn damage_behind_a_harmless_flaw_is_seen() {
    let first = intervals(RESTARTS)[0].clone();
    let stray = with(RESTARTS, first.end, &[0x12, 0x34]);
    assert!(decode(&stray).is_ok());
    for interval in &intervals(&stray)[1..] {
        let half = interval.start + interval.len() / 2..interval.end;
        let cut = without(&stray, half);
        let error = decode(&cut).unwrap_err().to_string();
        assert!(
            error.contains("missing") || error.contains("damaged"),
            "{interval:?}: {error}"
        );
    }
}

#[test]
fn a_few_stray_bytes_are_harmless_and_many_are_damage() {
    for image in [PLAIN, RESTARTS] {
        for interval in intervals(image) {
            let few = with(image, interval.end, &[0x55; 20]);
            assert!(decode(&few).is_ok(), "{interval:?}");
            let zeros = with(image, interval.end, &[0; 50]);
            assert!(decode(&zeros).is_ok(), "{interval:?}");
            let noise: Vec<u8> = (0..400_u32).map(|at| (at * 31 % 255) as u8).collect();
            assert!(
                decode(&with(image, interval.end, &noise)).is_err(),
                "{interval:?}"
            );
        }
    }
}

#[test]
fn the_parameters_of_a_progressive_scan_mean_nothing_in_a_sequential_one() {
    let mut image = PLAIN.to_vec();
    let start = scan(PLAIN).start;
    image[start - 3..start].fill(0);
    assert_eq!(decode(&image), decode(PLAIN));
    assert!(decode(&image[..image.len() / 2]).is_err());
}

#[test]
fn a_picture_that_is_padded_by_less_than_a_block_is_cropped_and_any_other_has_its_own_size() {
    for (actual, shown) in [
        ((320, 240), (320, 240)),
        ((320, 248), (320, 240)),
        ((328, 240), (320, 240)),
        ((335, 255), (320, 240)),
        ((336, 240), (336, 240)),
        ((320, 256), (320, 256)),
        ((320, 232), (320, 232)),
        ((640, 480), (640, 480)),
        ((328, 232), (328, 232)),
    ] {
        let (width, height) = actual;
        let pixels = vec![90; 3 * width * height];
        let image = Image {
            pixels: &pixels[..],
            width,
            pitch: 3 * width,
            height,
            format: PixelFormat::RGB,
        };
        let jpeg = turbojpeg::compress(image, 90, Subsamp::Sub2x1).unwrap();
        let (size, picture) = decode(&jpeg).unwrap();
        assert_eq!(size, Size::new(shown.0, shown.1), "{actual:?}");
        assert_eq!(picture.size(), size.even());
    }
    let (size, picture) = decode(fixture!("height-248_in_320x240")).unwrap();
    assert_eq!((size, picture.size()), (SIZE, SIZE));
}

/// A picture of one colour, 64x32, in 4:1:0: four luma samples across and two down for one of chroma, by the default tables.
fn four_one_zero([y, u, v]: [i32; 3]) -> Vec<u8> {
    let mut image = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    image.extend([8; 64]);
    let components = [1, 0x42, 0, 2, 0x11, 0, 3, 0x11, 0];
    image.extend([0xff, 0xc0, 0, 17, 8, 0, 32, 0, 64, 3]);
    image.extend(components);
    image.extend([0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
    // Lengths and codes of the sizes of differences 0 and 7, and of the end of a block.
    let (luma, chroma) = (
        [(2, 0b00), (5, 0b1_1110), (4, 0b1010)],
        [(2, 0b00), (7, 0b111_1110), (2, 0b00)],
    );
    let mut bits = String::new();
    let mut block = |[none, seven, end]: [(usize, u32); 3], difference: i32| {
        let mut push = |(length, code): (usize, u32)| bits += &format!("{code:0length$b}");
        if difference == 0 {
            push(none);
        } else {
            // Of seven bits: 64 to 127, or their negatives.
            assert!((64..128).contains(&difference.abs()));
            push(seven);
            let value = if difference < 0 {
                difference + 127
            } else {
                difference
            };
            push((7, value as u32));
        }
        push(end);
    };
    for unit in 0..4 {
        let first = |value| if unit == 0 { value } else { 0 };
        for number in 0..8 {
            block(luma, if number == 0 { first(y) } else { 0 });
        }
        block(chroma, first(u));
        block(chroma, first(v));
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    for byte in bits.as_bytes().chunks(8) {
        let byte = u8::from_str_radix(str::from_utf8(byte).unwrap(), 2).unwrap();
        image.push(byte);
        if byte == 0xff {
            image.push(0);
        }
    }
    image.extend([0xff, 0xd9]);
    image
}

#[test]
fn a_subsampling_without_a_name_is_decoded_too() {
    // A difference of 64, at a step of 8, is that many levels.
    let image = four_one_zero([0, -64, 64]);
    let (size, picture) = decode(&image).unwrap();
    assert_eq!(size, Size::new(64, 32));
    let expected =
        |sample: i32, scale: f64, offset: f64| offset + scale * f64::from(sample) / 255.0;
    let near = |plane: &[u8], expected: f64| {
        let far = plane
            .iter()
            .find(|&&sample| (f64::from(sample) - expected).abs() > 3.0);
        assert_eq!(far, None, "{expected}");
    };
    near(&picture.y, expected(128, 219.0, 16.0));
    near(&picture.u, 128.0 - 64.0 * 224.0 / 255.0);
    near(&picture.v, 128.0 + 64.0 * 224.0 / 255.0);
    assert!(decode(&image[..image.len() - 12]).is_err());
}

#[test]
fn a_header_can_not_make_the_decoder_allocate_more_than_the_data_is_worth() {
    let mut image = PLAIN.to_vec();
    let frame = image
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .unwrap();
    image[frame + 5..frame + 9].fill(0xff);
    let mut decoder = Decoder::new().unwrap();
    assert!(decoder.decode(&image, SIZE, &mut I420::new(SIZE)).is_err());
    assert_eq!(decoder.planes.capacity(), 0);
}

#[test]
fn tables_that_a_picture_was_given_are_understood() {
    let size = Size::new(320, 240);
    // Black below: there the codes are the shortest, all zeros perhaps.
    let pixels: Vec<u8> = (0..3 * size.pixels())
        .map(|at| {
            if at < size.pixels() {
                (at * 31 % 253) as u8
            } else {
                0
            }
        })
        .collect();
    let mut compressor = Compressor::new().unwrap();
    compressor.set_optimize(true).unwrap();
    compressor.set_subsamp(Subsamp::Sub2x2).unwrap();
    let image = Image {
        pixels: &pixels[..],
        width: 320,
        pitch: 960,
        height: 240,
        format: PixelFormat::RGB,
    };
    let jpeg = compressor.compress_to_vec(image).unwrap();
    let whole = decode(&jpeg).unwrap();
    let end = jpeg.len() - 2;
    assert_eq!(
        decode(&with(&jpeg, end, &[0x12, 0x34])).as_ref(),
        Ok(&whole)
    );
}

proptest! {
    #[test]
    fn whatever_becomes_of_an_image_the_judge_neither_panics_nor_runs_away(
        changes in proptest::collection::vec((0.0..1.0, any::<u8>()), 0..30),
        keep in 0.0..1.0,
        has_restarts: bool,
    ) {
        let mut image = if has_restarts { RESTARTS } else { PLAIN }.to_vec();
        let len = image.len() as f64;
        for (place, value) in changes {
            image[(len * place) as usize] = value;
        }
        image.truncate((len * keep * 2.0) as usize);
        if let Ok(markers) = Markers::read(&image) {
            let _ = huffman::check(&image, &markers);
        }
        let _ = decode(&image);
    }
}
