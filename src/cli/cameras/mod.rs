//! The cameras of this machine as `fanlight cameras` shows them: a table for people, JSON for programs.

use crate::capture::camera::names::{self, Listed, Places};
use crate::capture::camera::{Node, Offer, Rates, SizeOffer, Sizes};
use crate::media::FrameRate;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A device node, with what it offers if it is a camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Camera {
    /// Such as `/dev/video0`.
    pub device: String,
    /// The lasting name of the camera in the configuration, in whatever port; `None` if nothing tells it from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasting_name: Option<String>,
    /// The links to it that survive a restart and another USB port, such as those in `/dev/v4l/by-id`.
    pub links: Vec<String>,
    /// The device's own name; empty if it is unknown.
    pub name: String,
    /// The kernel driver; empty if it is unknown.
    pub driver: String,
    /// Where the device is attached; empty if it is unknown.
    pub bus: String,
    /// Empty for a node that is no camera or can't be asked.
    pub formats: Vec<Format>,
    /// Why there are no formats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A pixel format with its sizes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Format {
    /// V4L2's code.
    pub fourcc: String,
    /// The driver's name for it.
    pub description: String,
    /// The value for `format` in the configuration; `None` if fanlight can't capture it.
    pub format: Option<&'static str>,
    /// In the driver's order.
    pub sizes: Vec<Mode>,
}

/// A size, or a range of sizes up to it, with its rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mode {
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The smallest width and height, if the camera offers all sizes between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest: Option<(u32, u32)>,
    /// Frames per second, the highest first; of a range its two ends.
    pub fps: Vec<f64>,
    /// `fps` holds the ends of a range.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any_fps_between: bool,
}

/// Looks at every `/dev/videoN`. Running captures are not disturbed.
///
/// # Errors
/// If `/dev` can't be read. What is wrong with a single device is its [`note`](Camera::note).
pub fn list() -> io::Result<Vec<Camera>> {
    let mut nodes: Vec<(u32, PathBuf)> = fs::read_dir("/dev")?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let digits = path.file_name()?.to_str()?.strip_prefix("video")?;
            Some((digits.parse().ok()?, path))
        })
        .collect();
    nodes.sort();
    let links = links();
    let cameras = nodes.into_iter().map(|(index, path)| {
        let links = links
            .iter()
            .filter(|(_, target)| *target == path)
            .map(|(link, _)| link.display().to_string())
            .collect();
        look_at(index, &path, links)
    });
    let mut cameras: Vec<_> = cameras.collect();
    name(&mut cameras, names::list(&Places::default()));
    Ok(cameras)
}

/// Adds the names that last, which are true among cameras only.
fn name(cameras: &mut [Camera], mut listed: Vec<Listed>) {
    let at = |listed: &Listed, camera: &Camera| listed.node == Path::new(&camera.device);
    listed.retain(|listed| {
        let mut cameras = cameras.iter();
        cameras.any(|camera| at(listed, camera) && !camera.formats.is_empty())
    });
    for camera in cameras {
        let found = listed.iter().find(|listed| at(listed, camera));
        let name = found.and_then(|found| found.lasting_name(&listed));
        camera.lasting_name = name.map(|name| name.to_string());
    }
}

/// The stable names that udev gives to cameras, with the nodes that they lead to.
fn links() -> Vec<(PathBuf, PathBuf)> {
    // Without udev there are none.
    let mut links: Vec<_> = ["/dev/v4l/by-id", "/dev/v4l/by-path"]
        .into_iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| {
            let link = entry.ok()?.path();
            let target = fs::canonicalize(&link).ok()?;
            Some((link, target))
        })
        .collect();
    links.sort();
    links
}

fn look_at(index: u32, path: &Path, links: Vec<String>) -> Camera {
    let mut camera = Camera {
        device: path.display().to_string(),
        lasting_name: None,
        links,
        // Also told of a device that may not be opened.
        name: fs::read(format!("/sys/class/video4linux/video{index}/name"))
            .map(|name| String::from_utf8_lossy(&name).trim().to_owned())
            .unwrap_or_default(),
        driver: String::new(),
        bus: String::new(),
        formats: Vec::new(),
        note: None,
    };
    let node = match Node::open(path) {
        Ok(node) => node,
        Err(error) => {
            camera.note = Some(format!("{error}; {}", error.cure()));
            return camera;
        }
    };
    camera.name.clone_from(&node.name);
    camera.driver.clone_from(&node.driver);
    camera.bus.clone_from(&node.bus);
    camera.note = node.no_camera().map(str::to_owned);
    if camera.note.is_none() {
        match node.offers(None) {
            Ok(offers) if offers.is_empty() => camera.note = Some("no video formats".to_owned()),
            Ok(offers) => camera.formats = offers.into_iter().map(Format::from).collect(),
            Err(error) => camera.note = Some(error.to_string()),
        }
    }
    camera
}

impl From<Offer> for Format {
    fn from(offer: Offer) -> Self {
        Self {
            fourcc: offer.fourcc(),
            format: offer.format().map(|format| format.name()),
            description: offer.description,
            sizes: offer.sizes.into_iter().map(Mode::from).collect(),
        }
    }
}

impl From<SizeOffer> for Mode {
    fn from(offer: SizeOffer) -> Self {
        let largest = offer.sizes.largest();
        let fps = |rate: FrameRate| (rate.as_f64() * 1000.0).round() / 1000.0;
        let (mut fps, any_fps_between) = match offer.rates {
            Rates::List(rates) => (rates.into_iter().map(fps).collect::<Vec<_>>(), false),
            Rates::Range { slowest, fastest } => (vec![fps(fastest), fps(slowest)], true),
        };
        fps.sort_by(|a, b| b.total_cmp(a));
        Self {
            width: largest.width,
            height: largest.height,
            smallest: match offer.sizes {
                Sizes::One(_) => None,
                Sizes::Range { min, .. } => Some((min.width, min.height)),
            },
            fps,
            any_fps_between,
        }
    }
}

/// The list as an array of JSON objects.
pub fn json(cameras: &[Camera]) -> String {
    // Strings, numbers and lists of them always have a JSON form.
    serde_json::to_string_pretty(cameras).unwrap_or_default()
}

/// The list as text, aligned in columns, with a line break at the end.
pub fn table(cameras: &[Camera]) -> String {
    if cameras.is_empty() {
        return "No cameras: there is no /dev/video device on this machine.\n\
                Plug a camera in; a container or virtual machine needs the device passed through.\n\
                `fanlight --test-pattern` runs without one.\n"
            .to_owned();
    }
    let mut text = String::new();
    for camera in cameras {
        // Writing to a string never fails.
        let _ = camera.write(&mut text);
    }
    text
}

impl Camera {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        write!(text, "{}", self.device)?;
        if !self.name.is_empty() {
            write!(text, "  {}", self.name)?;
        }
        match (&self.driver[..], &self.bus[..]) {
            ("", _) => {}
            (driver, "") => write!(text, "  [{driver}]")?,
            (driver, bus) => write!(text, "  [{driver}, {bus}]")?,
        }
        writeln!(text)?;
        for link in self.lasting_name.iter().chain(&self.links) {
            writeln!(text, "  = {link}")?;
        }
        if let Some(note) = &self.note {
            writeln!(text, "  {note}")?;
        }
        let mut unusable = Vec::new();
        for format in &self.formats {
            let Some(name) = format.format else {
                unusable.push(&format.fourcc[..]);
                continue;
            };
            let mut head = format!("  {name:<6}");
            for mode in &format.sizes {
                writeln!(text, "{head} {:<22} {}", mode.size(), mode.rates())?;
                head = " ".repeat(head.len());
            }
        }
        if !unusable.is_empty() {
            writeln!(text, "  can't be captured: {}", unusable.join(", "))?;
        }
        Ok(())
    }
}

impl Mode {
    fn size(&self) -> String {
        let Self { width, height, .. } = self;
        match self.smallest {
            None => format!("{width}x{height}"),
            Some((least_width, least_height)) => {
                format!("{least_width}x{least_height} to {width}x{height}")
            }
        }
    }

    fn rates(&self) -> String {
        match &self.fps[..] {
            [] => "rate unknown".to_owned(),
            [fastest, slowest] if self.any_fps_between => format!("{slowest} to {fastest} fps"),
            fps => {
                fps.iter()
                    .map(f64::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
                    + " fps"
            }
        }
    }
}

#[cfg(test)]
mod tests;
