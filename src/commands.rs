//! The commands that print something and end: `cameras`, `controls`, `check-config`, `doctor`, `url`, `share` and `token`.

mod controls;
mod links;
mod token;

pub use controls::{ControlsError, controls};
pub use links::{LinkError, share, url};
pub use token::token;

use crate::cameras;
use crate::cli::DoctorArguments;
use crate::config::{Config, ConfigErrors};
use crate::doctor::{self, Report};
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

/// What is the matter with this machine.
///
/// # Errors
/// When the system has no threads.
pub fn doctor(arguments: &DoctorArguments) -> io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = runtime.block_on(doctor::examine(arguments));
    // A camera whose driver blocks must not keep the process.
    runtime.shutdown_background();
    Ok(report)
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
