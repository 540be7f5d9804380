//! The page around the picture, in headless Chromium: buttons and keys, panels, the grid, other cameras, links, frames of
//! other sites, and whether everybody can use it.
//!
//! Leaves screenshots of what it saw in `target/screenshots`.

#[path = "../support/mod.rs"]
mod support;

mod accessibility;
mod bar;
mod cameras;
mod contrast;
mod frames;
mod links;
mod panels;
mod snapshot;

/// Sizes of windows: a desktop's, and a phone's held upright and on its side.
const DESKTOP: (u32, u32) = (1280, 800);
/// See [`DESKTOP`].
const UPRIGHT: (u32, u32) = (390, 844);
/// See [`DESKTOP`].
const ON_ITS_SIDE: (u32, u32) = (844, 390);

/// A configuration of small streams with the test pattern.
fn streams(names: &[&str]) -> String {
    let stream = |name: &&str| {
        format!("[[stream]]\nname = \"{name}\"\npattern = true\nsize = \"640x360\"\nfps = 15\n")
    };
    names.iter().map(stream).collect()
}

/// A stream whose camera is not there.
const NO_CAMERA: &str = "[[stream]]\nname = \"attic\"\ndevice = \"/dev/video99\"\n";
