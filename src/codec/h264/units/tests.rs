//! Tests on small streams of x264, 320x180, of two groups of three pictures each unless said otherwise.

use super::*;
use crate::media::Size;
use proptest::collection::vec;
use proptest::prelude::*;

const MAIN: &[u8] = include_bytes!("../fixtures/main.h264");
/// Four slices a picture.
const HIGH: &[u8] = include_bytes!("../fixtures/high.h264");
const B_FRAMES: &[u8] = include_bytes!("../fixtures/main_b.h264");
const INTERLACED: &[u8] = include_bytes!("../fixtures/interlaced.h264");
const HIGH_422: &[u8] = include_bytes!("../fixtures/high422.h264");

fn cut(units: &mut Units, buffer: &[u8]) -> Result<Vec<Unit>, Unusable> {
    let mut taken = Vec::new();
    units.cut(Instant::now(), buffer, |unit| taken.push(unit))?;
    Ok(taken)
}

fn annex_b<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let with_start = |unit: &'a [u8]| [&[0], &nal::START_CODE[..], unit].concat();
    units.into_iter().flat_map(with_start).collect()
}

/// The stream in one buffer a picture; what goes before the first picture is in its buffer.
fn buffers(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut units = Units::default();
    let taken = cut(&mut units, stream).unwrap();
    taken.iter().map(|unit| unit.data.to_vec()).collect()
}

fn kinds(data: &[u8]) -> Vec<u8> {
    nal::units(data).map(nal::kind).collect()
}

fn keyframes(units: &[Unit]) -> Vec<bool> {
    units.iter().map(|unit| unit.keyframe).collect()
}

#[test]
fn a_buffer_of_many_pictures_is_cut_and_nothing_is_changed() {
    for (stream, profile, slices) in [(MAIN, "4d400d", 1), (HIGH, "64000d", 4)] {
        let units = cut(&mut Units::default(), stream).unwrap();
        let pattern = [true, false, false, true, false, false];
        assert_eq!(keyframes(&units), pattern);
        for unit in &units {
            let head: &[u8] = if unit.keyframe { &[7, 8] } else { &[] };
            let slice = if unit.keyframe { nal::IDR } else { nal::SLICE };
            assert_eq!(kinds(&unit.data), [head, &vec![slice; slices]].concat());
            assert_eq!(unit.sequence.size, Size::new(320, 180));
            assert_eq!(unit.sequence.profile.to_string(), profile);
        }
        let joined: Vec<u8> = units.iter().flat_map(|unit| unit.data.to_vec()).collect();
        assert!(nal::units(&joined).eq(nal::units(stream)));
    }
}

#[test]
fn a_picture_is_handed_on_with_its_buffer_and_waits_for_no_other() {
    let mut units = Units::default();
    for (n, buffer) in buffers(MAIN).iter().enumerate() {
        assert_eq!(cut(&mut units, buffer).unwrap().len(), 1, "{n}");
    }
    assert_eq!(units.take_left_out(), 0);
}

#[test]
fn parameter_sets_that_come_once_are_repeated_before_every_keyframe() {
    let is_set = |unit: &&[u8]| matches!(nal::kind(unit), nal::SPS | nal::PPS);
    let sets = annex_b(nal::units(MAIN).take(2));
    assert_eq!(kinds(&sets), [nal::SPS, nal::PPS]);
    let mut units = Units::default();
    assert!(cut(&mut units, &sets).unwrap().is_empty());
    let delimiter: &[u8] = &[nal::AUD, 0xf0];
    let pictures: Vec<_> = nal::units(MAIN).filter(|unit| !is_set(unit)).collect();
    for (n, picture) in pictures.into_iter().enumerate() {
        let unit = &cut(&mut units, &annex_b([delimiter, picture])).unwrap()[0];
        let expected: &[u8] = if n % 3 == 0 { &[7, 8, 5] } else { &[1] };
        assert_eq!(kinds(&unit.data), expected);
    }
}

#[test]
fn who_comes_in_the_middle_begins_at_the_next_keyframe() {
    let mut units = Units::default();
    let taken: Vec<_> = buffers(MAIN)[1..]
        .iter()
        .flat_map(|buffer| cut(&mut units, buffer).unwrap())
        .collect();
    assert_eq!(keyframes(&taken), [true, false, false]);
    assert_eq!(units.take_left_out(), 2);
}

#[test]
fn after_a_loss_nothing_is_handed_on_that_refers_to_it() {
    // A whole picture that is gone, one whose first slice is, and a buffer that the driver marked.
    let lose: [fn(&mut Vec<Vec<u8>>); 2] = [
        |buffers| {
            buffers.remove(1);
        },
        |buffers| buffers[1] = annex_b(nal::units(&buffers[1].clone()).skip(1)),
    ];
    for (n, lose) in lose.into_iter().enumerate() {
        let mut buffers = buffers(HIGH);
        lose(&mut buffers);
        let mut units = Units::default();
        let each = |buffer: &Vec<u8>| cut(&mut units, buffer).unwrap();
        let taken: Vec<_> = buffers.iter().flat_map(each).collect();
        assert_eq!(keyframes(&taken), [true, true, false, false], "{n}");
        assert_eq!(units.take_left_out(), 1 + n as u64);
    }
    let mut units = Units::default();
    let buffers = buffers(MAIN);
    assert_eq!(cut(&mut units, &buffers[0]).unwrap().len(), 1);
    units.lost();
    assert!(cut(&mut units, &buffers[1]).unwrap().is_empty());
    assert_eq!(cut(&mut units, &buffers[3]).unwrap().len(), 1);
}

/// When a stream is given up, in milliseconds, that has a keyframe each `gap` of them, and a loss before each but one of `well`.
fn given_up(gap: u32, well: u32) -> Option<u32> {
    let buffers = buffers(MAIN);
    let start = Instant::now();
    let mut units = Units::default();
    (0..60_000).step_by(gap as usize).find(|&ms| {
        let now = start + Duration::from_millis(ms.into());
        let keyframe = units.cut(now, &buffers[0], drop);
        if !(ms / gap).is_multiple_of(well) {
            // The second picture is missing.
            units.cut(now, &buffers[2], drop).unwrap();
        }
        keyframe == Err(Unusable::Damaged)
    })
}

#[test]
fn a_stream_that_is_damaged_again_and_again_is_given_up_and_a_loss_now_and_then_is_not() {
    let always = u32::MAX;
    // The first keyframe is well, and so is the one after the first group.
    assert_eq!(given_up(4000, always), Some(8000 + 4 * 4000));
    for well in [1, 2] {
        assert_eq!(given_up(4000, well), None);
    }
}

#[test]
fn keyframes_that_are_asked_for_after_each_loss_do_not_have_it_given_up_sooner() {
    let always = u32::MAX;
    assert_eq!(given_up(500, always), Some(1000 + 4 * 3000));
    assert_eq!(given_up(500, 10), None);
}

#[test]
fn what_webrtc_cannot_carry_is_refused_by_name() {
    let refusal = |stream| cut(&mut Units::default(), stream).unwrap_err();
    assert_eq!(refusal(B_FRAMES), Unusable::Reordered);
    assert_eq!(refusal(INTERLACED), Unusable::Interlaced);
    let high_422 = "7a000d".parse().unwrap();
    assert_eq!(refusal(HIGH_422), Unusable::Profile(high_422));
    let broken = annex_b([&[0x67, 77, 0x40][..]]);
    assert!(matches!(refusal(&broken), Unusable::Malformed(_)));
}

#[test]
fn b_slices_are_refused_even_where_nothing_announces_them() {
    let mut units = Units::default();
    cut(&mut units, MAIN).unwrap();
    let is_slice = |unit: &&[u8]| nal::kind(unit) == nal::SLICE;
    let slices: Vec<_> = nal::units(B_FRAMES).filter(is_slice).collect();
    assert_eq!(
        cut(&mut units, &annex_b(slices)).unwrap_err(),
        Unusable::Reordered
    );
}

#[test]
fn baseline_that_uses_nothing_special_is_constrained_baseline() {
    // 66 with no constraint flag, as many cameras have it; OpenH264's set but for that.
    let sps: &[u8] = &[
        0x67, 66, 0, 31, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0x90, 0x0f, 0x08, 0x84, 0x6a,
    ];
    let pps: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
    let idr: &[u8] = &[0x65, 0x88, 0x84, 0x05];
    let units = cut(&mut Units::default(), &annex_b([sps, pps, idr])).unwrap();
    assert_eq!(units[0].sequence.profile.to_string(), "42401f");
    assert!(units[0].sequence.profile.is_constrained_baseline());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_break_it(
        units in vec((prop_oneof![Just(1u8), Just(5), Just(6), Just(7), Just(8), any::<u8>()], vec(any::<u8>(), 0..60)), 0..8),
    ) {
        let units: Vec<_> = units.into_iter().map(|(kind, body)| [&[kind], &body[..]].concat()).collect();
        let _ = cut(&mut Units::default(), &annex_b(units.iter().map(|unit| &unit[..])));
    }

    #[test]
    fn no_damage_breaks_it(
        high: bool,
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        at_heads: bool,
    ) {
        let mut stream = if high { HIGH } else { MAIN }.to_vec();
        for (at, byte) in damage {
            // The parameter sets are in the first bytes.
            let at = at.index(if at_heads { 60 } else { stream.len() });
            stream[at] = byte;
        }
        let mut units = Units::default();
        let Ok(taken) = cut(&mut units, &stream) else {
            return Ok(());
        };
        for unit in taken {
            let kinds = kinds(&unit.data);
            prop_assert!(unit.data.len() < stream.len() + 2048);
            // Damage may make a parameter set of anything, before any picture.
            prop_assert!(!unit.keyframe || kinds[0] == nal::SPS);
        }
    }
}
