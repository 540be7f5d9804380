//! Places for connections: how many there may be, in all and of one client, and which one gives way when there is none left.

use crate::base::addresses::{client, site};
use crate::base::shutdown::Shutdown;
use crate::base::sync::Mutex;
use crate::config::Limits;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A connection that has sent nothing since it was opened is silent after that time. The first byte takes a round trip, and
/// three with TLS's handshake.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// Clients of one IPv6 site that may have as many connections as they can: a provider gives a customer a network of 56 bits
/// (RIPE-690), or one of 48 bits, which is 256 of those.
const FULL_CLIENTS_OF_A_SITE: u32 = 2;

/// All places.
pub struct Places {
    limits: Limits,
    table: Mutex<PlaceTable>,
    /// A place became free, or its connection silent.
    changed: Notify,
}

#[derive(Default)]
struct PlaceTable {
    next: u64,
    held: HashMap<u64, Held>,
    /// Connections that were told to give way, and are not closed yet.
    leaving: usize,
    silent: Silent,
    groups: HashMap<Group, Members>,
}

/// Silent connections, the longest silent one first.
type Silent = BTreeSet<(Instant, u64)>;

/// Addresses that have a limit in common: the leading bits that they share, and these.
type Group = (u8, IpAddr);

/// The connections of a group.
#[derive(Default)]
struct Members {
    count: u32,
    silent: Silent,
}

/// A connection that has a place.
struct Held {
    groups: [Option<Group>; 2],
    /// Since when it is silent, if it is.
    silent_since: Option<Instant>,
    give_way: Shutdown,
    is_leaving: bool,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The client has as many as it may have, and none of them is silent.
    OfClient,
    /// All are taken. If one of them is silent, it gives way, and there is a place soon.
    AtAll,
}

impl Places {
    /// All are free.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            table: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Takes a place for a connection from that address. Where its client has too many, the one that is silent for longest gives
    /// way to it; a client never takes a place from another but where there are no more at all.
    ///
    /// # Errors
    /// `NoPlace`: the connection is not taken in now.
    pub fn take(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Place, NoPlace> {
        let mut table = self.lock();
        let groups = self.groups(peer);
        for (group, most) in groups.into_iter().flatten() {
            table.make_room(group, most, now)?;
        }
        if table.held.len() >= self.limits.connections as usize {
            // One at a time: a connection that waits takes the place of one that gives way.
            if table.leaving == 0 {
                let longest = longest_silent(&table.silent, now);
                longest.into_iter().for_each(|id| table.send_away(id));
            }
            return Err(NoPlace::AtAll);
        }
        let groups = groups.map(|limited| limited.map(|(group, _)| group));
        let id = table.next;
        table.next += 1;
        for group in groups.into_iter().flatten() {
            table.groups.entry(group).or_default().count += 1;
        }
        let give_way = Shutdown::new();
        let held = Held {
            groups,
            silent_since: None,
            give_way: give_way.clone(),
            is_leaving: false,
        };
        table.held.insert(id, held);
        drop(table);
        Ok(Place {
            places: self.clone(),
            id,
            give_way,
        })
    }

    /// The groups that an address belongs to, with their limits.
    fn groups(&self, peer: IpAddr) -> [Option<(Group, u32)>; 2] {
        if !self.limits.counts(peer) {
            return [None, None];
        }
        let most = self.limits.connections_per_address;
        let all_of_site = FULL_CLIENTS_OF_A_SITE.saturating_mul(most);
        [
            Some(((0, client(peer)), most)),
            site(peer).map(|site| ((1, site), all_of_site)),
        ]
    }

    /// Completes when [`take`](Self::take) may have another result than before.
    pub async fn changed(&self) {
        // A connection becomes silent by doing nothing, too.
        let _ = timeout(FIRST_BYTE, self.changed.notified()).await;
    }

    /// Completes when no place is taken.
    pub async fn emptied(&self) {
        while !self.lock().held.is_empty() {
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, PlaceTable> {
        // Every critical section leaves the table whole.
        self.table.lock()
    }
}

impl PlaceTable {
    /// Sees to it that a group has a place.
    fn make_room(&mut self, group: Group, most: u32, now: Instant) -> Result<(), NoPlace> {
        let Some(members) = self.groups.get(&group).filter(|group| group.count >= most) else {
            return Ok(());
        };
        let longest = longest_silent(&members.silent, now);
        self.send_away(longest.ok_or(NoPlace::OfClient)?);
        Ok(())
    }

    /// Tells a connection to give way. Its client may have another from now on.
    fn send_away(&mut self, id: u64) {
        self.mark(id, None);
        let Some(held) = self.held.get_mut(&id) else {
            return;
        };
        held.is_leaving = true;
        held.give_way.cancel();
        let groups = std::mem::take(&mut held.groups);
        self.leaving += 1;
        self.uncount(groups);
    }

    /// Notes since when a connection is silent, or that it is not.
    fn mark(&mut self, id: u64, since: Option<Instant>) {
        let Some(held) = self.held.get_mut(&id).filter(|held| !held.is_leaving) else {
            return;
        };
        let before = std::mem::replace(&mut held.silent_since, since);
        let groups = held.groups.into_iter().flatten();
        for group in groups {
            if let Some(members) = self.groups.get_mut(&group) {
                renew(&mut members.silent, id, before, since);
            }
        }
        renew(&mut self.silent, id, before, since);
    }

    fn remove(&mut self, id: u64) {
        self.mark(id, None);
        if let Some(held) = self.held.remove(&id) {
            self.leaving -= usize::from(held.is_leaving);
            self.uncount(held.groups);
        }
    }

    /// Counts one less in each group, and keeps no empty one.
    fn uncount(&mut self, groups: [Option<Group>; 2]) {
        for group in groups.into_iter().flatten() {
            if let Some(members) = self.groups.get_mut(&group) {
                members.count -= 1;
                if members.count == 0 {
                    self.groups.remove(&group);
                }
            }
        }
    }
}

fn renew(silent: &mut Silent, id: u64, before: Option<Instant>, since: Option<Instant>) {
    if let Some(before) = before {
        silent.remove(&(before, id));
    }
    silent.extend(since.map(|since| (since, id)));
}

fn longest_silent(silent: &Silent, now: Instant) -> Option<u64> {
    let (since, id) = silent.first()?;
    (*since <= now).then_some(*id)
}

/// A place, taken as long as this lives.
pub struct Place {
    places: Arc<Places>,
    id: u64,
    give_way: Shutdown,
}

impl Place {
    /// The connection was opened then, and has sent nothing yet.
    pub fn opened(&self, at: Instant) {
        self.mark(Some(at + FIRST_BYTE));
    }

    /// The connection was served, and is silent since then.
    pub fn silent(&self, since: Instant) {
        self.mark(Some(since));
    }

    /// The connection has begun a request.
    pub fn busy(&self) {
        self.mark(None);
    }

    /// Completes when the connection is to give way to another.
    pub async fn given_away(&self) {
        self.give_way.cancelled().await;
    }

    fn mark(&self, since: Option<Instant>) {
        self.places.lock().mark(self.id, since);
        if since.is_some() {
            self.places.changed.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(self.id);
        self.places.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: u32, connections_per_address: u32) -> Arc<Places> {
        Arc::new(Places::new(Limits {
            connections,
            connections_per_address,
            ..Limits::default()
        }))
    }

    fn has_to_go(place: &Place) -> bool {
        place.give_way.is_cancelled()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_silent_connection_gives_way_when_all_places_are_taken() {
        let (places, start) = (places(3, 3), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let take = |n: u8, ms| places.take(IpAddr::from([10, 0, 0, n]), at(ms));
        let first = take(1, 0).unwrap();
        let second = take(2, 0).unwrap();
        let third = take(3, 0).unwrap();
        assert_eq!(take(4, 1).err(), Some(NoPlace::AtAll), "all are busy");
        first.silent(at(2));
        second.silent(at(3));
        third.silent(at(4));
        // It was asked again meanwhile.
        first.busy();
        first.silent(at(5));
        assert_eq!(
            take(4, 6).err(),
            Some(NoPlace::AtAll),
            "not before it is closed"
        );
        assert_eq!(
            [&first, &second, &third].map(has_to_go),
            [false, true, false]
        );
        // One connection gives way to one that waits.
        assert_eq!(take(4, 7).err(), Some(NoPlace::AtAll));
        assert_eq!(
            [&first, &second, &third].map(has_to_go),
            [false, true, false]
        );
        drop(second);
        let fourth = take(4, 8).unwrap();
        assert_eq!(take(5, 9).err(), Some(NoPlace::AtAll));
        assert_eq!(
            [&first, &third, &fourth].map(has_to_go),
            [false, true, false]
        );
    }

    #[test]
    fn a_client_that_has_too_many_loses_its_own_and_no_others() {
        let (places, now) = (places(100, 2), Instant::now());
        let other = places.take(ip("192.0.2.9"), now).unwrap();
        other.silent(now);
        let take = || places.take(ip("192.0.2.1"), now + Duration::from_secs(1));
        let (first, second) = (take().unwrap(), take().unwrap());
        assert_eq!(take().err(), Some(NoPlace::OfClient), "both are busy");
        second.silent(now + Duration::from_millis(1));
        let third = take().unwrap();
        assert_eq!(
            [&other, &first, &second].map(has_to_go),
            [false, false, true]
        );
        assert_eq!(take().err(), Some(NoPlace::OfClient), "it was taken once");
        drop((second, third));
        assert!(take().is_ok());
    }

    #[test]
    fn a_connection_that_sends_nothing_gives_way_after_half_a_second() {
        let (places, start) = (places(1, 1), Instant::now());
        let take = |ms| places.take(ip("192.0.2.1"), start + Duration::from_millis(ms));
        let first = take(0).unwrap();
        first.opened(start);
        assert_eq!(take(499).err(), Some(NoPlace::OfClient));
        assert_eq!(take(500).err(), Some(NoPlace::AtAll));
        assert!(has_to_go(&first));
        // What it does now comes too late.
        first.silent(start);
        drop(first);
        let table = places.lock();
        assert!(table.held.is_empty() && table.groups.is_empty() && table.silent.is_empty());
        assert_eq!(table.leaving, 0);
    }

    #[test]
    fn an_ipv6_network_of_56_bits_is_one_client_and_one_of_48_bits_two() {
        let (places, now) = (places(100, 2), Instant::now());
        let take = |text: &str| places.take(ip(text), now);
        let _held = [
            take("2001:db8:0:1::1").unwrap(),
            take("2001:db8:0:fe::1").unwrap(),
            take("2001:db8:0:100::1").unwrap(),
            take("2001:db8:0:2ff::1").unwrap(),
        ];
        for refused in ["2001:db8::2", "2001:db8:0:300::1", "2001:db8:0:ffff::1"] {
            assert_eq!(take(refused).err(), Some(NoPlace::OfClient), "{refused}");
        }
        assert!(take("2001:db8:1::1").is_ok());
    }

    #[test]
    fn shared_addresses_have_any_number() {
        let (places, now) = (places(100, 2), Instant::now());
        let taken: Vec<_> = (0..9)
            .flat_map(|_| places.take(ip("127.0.0.1"), now))
            .collect();
        assert_eq!(taken.len(), 9);
    }
}
