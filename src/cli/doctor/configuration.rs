//! The configuration: its file, and its problems.

use super::Finding;
use crate::base::state_dir::{OF_THE_SERVICE, StateDir};
use crate::cli::{DEFAULT_DEVICE, Run};
use crate::config::{Config, ConfigErrors, Source};
use crate::daemon::preflight;
use nix::unistd::Uid;
use std::path::{Path, PathBuf};

const CHECK: &str = "config";
/// The file that the service is started with.
const FILE_OF_THE_SERVICE: &str = "/etc/fanlight/fanlight.toml";

/// The configuration that a daemon would have that is started so, or the service's.
/// `None` if it is unusable; then nothing else can be looked at.
pub fn check(run: &Run, findings: &mut Vec<Finding>) -> Option<Config> {
    let service = service(run);
    let file = run.config.as_deref().or(service.as_deref());
    let mut config = match run.configuration_of(file) {
        Ok(config) => config,
        Err(errors) => {
            let cure = "correct the file; docs/config.md describes every key";
            let each = errors.to_string();
            findings.extend(each.lines().map(|line| Finding::fail(CHECK, line, cure)));
            return None;
        }
    };
    if let Some(file) = &service {
        // The environment is this user's, not the service's.
        let own = Config::load(file).ok().and_then(|own| own.state.directory);
        config.state.directory = own.or_else(|| Some(OF_THE_SERVICE.into()));
    }
    // The certificate and the cameras have checks of their own.
    let found = preflight::check(&config).into_iter();
    let wrong = found.filter(|(key, _)| {
        !matches!(
            (key.table, key.name),
            ("tls", "certificate" | "key") | ("stream", _)
        )
    });
    if let Some(errors) = ConfigErrors::of_keys(file, wrong.collect()) {
        let each = errors.to_string();
        let cure = "correct this; fanlight does not start otherwise";
        findings.extend(each.lines().map(|line| Finding::fail(CHECK, line, cure)));
    }
    let streams = config.streams.iter().map(|stream| {
        let source = match &stream.source {
            Source::Device(device) => device.to_string(),
            Source::Pattern(_) => "the test pattern".to_owned(),
        };
        format!("`{}` from {source}", stream.name)
    });
    let streams = streams.collect::<Vec<_>>().join(", ");
    let whose = match (file, &service) {
        (Some(file), Some(_)) => format!("the service's {}", file.display()),
        (Some(file), None) => file.display().to_string(),
        (None, _) if Path::new(FILE_OF_THE_SERVICE).exists() => {
            "the built-in configuration, as no --config is given (`sudo fanlight doctor` checks the service)"
                .to_owned()
        }
        (None, _) => "the built-in configuration, as no --config is given".to_owned(),
    };
    findings.push(Finding::ok(CHECK, format!("{whose}: {streams}")));
    if run.is_fallback() && file.is_none() {
        findings.push(Finding::warn(
            "camera",
            format!("there is no {DEFAULT_DEVICE}: the test pattern is shown"),
            "plug a camera in, or name one with --device; `fanlight cameras` lists them",
        ));
    }
    Some(config)
}

/// The service's file, if the command line names no other daemon, and the service runs or root asks: a user that has installed it
/// wants to know why it does not run.
fn service(run: &Run) -> Option<PathBuf> {
    let file = Path::new(FILE_OF_THE_SERVICE);
    let is_meant = Uid::effective().is_root() || StateDir::is_in_use(Path::new(OF_THE_SERVICE));
    (run.names_nothing() && is_meant && file.exists()).then(|| file.to_owned())
}
