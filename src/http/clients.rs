//! Clients by their addresses: how many connections each has, and how fast it asks for changes.

use crate::addresses::client;
use crate::config::Limits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Clients remembered before those who are at rest are looked for and forgotten. Afterwards there is room for twice as
/// many as are left: the table is as long as there are clients who asked for something within `request_burst` /
/// `request_rate` seconds, or are connected.
const FIRST_SWEEP: usize = 1024;

/// All clients.
pub struct Clients {
    limits: Limits,
    table: Mutex<Table>,
}

struct Table {
    clients: HashMap<IpAddr, Client>,
    sweep_at: usize,
}

struct Client {
    connections: u32,
    /// Requests that it may make at once.
    tokens: f64,
    /// When that was so.
    counted: Instant,
}

/// A connection that is counted, as long as this lives.
pub struct Place(Option<(Arc<Clients>, IpAddr)>);

impl Clients {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        let table = Table {
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

    /// Takes in a connection, unless its client has too many.
    pub fn connect(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Option<Place> {
        let Some(ip) = self.of(peer) else {
            return Some(Place(None));
        };
        let mut table = self.lock();
        let client = table.client(ip, &self.limits, now);
        if client.connections >= self.limits.connections_per_address {
            return None;
        }
        client.connections += 1;
        Some(Place(Some((self.clone(), ip))))
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
        let client = table.client(ip, &self.limits, now);
        client.refill(&self.limits, now);
        if client.tokens < 1.0 {
            let missing = 1.0 - client.tokens;
            let wait = missing / f64::from(self.limits.request_rate);
            return Err(Duration::from_secs_f64(wait));
        }
        client.tokens -= 1.0;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every critical section leaves the table whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn client(&mut self, ip: IpAddr, limits: &Limits, now: Instant) -> &mut Client {
        if self.clients.len() >= self.sweep_at {
            self.clients.retain(|_, client| {
                client.refill(limits, now);
                let is_at_rest = client.tokens >= f64::from(limits.request_burst);
                client.connections > 0 || !is_at_rest
            });
            self.sweep_at = (2 * self.clients.len()).max(FIRST_SWEEP);
        }
        self.clients.entry(ip).or_insert(Client {
            connections: 0,
            tokens: f64::from(limits.request_burst),
            counted: now,
        })
    }
}

impl Client {
    fn refill(&mut self, limits: &Limits, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        let earned = passed * f64::from(limits.request_rate);
        self.tokens = (self.tokens + earned).min(f64::from(limits.request_burst));
        self.counted = now;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((clients, ip)) = &self.0
            && let Some(client) = clients.lock().clients.get_mut(ip)
        {
            client.connections -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Arc<Clients> {
        Arc::new(Clients::new(Limits {
            connections_per_address: 2,
            request_rate: 10,
            request_burst: 3,
            ..Limits::default()
        }))
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
    fn a_client_has_so_many_connections_and_shared_addresses_any_number() {
        let (clients, now) = (clients(), Instant::now());
        let connect = |text: &str| clients.connect(text.parse().unwrap(), now);
        let first = connect("2001:db8::1");
        let _second = connect("2001:db8::2");
        assert!(first.is_some() && connect("2001:db8::3").is_none());
        assert!(connect("2001:db8:0:1::1").is_some());
        drop(first);
        assert!(connect("2001:db8::3").is_some());
        let many: Vec<_> = (0..9).map(|_| connect("127.0.0.1").unwrap()).collect();
        assert_eq!(many.len(), 9);
    }

    #[test]
    fn clients_at_rest_are_forgotten() {
        let (clients, start) = (clients(), Instant::now());
        let _connected = clients.connect(ip(0), start);
        for n in 1..100_000 {
            let now = start + Duration::from_millis(u64::from(n));
            assert_eq!(clients.request(ip(n), now), Ok(()));
        }
        let table = clients.lock();
        assert!(
            table.clients.len() <= FIRST_SWEEP,
            "{}",
            table.clients.len()
        );
        assert!(table.clients.contains_key(&ip(0)));
    }
}
