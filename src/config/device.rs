//! The names of a camera in the configuration, and the library that captures it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Names a camera; which device node that is, is looked up each time it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Device {
    /// The first camera that no other stream names or has open.
    Auto,
    /// A device node, or a link to one such as those in `/dev/v4l/by-id` and `/dev/v4l/by-path`.
    Path(PathBuf),
    /// A USB camera by what its descriptors say, in whatever port.
    Usb {
        /// `idVendor`.
        vendor: u16,
        /// `idProduct`.
        product: u16,
        /// `iSerialNumber`; without it the first such camera.
        serial: Option<String>,
    },
    /// The name that the camera gives itself, such as `HD Pro Webcam C920`.
    Name(String),
}

impl Device {
    /// Every way to name a camera.
    pub const EXPECTED: &str = "the path of a camera such as \"/dev/video0\", \"usb:VVVV:PPPP\" with its USB numbers in \
        hexadecimal and perhaps \":SERIAL\", \"name:\" and its name, or \"auto\"";

    /// The name that the user probably meant by a text that names no camera.
    fn meant(text: &str) -> Option<String> {
        let text = text.trim();
        let bare = text.trim_start_matches("./").trim_start_matches("dev/");
        let digits = match bare.split_at_checked(5) {
            Some((word, rest)) if word.eq_ignore_ascii_case("video") => rest.trim(),
            _ => bare,
        };
        let candidates = [
            digits
                .parse::<u32>()
                .ok()
                .map(|number| format!("/dev/video{number}")),
            bare.starts_with("v4l/").then(|| format!("/dev/{bare}")),
            Some(format!("usb:{text}")),
            text.split_once(':')
                .map(|(kind, rest)| format!("{}:{rest}", kind.to_ascii_lowercase())),
            with_zeros(text),
            (strsim::damerau_levenshtein(&text.to_ascii_lowercase(), "auto") == 1)
                .then(|| "auto".to_owned()),
        ];
        let names_a_camera = |candidate: &String| candidate.parse::<Self>().is_ok();
        candidates.into_iter().flatten().find(names_a_camera)
    }

    /// Reads what a user wrote.
    ///
    /// # Errors
    /// A sentence that says what was expected, and what may have been meant.
    pub fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|expected| {
            if text.contains("://") {
                return OF_THE_NETWORK.to_owned();
            }
            match Self::meant(text) {
                Some(meant) => format!("did you mean \"{meant}\"? Expected {expected}; `fanlight cameras` lists the cameras"),
                None => format!("expected {expected}; `fanlight cameras` lists the cameras"),
            }
        })
    }
}

/// For a URL.
const OF_THE_NETWORK: &str = "network cameras are not supported: fanlight shows the cameras of the machine that it runs on, and \
    `fanlight cameras` lists them";

/// `usb:46d:82d` with the zeros that USB numbers begin with.
fn with_zeros(text: &str) -> Option<String> {
    let (kind, numbers) = text.split_once(':')?;
    if !kind.eq_ignore_ascii_case("usb") {
        return None;
    }
    let mut parts = numbers.splitn(3, ':');
    let (vendor, product) = (parts.next()?, parts.next()?);
    let hex = |text: &str| {
        let text = text.trim_start_matches("0x");
        u16::from_str_radix(text, 16).ok()
    };
    let serial = parts.next().map(|serial| format!(":{serial}"));
    Some(format!(
        "usb:{:04x}:{:04x}{}",
        hex(vendor)?,
        hex(product)?,
        serial.unwrap_or_default()
    ))
}

impl FromStr for Device {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let is_number = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            u16::from_str_radix(text, 16).ok().filter(|_| is_number)
        };
        let device = if text.contains(char::is_control) {
            None
        } else if text.starts_with('/') {
            Some(Self::Path(PathBuf::from(text)))
        } else if text.eq_ignore_ascii_case("auto") {
            Some(Self::Auto)
        } else if let Some(name) = text.strip_prefix("name:") {
            Some(Self::Name(name.trim().to_owned())).filter(|_| !name.trim().is_empty())
        } else {
            // A serial number may have colons.
            let parts = text.strip_prefix("usb:").unwrap_or_default();
            let mut parts = parts.splitn(3, ':');
            let mut next_number = || parts.next().and_then(number);
            let (vendor, product) = (next_number(), next_number());
            vendor.zip(product).and_then(|(vendor, product)| {
                let serial = parts.next().map(str::to_owned);
                let is_empty = serial.as_ref().is_some_and(String::is_empty);
                (!is_empty).then_some(Self::Usb {
                    vendor,
                    product,
                    serial,
                })
            })
        };
        device.ok_or(Self::EXPECTED)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Usb {
                vendor,
                product,
                serial,
            } => {
                write!(f, "usb:{vendor:04x}:{product:04x}")?;
                match serial {
                    Some(serial) => write!(f, ":{serial}"),
                    None => Ok(()),
                }
            }
            Self::Name(name) => write!(f, "name:{name}"),
        }
    }
}

impl From<&str> for Device {
    /// A path, whatever it looks like.
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

/// The library that captures a camera.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// `v4l` on Linux, `nokhwa` elsewhere.
    #[default]
    Auto,
    /// The `v4l` crate, and a loop of our own.
    V4l,
    /// The portable library.
    Nokhwa,
}

impl Backend {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::V4l, Self::Nokhwa];

    /// The name that the configuration uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::V4l => "v4l",
            Self::Nokhwa => "nokhwa",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_named_in_many_ways() {
        for text in [
            "auto",
            "/dev/video0",
            "/dev/v4l/by-id/usb-Cam-video-index0",
            "usb:046d:0825",
            "usb:046d:082d:A1B2:C3",
            "name:HD Pro Webcam C920",
        ] {
            let device: Device = text.parse().unwrap();
            assert_eq!(device.to_string(), text);
        }
        assert_eq!("AUTO".parse(), Ok(Device::Auto));
        assert_eq!(
            "usb:046D:0825".parse(),
            Ok(Device::Usb {
                vendor: 0x46d,
                product: 0x825,
                serial: None
            })
        );
        for wrong in [
            "",
            "video0",
            "usb:",
            "usb:46d:825",
            "usb:046d",
            "usb:046d:+825",
            "usb:046d:0825:",
            "name:",
            "name: ",
            "/dev/\nvideo0",
        ] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_mistyped_camera_is_answered_with_the_one_that_was_meant() {
        for (text, meant) in [
            ("video7", "/dev/video7"),
            ("7", "/dev/video7"),
            ("dev/video0", "/dev/video0"),
            ("Video 0", "/dev/video0"),
            ("v4l/by-id/usb-Cam", "/dev/v4l/by-id/usb-Cam"),
            ("046d:082d", "usb:046d:082d"),
            ("USB:046D:082D", "usb:046D:082D"),
            ("usb:46d:82d", "usb:046d:082d"),
            ("usb:0x46d:0x82d:A1:B2", "usb:046d:082d:A1:B2"),
            ("Name:HD Pro", "name:HD Pro"),
            ("aut", "auto"),
        ] {
            let told = Device::read(text).unwrap_err();
            assert!(
                told.starts_with(&format!("did you mean \"{meant}\"?")),
                "{told}"
            );
        }
        for url in ["rtsp://eva:secret@cam.lan/1", "http://cam.lan/video"] {
            let told = Device::read(url).unwrap_err();
            assert!(
                told.starts_with("network cameras are not supported"),
                "{told}"
            );
            assert!(!told.contains("secret"), "{told}");
        }
        for text in ["", "g2.toml", "vidéo0", "the garden's"] {
            let told = Device::read(text).unwrap_err();
            assert!(told.contains("`fanlight cameras` lists"), "{told}");
        }
    }
}
