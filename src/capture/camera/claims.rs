//! Which cameras the streams of this process have, so that `auto` takes none of another stream's.

use super::Node;
use super::names::{Places, Probed, list, resolve};
use crate::capture::CaptureError;
use crate::config::Device;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by all cameras of a process.
#[derive(Debug, Default)]
pub struct Claims {
    /// What the streams name; `auto` is not for these.
    named: Vec<Device>,
    /// The nodes that are open, and how often.
    open: Mutex<BTreeMap<PathBuf, usize>>,
}

impl Claims {
    /// For streams with these cameras.
    pub fn new(named: impl IntoIterator<Item = Device>) -> Arc<Self> {
        Arc::new(Self {
            named: named
                .into_iter()
                .filter(|device| *device != Device::Auto)
                .collect(),
            open: Mutex::default(),
        })
    }

    /// The node that `device` means now. It is claimed until the claim is dropped.
    ///
    /// # Errors
    /// Those of [`resolve`].
    pub fn claim(
        self: &Arc<Self>,
        device: &Device,
        places: &Places,
    ) -> Result<Claim, CaptureError> {
        let named = match device {
            Device::Auto => self.nodes_named(places),
            _ => Vec::new(),
        };
        loop {
            let is_taken = |node: &Path| {
                let target = target(node);
                named.contains(&target) || self.lock().contains_key(&target)
            };
            let node = resolve(device, places, probe, is_taken)?;
            let target = target(&node);
            let mut open = self.lock();
            if *device == Device::Auto && open.contains_key(&target) {
                // Another stream was faster.
                continue;
            }
            *open.entry(target.clone()).or_default() += 1;
            drop(open);
            return Ok(Claim {
                claims: self.clone(),
                node,
                target,
            });
        }
    }

    /// The nodes that streams name, as far as they are there.
    fn nodes_named(&self, places: &Places) -> Vec<PathBuf> {
        if list(places).is_empty() {
            return Vec::new();
        }
        let nodes = self.named.iter().filter_map(|device| {
            let node = resolve(device, places, probe, |_| false).ok()?;
            Some(target(&node))
        });
        nodes.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, usize>> {
        // Every critical section leaves the map whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node itself, not a link to it.
fn target(node: &Path) -> PathBuf {
    fs::canonicalize(node).unwrap_or_else(|_| node.to_owned())
}

fn probe(node: &Path) -> Probed {
    match Node::open(node).map(|node| node.no_camera()) {
        Ok(None) => Probed::Camera,
        Ok(Some(_)) => Probed::Other,
        Err(_) => Probed::Unknown,
    }
}

/// A camera that is not another stream's.
#[derive(Debug)]
pub struct Claim {
    claims: Arc<Claims>,
    /// As it was named, perhaps a link.
    pub node: PathBuf,
    target: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = self.claims.lock();
        if let Some(count) = open.get_mut(&self.target) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::ErrorKind;

    #[test]
    fn auto_takes_neither_what_is_open_nor_what_is_named() {
        let root = std::env::temp_dir().join(format!("fanlight-claims-{}", std::process::id()));
        let places = Places {
            class: root.join("class"),
            dev: root.join("dev"),
        };
        for number in 0..4 {
            fs::create_dir_all(places.class.join(format!("video{number}"))).unwrap();
        }
        let node = |number| places.dev.join(format!("video{number}"));
        // Nothing can be opened here, so all count as cameras that may not be opened: the first that is nobody's is taken.
        let claims = Claims::new([Device::Path(node(0)), Device::Auto]);
        let claim = |claims: &Arc<Claims>, device: &Device| claims.claim(device, &places).unwrap();
        let named = claim(&claims, &Device::Path(node(0)));
        assert_eq!(named.node, node(0));
        assert_eq!(claims.lock().len(), 1);
        // The same once more, as after a source that did not close.
        let again = claim(&claims, &Device::Path(node(0)));
        drop(named);
        assert!(claims.lock().contains_key(&node(0)));
        drop(again);
        assert!(claims.lock().is_empty());

        let auto = |number| {
            let claim = claim(&claims, &Device::Auto);
            assert_eq!(claim.node, node(number));
            claim
        };
        let (_first, second, _third) = (auto(1), auto(2), auto(3));
        let error = claims.claim(&Device::Auto, &places).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
        drop(second);
        auto(2);
        fs::remove_dir_all(root).unwrap();
    }
}
