//! What a picture costs before it is sent: conversion from what cameras deliver, and encoding at a camera's bitrate.
//!
//! Conversion is at 1280x720 and 1920x1080, beside a plain copy of the same bytes, and for JPEG beside its decoder alone. Encoding is at
//! 1280x720. `cargo bench --bench pictures`. A filter as the last argument takes some of them: `-- encode`.

use criterion::{BatchSize, Bencher, Criterion, criterion_group, criterion_main};
use fanlight::capture::pattern::Pattern;
use fanlight::capture::{Opener, Request};
use fanlight::codec::convert::Converter;
use fanlight::codec::encode::{Encoder, Settings};
use fanlight::codec::health::Look;
use fanlight::media::{
    Flip, FrameRate, I420, Orientation, PixelFormat, RawFrame, Rotation, Size, TestPicture,
};
use std::hint::black_box;
use std::time::Instant;
use turbojpeg::{Compressor, Decompressor, Subsamp, YuvImage};

const SIZE: Size = Size::new(1280, 720);
const RATE: FrameRate = FrameRate::whole(30);
/// The noise is drawn when it is due, at most 120 times a second.
const DRAWN: FrameRate = FrameRate::whole(120);
/// Two seconds, which one keyframe begins.
const PICTURES: usize = 60;

/// What a source lent, kept.
struct Frame {
    data: Vec<u8>,
    format: PixelFormat,
    size: Size,
}

impl Frame {
    fn lend(&self) -> RawFrame<'_> {
        RawFrame {
            data: &self.data,
            format: self.format,
            size: self.size,
            stride: 0,
            captured_at: Instant::now(),
            lost: 0,
            is_late: false,
            full_range: self.format.is_full_range(),
        }
    }
}

/// Frames of the noise, which takes all the bitrate there is.
fn frames(size: Size, count: usize) -> Vec<Frame> {
    let request = Request {
        size,
        rate: DRAWN,
        format: None,
    };
    let mut source = Pattern::new("bench", TestPicture::Noise, request)
        .open()
        .expect("it always opens");
    (0..count)
        .map(|_| {
            let frame = source.next_frame().expect("it never ends");
            let frame = frame.expect("it always has one");
            Frame {
                data: frame.data.to_vec(),
                format: frame.format,
                size,
            }
        })
        .collect()
}

/// The same content in another layout.
fn in_format(frame: &Frame, format: PixelFormat) -> Frame {
    let size = frame.size;
    let pixels = size.pixels();
    let (luma, chroma) = frame.data.split_at(pixels);
    let pairs = |first: usize, second: usize| {
        let (first, second) = (&chroma[first..], &chroma[second..]);
        let pairs = first.iter().zip(second).take(pixels / 4);
        let pairs = pairs.flat_map(|(first, second)| [*first, *second]);
        luma.iter().copied().chain(pairs).collect()
    };
    let data = match format {
        PixelFormat::I420 => frame.data.to_vec(),
        PixelFormat::Yv12 => {
            let (u, v) = chroma.split_at(pixels / 4);
            [luma, v, u].concat()
        }
        PixelFormat::Grey => luma.to_vec(),
        PixelFormat::Y10 => luma
            .iter()
            .flat_map(|y| (u16::from(*y) << 2).to_le_bytes())
            .collect(),
        PixelFormat::Y16 => luma.iter().flat_map(|y| [0, *y]).collect(),
        PixelFormat::Y10p => {
            let groups = luma.as_chunks::<4>().0.iter();
            groups
                .flat_map(|[a, b, c, d]| [*a, *b, *c, *d, 0])
                .collect()
        }
        PixelFormat::Nv12 => pairs(0, pixels / 4),
        PixelFormat::Nv21 => pairs(pixels / 4, 0),
        PixelFormat::Yuyv | PixelFormat::Yvyu => luma.iter().flat_map(|y| [*y, 128]).collect(),
        PixelFormat::Uyvy | PixelFormat::Vyuy => luma.iter().flat_map(|y| [128, *y]).collect(),
        PixelFormat::Rgb3 | PixelFormat::Bgr3 => {
            luma.iter().flat_map(|y| [*y, 255 - *y, 128]).collect()
        }
        PixelFormat::Mjpeg => {
            let mut compressor = Compressor::new().expect("it needs memory only");
            compressor.set_quality(80).expect("it is in range");
            let image = YuvImage {
                pixels: &frame.data[..],
                width: size.width as usize,
                align: 1,
                height: size.height as usize,
                subsamp: Subsamp::Sub2x2,
            };
            compressor
                .compress_yuv_to_vec(image)
                .expect("it has these planes")
        }
        PixelFormat::H264 => unreachable!("it is passed through"),
    };
    Frame { data, format, size }
}

fn convert(c: &mut Criterion) {
    for size in [SIZE, Size::new(1920, 1080)] {
        let frame = &frames(size, 1)[0];
        let mut group = c.benchmark_group(format!("convert {size}"));
        let converted = |format: &PixelFormat| *format != PixelFormat::H264;
        for format in PixelFormat::ALL.into_iter().filter(converted) {
            let frame = in_format(frame, format);
            let mut picture = I420::new(size);
            let mut converter = Converter::new();
            group.bench_function(format.name(), |b| {
                b.iter(|| {
                    converter
                        .convert(black_box(&frame.lend()), &mut picture)
                        .expect("it is whole")
                });
            });
            if format == PixelFormat::Mjpeg {
                group.bench_function("mjpeg, decoding alone", |b| decode(b, &frame));
            } else {
                let mut copy = vec![0; frame.data.len()];
                group.bench_function(format!("{format}, copying alone"), |b| {
                    b.iter(|| black_box(&mut copy).copy_from_slice(black_box(&frame.data)));
                });
            }
        }
    }
}

/// What the library takes to decode a JPEG to its planes.
fn decode(b: &mut Bencher<'_>, frame: &Frame) {
    let mut decompressor = Decompressor::new().expect("it needs memory only");
    let (width, height) = (frame.size.width as usize, frame.size.height as usize);
    let mut pixels = vec![0; frame.size.pixels() * 3 / 2];
    b.iter(|| {
        let image = YuvImage {
            pixels: black_box(&mut pixels[..]),
            width,
            align: 1,
            height,
            subsamp: Subsamp::Sub2x2,
        };
        decompressor
            .decompress_to_yuv(black_box(&frame.data), image)
            .expect("it is whole");
    });
}

/// Beside the plain copy of the same bytes, which is what `none` comes to.
fn turn(c: &mut Criterion) {
    let frame = in_format(&frames(SIZE, 1)[0], PixelFormat::I420);
    let mut group = c.benchmark_group("turn");
    for (name, rotation, flip) in [
        ("none", Rotation::None, Flip::None),
        ("flip", Rotation::None, Flip::Horizontal),
        ("90", Rotation::Quarter, Flip::None),
        ("180", Rotation::Half, Flip::None),
    ] {
        let mut picture = I420::new(SIZE);
        let mut converter = Converter::turning(Orientation::new(rotation, flip));
        group.bench_function(name, |b| {
            b.iter(|| {
                converter
                    .convert(black_box(&frame.lend()), &mut picture)
                    .expect("it is whole")
            });
        });
    }
}

/// A look of the checks, which is taken each 0.73 s.
fn check(c: &mut Criterion) {
    let mut picture = I420::new(SIZE);
    let frame = in_format(&frames(SIZE, 1)[0], PixelFormat::I420);
    let converted = Converter::new().convert(&frame.lend(), &mut picture);
    converted.expect("it is whole");
    c.bench_function("check", |b| b.iter(|| Look::at(black_box(&picture))));
}

fn encode(c: &mut Criterion) {
    let mut converter = Converter::new();
    let pictures: Vec<_> = frames(SIZE, PICTURES)
        .iter()
        .map(|frame| {
            let mut picture = I420::new(SIZE);
            converter
                .convert(&frame.lend(), &mut picture)
                .expect("it is whole");
            picture
        })
        .collect();
    let settings = Settings {
        size: SIZE,
        rate: RATE,
        bitrate: 2_500_000,
    };
    let start = Instant::now();
    let mut group = c.benchmark_group("encode");
    group.sample_size(10);
    group.bench_function("60 pictures at 2.5 Mbit/s", |b| {
        b.iter_batched_ref(
            || Encoder::new(settings).expect("these settings are fine"),
            |encoder| {
                for (n, picture) in (0..).zip(&pictures) {
                    let at = start + RATE.interval() * n;
                    black_box(encoder.encode(picture, at, false).expect("it encodes"));
                }
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, convert, turn, check, encode);
criterion_main!(benches);
