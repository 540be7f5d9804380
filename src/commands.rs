//! The commands that print something and end: `cameras`, `controls`, `check-config`, `url` and `share`.

mod controls;
mod links;

pub use controls::{ControlsError, controls};
pub use links::{LinkError, share, url};

use crate::cameras;
use crate::config::{Config, ConfigErrors};
use std::io;
use std::path::Path;

/// The cameras of this machine as a table, or as JSON.
///
/// # Errors
/// When the system doesn't list its devices.
pub fn cameras(json: bool) -> io::Result<String> {
    let cameras = cameras::list()?;
    let text = if json {
        cameras::json(&cameras)
    } else {
        cameras::table(&cameras)
    };
    Ok(text.trim_end().to_owned())
}

/// What there is to say of a configuration file that is good.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check_config(file: &Path) -> Result<String, ConfigErrors> {
    let config = Config::load(file)?;
    let names: Vec<_> = config.streams.iter().map(|s| s.name.as_str()).collect();
    Ok(format!(
        "{}: good, with {} stream(s): {}",
        file.display(),
        names.len(),
        names.join(", ")
    ))
}
