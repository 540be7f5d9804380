//! From what names a camera to its device node: looked up in sysfs at each opening, since a camera that was plugged in again
//! may have another node.

use crate::capture::usb::{Identity, above, read};
use crate::capture::{CaptureError, ErrorKind};
use crate::config::Device;
use std::fs;
use std::path::{Path, PathBuf};

/// The directories where the system lists its video devices; tests have trees of their own.
#[derive(Debug, Clone)]
pub struct Places {
    /// A folder for each device: `/sys/class/video4linux`.
    pub class: PathBuf,
    /// The device nodes: `/dev`.
    pub dev: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            class: "/sys/class/video4linux".into(),
            dev: "/dev".into(),
        }
    }
}

/// A video device that sysfs lists: a camera, or its metadata, or something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Such as `/dev/video0`.
    pub node: PathBuf,
    /// The device's own name; empty if it is unknown.
    pub name: String,
    /// The identity of a USB device.
    pub usb: Option<Identity>,
    /// The folder of the device that it is a part of; a USB device may have several cameras, such as one for infrared.
    pub device: PathBuf,
}

impl Listed {
    /// Whether the name may mean this device.
    pub fn is_meant_by(&self, device: &Device) -> bool {
        match device {
            Device::Auto => true,
            Device::Path(path) => *path == self.node,
            Device::Name(name) => *name == self.name,
            Device::Usb {
                vendor,
                product,
                serial,
            } => self.usb.as_ref().is_some_and(|usb| {
                (usb.vendor, usb.product) == (*vendor, *product)
                    && (serial.is_none() || usb.serial == *serial)
            }),
        }
    }

    /// The lasting names of the camera, the surest first.
    fn names(&self) -> impl Iterator<Item = Device> {
        let usb = self.usb.iter().flat_map(|identity| {
            let usb = |serial| Device::Usb {
                vendor: identity.vendor,
                product: identity.product,
                serial,
            };
            identity
                .serial
                .clone()
                .map(|serial| usb(Some(serial)))
                .into_iter()
                .chain([usb(None)])
        });
        let name = (!self.name.is_empty()).then(|| Device::Name(self.name.clone()));
        usb.chain(name)
    }

    /// A name that stays true after a restart and in another port, if one means this camera and no other of `cameras`.
    pub fn lasting_name(&self, cameras: &[Self]) -> Option<Device> {
        self.names().find(|name| {
            let mut meant = cameras.iter().filter(|camera| camera.is_meant_by(name));
            // Of one device's cameras the first keeps its place, those of several devices come in any order.
            (meant.clone().next()).is_some_and(|first| first.node == self.node)
                && meant.all(|camera| camera.device == self.device)
        })
    }
}

/// The result of probing a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// It captures pictures.
    Camera,
    /// Metadata, a codec, a radio.
    Other,
    /// It may not be opened.
    Unknown,
}

/// All video devices, in the order of their numbers.
pub fn list(places: &Places) -> Vec<Listed> {
    let mut devices: Vec<_> = fs::read_dir(&places.class)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let file = folder.file_name()?.to_str()?;
            let number: u32 = file.strip_prefix("video")?.parse().ok()?;
            let part = fs::canonicalize(folder.join("device")).unwrap_or(folder.clone());
            let (usb, device) = above(&part).unzip();
            let listed = Listed {
                node: places.dev.join(file),
                name: read(&folder.join("name")).unwrap_or_default(),
                usb,
                device: device.unwrap_or(part),
            };
            Some((number, listed))
        })
        .collect();
    devices.sort_by_key(|(number, _)| *number);
    devices.into_iter().map(|(_, listed)| listed).collect()
}

/// The node that `device` means now. `probe` asks a node what it is; `is_taken` tells whether another stream has it.
///
/// # Errors
/// `NotFound` with what there is instead, `Busy` if others have all that come into question.
pub fn resolve(
    device: &Device,
    places: &Places,
    probe: impl Fn(&Path) -> Probed,
    is_taken: impl Fn(&Path) -> bool,
) -> Result<PathBuf, CaptureError> {
    if let Device::Path(path) = device {
        return Ok(path.clone());
    }
    let all = list(places);
    let meant = all.iter().filter(|listed| listed.is_meant_by(device));
    let (mut taken, mut unknown) = (None, None);
    for node in meant.map(|listed| &listed.node) {
        match probe(node) {
            Probed::Camera if !is_taken(node) => return Ok(node.clone()),
            Probed::Camera => taken = taken.or(Some(node)),
            // Opening it will tell why.
            Probed::Unknown if !is_taken(node) => unknown = unknown.or(Some(node)),
            Probed::Unknown => taken = taken.or(Some(node)),
            Probed::Other => {}
        }
    }
    match (unknown, taken) {
        (Some(node), _) => Ok(node.clone()),
        // Of a camera that was named, the system says who has it.
        (None, Some(node)) if *device != Device::Auto => Ok(node.clone()),
        (None, Some(_)) => Err(CaptureError::new(
            ErrorKind::Busy,
            "auto: every camera belongs to another stream",
        )
        .curing("plug another camera in, or remove this stream")),
        (None, None) => {
            let is_camera = |listed: &&Listed| probe(&listed.node) != Probed::Other;
            let cameras: Vec<_> = all.iter().filter(is_camera).cloned().collect();
            let detail = format!("{device}: no such camera; {}", there_is(&cameras));
            Err(CaptureError::new(ErrorKind::NotFound, detail))
        }
    }
}

fn there_is(cameras: &[Listed]) -> String {
    let each = cameras.iter().map(|camera| {
        let name = camera.lasting_name(cameras);
        let name = name.map_or_else(String::new, |name| format!(" ({name})"));
        format!("{}{name}", camera.node.display())
    });
    match cameras {
        [] => "no camera is connected".to_owned(),
        _ => format!("the cameras are {}", each.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests;
