//! V4L2 cameras: which device a name means, what it is to be set to, and the two libraries that capture.
//!
//! `names` and `claims` find the device node, `device` and `enumerate` ask it, `select` chooses (pure), `mapped` and `portable`
//! capture, the former by the calls of `v4l2`, and what fails is explained by `errors` and `holders`.

mod claims;
mod controls;
mod device;
mod encoder;
mod enumerate;
mod errors;
mod holders;
mod identity;
mod mapped;
pub mod names;
mod offer;
mod portable;
mod select;
mod v4l2;

pub use claims::{Claims, Slot};
pub use controls::{Control, Kind};
pub use device::Node;
pub use encoder::Wishes;
pub use offer::{Offer, Rates, SizeOffer, Sizes};

use super::{CaptureError, ErrorKind, Granted, Opener, Request, Source, Wanted, usb};
use crate::config::Backend;
use crate::media::{PixelFormat, RawFrame};
use claims::Claim;
use select::{Choice, choose, descend};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use v4l2::Interface;

/// How long a frame is waited for at a time: as soon a thread that is not wanted any more ends.
const PATIENCE: Duration = Duration::from_millis(500);

/// A driver's time stamp is not believed to be older than that.
const OLDEST: Duration = Duration::from_secs(1);

/// The cure for what the portable backend can't do.
const OWN_BACKEND: &str = "leave `backend` at its default, or set `backend = \"v4l\"`";

/// Opens one camera.
#[derive(Debug, Clone)]
pub struct Camera {
    slot: Arc<Slot>,
    request: Request,
    backend: Backend,
    wishes: Option<Wishes>,
}

impl Camera {
    /// The camera that the slot means whenever it is opened.
    pub const fn new(slot: Arc<Slot>, request: Request, backend: Backend) -> Self {
        Self {
            slot,
            request,
            backend,
            wishes: None,
        }
    }

    /// The same, with wishes for its own encoder, if it has one.
    #[must_use]
    pub const fn encoding(mut self, wishes: Wishes) -> Self {
        self.wishes = Some(wishes);
        self
    }

    /// The choice that would be set on the device for `wanted`, with the device's name. The device is asked, and left as it is.
    ///
    /// # Errors
    /// As [`open`](Opener::open), but for those that show only when it captures.
    pub fn examine(&self, wanted: Wanted) -> Result<String, CaptureError> {
        let (node, choices) = self.choices(&self.slot.node()?, wanted)?;
        let best = choices.first().map(|choice| &choice.reason[..]);
        Ok(format!("{}, {}", node.name, best.unwrap_or_default()))
    }

    fn is_portable(&self) -> bool {
        match self.backend {
            Backend::Auto => !cfg!(target_os = "linux"),
            Backend::V4l => false,
            Backend::Nokhwa => true,
        }
    }

    /// The device, and what it can be set to, the best first.
    fn choices(&self, path: &Path, wanted: Wanted) -> Result<(Node, Vec<Choice>), CaptureError> {
        let fail =
            |kind, what: &str| CaptureError::new(kind, format!("{}: {what}", path.display()));
        let node = Node::open(path)?;
        if let Some(why) = node.no_camera() {
            return Err(fail(ErrorKind::NotACamera, why));
        }
        let is_portable = self.is_portable();
        if is_portable && node.interface() == Interface::MultiPlanar {
            let what =
                "the driver has only the multi-planar interface, which `nokhwa` does not support";
            return Err(fail(ErrorKind::Unsupported, what).curing(OWN_BACKEND));
        }
        let mut offers = node.offers(Some(self.request.size))?;
        let is_h264 = |offer: &Offer| offer.format() == Some(PixelFormat::H264);
        if wanted == Wanted::H264 && (is_portable || !offers.iter().any(is_h264)) {
            let what = match is_portable {
                true => "H.264 is captured by `backend = \"v4l\"` only",
                false => "the camera has no H.264 to pass through",
            };
            return Err(fail(ErrorKind::NotPassable, what));
        }
        let has_any = !offers.is_empty();
        offers.retain(|offer| {
            let is_taken = |format| wanted.takes(format);
            offer.format().is_none_or(is_taken) && (!is_portable || portable::takes(offer.code))
        });
        if has_any && offers.is_empty() {
            return Err(match is_portable {
                true => {
                    let what = "the camera has no format that `nokhwa` captures";
                    fail(ErrorKind::Unsupported, what).curing(OWN_BACKEND)
                }
                false => {
                    let what = "the camera has only H.264, which can only be passed through";
                    fail(ErrorKind::OnlyH264, what)
                }
            });
        }
        let choices = choose(&offers, &self.request, is_portable);
        Ok((
            node,
            choices.map_err(|what| fail(ErrorKind::Unsupported, &what))?,
        ))
    }

    fn start(
        &self,
        path: &Path,
        choice: &Choice,
        wanted: Wanted,
    ) -> Result<Box<dyn Source>, CaptureError> {
        let node = Node::open(path)?;
        let setup = node.set_up(choice)?;
        if !wanted.takes(setup.format) {
            let detail = format!(
                "{}: the driver makes {} of {}",
                path.display(),
                setup.format,
                choice.format
            );
            return Err(CaptureError::new(ErrorKind::Unsupported, detail));
        }
        let granted = Granted {
            device: node.name.clone(),
            size: setup.size,
            rate: setup.rate,
            format: setup.format,
            reason: setup.explain(choice),
        };
        if self.is_portable() {
            portable::start(node, granted, setup)
        } else {
            mapped::start(node, granted, setup, self.wishes.as_ref())
        }
    }
}

impl Opener for Camera {
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        self.open_for(Wanted::Frames)
    }

    fn open_for(&self, wanted: Wanted) -> Result<Box<dyn Source>, CaptureError> {
        let claim = self.slot.claim()?;
        let path = &claim.node;
        let (node, choices) = self.choices(path, wanted)?;
        drop(node);
        let source = descend(path, &choices, |choice| self.start(path, choice, wanted))?;
        Ok(Box::new(Claimed {
            source,
            _claim: claim,
        }))
    }

    fn is_there(&self) -> bool {
        self.slot.is_there()
    }

    fn describe(&self) -> String {
        self.slot.device().to_string()
    }

    fn reset(&self) -> Result<(), String> {
        let node = self.slot.node().map_err(|error| error.to_string())?;
        usb::reset(&node)
    }
}

/// A source with its claim on the device.
struct Claimed {
    source: Box<dyn Source>,
    /// Dropped after the source.
    _claim: Claim,
}

impl Source for Claimed {
    fn granted(&self) -> &Granted {
        self.source.granted()
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        self.source.next_frame()
    }

    fn ask_for_keyframe(&mut self) -> bool {
        self.source.ask_for_keyframe()
    }
}

/// How long ago a frame was captured, both times by one clock; never more than [`OLDEST`]. 0 without a stamp or with one
/// from the future.
fn age(now: Duration, stamp: Option<Duration>) -> Duration {
    let age = stamp.and_then(|stamp| now.checked_sub(stamp));
    age.unwrap_or_default().min(OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plausible_stamp_gives_the_age() {
        let seconds = Duration::from_secs_f64;
        let now = seconds(1000.0);
        assert_eq!(age(now, Some(seconds(999.75))), seconds(0.25));
        assert_eq!(age(now, Some(now)), Duration::ZERO);
        assert_eq!(age(now, None), Duration::ZERO);
        assert_eq!(age(now, Some(seconds(1000.1))), Duration::ZERO);
        assert_eq!(age(now, Some(seconds(900.0))), OLDEST);
    }
}
