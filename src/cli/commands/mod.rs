//! The commands that print something and end: `cameras`, `controls`, `check-config`, `doctor`, `url`, `share` and `token`.

mod controls;
mod links;
mod place;
mod token;

pub use controls::{ControlsError, controls};
pub use links::{LinkError, Told, share, url};
pub use token::token;

use super::cameras;
use super::doctor::{self, Report};
use crate::base::colour::{self, Style};
use crate::cli::{DoctorArguments, Run};
use crate::config::{Config, ConfigErrors, Key};
use crate::daemon::preflight;
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
        with_heads(&cameras::table(&cameras), colour::is_wanted())
    };
    Ok(text.trim_end().to_owned())
}

/// The table with the device of each camera in bold: where a line begins without a space.
fn with_heads(table: &str, is_wanted: bool) -> String {
    let lines = table.lines().map(|line| match line.split_once("  ") {
        Some((device, rest)) if device.starts_with("/dev/") => {
            format!("{}  {rest}", Style::Bold.paint(device, is_wanted))
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Diagnoses the problems of this machine.
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

/// Notes on a configuration file with which a daemon can start.
///
/// # Errors
/// Everything that is wrong with it, and with what it names.
pub fn check_config(file: &Path) -> Result<Told, ConfigErrors> {
    let config = Config::load(file)?;
    let mut wrong = preflight::check(&config);
    wrong.extend(preflight::state_directory(&config));
    if let Some(errors) = ConfigErrors::of_keys(Some(file), wrong) {
        return Err(errors);
    }
    let names: Vec<_> = config.streams.iter().map(|s| s.name.as_str()).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    Ok(Told {
        text: format!(
            "{}: valid; {} stream{plural}: {}",
            file.display(),
            names.len(),
            names.join(", ")
        ),
        notes: preflight::absent_cameras(&config),
    })
}

/// The configuration of a daemon that can start with it.
///
/// # Errors
/// Everything that is wrong with it, and with what it names.
pub fn configuration(arguments: &Run) -> Result<Config, ConfigErrors> {
    let config = arguments.configuration()?;
    let mut wrong = preflight::check(&config);
    let first = Key::of_stream(0, "device");
    let at = wrong.iter().position(|(key, _)| *key == first);
    if let (Some(_), Some(at)) = (&arguments.device, at) {
        let (_, why) = wrong.swap_remove(at);
        return Err(ConfigErrors::of_option("--device", why));
    }
    ConfigErrors::of_keys(arguments.config.as_deref(), wrong).map_or(Ok(config), Err)
}
