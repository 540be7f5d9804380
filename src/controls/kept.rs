//! `controls.json` in the state directory: what people set of which camera, so that it can be set again.
//!
//! The file is read each time that it is needed, which is when a camera is opened or set: the daemon and the command
//! `fanlight controls` both write it, one at a time.

use crate::base::state_dir::{StateDir, StateError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The file.
const FILE: &str = "controls.json";
/// Cameras that are kept; the one that was set longest ago is forgotten for another.
const CAMERAS: usize = 64;
/// Values that are kept of one; further ones are not. Cameras have some twenty.
const VALUES: usize = 128;

/// The settings that are kept, in a directory or nowhere.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    directory: Option<PathBuf>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    /// The one that was set last comes last.
    cameras: Vec<KeptCamera>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptCamera {
    camera: String,
    values: BTreeMap<String, i64>,
}

impl File {
    fn parse(content: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(content).map_err(|error| error.to_string())
    }

    fn write(&self, state: &StateDir) -> Result<(), StateError> {
        // Only maps with keys that are not strings fail, and nothing here has such.
        state.write(FILE, &serde_json::to_vec(self).unwrap_or_default())
    }

    fn values(self, camera: &str) -> BTreeMap<String, i64> {
        let mut cameras = self.cameras.into_iter();
        let found = cameras.find(|kept| kept.camera == camera);
        found.map(|kept| kept.values).unwrap_or_default()
    }

    fn change(&mut self, camera: &str, changes: &BTreeMap<String, Option<i64>>) {
        let at = self.cameras.iter().position(|kept| kept.camera == camera);
        let mut kept = at.map_or_else(
            || KeptCamera {
                camera: camera.to_owned(),
                values: BTreeMap::new(),
            },
            |at| self.cameras.remove(at),
        );
        for (name, value) in changes {
            match value {
                Some(value) if kept.values.len() < VALUES || kept.values.contains_key(name) => {
                    kept.values.insert(name.clone(), *value);
                }
                Some(_) => {}
                None => drop(kept.values.remove(name)),
            }
        }
        if !kept.values.is_empty() {
            self.cameras.push(kept);
        }
        let surplus = self.cameras.len().saturating_sub(CAMERAS);
        self.cameras.drain(..surplus);
    }
}

impl Kept {
    /// In that state directory; without one nothing is kept.
    pub const fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// The kept values of a camera, by the names of its controls.
    pub fn values(&self, camera: &str) -> BTreeMap<String, i64> {
        let Some(directory) = &self.directory else {
            return BTreeMap::new();
        };
        // Written as a whole or not at all, so it can be read without waiting for anybody.
        let found = StateDir::look(directory).and_then(|state| state.find(FILE, File::parse));
        let file = found.unwrap_or_else(|error| {
            tracing::warn!("no control was restored: {error}");
            None
        });
        file.unwrap_or_default().values(camera)
    }

    /// Keeps values of a camera, or forgets them.
    ///
    /// # Errors
    /// When the directory can't be written. There is none with [`Kept::default`], which is no error.
    pub fn change(
        &self,
        camera: &str,
        changes: &BTreeMap<String, Option<i64>>,
    ) -> Result<(), StateError> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        if changes.is_empty() {
            return Ok(());
        }
        let state = StateDir::visit(directory)?;
        let mut file = match state.find(FILE, File::parse) {
            Ok(found) => found.unwrap_or_default(),
            Err(error @ StateError::Damaged { .. }) => {
                let aside = state.set_aside(FILE)?;
                tracing::warn!(
                    "the values that were set before are lost: {error}; the file is kept as {}",
                    aside.display()
                );
                File::default()
            }
            Err(error) => return Err(error),
        };
        file.change(camera, changes);
        file.write(&state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(changes: &[(&str, Option<i64>)]) -> BTreeMap<String, Option<i64>> {
        let changes = changes.iter();
        changes
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    #[test]
    fn values_are_kept_by_camera_changed_and_forgotten() {
        let folder = std::env::temp_dir().join(format!("fanlight-kept-{}", std::process::id()));
        // Taken, as it is while a daemon runs.
        let _daemon = StateDir::open(&folder).unwrap();
        let kept = Kept::new(Some(folder.clone()));
        let read = |camera| kept.values(camera).into_iter().collect::<Vec<_>>();
        assert_eq!(read("a"), []);
        kept.change(
            "a",
            &changes(&[("brightness", Some(1)), ("gain", Some(-2))]),
        )
        .unwrap();
        kept.change("b", &changes(&[("brightness", Some(3))]))
            .unwrap();
        kept.change("a", &changes(&[("gain", None), ("zoom", None)]))
            .unwrap();
        assert_eq!(read("a"), [("brightness".to_owned(), 1)]);
        assert_eq!(read("b"), [("brightness".to_owned(), 3)]);
        std::fs::write(folder.join(FILE), "half a fi").unwrap();
        assert_eq!(read("a"), []);
        kept.change("a", &changes(&[("gain", Some(5))])).unwrap();
        assert_eq!(read("a"), [("gain".to_owned(), 5)]);
        let aside = std::fs::read_to_string(folder.join("controls.json.bad"));
        assert_eq!(aside.unwrap(), "half a fi");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_file_is_bounded_and_loses_what_was_set_longest_ago() {
        let mut file = File::default();
        for camera in 0..CAMERAS {
            file.change(&camera.to_string(), &changes(&[("gain", Some(1))]));
        }
        file.change("0", &changes(&[("gain", Some(2))]));
        file.change("new", &changes(&[("gain", Some(1))]));
        assert_eq!(file.cameras.len(), CAMERAS);
        let names: Vec<_> = file
            .cameras
            .iter()
            .map(|kept| kept.camera.as_str())
            .collect();
        assert!(names.contains(&"0") && !names.contains(&"1"));
        for value in 0..2 * VALUES as i64 {
            file.change("new", &changes(&[(&value.to_string(), Some(value))]));
        }
        file.change("new", &changes(&[("gain", Some(9))]));
        let values = file.values("new");
        assert_eq!((values.len(), values["gain"]), (VALUES, 9));
    }

    #[test]
    fn without_a_directory_nothing_is_kept() {
        let kept = Kept::default();
        kept.change("a", &changes(&[("gain", Some(1))])).unwrap();
        assert!(kept.values("a").is_empty());
    }
}
