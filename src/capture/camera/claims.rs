//! Which cameras the streams of this process have, so that `auto` takes none of another stream's.

use super::Node;
use super::names::{Places, Probed, list, resolve};
use crate::capture::CaptureError;
use crate::config::{self, Config, Device};
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

/// The camera of one stream: what names it, and the node that it has while it is open.
#[derive(Debug)]
pub struct Slot {
    device: Device,
    claims: Arc<Claims>,
    /// As it was last opened.
    node: Mutex<Option<PathBuf>>,
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

    /// A stream's camera.
    pub fn slot(self: &Arc<Self>, device: Device) -> Arc<Slot> {
        Arc::new(Slot {
            device,
            claims: self.clone(),
            node: Mutex::default(),
        })
    }

    /// The cameras of all streams of a configuration, by the streams' names.
    pub fn slots(config: &Config) -> BTreeMap<String, Arc<Slot>> {
        let streams = config.streams.iter();
        let cameras = streams.filter_map(|stream| match &stream.source {
            config::Source::Device(device) => Some((stream.name.clone(), device.clone())),
            config::Source::Pattern(_) => None,
        });
        let cameras: Vec<_> = cameras.collect();
        let claims = Self::new(cameras.iter().map(|(_, device)| device.clone()));
        let slots = cameras.into_iter();
        slots
            .map(|(stream, device)| (stream, claims.slot(device)))
            .collect()
    }

    /// The node that `device` means now. It is claimed until the claim is dropped.
    fn claim(self: &Arc<Self>, device: &Device, places: &Places) -> Result<Claim, CaptureError> {
        let named = match device {
            Device::Auto => self.nodes_named(places),
            _ => Vec::new(),
        };
        loop {
            let is_taken = |node: &Path| {
                let target = target(node);
                named.contains(&target) || lock(&self.open).contains_key(&target)
            };
            let node = resolve(device, places, probe, is_taken)?;
            let target = target(&node);
            let mut open = lock(&self.open);
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
}

impl Slot {
    /// What names the camera.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The node that the camera has now, perhaps a link to it: of an open camera the one that it was opened by.
    ///
    /// # Errors
    /// `NotFound`, or `Busy` if other streams have every camera that comes into question.
    pub fn node(&self) -> Result<PathBuf, CaptureError> {
        let opened = lock(&self.node).clone();
        let is_open = |node: &PathBuf| lock(&self.claims.open).contains_key(&target(node));
        match opened.filter(is_open) {
            Some(node) => Ok(node),
            None => Ok(self.claim()?.node.clone()),
        }
    }

    /// Claims the camera until the claim is dropped.
    pub(super) fn claim(&self) -> Result<Claim, CaptureError> {
        let claim = self.claims.claim(&self.device, &Places::default())?;
        *lock(&self.node) = Some(claim.node.clone());
        Ok(claim)
    }
}

/// Every critical section leaves its data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(super) struct Claim {
    claims: Arc<Claims>,
    /// As it was named, perhaps a link.
    pub node: PathBuf,
    target: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = lock(&self.claims.open);
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
        assert_eq!(lock(&claims.open).len(), 1);
        // The same once more, as after a source that did not close.
        let again = claim(&claims, &Device::Path(node(0)));
        drop(named);
        assert!(lock(&claims.open).contains_key(&node(0)));
        drop(again);
        assert!(lock(&claims.open).is_empty());

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
