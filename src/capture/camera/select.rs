//! The choice of a camera's format, size and rate. Pure, so that every case has a test.

use super::offer::Offer;
use crate::capture::Request;
use crate::media::{FrameRate, PixelFormat, Size};

/// What the camera is to be set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Layout of the frames.
    pub format: PixelFormat,
    /// In pixels.
    pub size: Size,
    /// Frames per second.
    pub rate: u32,
    /// Why: one sentence for the log.
    pub reason: String,
}

/// One way to run the camera.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    format: PixelFormat,
    size: Size,
    rate: u32,
}

/// Chooses the offer nearest to the request: first by size, then by rate, then by what a frame costs to convert.
///
/// # Errors
/// A sentence that says what the camera lacks.
pub fn choose(offers: &[Offer], request: &Request) -> Result<Choice, String> {
    let usable: Vec<_> = offers
        .iter()
        .filter_map(|offer| Some((offer, offer.format?)))
        .collect();
    let names = |all: Vec<&str>| match all.len() {
        0 => "nothing".to_owned(),
        _ => all.join(", "),
    };
    if usable.is_empty() {
        let there = names(offers.iter().map(|offer| &offer.fourcc[..]).collect());
        return Err(format!(
            "no format that can be used, the camera offers {there}"
        ));
    }
    if let Some(asked) = request.format
        && !usable.iter().any(|(_, format)| *format == asked)
    {
        let there = names(usable.iter().map(|(_, format)| format.name()).collect());
        return Err(format!(
            "the camera does not offer {asked}, it offers {there}"
        ));
    }
    let candidates: Vec<_> = usable
        .into_iter()
        .filter(|(_, format)| request.format.is_none_or(|asked| asked == *format))
        .flat_map(|(offer, format)| offer.sizes.iter().map(move |size| (size, format)))
        .flat_map(|(offer, format)| {
            let size = offer.sizes.nearest(request.size);
            let rates = offer.rates.whole(request.rate).into_iter();
            rates.map(move |rate| Candidate { format, size, rate })
        })
        .filter(|candidate| candidate.size.even().pixels() > 0)
        .collect();
    let best = candidates
        .iter()
        .min_by_key(|candidate| {
            let (shortfall, excess) = miss(candidate.rate, request.rate);
            (
                distance(candidate.size, request.size),
                shortfall,
                excess,
                cost(candidate.format),
            )
        })
        .ok_or("no size with a whole number of frames per second, which the capture needs")?;
    Ok(Choice {
        format: best.format,
        size: best.size,
        rate: best.rate,
        reason: reason(best, &candidates, request),
    })
}

/// How far a size is from the wanted one: the ratio of the sides, so that a larger picture of the right shape is nearer
/// than a smaller one of the wrong shape. In millionths of the natural logarithm.
fn distance(size: Size, wanted: Size) -> u64 {
    let side = |side: u32, wanted: u32| {
        (f64::from(side.max(1)) / f64::from(wanted.max(1)))
            .ln()
            .abs()
    };
    ((side(size.width, wanted.width) + side(size.height, wanted.height)) * 1e6) as u64
}

/// By how many thousandths of a frame per second a rate is too low, and by how many too high. One per cent is no miss:
/// 30 stands for 29.97, and the other way round.
fn miss(rate: u32, wanted: FrameRate) -> (u64, u64) {
    let (rate, wanted) = (f64::from(rate), wanted.as_f64());
    if (rate - wanted).abs() <= wanted / 100.0 {
        return (0, 0);
    }
    // A negative difference becomes 0.
    let milli = |difference: f64| (difference * 1000.0) as u64;
    (milli(wanted - rate), milli(rate - wanted))
}

/// What a frame costs, in order: a copy, an unpacking, a picture without colour, a decoding.
const fn cost(format: PixelFormat) -> u8 {
    match format {
        PixelFormat::H264 | PixelFormat::I420 => 0,
        PixelFormat::Nv12 => 1,
        PixelFormat::Yuyv => 2,
        PixelFormat::Mjpeg => 3,
        // Cheap, but only for those who ask for it or have nothing else.
        PixelFormat::Grey => 4,
    }
}

fn reason(best: &Candidate, candidates: &[Candidate], request: &Request) -> String {
    let Candidate { format, size, rate } = best;
    let fastest_raw = candidates
        .iter()
        .filter(|other| other.format != PixelFormat::Mjpeg && other.size == *size)
        .max_by_key(|other| other.rate);
    let why = match (request.format, format, fastest_raw) {
        (Some(_), ..) => "the format that was asked for".to_owned(),
        (None, PixelFormat::Mjpeg, Some(raw)) if raw.rate < *rate => {
            format!("{} reaches only {} fps at this size", raw.format, raw.rate)
        }
        (None, PixelFormat::Mjpeg, Some(raw)) => {
            format!("{} has no rate as near at this size", raw.format)
        }
        (None, PixelFormat::Mjpeg, None) => "no raw format has this size".to_owned(),
        (None, ..) => "raw frames need no decoding".to_owned(),
    };
    let mut text = format!("{format} {size} at {rate} fps: {why}");
    if *size != request.size {
        text += &format!("; {} is not offered", request.size);
    }
    if miss(*rate, request.rate) != (0, 0) {
        text += &format!("; {} fps is not offered at this size", request.rate);
    }
    text
}

#[cfg(test)]
mod tests;
