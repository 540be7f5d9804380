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
    let device = fs::canonicalize(device).ok()?;
    let mut up = device.ancestors();
    up.find(|folder| folder.join("busnum").exists() && folder.join("devnum").exists())
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_usb_is_not_reset() {
        let error = reset(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error, "/dev/null is not on USB");
        let error = reset(Path::new("/dev/video4000000000")).unwrap_err();
        assert_eq!(error, "/dev/video4000000000 is not on USB");
    }
}
