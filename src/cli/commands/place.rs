//! Which daemon a command is about: its state directory, what it noted there, and whether it runs.

use super::links::LinkError;
use crate::base::state_dir::{OF_THE_SERVICE, StateDir, default_directory};
use crate::cli::Place;
use crate::config::Config;
use crate::daemon::serving::{FILE, Serving};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time for a connection on this machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// A daemon that has run, and perhaps runs.
pub struct Found {
    /// Its state directory.
    pub state: StateDir,
    /// Where and how it serves, or served when it ran last.
    pub serving: Serving,
    directory: PathBuf,
    /// Where the configuration file that the command names has it listen.
    configured: Option<(PathBuf, SocketAddr)>,
}

impl Found {
    /// Whether it runs and answers.
    ///
    /// # Errors
    /// [`LinkError::Stopped`], [`LinkError::Silent`].
    pub fn is_running(&self) -> Result<(), LinkError> {
        if !StateDir::is_in_use(&self.directory) {
            let hint = match is_denied(Path::new(OF_THE_SERVICE)) {
                true => "; for the installed service, use sudo",
                false => "",
            };
            return Err(LinkError::Stopped(self.directory.clone(), hint));
        }
        let address = self.serving.local_address();
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => Ok(()),
            Err(_) => Err(LinkError::Silent(address)),
        }
    }

    /// That it is another daemon than the configuration file describes, to all appearances.
    pub fn doubt(&self) -> Option<String> {
        let (file, listen) = self.configured.as_ref()?;
        let (configured, actual) = (listen.port(), self.serving.http.port());
        (configured != 0 && configured != actual).then(|| {
            format!(
                "{} has port {configured}, but the fanlight with the state directory {} uses port {actual}; \
                 if you mean another one, name its state directory with --state-dir",
                file.display(),
                self.directory.display()
            )
        })
    }
}

/// The state directory, and what the daemon there noted.
pub fn open(place: &Place) -> Result<Found, LinkError> {
    let config = place.config.as_deref().map(Config::load).transpose()?;
    let configured = config.as_ref().map(|config| config.http.listen);
    let named = place.state_dir.clone().or_else(|| config?.state.directory);
    let candidates = match named {
        Some(path) => vec![path],
        None => {
            let usual = default_directory(|name| std::env::var_os(name));
            usual.into_iter().chain([OF_THE_SERVICE.into()]).collect()
        }
    };
    let missing = || {
        let shown = candidates.iter().map(|path| path.display().to_string());
        LinkError::NeverRan(shown.collect::<Vec<_>>().join(" or "))
    };
    // One that runs now before one that ran once.
    let used = candidates.iter().find(|path| StateDir::is_in_use(path));
    let is_known = |path: &&PathBuf| is_denied(path) || path.join(FILE).exists();
    let path = used.or_else(|| candidates.iter().find(is_known));
    let path = path.ok_or_else(missing)?;
    if is_denied(path) {
        return Err(LinkError::Denied(path.clone()));
    }
    let state = StateDir::look(path)?;
    let serving = Serving::of_last(&state)?.ok_or_else(missing)?;
    Ok(Found {
        state,
        serving,
        directory: path.clone(),
        configured: place.config.clone().zip(configured),
    })
}

fn is_denied(path: &Path) -> bool {
    let listed = std::fs::read_dir(path);
    listed.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
