//! Obstacles to opening a camera: the process that holds it, the group that may open it. Read from `/proc` and `/etc/group`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The cure where the process that holds a camera may be this one.
const OWN: &str = "close the other program, or remove the stream that has the same camera";

/// The cure where the group is right and something else is in the way.
pub(super) const SANDBOX: &str =
    "give the device to the sandbox or container that fanlight runs in";

/// An obstacle: the end of a sentence about a node, and a cure if there is a better one than that of the kind of error.
pub(super) type Hindrance = (String, Option<&'static str>);

/// Names the process that has the node open.
pub(super) fn holder(node: &Path) -> Hindrance {
    let node = fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
    holder_in(Path::new("/proc"), &node, std::process::id())
}

fn holder_in(proc: &Path, node: &Path, own: u32) -> Hindrance {
    // A sandbox such as that of the service shows other users' processes not at all.
    let (mut is_hidden, mut is_own) = (!proc.join("1").exists(), false);
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    for process in processes {
        let Some(id) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            // Another user's, or gone in this moment.
            is_hidden |= process.path().exists();
            continue;
        };
        let mut descriptors = descriptors.flatten();
        if !descriptors.any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == node)) {
            continue;
        }
        if id == own {
            is_own = true;
            continue;
        }
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        return (format!("{} (process {id}) is using it", name.trim()), None);
    }
    if is_own {
        // The descriptor that the question came by is among them, so this is the least likely.
        (
            "another stream or program is using it".to_owned(),
            Some(OWN),
        )
    } else if is_hidden {
        let unseen = "another program is using it; `sudo fuser -v` names it";
        (unseen.to_owned(), None)
    } else {
        ("another program is using it".to_owned(), None)
    }
}

/// The number of a group for a process that can't see it: one in a user namespace without it, as in the service (`overflowgid`).
const UNSEEN: u32 = 65_534;

/// Says why the node may not be opened; empty if that can't be told.
pub(super) fn who_may(node: &Path) -> Hindrance {
    let Ok(data) = fs::metadata(node) else {
        return (String::new(), None);
    };
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mode = data.permissions().mode();
    who_may_by(data.gid(), mode, &groups, &status)
}

fn who_may_by(gid: u32, mode: u32, groups: &str, status: &str) -> Hindrance {
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(gid)).then(|| name.to_owned())
    });
    let name = name.unwrap_or_else(|| gid.to_string());
    let field = |label: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(label));
        let numbers = line.unwrap_or_default().split_whitespace();
        numbers
            .filter_map(|id| id.parse::<u32>().ok())
            .collect::<Vec<_>>()
    };
    let is_member = field("Groups:").contains(&gid) || field("Gid:").get(1) == Some(&gid);
    // Reading and writing by the group.
    if mode & 0o060 != 0o060 {
        (
            format!(
                "; its mode is {:04o}, which gives no group access",
                mode & 0o7777
            ),
            Some("let the group `video` read and write the device with a udev rule"),
        )
    } else if gid == UNSEEN {
        (
            "; its group can't be seen inside this sandbox or container, but `ls -l` outside shows it"
                .to_owned(),
            Some(SANDBOX),
        )
    } else if is_member {
        (
            format!(
                "; this process is in its group `{name}`, so a sandbox or a container is in the way"
            ),
            Some(SANDBOX),
        )
    } else {
        (
            format!("; it belongs to the group `{name}`, which this process is not in"),
            Some("add the user that runs fanlight to that group and log in again"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_process_that_holds_a_device_is_named_if_it_can_be_seen() {
        let root = std::env::temp_dir().join(format!("fanlight-holders-{}", std::process::id()));
        let node = Path::new("/dev/video7");
        let process = |id: &str, target: Option<&Path>| {
            let folder = root.join(id);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("comm"), format!("name-of-{id}\n")).unwrap();
            if let Some(target) = target {
                fs::create_dir_all(folder.join("fd")).unwrap();
                symlink(target, folder.join("fd/3")).unwrap();
            }
        };
        process("self", Some(node));
        assert!(
            holder_in(&root, node, 1)
                .0
                .contains("`sudo fuser -v` names it")
        );
        process("1", Some(Path::new("/dev/null")));
        process("12", Some(Path::new("/dev/video8")));
        let holder = |own| holder_in(&root, node, own).0;
        assert_eq!(holder(2), "another program is using it");
        process("13", None);
        assert!(holder(2).contains("`sudo fuser -v` names it"));
        process("14", Some(node));
        assert_eq!(holder(14), "another stream or program is using it");
        assert_eq!(holder_in(&root, node, 14).1, Some(OWN));
        assert_eq!(holder(2), "name-of-14 (process 14) is using it");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_group_that_may_open_a_device_is_named() {
        let groups = "root:x:0:\nvideo:x:44:ann,bob\nrender:x:105:\n";
        let status = "Name:\tfanlight\nGid:\t998\t998\t998\t998\nGroups:\t20 44 \n";
        let who = |gid, mode| {
            let (told, cure) = who_may_by(gid, mode, groups, status);
            assert!(cure.is_some(), "{told}");
            told
        };
        assert!(
            who(105, 0o020_660).contains("to the group `render`, which this process is not in")
        );
        assert!(who(44, 0o020_660).contains("in its group `video`, so a sandbox"));
        assert!(who(998, 0o020_660).contains("in its group `998`"));
        // Within the service's sandbox, where it is in groups that can't be seen either.
        let status = "Gid:\t998\t998\t998\t998\nGroups:\t65534 998 \n";
        let (told, cure) = who_may_by(65_534, 0o020_660, "nogroup:x:65534:\n", status);
        assert_eq!(cure, Some(SANDBOX));
        assert!(told.contains("`ls -l` outside shows it") && !told.contains("nogroup"));
        assert!(who(0, 0o020_600).contains("its mode is 0600"));
    }
}
