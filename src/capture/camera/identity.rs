//! The identity of a camera, whatever `/dev/videoN` it has today: values are kept by this identity.

use super::Node;
use crate::capture::usb::{Identity, above};
use std::fs;

/// The greatest length of one part, such as a serial number; longer parts are cut.
const LONGEST: usize = 64;

impl Node {
    /// `usb:VVVV:PPPP` or `usb:VVVV:PPPP:SERIAL` for a USB camera, in whatever port; for others their name and where they
    /// are attached. Two cameras of one model without serial numbers are the same by this.
    pub fn identity(&self) -> String {
        let device = format!("/sys/class/video4linux/video{}/device", self.index);
        let usb = fs::canonicalize(device).ok().and_then(|at| above(&at));
        match usb {
            Some((usb, _)) => of_usb(&usb),
            None => format!("{}@{}", plain(&self.name), plain(&self.bus)),
        }
    }
}

fn of_usb(usb: &Identity) -> String {
    let serial = usb.serial.as_deref().map(plain);
    let serial = serial.map_or_else(String::new, |serial| format!(":{serial}"));
    format!("usb:{:04x}:{:04x}{serial}", usb.vendor, usb.product)
}

/// Without what would not be seen in a log.
fn plain(text: &str) -> String {
    let seen = text.chars().filter(|c| !c.is_control());
    seen.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usb_camera_is_known_by_its_numbers() {
        let mut usb = Identity {
            vendor: 0x046d,
            product: 0x0825,
            serial: None,
        };
        assert_eq!(of_usb(&usb), "usb:046d:0825");
        usb.serial = Some("AB12".into());
        assert_eq!(of_usb(&usb), "usb:046d:0825:AB12");
    }
}
