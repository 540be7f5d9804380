//! The pattern as a source: pacing, reuse of frames, what a reader finds in them.

use super::*;
use crate::codec::convert::Converter;
use crate::codec::encode::{Encoder, Settings};
use crate::media::I420;
use openh264::formats::YUVSource;
use proptest::prelude::*;

fn source(size: Size, rate: FrameRate) -> PatternSource {
    let request = Request {
        size,
        rate,
        format: None,
    };
    PatternSource::new(
        &Pattern::new("test", TestPicture::Bars, request),
        Instant::now(),
    )
}

fn picture(frame: &RawFrame<'_>) -> I420 {
    let mut picture = I420::new(frame.size);
    Converter::new().convert(frame, &mut picture).unwrap();
    picture
}

#[test]
fn frames_come_when_they_are_due_and_count_up() {
    let mut source = source(Size::new(320, 180), FrameRate::whole(100));
    let start = source.schedule.start;
    let mut left_out = 0;
    for expected in 0.. {
        let frame = source.next_frame().unwrap().unwrap();
        assert!(frame.captured_at <= Instant::now());
        let counter = read_counter(&picture(&frame)).unwrap();
        left_out += frame.lost;
        assert_eq!(counter, expected + left_out);
        assert_eq!(
            frame.captured_at - start,
            Duration::from_millis(10) * counter
        );
        if counter >= 20 {
            break;
        }
    }
}

#[test]
fn odd_and_empty_sizes_are_granted_as_even_ones() {
    for (asked, granted) in [((321, 181), (320, 180)), ((0, 0), (2, 2))] {
        let mut source = source(Size::new(asked.0, asked.1), FrameRate::whole(1000));
        let size = Size::new(granted.0, granted.1);
        assert_eq!(source.granted().size, size);
        assert_eq!(
            source.next_frame().unwrap().unwrap().data.len(),
            size.pixels() * 3 / 2
        );
    }
}

#[test]
fn a_late_reader_gets_the_latest_frame_and_no_burst() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut schedule = Schedule::new(FrameRate::whole(100), start);
    assert_eq!(schedule.advance(at(0)), (0, at(0)));
    // In time for frame 1, a little late for 2, far too late for 3 to 7.
    assert_eq!(schedule.advance(at(4)), (1, at(10)));
    assert_eq!(schedule.advance(at(25)), (2, at(20)));
    assert_eq!(schedule.advance(at(89)), (8, at(80)));
    assert_eq!(schedule.advance(at(89)), (9, at(90)));
}

#[test]
fn noise_takes_the_bitrate_that_is_set_and_its_counter_stays_readable() {
    for (width, height, bitrate) in [
        (1280, 720, 2_500_000),
        (640, 360, 2_000_000),
        (320, 180, 150_000),
    ] {
        let (size, rate) = (Size::new(width, height), FrameRate::whole(30));
        let settings = Settings {
            size,
            rate,
            bitrate,
        };
        let mut encoder = Encoder::new(settings).unwrap();
        let mut decoder = openh264::decoder::Decoder::new().unwrap();
        let scene = Scene::new(size, TestPicture::Noise);
        let start = Instant::now();
        let (seconds, mut bytes) = (4, 0);
        let mut drawn = scene.background("test");
        for n in 0..30 * seconds {
            let elapsed = rate.interval() * n;
            scene.draw(&mut drawn, n, elapsed, elapsed);
            let frame = RawFrame {
                data: &drawn,
                format: PixelFormat::I420,
                size,
                stride: 0,
                captured_at: start + elapsed,
                lost: 0,
                is_late: false,
                full_range: false,
            };
            let unit = encoder
                .encode(&picture(&frame), frame.captured_at, n % 60 == 0)
                .unwrap()
                .unwrap();
            bytes += unit.data.len();
            let decoded = decoder.decode(&unit.data).unwrap().unwrap();
            let mut seen = I420::new(size);
            let stride = decoded.strides().0;
            for (to, from) in seen
                .y
                .chunks_mut(width as usize)
                .zip(decoded.y().chunks(stride))
            {
                to.copy_from_slice(&from[..width as usize]);
            }
            assert_eq!(read_counter(&seen), Some(n));
        }
        let taken = bytes as f64 * 8.0 / f64::from(seconds) / f64::from(bitrate);
        assert!(
            (0.8..1.2).contains(&taken),
            "{taken} of {bitrate} at {size}"
        );
    }
}

proptest! {
    #[test]
    fn the_schedule_never_drifts(numerator in 1_u32..120_000, denominator in 1_u32..1002, index in 0_u64..10_000_000) {
        let rate = FrameRate { numerator, denominator };
        let mut schedule = Schedule::new(rate, Instant::now());
        schedule.next = index;
        let (number, due) = schedule.advance(schedule.start);
        prop_assert_eq!(number, index);
        let exact = index as f64 / rate.as_f64();
        prop_assert!(((due - schedule.start).as_secs_f64() - exact).abs() <= 1e-9 + exact * 1e-12);
        // At the very instant when it is due, the next frame is neither early nor late.
        let mut other = Schedule::new(rate, schedule.start);
        other.next = index;
        prop_assert_eq!(other.advance(due).0, index);
    }
}
