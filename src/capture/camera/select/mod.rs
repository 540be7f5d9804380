//! The choice of a camera's format, size and rate, and of what is tried next when the USB bus has no room for it. Pure, so that every
//! case has a test.

use super::offer::{Offer, Rates, SizeOffer, Sizes};
use crate::capture::{CaptureError, ErrorKind, Request};
use crate::media::{FrameRate, PixelFormat, Size};
use std::fmt;
use std::path::Path;

/// Ways to run a camera that are tried when the USB bus has no room for the better ones.
const MOST_CHOICES: usize = 8;

/// Unusable formats that are named before they are only counted: some drivers know a hundred.
const MOST_NAMED: usize = 4;

/// The settings to be made on the camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Layout of the frames.
    pub format: PixelFormat,
    /// The code by which the camera offers it.
    pub code: [u8; 4],
    /// The size of the frames, in pixels.
    pub size: Size,
    /// Frames per second.
    pub rate: FrameRate,
    /// A description of the choice with its reason: one sentence for the log.
    pub reason: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            format, size, rate, ..
        } = self;
        write!(f, "{format} {size} at {rate} fps")
    }
}

/// One mode in which to run the camera.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    format: PixelFormat,
    code: [u8; 4],
    size: Size,
    rate: FrameRate,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            format, size, rate, ..
        } = self;
        write!(f, "{format} {size} at {rate} fps")
    }
}

impl Candidate {
    /// How good it is, the best first: by size, then by rate, then by what a frame costs to convert, and of rates that mean
    /// the same, the nearest.
    fn rank(&self, request: &Request) -> (u64, u64, u64, u8, u64) {
        let (shortfall, excess) = miss(self.rate, request.rate);
        (
            distance(self.size, request.size),
            shortfall,
            excess,
            self.format.rank(),
            milli((self.rate.as_f64() - request.rate.as_f64()).abs()),
        )
    }

    /// Bytes a second, roughly: JPEG webcams take two bits a pixel, and H.264 a tenth of that.
    fn bandwidth(&self) -> u64 {
        let frame = self.format.frame_len(self.size, 0);
        let frame = frame.unwrap_or(match self.format {
            PixelFormat::H264 => self.size.pixels() / 40,
            _ => self.size.pixels() / 4,
        });
        (frame as f64 * self.rate.as_f64()) as u64
    }
}

/// Chooses what is nearest to the request: first by size, then by rate, then by what a frame costs to convert. Behind it what
/// needs less and less of the USB bus.
///
/// # Errors
/// A sentence that says what the camera lacks.
pub fn choose(
    offers: &[Offer],
    request: &Request,
    whole_rates: bool,
) -> Result<Vec<Choice>, String> {
    let usable: Vec<_> = offers
        .iter()
        .filter_map(|offer| Some((offer, offer.format()?)))
        .collect();
    if usable.is_empty() {
        let there = names(&offers.iter().map(Offer::fourcc).collect::<Vec<_>>());
        return Err(format!(
            "no format that can be used, the camera offers {there}"
        ));
    }
    if let Some(asked) = request.format
        && !usable.iter().any(|(_, format)| *format == asked)
    {
        let there: Vec<_> = usable.iter().map(|(_, format)| format.name()).collect();
        let there = names(&there);
        return Err(format!(
            "the camera does not offer {asked}, it offers {there}"
        ));
    }
    let mut all: Vec<_> = usable
        .iter()
        .flat_map(|(offer, format)| candidates(offer, *format, request, whole_rates))
        .collect();
    all.sort_by_key(|candidate| candidate.rank(request));
    let asked = |format| request.format.is_none_or(|asked| asked == format);
    let mut least = u64::MAX;
    let ladder: Vec<_> = all
        .iter()
        .filter(|candidate| asked(candidate.format))
        .filter(|candidate| {
            let is_less = candidate.bandwidth() < least;
            least = least.min(candidate.bandwidth());
            is_less
        })
        .take(MOST_CHOICES)
        .collect();
    let Some(best) = ladder.first() else {
        return Err(
            "no size with a whole number of frames per second, which nokhwa needs; \
             `backend = \"v4l\"` takes fractions"
                .to_owned(),
        );
    };
    let choice = |(at, candidate): (usize, &&Candidate)| Choice {
        format: candidate.format,
        code: candidate.code,
        size: candidate.size,
        rate: candidate.rate,
        reason: match at {
            0 => reason(best, &all, offers, request),
            _ => candidate.to_string(),
        },
    };
    Ok(ladder.iter().enumerate().map(choice).collect())
}

/// Starts the first of the choices for which the USB bus has room. Other failures are final.
///
/// # Errors
/// Those of `start`; `NoUsbBandwidth` if there is no room for any.
pub fn descend<T>(
    path: &Path,
    choices: &[Choice],
    mut start: impl FnMut(&Choice) -> Result<T, CaptureError>,
) -> Result<T, CaptureError> {
    let mut rejected: Vec<String> = Vec::new();
    for choice in choices {
        let mut choice = choice.clone();
        if !rejected.is_empty() {
            choice.reason += &format!(
                ": not enough USB bandwidth for {}; the next opening begins there again",
                rejected.join(", ")
            );
        }
        match start(&choice) {
            Err(error) if error.kind == ErrorKind::NoUsbBandwidth => {
                rejected.push(choice.to_string());
            }
            outcome => return outcome,
        }
    }
    let (path, rejected) = (path.display(), rejected.join(", "));
    let detail = format!("{path}: not enough USB bandwidth for {rejected}");
    Err(CaptureError::new(ErrorKind::NoUsbBandwidth, detail))
}

/// The ways to run a camera in one format.
fn candidates(
    offer: &Offer,
    format: PixelFormat,
    request: &Request,
    whole_rates: bool,
) -> Vec<Candidate> {
    let code = &offer.code;
    // A camera that names no sizes says what it grants when it is asked.
    let unknown = [SizeOffer {
        sizes: Sizes::One(request.size),
        rates: Rates::List(Vec::new()),
    }];
    let sizes = match &offer.sizes[..] {
        [] => &unknown[..],
        sizes => sizes,
    };
    let candidates = sizes.iter().flat_map(|offer| {
        let size = offer.sizes.nearest(request.size);
        let rates = if whole_rates {
            offer.rates.whole(request.rate)
        } else {
            offer.rates.near(request.rate)
        };
        let candidate = move |rate| Candidate {
            format,
            code: *code,
            size,
            rate,
        };
        rates.into_iter().map(candidate)
    });
    candidates
        .filter(|candidate| candidate.size.even().pixels() > 0)
        .collect()
}

/// The distance of a size from the wanted one: the ratio of the sides, so that a larger picture of the right shape is nearer
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
fn miss(rate: FrameRate, wanted: FrameRate) -> (u64, u64) {
    let (rate, wanted) = (rate.as_f64(), wanted.as_f64());
    if (rate - wanted).abs() <= wanted / 100.0 {
        return (0, 0);
    }
    (milli(wanted - rate), milli(rate - wanted))
}

/// In thousandths. A negative number becomes 0.
fn milli(number: f64) -> u64 {
    (number * 1000.0) as u64
}

fn names(all: &[impl AsRef<str>]) -> String {
    let all: Vec<_> = all.iter().map(AsRef::as_ref).collect();
    match all.len() {
        0 => "nothing".to_owned(),
        _ => all.join(", "),
    }
}

/// A text that says what was taken, what was not, and why.
fn reason(best: &Candidate, ranked: &[Candidate], offers: &[Offer], request: &Request) -> String {
    let mut text = best.to_string();
    if best.size != request.size {
        text += &format!("; {} is not offered", request.size);
    }
    if miss(best.rate, request.rate) != (0, 0) {
        text += &format!("; {} fps is not offered at this size", request.rate);
    }
    let mut rejected: Vec<String> = Vec::new();
    let mut formats: Vec<_> = offers.iter().filter_map(Offer::format).collect();
    formats.dedup();
    for format in formats.into_iter().filter(|format| *format != best.format) {
        let mut others = ranked.iter().filter(|other| other.format == format);
        rejected.push(format!(
            "{format} ({})",
            why_not(best, others.next(), request)
        ));
    }
    let unusable = offers.iter().filter(|offer| offer.format().is_none());
    let unusable: Vec<_> = unusable.map(Offer::fourcc).collect();
    match unusable.len() {
        0 => {}
        1..=MOST_NAMED => rejected.push(format!("{} (not supported)", unusable.join(", "))),
        many => rejected.push(format!("{many} formats that are not supported")),
    }
    if best.format == PixelFormat::H264 {
        text += ", passed through";
    }
    if !rejected.is_empty() {
        text += &format!("; rejected: {}", rejected.join(", "));
    }
    text
}

/// Says why the best candidate of another format was not taken.
fn why_not(best: &Candidate, other: Option<&Candidate>, request: &Request) -> String {
    let Some(other) = other else {
        return "no whole rate".to_owned();
    };
    if request.format.is_some() {
        return "another was asked for".to_owned();
    }
    if distance(other.size, request.size) != distance(best.size, request.size) {
        return format!("only {}", other.size);
    }
    if miss(other.rate, request.rate) != miss(best.rate, request.rate) {
        return format!("only {} fps", other.rate);
    }
    match other.format {
        _ if best.format == PixelFormat::H264 => "has to be encoded",
        PixelFormat::Mjpeg => "has to be decoded",
        format if format.is_colourless() => "has no colours",
        _ => "costs more to convert",
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
