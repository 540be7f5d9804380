//! The cameras: there, allowed, free, and able to deliver the configured pictures.

use super::Finding;
use crate::base::holders;
use crate::capture::camera::{Camera, Claims};
use crate::capture::{CaptureError, ErrorKind, Request};
use crate::config::{Config, Device};
use crate::daemon::preflight::instead;
use crate::stream::wanted;
use nix::unistd::{Gid, Group, Uid, User, getgroups};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

const CHECK: &str = "camera";

/// The results of the check.
pub struct Cameras {
    /// One for each camera, and more.
    pub findings: Vec<Finding>,
    /// The names of the streams whose camera is unusable.
    pub failed: Vec<String>,
}

/// The time for all drivers together. One that does not answer blocks its caller.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks at each stream's camera; nothing is changed, so a running capture is not disturbed. While a daemon runs it may be the one
/// that has them.
pub async fn check(config: &Config, has_daemon: bool) -> Cameras {
    let own = config.clone();
    let look = tokio::task::spawn_blocking(move || look(&own, has_daemon));
    match timeout(PATIENCE, look).await {
        Ok(Ok(cameras)) => cameras,
        _ => Cameras {
            findings: vec![Finding::fail(
                CHECK,
                format!("a camera's driver did not answer within {PATIENCE:?}"),
                "unplug the camera and plug it in again; `dmesg` may name the cause",
            )],
            failed: config
                .streams
                .iter()
                .map(|stream| stream.name.clone())
                .collect(),
        },
    }
}

fn look(config: &Config, has_daemon: bool) -> Cameras {
    let mut cameras = Cameras {
        findings: Vec::new(),
        failed: Vec::new(),
    };
    let slots = Claims::slots(config);
    for stream in &config.streams {
        let Some(slot) = slots.get(&stream.name) else {
            continue;
        };
        let device = slot.device();
        let request = Request {
            size: stream.size,
            rate: stream.fps,
            format: stream.format,
        };
        let camera = Camera::new(slot.clone(), request, stream.backend);
        let node = slot.node();
        match node
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|_| camera.examine(wanted(stream)))
        {
            Ok(what) => {
                let path = node.unwrap_or_default();
                (cameras.findings).push(Finding::ok(CHECK, format!("{device}: {what}")));
                cameras.findings.extend(users(&path, has_daemon));
            }
            Err(error) => {
                let cure = cure(&error, &node.unwrap_or_default());
                cameras.failed.push(stream.name.clone());
                let instead = match (error.kind, device) {
                    (ErrorKind::NotFound, Device::Path(path)) => instead(path),
                    _ => String::new(),
                };
                let seen = format!("{error}{instead}");
                (cameras.findings).push(Finding::fail(CHECK, seen, cure));
            }
        }
    }
    cameras
}

/// The other processes that have it open, which is no fault yet: many can look at a camera, and one can capture.
fn users(path: &Path, has_daemon: bool) -> Option<Finding> {
    let mut users = holders::of_device(path);
    users.retain(|user| !(has_daemon && user.name == "fanlight"));
    let told = holders::told(&users)?;
    let seen = format!("{} is open in {told}", path.display());
    Some(Finding::warn(
        CHECK,
        seen,
        "close that program if the camera turns out to be busy",
    ))
}

fn cure(error: &CaptureError, path: &Path) -> String {
    match error.kind {
        _ if error.has_own_cure() => error.cure().to_owned(),
        ErrorKind::NoPermission => permission(path).unwrap_or_else(|| error.cure().to_owned()),
        ErrorKind::Busy => {
            let users = holders::told(&holders::of_device(path));
            let users =
                users.unwrap_or_else(|| format!("`sudo fuser -v {}` names it", path.display()));
            format!("{}: {users}", error.cure())
        }
        _ => error.cure().to_owned(),
    }
}

/// The permission that this user lacks for the device.
fn permission(path: &Path) -> Option<String> {
    let gid = Gid::from_raw(fs::metadata(path).ok()?.gid());
    let group = Group::from_gid(gid).ok()??;
    let user = User::from_uid(Uid::effective()).ok()??.name;
    let has = getgroups().is_ok_and(|groups| groups.contains(&gid));
    Some(advice(
        &group.name,
        &user,
        group.mem.contains(&user),
        has,
        path,
    ))
}

fn advice(group: &str, user: &str, is_member: bool, has: bool, path: &Path) -> String {
    let path = path.display();
    if group == "root" || has {
        return format!(
            "give the device to the group `video` (udev does so on most systems; a container needs `--group-add video`): \
             `sudo chgrp video {path} && sudo chmod g+rw {path}`"
        );
    }
    if is_member {
        return format!(
            "log out and in again, or restart fanlight: {user} is in the group `{group}`, but was not when this session began"
        );
    }
    format!("run `sudo usermod -aG {group} {user}`, then log out and in again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_for_the_device_is_told() {
        let advice =
            |group, is_member, has| advice(group, "eva", is_member, has, Path::new("/dev/video0"));
        assert!(advice("video", false, false).starts_with("run `sudo usermod -aG video eva`"));
        assert!(advice("video", true, false).starts_with("log out and in again"));
        assert!(advice("root", false, false).contains("chgrp video /dev/video0"));
    }
}
