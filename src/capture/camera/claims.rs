//! The cameras that the streams of this process have, so that `auto` takes none of another stream's.

use super::Node;
use super::names::{Listed, Places, Probed, list, resolve};
use crate::base::sync::Mutex;
use crate::capture::CaptureError;
use crate::config::{self, Config, Device};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Shared by all cameras of a process.
#[derive(Debug, Default)]
pub struct Claims {
    /// The devices that the streams name; `auto` never takes one of these.
    named: Vec<Device>,
    /// The nodes that are open, each with the slots that have it, which may be one several times: after a source that did not close.
    open: Mutex<BTreeMap<PathBuf, Vec<Owner>>>,
    slots: AtomicUsize,
}

/// A slot's number.
type Owner = usize;

/// The camera of one stream: what names it, and the node that it has while it is open.
#[derive(Debug)]
pub struct Slot {
    device: Device,
    claims: Arc<Claims>,
    number: Owner,
    /// As it was last opened.
    node: Mutex<Option<PathBuf>>,
}

impl Claims {
    /// Makes the claims for streams with these cameras.
    pub fn new(named: impl IntoIterator<Item = Device>) -> Arc<Self> {
        Arc::new(Self {
            named: named
                .into_iter()
                .filter(|device| *device != Device::Auto)
                .collect(),
            open: Mutex::default(),
            slots: AtomicUsize::new(0),
        })
    }

    /// A stream's camera.
    pub fn slot(self: &Arc<Self>, device: Device) -> Arc<Slot> {
        Arc::new(Slot {
            device,
            claims: self.clone(),
            number: self.slots.fetch_add(1, Ordering::Relaxed),
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

    /// The node that `device` means now to that slot. It is claimed until the claim is dropped.
    fn claim(
        self: &Arc<Self>,
        owner: Owner,
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
                named.contains(&target) || has_another(&self.open.lock(), &target, owner)
            };
            let node = resolve(device, places, probe, is_taken)?;
            let target = target(&node);
            let mut open = self.open.lock();
            if *device == Device::Auto && has_another(&open, &target, owner) {
                // Another stream was faster.
                continue;
            }
            open.entry(target.clone()).or_default().push(owner);
            drop(open);
            return Ok(Claim {
                claims: self.clone(),
                owner,
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
    /// The configured name of the camera.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Whether there is a device that the camera's name may mean. Nothing is opened for that, so that one without pictures, such as
    /// a camera's metadata, counts as well.
    pub fn is_there(&self) -> bool {
        self.is_there_at(&Places::default())
    }

    fn is_there_at(&self, places: &Places) -> bool {
        if let Device::Path(path) = &self.device {
            return path.exists();
        }
        let others = &self.claims.named;
        let is_left = |listed: &Listed| {
            let is_named = others.iter().any(|other| listed.is_meant_by(other));
            let open = self.claims.open.lock();
            !is_named && !has_another(&open, &target(&listed.node), self.number)
        };
        let listed = list(places);
        let mut meant = listed.iter().filter(|l| l.is_meant_by(&self.device));
        meant.any(|listed| self.device != Device::Auto || is_left(listed))
    }

    /// The node that the camera has now, perhaps a link to it: of an open camera the one that it was opened by.
    ///
    /// # Errors
    /// `NotFound`, or `Busy` if other streams have every camera that comes into question.
    pub fn node(&self) -> Result<PathBuf, CaptureError> {
        self.node_at(&Places::default())
    }

    fn node_at(&self, places: &Places) -> Result<PathBuf, CaptureError> {
        let opened = self.node.lock().clone();
        let is_open = |node: &PathBuf| {
            let open = self.claims.open.lock();
            let owners = open.get(&target(node));
            owners.is_some_and(|owners| owners.contains(&self.number))
        };
        match opened.filter(is_open) {
            Some(node) => Ok(node),
            None => Ok(self.claim_at(places)?.node.clone()),
        }
    }

    /// Claims the camera until the claim is dropped.
    pub(super) fn claim(&self) -> Result<Claim, CaptureError> {
        self.claim_at(&Places::default())
    }

    fn claim_at(&self, places: &Places) -> Result<Claim, CaptureError> {
        let claim = self.claims.claim(self.number, &self.device, places)?;
        *self.node.lock() = Some(claim.node.clone());
        Ok(claim)
    }
}

/// Whether a slot other than that has the node.
fn has_another(open: &BTreeMap<PathBuf, Vec<Owner>>, target: &Path, owner: Owner) -> bool {
    let owners = open.get(target).into_iter().flatten();
    owners.into_iter().any(|other| *other != owner)
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
    owner: Owner,
    /// As it was named, perhaps a link.
    pub node: PathBuf,
    target: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = self.claims.open.lock();
        if let Some(owners) = open.get_mut(&self.target) {
            let at = owners.iter().position(|owner| *owner == self.owner);
            at.map(|at| owners.swap_remove(at));
            if owners.is_empty() {
                open.remove(&self.target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::ErrorKind;

    /// So many video devices. None can be opened, so all count as cameras that may not be opened: the first that is
    /// nobody's is taken.
    fn places(name: &str, devices: u32) -> Places {
        let root = std::env::temp_dir().join(format!("fanlight-{name}-{}", std::process::id()));
        let places = Places {
            class: root.join("class"),
            dev: root.join("dev"),
        };
        for number in 0..devices {
            let folder = places.class.join(format!("video{number}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("name"), "Twin").unwrap();
        }
        places
    }

    fn remove(places: &Places) {
        fs::remove_dir_all(places.class.parent().unwrap()).unwrap();
    }

    #[test]
    fn auto_takes_neither_what_is_open_nor_what_is_named() {
        let places = places("claims", 4);
        let node = |number| places.dev.join(format!("video{number}"));
        let claims = Claims::new([Device::Path(node(0)), Device::Auto]);
        let slot = claims.slot(Device::Path(node(0)));
        let named = slot.claim_at(&places).unwrap();
        assert_eq!(named.node, node(0));
        assert_eq!(claims.open.lock().len(), 1);
        // The same once more, as after a source that did not close.
        let again = slot.claim_at(&places).unwrap();
        drop(named);
        assert!(claims.open.lock().contains_key(&node(0)));
        drop(again);
        assert!(claims.open.lock().is_empty());

        let auto = |number| {
            let claim = claims.slot(Device::Auto).claim_at(&places).unwrap();
            assert_eq!(claim.node, node(number));
            claim
        };
        let (_first, second, _third) = (auto(1), auto(2), auto(3));
        let error = claims.slot(Device::Auto).claim_at(&places).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
        drop(second);
        auto(2);
        remove(&places);
    }

    #[test]
    fn a_camera_is_there_or_not_without_being_opened() {
        let places = places("present", 2);
        fs::create_dir_all(&places.dev).unwrap();
        let node = |number| places.dev.join(format!("video{number}"));
        fs::write(node(0), "").unwrap();
        let claims = Claims::new([Device::Path(node(0))]);
        let is_there = |device| claims.slot(device).is_there_at(&places);
        assert!(is_there(Device::Path(node(0))));
        assert!(!is_there(Device::Path(node(7))));
        assert!(is_there(Device::Name("Twin".into())));
        assert!(!is_there(Device::Name("Other".into())));
        assert!(is_there(Device::Auto));
        let taken = claims.slot(Device::Auto).claim_at(&places).unwrap();
        assert_eq!(taken.node, node(1));
        assert!(
            !is_there(Device::Auto),
            "the first is named, the second open"
        );
        drop(taken);
        fs::remove_dir_all(&places.class).unwrap();
        assert!(!is_there(Device::Auto) && !is_there(Device::Name("Twin".into())));
        remove(&places);
    }

    #[test]
    fn what_only_the_own_slot_has_is_not_taken() {
        let places = places("own-claims", 2);
        let node = |number| places.dev.join(format!("video{number}"));
        for device in [Device::Auto, Device::Name("Twin".into())] {
            let claims = Claims::new([device.clone()]);
            let (first, second) = (claims.slot(device.clone()), claims.slot(device));
            let stuck = first.claim_at(&places).unwrap();
            let other = second.claim_at(&places).unwrap();
            assert_eq!((&stuck.node, &other.node), (&node(0), &node(1)));
            // Its thread does not end, and it is opened again.
            assert_eq!(first.claim_at(&places).unwrap().node, node(0));
            drop(other);
            assert_eq!(first.claim_at(&places).unwrap().node, node(0));
        }
        remove(&places);
    }

    #[test]
    fn a_slots_node_is_its_own_and_never_what_another_has_now() {
        let places = places("nodes", 2);
        let node = |number| places.dev.join(format!("video{number}"));
        let claims = Claims::new([]);
        let (first, second) = (claims.slot(Device::Auto), claims.slot(Device::Auto));
        drop(first.claim_at(&places).unwrap());
        let taken = second.claim_at(&places).unwrap();
        assert_eq!(taken.node, node(0));
        assert_eq!(first.node_at(&places), Ok(node(1)));
        assert_eq!(second.node_at(&places), Ok(node(0)));
        drop(taken);
        remove(&places);
    }
}
