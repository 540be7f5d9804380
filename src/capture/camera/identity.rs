//! Which camera it is, whatever `/dev/videoN` it has today: what is kept of a camera is kept by this.

use super::Node;
use std::fs;
use std::path::Path;

/// Of one part, such as a serial number; longer ones are cut.
const LONGEST: usize = 64;

impl Node {
    /// `usb:VVVV:PPPP` or `usb:VVVV:PPPP:SERIAL` for a USB camera, in whatever port; for others their name and where they
    /// are attached. Two cameras of one model without serial numbers are the same by this.
    pub fn identity(&self) -> String {
        let device = format!("/sys/class/video4linux/video{}/device", self.index);
        let usb = fs::canonicalize(device).ok().and_then(|at| usb(&at));
        usb.unwrap_or_else(|| format!("{}@{}", plain(&self.name), plain(&self.bus)))
    }
}

/// The USB device that a folder of sysfs belongs to: itself or one above.
fn usb(at: &Path) -> Option<String> {
    let read = |at: &Path, name| {
        let text = fs::read_to_string(at.join(name)).ok()?;
        Some(plain(text.trim())).filter(|text| !text.is_empty())
    };
    at.ancestors().find_map(|at| {
        let (vendor, product) = (read(at, "idVendor")?, read(at, "idProduct")?);
        let serial = read(at, "serial").map_or_else(String::new, |serial| format!(":{serial}"));
        Some(format!("usb:{vendor}:{product}{serial}"))
    })
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
    fn a_usb_camera_is_known_by_the_device_above_its_interface() {
        let root = std::env::temp_dir().join(format!("fanlight-identity-{}", std::process::id()));
        let interface = root.join("usb1/1-2/1-2:1.0");
        fs::create_dir_all(&interface).unwrap();
        assert_eq!(usb(&interface), None);
        let write = |at: &str, text| fs::write(root.join(at), text).unwrap();
        // The hub above has numbers too.
        write("usb1/idVendor", "1d6b\n");
        write("usb1/idProduct", "0002\n");
        write("usb1/1-2/idVendor", "046d\n");
        write("usb1/1-2/idProduct", "0825\n");
        assert_eq!(usb(&interface).as_deref(), Some("usb:046d:0825"));
        write("usb1/1-2/serial", "A\u{7}B12\n");
        assert_eq!(usb(&interface).as_deref(), Some("usb:046d:0825:AB12"));
        fs::remove_dir_all(root).unwrap();
    }
}
