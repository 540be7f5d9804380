//! Clients by their addresses, and how fast each asks for changes.

use super::bucket::{Bucket, Rate};
use crate::base::addresses::client;
use crate::base::sync::Mutex;
use crate::config::Limits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// Clients remembered before those who are at rest are looked for and forgotten. Afterwards there is room for twice as
/// many as are left: the table is as long as there are clients who asked for something within `request_burst` /
/// `request_rate` seconds.
const FIRST_SWEEP: usize = 1024;

/// All clients.
pub struct Clients {
    limits: Limits,
    table: Mutex<ClientTable>,
}

struct ClientTable {
    clients: HashMap<IpAddr, Bucket>,
    sweep_at: usize,
}

impl Clients {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        let table = ClientTable {
            clients: HashMap::new(),
            sweep_at: FIRST_SWEEP,
        };
        Self {
            limits,
            table: Mutex::new(table),
        }
    }

    /// Whom an address stands for; none if it is shared by many.
    pub fn of(&self, peer: IpAddr) -> Option<IpAddr> {
        self.limits.counts(peer).then(|| client(peer))
    }

    /// Takes in a request that changes something.
    ///
    /// # Errors
    /// The client asks too often; the time until the next request may come.
    pub fn request(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let Some(ip) = self.of(peer) else {
            return Ok(());
        };
        let mut table = self.lock();
        let rate = Rate::of(&self.limits);
        table.client(ip, rate, now).take(rate, now)
    }

    fn lock(&self) -> MutexGuard<'_, ClientTable> {
        // Every critical section leaves the table whole.
        self.table.lock()
    }
}

impl ClientTable {
    fn client(&mut self, ip: IpAddr, rate: Rate, now: Instant) -> &mut Bucket {
        if self.clients.len() >= self.sweep_at {
            self.clients.retain(|_, bucket| !bucket.is_full(rate, now));
            self.sweep_at = (2 * self.clients.len()).max(FIRST_SWEEP);
        }
        let full = || Bucket::full(rate, now);
        self.clients.entry(ip).or_insert_with(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Clients {
        Clients::new(Limits {
            request_rate: 10,
            request_burst: 3,
            ..Limits::default()
        })
    }

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    #[test]
    fn a_client_may_ask_at_once_and_then_at_its_rate() {
        let (clients, start) = (clients(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let asked = |n, ms| clients.request(ip(n), at(ms));
        for _ in 0..3 {
            assert_eq!(asked(1, 0), Ok(()));
        }
        assert_eq!(asked(1, 0), Err(Duration::from_millis(100)));
        assert_eq!(asked(2, 0), Ok(()), "another one");
        assert_eq!(asked(1, 101), Ok(()));
        let refused = (102..5_000).filter(|ms| asked(1, *ms).is_err());
        let granted = 4_898 - refused.count();
        assert!((48..=50).contains(&granted), "{granted}");
        let after_a_pause = (0..9).filter(|_| asked(1, 60_000).is_ok());
        assert_eq!(after_a_pause.count(), 3);
    }

    #[test]
    fn clients_at_rest_are_forgotten() {
        let (clients, start) = (clients(), Instant::now());
        for n in 0..100_000 {
            let now = start + Duration::from_millis(u64::from(n));
            assert_eq!(clients.request(ip(n), now), Ok(()));
        }
        let table = clients.lock();
        assert!(
            table.clients.len() <= FIRST_SWEEP,
            "{}",
            table.clients.len()
        );
    }
}
