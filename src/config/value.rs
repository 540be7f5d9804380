//! Single values of the configuration: from what TOML holds to what the daemon uses, or a sentence that says what is wrong.

use super::{Backend, Device, Encode, PlayoutDelay};
use crate::base::redact::without_password;
use crate::media::{Flip, FrameRate, PixelFormat, Rotation, Size, TestPicture};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

/// The parsed value, or the problem with it and its cure.
pub(super) type Parsed<T> = Result<T, String>;

/// First segments of the daemon's own URLs: no stream may be named so.
pub const RESERVED_NAMES: [&str; 13] = [
    "api", "assets", "favicon", "healthz", "jpeg", "metrics", "mjpeg", "offer", "readyz", "robots",
    "whep", "whip", "ws",
];

const FPS: RangeInclusive<f64> = 1.0..=120.0;
const SMALLEST: Size = Size::new(16, 16);
const LARGEST: Size = Size::new(3840, 2160);
const BITRATE: RangeInclusive<f64> = 50e3..=100e6;

pub(super) fn flag(value: &DeValue<'_>) -> Parsed<bool> {
    value
        .as_bool()
        .ok_or_else(|| wrong_type(value, "true or false, without quotes"))
}

/// Parses the test pattern, if there is one.
pub(super) fn pattern(value: &DeValue<'_>) -> Parsed<Option<TestPicture>> {
    let names = TestPicture::ALL.map(|picture| format!("\"{}\"", picture.name()));
    let expected = format!("true, false, {}", names.join(" or "));
    if let Some(flag) = value.as_bool() {
        return Ok(flag.then(TestPicture::default));
    }
    let text = value.as_str().ok_or_else(|| wrong_type(value, &expected))?;
    let known = |picture: &TestPicture| text.eq_ignore_ascii_case(picture.name());
    let picture = TestPicture::ALL.into_iter().find(known);
    picture
        .map(Some)
        .ok_or_else(|| format!("{} is not {expected}", shown(value)))
}

/// A stream's name, which is the first segment of its URL.
pub(super) fn name(value: &DeValue<'_>) -> Parsed<String> {
    const EXPECTED: &str = "1 to 64 of the characters a-z A-Z 0-9 - _";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(format!("{} is not {EXPECTED}", shown(value)));
    }
    if RESERVED_NAMES
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
    {
        return Err(format!(
            "{} is reserved: fanlight uses /{text} itself; choose another name",
            shown(value)
        ));
    }
    Ok(text.to_owned())
}

/// A number, or the same as text: `"29.97"`.
pub(super) fn fps(value: &DeValue<'_>) -> Parsed<FrameRate> {
    let text = value.as_str().map(str::trim);
    let is_plain = |text: &&str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let fps = match text {
        Some(text) => Some(text)
            .filter(is_plain)
            .and_then(|text| text.parse().ok()),
        None => number(value),
    };
    let fps = fps.ok_or_else(|| {
        wrong_type(
            value,
            "frames per second, such as fps = 30, fps = 12.5 or fps = \"29.97\"",
        )
    })?;
    let rate = FPS.contains(&fps).then(|| FrameRate::from_f64(fps));
    rate.flatten()
        .ok_or_else(|| format!("{} is not in 1 to 120", shown(value)))
}

pub(super) fn size(value: &DeValue<'_>) -> Parsed<Size> {
    const EXPECTED: &str = "WIDTHxHEIGHT in pixels, such as size = \"1280x720\"";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    let size: Size = text
        .parse()
        .map_err(|_| format!("{} is not {EXPECTED}", shown(value)))?;
    let in_range = (SMALLEST.width..=LARGEST.width).contains(&size.width)
        && (SMALLEST.height..=LARGEST.height).contains(&size.height);
    if !in_range {
        return Err(format!("{size} is not in {SMALLEST} to {LARGEST}"));
    }
    if size != size.even() {
        return Err(format!(
            "{size} has an odd side, which H.264 does not allow; use {}",
            size.even()
        ));
    }
    Ok(size)
}

pub(super) fn format(value: &DeValue<'_>) -> Parsed<Option<PixelFormat>> {
    let formats = PixelFormat::ALL.map(|format| (format.name(), Some(format)));
    let all: Vec<_> = [("auto", None)].into_iter().chain(formats).collect();
    one_of(value, &all)
}

/// One of several words, in whichever case.
pub(super) fn one_of<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Parsed<T> {
    let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
    let expected = format!("one of {}", names.join(", "));
    let text = value.as_str().ok_or_else(|| wrong_type(value, &expected))?;
    let known = words
        .iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name));
    known
        .map(|(_, word)| *word)
        .ok_or_else(|| match nearest(text, &names) {
            Some(name) => format!("{} is not known; did you mean \"{name}\"?", shown(value)),
            None => format!("{} is not {expected}", shown(value)),
        })
}

/// Degrees clockwise.
pub(super) fn rotate(value: &DeValue<'_>) -> Parsed<Rotation> {
    const EXPECTED: &str = "one of 0, 90, 180, 270: degrees clockwise, without quotes";
    let DeValue::Integer(_) = value else {
        return Err(wrong_type(value, EXPECTED));
    };
    let degrees = number(value).unwrap_or(f64::NAN);
    let is_meant = |rotation: &Rotation| f64::from(rotation.degrees()) == degrees;
    (Rotation::ALL.into_iter().find(is_meant))
        .ok_or_else(|| format!("{} is not {EXPECTED}", shown(value)))
}

pub(super) fn flip(value: &DeValue<'_>) -> Parsed<Flip> {
    one_of(value, &Flip::ALL.map(|flip| (flip.name(), flip)))
}

/// `always`, `auto` or `never`.
pub(super) fn encode(value: &DeValue<'_>) -> Parsed<Encode> {
    one_of(value, &Encode::ALL.map(|encode| (encode.name(), encode)))
}

/// Bits per second: a whole number, or a string with a unit such as `2.5M` or `800k`.
pub(super) fn bitrate(value: &DeValue<'_>) -> Parsed<u32> {
    const EXPECTED: &str = "bits per second, such as bitrate = \"2.5M\", \"800k\" or 2500000";
    let rate = match value {
        DeValue::String(text) => with_unit(text, &[("", 1.0), ("k", 1e3), ("K", 1e3), ("M", 1e6)])
            .ok_or_else(|| format!("{} is not {EXPECTED}", shown(value)))?,
        // A float is more likely a forgotten unit than half a bit.
        DeValue::Integer(_) => number(value).unwrap_or(f64::NAN),
        _ => return Err(wrong_type(value, EXPECTED)),
    };
    if !BITRATE.contains(&rate) {
        return Err(format!(
            "{} is outside 50k to 100M bits per second",
            shown(value)
        ));
    }
    // In range by the check above.
    Ok(rate.round() as u32)
}

/// A whole number in that range.
pub(super) fn whole(value: &DeValue<'_>, range: RangeInclusive<u32>) -> Parsed<u32> {
    let expected = format!("a whole number, {} to {}", range.start(), range.end());
    let DeValue::Integer(_) = value else {
        return Err(wrong_type(value, &expected));
    };
    let number = number(value).unwrap_or(f64::NAN);
    let in_range = (f64::from(*range.start())..=f64::from(*range.end())).contains(&number);
    in_range
        .then_some(number as u32)
        .ok_or_else(|| format!("{} is not {expected}", shown(value)))
}

/// Bytes: a whole number, or a string with a unit such as `128k`; a k is 1024.
pub(super) fn bytes(value: &DeValue<'_>, range: RangeInclusive<u32>) -> Parsed<u32> {
    const EXPECTED: &str = "a number of bytes, such as \"128k\" or 131072";
    const UNITS: [(&str, f64); 4] = [("", 1.0), ("k", 1024.0), ("K", 1024.0), ("M", 1_048_576.0)];
    let bytes = match value {
        DeValue::String(text) => {
            with_unit(text, &UNITS).ok_or_else(|| format!("{} is not {EXPECTED}", shown(value)))?
        }
        DeValue::Integer(_) => number(value).unwrap_or(f64::NAN),
        _ => return Err(wrong_type(value, EXPECTED)),
    };
    let (least, most) = (*range.start(), *range.end());
    if !(f64::from(least)..=f64::from(most)).contains(&bytes) {
        return Err(format!(
            "{} is not in {least} to {most} bytes",
            shown(value)
        ));
    }
    Ok(bytes.round() as u32)
}

pub(super) fn keyframe_interval(value: &DeValue<'_>) -> Parsed<Duration> {
    duration(value, 0.5..=60.0, "0.5 s to 60 s")
}

pub(super) fn linger(value: &DeValue<'_>) -> Parsed<Duration> {
    duration(value, 0.0..=3600.0, "0 s to 1 h")
}

/// One time for both bounds, or a list of the two; kept to 10 ms, the steps in which it is sent.
pub(super) fn playout_delay(value: &DeValue<'_>) -> Parsed<PlayoutDelay> {
    const EXPECTED: &str = "a time or a list of two, the minimum and the maximum, \
        such as \"0ms\" or [\"0ms\", \"200ms\"]";
    let bound = |value: &DeValue<'_>| {
        let time = duration(value, 0.0..=40.95, "0 s to 40.95 s")?;
        let steps = (time.as_millis() as u64 + 5) / 10;
        Ok::<_, String>(Duration::from_millis(steps * 10))
    };
    let DeValue::Array(list) = value else {
        let both = bound(value)?;
        let (min, max) = (both, both);
        return Ok(PlayoutDelay { min, max });
    };
    let [min, max] = list.get(..).unwrap_or_default() else {
        return Err(format!(
            "this list does not have two values; expected {EXPECTED}"
        ));
    };
    let (min, max) = (bound(min.get_ref())?, bound(max.get_ref())?);
    if min > max {
        return Err(format!(
            "the minimum, {min:?}, is greater than the maximum, {max:?}"
        ));
    }
    Ok(PlayoutDelay { min, max })
}

/// Seconds as a number, or a string with a unit; kept to the millisecond.
pub(super) fn duration(
    value: &DeValue<'_>,
    range: RangeInclusive<f64>,
    shown_range: &str,
) -> Parsed<Duration> {
    const EXPECTED: &str = "a time, such as \"4s\", \"500ms\" or a number of seconds";
    const UNITS: [(&str, f64); 5] = [
        ("", 1.0),
        ("s", 1.0),
        ("ms", 1e-3),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let seconds = match value {
        DeValue::String(text) => {
            with_unit(text, &UNITS).ok_or_else(|| format!("{} is not {EXPECTED}", shown(value)))?
        }
        _ => number(value).ok_or_else(|| wrong_type(value, EXPECTED))?,
    };
    if !range.contains(&seconds) {
        return Err(format!("{} is not in {shown_range}", shown(value)));
    }
    // In range by the check above: neither negative nor too large.
    Ok(Duration::from_millis((seconds * 1e3).round() as u64))
}

pub(super) fn device(value: &DeValue<'_>) -> Parsed<Device> {
    let expected = Device::EXPECTED;
    let text = value.as_str().ok_or_else(|| wrong_type(value, expected))?;
    Device::read(text).map_err(|told| format!("{}: {told}", shown(value)))
}

/// `auto`, `v4l` or `nokhwa`.
pub(super) fn backend(value: &DeValue<'_>) -> Parsed<Backend> {
    one_of(
        value,
        &Backend::ALL.map(|backend| (backend.name(), backend)),
    )
}

pub(super) fn directory(value: &DeValue<'_>) -> Parsed<PathBuf> {
    const EXPECTED: &str =
        "the absolute path of a directory, such as directory = \"/var/lib/fanlight\"";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    if text.starts_with('/') && !text.contains(char::is_control) {
        return Ok(PathBuf::from(text));
    }
    Err(format!("{} is not {EXPECTED}", shown(value)))
}

/// The candidate that `text` most likely means; `None` if it is like none of them.
pub(super) fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    // Keys are short: comparing a long text costs time for nothing.
    if text.len() > 64 {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let distance = |candidate| strsim::damerau_levenshtein(&text, candidate);
    let best = candidates.iter().min_by_key(|known| distance(known))?;
    let close = (best.len() / 3).max(1);
    (distance(best) <= close).then_some(best)
}

/// A value as the user wrote it, cut to a length that fits a line.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    const LONGEST: usize = 40;
    let cut = |text: &dyn Display| {
        let mut text = text.to_string();
        if let Some((end, _)) = text.char_indices().nth(LONGEST) {
            text.truncate(end);
            text.push('…');
        }
        text
    };
    match value {
        DeValue::String(text) => format!("{:?}", cut(&without_password(text))),
        DeValue::Integer(integer) => cut(integer),
        DeValue::Float(float) => cut(float),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(_) => "this list".to_owned(),
        DeValue::Table(_) => "this table".to_owned(),
    }
}

pub(super) fn wrong_type(value: &DeValue<'_>, expected: &str) -> String {
    let kind = match value {
        DeValue::String(_) => "is a string",
        DeValue::Integer(_) | DeValue::Float(_) => "is a number",
        DeValue::Boolean(_) => "is a boolean",
        DeValue::Datetime(_) => "is a date or a time of day",
        DeValue::Array(_) | DeValue::Table(_) => "does not fit here",
    };
    format!("{} {kind}; expected {expected}", shown(value))
}

/// Whole numbers beyond 128 bits are infinite: out of every range all the same.
fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(integer) => {
            let whole = i128::from_str_radix(integer.as_str(), integer.radix());
            Some(whole.map_or(f64::INFINITY, |whole| whole as f64))
        }
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => None,
    }
}

/// A decimal number followed by one of the units, times the unit's factor.
fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    Some(number.parse::<f64>().ok()? * factor)
}
