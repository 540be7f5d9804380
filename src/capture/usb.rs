//! A reset of a camera's USB device, as if it were pulled out and plugged in again: some cameras that hang come back by it.

use nusb::MaybeFuture;
use std::fs;
use std::path::{Path, PathBuf};

/// Resets the USB device that a video device node belongs to. Blocks for up to a second.
///
/// # Errors
/// A sentence: the camera is not a USB device, or this user may not.
pub fn reset(node: &Path) -> Result<(), String> {
    let device = device_of(node).ok_or_else(|| format!("{} is not on USB", node.display()))?;
    let mut devices = nusb::list_devices()
        .wait()
        .map_err(|error| format!("can't list USB devices: {error}"))?;
    let found = devices.find(|info| fs::canonicalize(info.sysfs_path()).is_ok_and(|p| p == device));
    let info = found.ok_or_else(|| format!("{} is gone", node.display()))?;
    let place = format!(
        "/dev/bus/usb/{:03}/{:03}",
        info.busnum(),
        info.device_address()
    );
    let refused = |error: nusb::Error| {
        let cure = if error.kind() == nusb::ErrorKind::PermissionDenied {
            "; give the user that runs fanlight the right to write to it, see usb_reset in docs/config.md"
        } else {
            ""
        };
        format!("{place}: {error}{cure}")
    };
    let opened = info.open().wait().map_err(refused)?;
    opened.reset().wait().map_err(refused)
}

/// Its folder in sysfs.
fn device_of(node: &Path) -> Option<PathBuf> {
    let node = fs::canonicalize(node).ok()?;
    let device = Path::new("/sys/class/video4linux")
        .join(node.file_name()?)
        .join("device");
    let (_, folder) = above(&fs::canonicalize(device).ok()?)?;
    Some(folder)
}

/// The numbers that tell USB devices apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub vendor: u16,
    pub product: u16,
    pub serial: Option<String>,
}

/// The USB device that a folder of sysfs belongs to, itself or the nearest above, and its folder.
pub fn above(folder: &Path) -> Option<(Identity, PathBuf)> {
    folder.ancestors().find_map(|at| {
        let number = |name| u16::from_str_radix(&read(&at.join(name))?, 16).ok();
        let identity = Identity {
            vendor: number("idVendor")?,
            product: number("idProduct")?,
            serial: read(&at.join("serial")),
        };
        Some((identity, at.to_owned()))
    })
}

/// The text of a file without what would not be seen in a log and could not be written into a configuration; `None` if nothing is
/// left.
pub fn read(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_above_an_interface_is_found_and_not_the_hub_above_that() {
        let root = std::env::temp_dir().join(format!("fanlight-usb-{}", std::process::id()));
        let interface = root.join("usb1/1-2/1-2:1.0");
        fs::create_dir_all(&interface).unwrap();
        assert_eq!(above(&interface), None);
        let write = |at: &str, text| fs::write(root.join(at), text).unwrap();
        // The hub has numbers too.
        write("usb1/idVendor", "1d6b\n");
        write("usb1/idProduct", "0002\n");
        write("usb1/1-2/idVendor", "046d\n");
        write("usb1/1-2/idProduct", "0825\n");
        let mut identity = Identity {
            vendor: 0x046d,
            product: 0x0825,
            serial: None,
        };
        let folder = root.join("usb1/1-2");
        let found = above(&interface);
        assert_eq!(found, Some((identity.clone(), folder.clone())));
        write("usb1/1-2/serial", "A\u{7}B12\n");
        identity.serial = Some("AB12".into());
        assert_eq!(above(&interface), Some((identity, folder)));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_not_on_usb_is_not_reset() {
        let error = reset(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error, "/dev/null is not on USB");
        let error = reset(Path::new("/dev/video4000000000")).unwrap_err();
        assert_eq!(error, "/dev/video4000000000 is not on USB");
    }
}
