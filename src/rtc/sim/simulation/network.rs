//! The simulated network, and what the audience puts on it.

use crate::rtc::net::udp::Batch;
use crate::rtc::wire::outbox::{ConnectionId, Outbox, Path};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the network does to datagrams, in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Lost, 0 to 1.
    pub loss: f64,
    /// From one end to the other.
    pub delay: Duration,
    /// Up to so much longer, each on its own: they overtake each other.
    pub jitter: Duration,
    /// Delivered twice, 0 to 1.
    pub duplicates: f64,
    /// What the way to the viewer carries, in bits per second; what would wait longer than 100 ms for it is lost.
    pub rate: Option<u32>,
}

impl Faults {
    /// A good line.
    pub const NONE: Self = Self {
        loss: 0.0,
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        duplicates: 0.0,
        rate: None,
    };
}

/// Datagrams on their way, by the time of arrival.
pub(super) struct Network {
    random: StdRng,
    pub(super) wire: BTreeMap<(Instant, u64), (SocketAddr, bool, Vec<u8>)>,
    count: u64,
}

impl Network {
    /// Nothing is on its way.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            wire: BTreeMap::new(),
            count: 0,
        }
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        faults: &Faults,
        client: SocketAddr,
        to_server: bool,
        data: &[u8],
    ) {
        if self.random.random_bool(faults.loss) {
            return;
        }
        let copies = 1 + usize::from(self.random.random_bool(faults.duplicates));
        for _ in 0..copies {
            let extra = faults.jitter.mul_f64(self.random.random());
            self.count += 1;
            let key = (now + faults.delay + extra, self.count);
            self.wire.insert(key, (client, to_server, data.to_vec()));
        }
    }
}

/// What the audience sends, until it is put on the wire.
#[derive(Default)]
pub struct Sent {
    pub(super) batch: Batch,
    pub(super) is_blocked: bool,
    /// Connections without room.
    pub(super) full: HashSet<ConnectionId>,
}

impl Sent {
    /// Throws it away.
    pub fn clear(&mut self) {
        let count = self.batch.waiting().len();
        self.batch.advance(count);
    }
}

impl Outbox for Sent {
    fn push<E>(
        &mut self,
        path: Path,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) {
        assert!(len <= 1200, "{len} bytes are too long for some paths");
        assert!(self.batch.push(path, len, 64, write));
    }

    fn flush(&mut self) {}

    fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    fn has_room(&self, path: Path) -> bool {
        match path.connection() {
            Some(connection) => !self.full.contains(&connection),
            None => !self.is_blocked,
        }
    }
}
