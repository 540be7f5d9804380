//! Names on a tree that looks like sysfs.

use super::*;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};

/// Two cameras of one model, each with its metadata, an infrared camera beside one of them, and a codec.
struct Tree(Places);

impl Tree {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = format!("fanlight-names-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(root);
        let tree = Self(Places {
            class: root.join("class"),
            dev: root.join("dev"),
        });
        for (port, serial) in [("1-1", Some("A\u{7}1")), ("1-2", None)] {
            tree.write(&format!("usb1/{port}/idVendor"), "046d\n");
            tree.write(&format!("usb1/{port}/idProduct"), "0825\n");
            if let Some(serial) = serial {
                tree.write(&format!("usb1/{port}/serial"), serial);
            }
        }
        // The hub has numbers too.
        tree.write("usb1/idVendor", "1d6b\n");
        tree.write("usb1/idProduct", "0002\n");
        tree.device(0, "codec", "platform/codec");
        tree.device(1, "Cam", "usb1/1-1/1-1:1.0");
        tree.device(2, "Cam", "usb1/1-1/1-1:1.0");
        tree.device(3, "Cam IR", "usb1/1-1/1-1:1.2");
        tree.device(10, "Cam", "usb1/1-2/1-2:1.0");
        tree
    }

    fn root(&self) -> &Path {
        self.0.class.parent().unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.root().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn device(&self, number: u32, name: &str, at: &str) {
        self.write(&format!("class/video{number}/name"), &format!("{name}\n"));
        let at = self.root().join(at);
        fs::create_dir_all(&at).unwrap();
        let link = self.0.class.join(format!("video{number}/device"));
        symlink(at, link).unwrap();
    }

    fn node(&self, number: u32) -> PathBuf {
        self.0.dev.join(format!("video{number}"))
    }

    fn probe(&self, node: &Path) -> Probed {
        if [0, 2]
            .map(|number| self.node(number))
            .contains(&node.to_owned())
        {
            Probed::Other
        } else {
            Probed::Camera
        }
    }

    fn resolve(&self, text: &str, taken: &[u32]) -> Result<PathBuf, CaptureError> {
        let is_taken = |node: &Path| taken.iter().any(|number| self.node(*number) == node);
        let probe = |node: &Path| self.probe(node);
        resolve(&text.parse().unwrap(), &self.0, probe, is_taken)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(self.root()).unwrap();
    }
}

#[test]
fn a_name_means_the_first_camera_that_nobody_has() {
    let tree = Tree::new();
    for (name, taken, node) in [
        ("auto", &[][..], 1),
        ("auto", &[1, 3], 10),
        ("usb:046d:0825", &[], 1),
        ("usb:046d:0825", &[1, 3], 10),
        // The system says who has it.
        ("usb:046d:0825", &[1, 3, 10], 1),
        ("usb:046d:0825:A1", &[], 1),
        ("name:Cam", &[], 1),
        ("name:Cam IR", &[], 3),
    ] {
        assert_eq!(tree.resolve(name, taken), Ok(tree.node(node)), "{name}");
    }
    let path = Path::new("/dev/v4l/by-id/cam");
    assert_eq!(tree.resolve("/dev/v4l/by-id/cam", &[]), Ok(path.into()));
    let error = tree.resolve("auto", &[1, 3, 10]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
}

#[test]
fn a_camera_that_is_not_there_is_told_with_those_that_are() {
    let tree = Tree::new();
    let error = tree.resolve("usb:1d6b:0003", &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let dev = tree.0.dev.display();
    assert_eq!(
        error.detail,
        format!(
            "usb:1d6b:0003: no such camera; the cameras are {dev}/video1 (usb:046d:0825:A1), \
             {dev}/video3 (name:Cam IR), {dev}/video10"
        )
    );
    let nowhere = Places {
        class: tree.root().join("nowhere"),
        ..tree.0.clone()
    };
    let none = resolve(&Device::Auto, &nowhere, |_| Probed::Camera, |_| false);
    assert_eq!(
        none.unwrap_err().detail,
        "auto: no such camera; no camera is connected"
    );
}

#[test]
fn a_camera_that_may_not_be_opened_is_taken_only_if_there_is_no_other() {
    let tree = Tree::new();
    let probe = |node: &Path| match tree.probe(node) {
        Probed::Camera if node == tree.node(1) => Probed::Unknown,
        probed => probed,
    };
    let auto = |is_taken: fn(&Path) -> bool| resolve(&Device::Auto, &tree.0, probe, is_taken);
    assert_eq!(auto(|_| false), Ok(tree.node(3)));
    let error = auto(|_| true).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    let first_taken = |node: &Path| node != tree.node(1);
    let named = resolve(&Device::Auto, &tree.0, probe, first_taken);
    assert_eq!(named, Ok(tree.node(1)));
}

#[test]
fn a_camera_plugged_in_again_is_found_under_its_new_node() {
    let tree = Tree::new();
    assert_eq!(tree.resolve("usb:046d:0825:A1", &[]), Ok(tree.node(1)));
    fs::remove_dir_all(tree.0.class.join("video1")).unwrap();
    fs::remove_dir_all(tree.0.class.join("video3")).unwrap();
    tree.device(4, "Cam", "usb1/1-1/1-1:1.0");
    assert_eq!(tree.resolve("usb:046d:0825:A1", &[]), Ok(tree.node(4)));
}
