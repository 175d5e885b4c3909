//! How often a client may ask a route: a bucket per route and client that fills evenly (GCRA), in bounded memory. A client
//! is an IPv4 address, or the /64 network of an IPv6 address, which one machine can have all of.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use naru_model::route::Rate;

/// Clients are spread over this many locks, each held for one look-up.
const SHARDS: usize = 16;
/// Buckets per lock; 65,536 in all, some 4 MB.
const BUCKETS_MAX: usize = 4_096;
/// Between two looks for buckets that are full again, while there is no room.
const TIDY: Duration = Duration::from_millis(200);

/// All buckets of all routes.
pub(super) struct Rates {
    epoch: Instant,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    /// When each bucket will be full again, in microseconds after `epoch`.
    full_at: HashMap<Key, u64>,
    tidied_at: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    route: u64,
    client: u128,
}

impl Default for Rates {
    fn default() -> Self {
        Self { epoch: Instant::now(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Rates {
    /// Takes one request out of a client's bucket; otherwise says how long to wait for the next.
    pub(super) fn take(&self, route: u64, client: IpAddr, rate: Rate) -> Result<(), Duration> {
        let now = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.take_at(route, client, rate, now)
    }

    fn take_at(&self, route: u64, client: IpAddr, rate: Rate, now: u64) -> Result<(), Duration> {
        let key = Key { route, client: network(client) };
        let index = (key.client ^ (key.client >> 64) ^ u128::from(route)) % SHARDS as u128;
        let shard = &self.shards[usize::try_from(index).unwrap_or(0)];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = u64::from(rate.seconds) * 1_000_000 / u64::from(rate.requests.max(1));
        let room = interval * u64::from(rate.burst.max(1));
        let next = shard.full_at.get(&key).copied().unwrap_or(0).max(now) + interval;
        if let Some(wait) = next.checked_sub(now + room).filter(|wait| *wait > 0) {
            return Err(Duration::from_micros(wait));
        }
        shard.make_room(now);
        shard.full_at.insert(key, next);
        Ok(())
    }
}

impl Shard {
    /// A full bucket is as good as none. When all are in use, any is given up: its client starts with a full one.
    fn make_room(&mut self, now: u64) {
        if self.full_at.len() < BUCKETS_MAX {
            return;
        }
        if now - self.tidied_at >= u64::try_from(TIDY.as_micros()).unwrap_or(0) {
            self.tidied_at = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() >= BUCKETS_MAX
            && let Some(any) = self.full_at.keys().next().copied()
        {
            self.full_at.remove(&any);
        }
    }
}

/// What counts as one client.
pub(super) fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const RATE: Rate = Rate { requests: 60, seconds: 60, burst: 3 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_and_then_one_a_second() {
        let rates = Rates::default();
        let take = |now| rates.take_at(1, ip("192.0.2.1"), RATE, now);
        for _ in 0..3 {
            assert_eq!(take(10 * SECOND), Ok(()));
        }
        assert_eq!(take(10 * SECOND), Err(Duration::from_secs(1)));
        assert_eq!(take(10 * SECOND + SECOND / 2), Err(Duration::from_millis(500)));
        assert_eq!(take(11 * SECOND), Ok(()));
        assert!(take(11 * SECOND).is_err());
        // What was refused costs nothing; a pause fills the bucket, and no more than that.
        assert_eq!((0..10).filter(|_| take(60 * SECOND).is_ok()).count(), 3);
    }

    #[test]
    fn clients_and_routes_are_apart_and_a_network_is_one() {
        let rates = Rates::default();
        let take = |route, client| {
            rates.take_at(route, ip(client), Rate { requests: 1, seconds: 60, burst: 1 }, SECOND).is_ok()
        };
        assert!(take(1, "192.0.2.1") && take(2, "192.0.2.1") && take(1, "192.0.2.2"));
        assert!(!take(1, "::ffff:192.0.2.1"));
        assert!(take(1, "2001:db8::1") && !take(1, "2001:db8::2") && take(1, "2001:db8:0:1::1"));
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let rates = Rates::default();
        for client in 0..200_000_u32 {
            let client = IpAddr::from(client.to_be_bytes());
            assert_eq!(rates.take_at(1, client, RATE, u64::from(client.is_ipv4())), Ok(()));
        }
        let kept = || rates.shards.iter().map(|shard| shard.lock().unwrap().full_at.len()).sum::<usize>();
        assert_eq!(kept(), SHARDS * BUCKETS_MAX);
        // Later all of them are full again, and make room for who comes.
        for client in (0..).take(SHARDS) {
            assert_eq!(rates.take_at(1, IpAddr::from([9, 9, 9, client]), RATE, 60 * SECOND), Ok(()));
        }
        assert_eq!(kept(), SHARDS);
    }
}
