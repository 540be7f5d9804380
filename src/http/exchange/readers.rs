//! The registry of viewers that read JPEG images as they are made: it lists and measures them, and ends one.

use crate::base::shutdown::Shutdown;
use crate::base::sync::Mutex;
use crate::metrics::{Measured, Meter};
use crate::rtc::Caller;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A viewer that reads images.
pub struct Reading {
    /// Unique among all viewers, those with sessions included.
    pub id: u64,
    /// The name of the stream.
    pub stream: String,
    /// The origin of the request.
    pub caller: Caller,
    /// The time of the request.
    pub since: Instant,
    meter: Mutex<Meter>,
    end: Shutdown,
}

impl Reading {
    /// An image of that many bytes was handed to the connection.
    pub fn sent(&self, now: Instant, bytes: usize) {
        self.meter.lock().add(now, bytes);
    }

    /// The images and their bits that it took in the last seconds.
    pub fn measured(&self, now: Instant) -> Option<Measured> {
        self.meter.lock().measure(now)
    }

    /// Completes when it is to end.
    pub async fn ended(&self) {
        self.end.cancelled().await;
    }
}

/// All viewers that read images now. Each has a place among `[limits] viewers`, which bounds the registry.
#[derive(Default)]
pub struct Readers(Mutex<BTreeMap<u64, Arc<Reading>>>);

impl Readers {
    /// Lists one until the returned value is dropped.
    pub fn add(self: &Arc<Self>, id: u64, stream: &str, caller: Caller, now: Instant) -> Listed {
        let reading = Arc::new(Reading {
            id,
            stream: stream.to_owned(),
            caller,
            since: now,
            meter: Mutex::new(Meter::new(now)),
            end: Shutdown::new(),
        });
        self.0.lock().insert(id, reading.clone());
        Listed {
            readers: self.clone(),
            reading,
        }
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> Vec<Arc<Reading>> {
        self.0.lock().values().cloned().collect()
    }

    /// Ends one. `false` if there is none of that id.
    pub fn end(&self, id: u64) -> bool {
        let readers = self.0.lock();
        let found = readers.get(&id).inspect(|reading| reading.end.cancel());
        found.is_some()
    }
}

/// A viewer's entry in the registry.
pub struct Listed {
    readers: Arc<Readers>,
    /// The viewer.
    pub reading: Arc<Reading>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.readers.0.lock().remove(&self.reading.id);
    }
}
