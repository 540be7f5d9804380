//! The controls of the streams' cameras: seen, set, kept, and set again when a camera is opened.

mod kept;
mod view;
mod wish;

pub use kept::Kept;
pub use view::View;
pub use wish::Wish;

use crate::base::os_error::plain;
use crate::capture::camera::{Control, Node, Slot};
use crate::capture::{CaptureError, Opener, Source, Wanted};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The reason for which nothing was set.
#[derive(Debug)]
pub enum SetError {
    /// The camera is not connected, or does not answer.
    Camera(CaptureError),
    /// The problem with each name that was given.
    Wrong(BTreeMap<String, String>),
}

/// The controls of a camera.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The identity of the camera, whatever its device node.
    pub camera: String,
    /// The controls in the driver's order.
    pub controls: Vec<Control>,
    /// The values that are kept of it.
    pub kept: BTreeMap<String, i64>,
}

/// The controls of one stream's camera.
#[derive(Debug)]
pub struct Device {
    slot: Arc<Slot>,
    kept: Kept,
    /// One at a time asks the camera: some take seconds to answer, or never do.
    pub turn: Arc<Semaphore>,
}

impl Device {
    /// The camera of that slot.
    pub fn new(slot: Arc<Slot>, kept: Kept) -> Self {
        Self {
            slot,
            kept,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Lists the controls of the camera, whether it is capturing or not. Blocks.
    ///
    /// # Errors
    /// As [`Node::open`], and when it doesn't answer.
    pub fn list(&self) -> Result<Listing, CaptureError> {
        self.listing(&self.open()?)
    }

    /// Its node, to ask it and to set it.
    fn open(&self) -> Result<Node, CaptureError> {
        Node::open(&self.slot.node()?)
    }

    fn listing(&self, node: &Node) -> Result<Listing, CaptureError> {
        let camera = node.identity();
        Ok(Listing {
            controls: node.controls()?,
            kept: self.kept.values(&camera),
            camera,
        })
    }

    /// Sets controls by name, all or none: if one can't be that, or the camera refuses one, what was set is set back.
    /// Returns the controls as they are now. Blocks.
    ///
    /// # Errors
    /// See [`SetError`].
    pub fn set(&self, wishes: &BTreeMap<String, Wish>) -> Result<Listing, SetError> {
        let node = self.open().map_err(SetError::Camera)?;
        let before = self.listing(&node).map_err(SetError::Camera)?;
        let wanted = understood(&before.controls, wishes).map_err(SetError::Wrong)?;
        let refused = node.set_controls(&wanted);
        if !refused.is_empty() {
            let back = wanted
                .iter()
                .filter_map(|(control, _)| Some((*control, control.value?)));
            node.set_controls(
                &back
                    .filter(|(control, _)| control.is_lasting)
                    .collect::<Vec<_>>(),
            );
            let told = refused.into_iter();
            let told =
                told.map(|(control, error)| (control.name.clone(), refusal(control, &error)));
            return Err(SetError::Wrong(told.collect()));
        }
        for (control, value) in &wanted {
            tracing::info!(camera = before.camera, "{} is set to {value}", control.name);
        }
        self.keep(&before.camera, &wanted, wishes);
        self.listing(&node).map_err(SetError::Camera)
    }

    fn keep(&self, camera: &str, wanted: &[(&Control, i64)], wishes: &BTreeMap<String, Wish>) {
        let lasting = wanted.iter().filter(|(control, _)| control.is_lasting);
        let changes = lasting.map(|(control, value)| {
            let is_default = wishes.get(&control.name) == Some(&Wish::Default);
            (control.name.clone(), (!is_default).then_some(*value))
        });
        if let Err(error) = self.kept.change(camera, &changes.collect()) {
            tracing::warn!("the settings could not be saved: {error}");
        }
    }

    /// Sets again what is kept of the camera that is there now. What goes wrong is told in the log: a camera that can't be
    /// set is still a camera. Blocks.
    pub fn restore(&self) {
        // An error that prevents opening it here prevents the capture too, which reports it.
        if let Ok(node) = self.open()
            && let Err(error) = self.restore_to(&node)
        {
            tracing::warn!("the saved settings were not restored: {error}");
        }
    }

    fn restore_to(&self, node: &Node) -> Result<(), CaptureError> {
        let kept = self.kept.values(&node.identity());
        if kept.is_empty() {
            return Ok(());
        }
        let controls = node.controls()?;
        let wanted = still_good(&controls, &kept);
        let is_other = |(control, value): &&(&Control, i64)| control.value != Some(*value);
        let wanted: Vec<_> = wanted.iter().filter(is_other).copied().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let refused = node.set_controls(&wanted);
        // A value behind something automatic waits there.
        let now = node.controls()?;
        let is_inactive = |name: &str| now.iter().any(|now| now.name == name && now.is_inactive);
        let is_refused = |name: &str| refused.iter().any(|(control, _)| control.name == name);
        let set = wanted
            .iter()
            .filter(|(control, _)| !is_refused(&control.name));
        let set: Vec<_> = set
            .map(|(control, value)| format!("{} = {value}", control.name))
            .collect();
        if !set.is_empty() {
            tracing::info!("restored: {}", set.join(", "));
        }
        for (control, error) in &refused {
            if !is_inactive(&control.name) {
                tracing::warn!(
                    "{} was not restored: {}",
                    control.name,
                    refusal(control, error)
                );
            }
        }
        Ok(())
    }
}

/// The controls that are meant, with their numbers; or all that is wrong.
fn understood<'a>(
    controls: &'a [Control],
    wishes: &BTreeMap<String, Wish>,
) -> Result<Vec<(&'a Control, i64)>, BTreeMap<String, String>> {
    let mut wrong = BTreeMap::new();
    for name in wishes.keys() {
        if controls.iter().all(|control| control.name != *name) {
            wrong.insert(name.clone(), "the camera has no such control".to_owned());
        }
    }
    let mut wanted = Vec::new();
    for control in controls {
        match wishes.get(&control.name).map(|wish| wish.of(control)) {
            Some(Ok(value)) => wanted.push((control, value)),
            Some(Err(problem)) => drop(wrong.insert(control.name.clone(), problem)),
            None => {}
        }
    }
    if wrong.is_empty() {
        Ok(wanted)
    } else {
        Err(wrong)
    }
}

/// The kept values that can still be set. The camera, or its driver, may be another than when they were kept.
fn still_good<'a>(
    controls: &'a [Control],
    kept: &BTreeMap<String, i64>,
) -> Vec<(&'a Control, i64)> {
    for name in kept.keys() {
        if controls.iter().all(|control| control.name != *name) {
            tracing::info!("{name} was not restored: the camera has no such control");
        }
    }
    let mut wanted = Vec::new();
    for control in controls.iter().filter(|control| control.is_lasting) {
        match kept
            .get(&control.name)
            .map(|value| Wish::Number(*value).of(control))
        {
            Some(Ok(value)) => wanted.push((control, value)),
            Some(Err(problem)) => {
                tracing::warn!("{} was not restored: {problem}", control.name);
            }
            None => {}
        }
    }
    wanted
}

/// Says why a camera refused a value.
fn refusal(control: &Control, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EBUSY) => "this control can't be changed while the camera runs".to_owned(),
        Some(libc::EACCES) => {
            "the camera refuses: an automatic mode controls it; switch that off first".to_owned()
        }
        Some(libc::ERANGE | libc::EINVAL) => "the camera refuses this value".to_owned(),
        _ if control.is_inactive => {
            format!(
                "an automatic mode controls it; switch that off first ({})",
                plain(error)
            )
        }
        _ => format!("the camera refuses: {}", plain(error)),
    }
}

/// The controls of every stream that has a camera.
#[derive(Debug, Clone, Default)]
pub struct Controls(Arc<BTreeMap<String, Arc<Device>>>);

impl Controls {
    /// Of the cameras of these streams; what is set is kept there.
    pub fn new(slots: BTreeMap<String, Arc<Slot>>, kept: &Kept) -> Self {
        let devices = slots.into_iter();
        let devices =
            devices.map(|(stream, slot)| (stream, Arc::new(Device::new(slot, kept.clone()))));
        Self(Arc::new(devices.collect()))
    }

    /// Those of that stream's camera, if it has one.
    pub fn of(&self, stream: &str) -> Option<&Arc<Device>> {
        self.0.get(stream)
    }
}

/// Sets a camera's controls each time before it is opened.
pub struct Restoring {
    device: Arc<Device>,
    opener: Arc<dyn Opener>,
}

impl Restoring {
    /// The camera that `opener` opens is the one of `device`.
    pub const fn new(device: Arc<Device>, opener: Arc<dyn Opener>) -> Self {
        Self { device, opener }
    }
}

impl Opener for Restoring {
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        self.device.restore();
        self.opener.open()
    }

    fn open_for(&self, wanted: Wanted) -> Result<Box<dyn Source>, CaptureError> {
        self.device.restore();
        self.opener.open_for(wanted)
    }

    fn is_there(&self) -> bool {
        self.opener.is_there()
    }

    fn describe(&self) -> String {
        self.opener.describe()
    }

    fn reset(&self) -> Result<(), String> {
        self.opener.reset()
    }
}

#[cfg(test)]
mod tests;
