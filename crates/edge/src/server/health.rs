//! What the last answers of a replica say about it: whether it is passed over, and how large a share it takes.
//!
//! A replica that cannot be reached is passed over at once, one that answers with nothing but errors after a number
//! of them; each time for twice as long. It returns when a probe or a request finds it well, and then takes its
//! share by and by, as a new one does. Who is asked instead, and that somebody always is, is decided in `routing`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::Limits;

/// The health of one replica. Zeros in the usual case, so that the request path only loads.
#[derive(Debug)]
pub(super) struct Health {
    epoch: Instant,
    /// Errors in a row.
    errors: AtomicU32,
    /// How often it was passed over since it was last well for a while.
    ejections: AtomicU32,
    /// Milliseconds after `epoch` when it is worth a probe; 0 while it is in service.
    probe_at: AtomicU64,
    /// Milliseconds after `epoch`, at least 1, since when its share grows; 0 when it takes all of it.
    warming_since: AtomicU64,
}

/// The share a new replica starts with, in 1/2^32.
const FIRST_SHARE: u64 = (1 << 32) / 10;

impl Health {
    /// A replica whose share grows from now on; see [`Self::share`].
    pub(super) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            errors: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            probe_at: AtomicU64::new(0),
            warming_since: AtomicU64::new(1),
        }
    }

    /// Whether it is passed over while others serve.
    pub(super) fn is_out(&self) -> bool {
        self.probe_at.load(Ordering::Relaxed) != 0
    }

    /// Whether it is passed over and was long enough.
    pub(super) fn is_due(&self) -> bool {
        let at = self.probe_at.load(Ordering::Relaxed);
        at != 0 && at <= self.now()
    }

    /// The share of its turns that it takes, in 1/2^32: it grows evenly over `slow_start`.
    pub(super) fn share(&self, slow_start: Duration) -> u64 {
        let since = self.warming_since.load(Ordering::Relaxed);
        if since == 0 {
            return 1 << 32;
        }
        let passed = self.now().saturating_sub(since);
        let whole = u64::try_from(slow_start.as_millis()).unwrap_or(u64::MAX);
        if passed >= whole {
            self.warming_since.store(0, Ordering::Relaxed);
            self.ejections.store(0, Ordering::Relaxed);
            return 1 << 32;
        }
        FIRST_SHARE + ((1 << 32) - FIRST_SHARE) / whole * passed
    }

    /// It answered.
    pub(super) fn answered(&self, status: StatusCode, limits: &Limits) {
        if matches!(status.as_u16(), 500 | 502 | 503 | 504) {
            self.failed(limits);
            return;
        }
        if self.errors.load(Ordering::Relaxed) != 0 {
            self.errors.store(0, Ordering::Relaxed);
        }
        if self.is_out() {
            self.restore();
        }
    }

    /// It answered with an error, too late, or broke off.
    pub(super) fn failed(&self, limits: &Limits) {
        let errors = self.errors.fetch_add(1, Ordering::Relaxed) + 1;
        if errors >= limits.eject_errors {
            self.errors.store(0, Ordering::Relaxed);
            self.eject(limits);
        }
    }

    /// It could not be reached.
    pub(super) fn unreachable(&self, limits: &Limits) {
        self.eject(limits);
    }

    /// A request or a probe found it well.
    pub(super) fn restore(&self) {
        self.probe_at.store(0, Ordering::Relaxed);
        self.warming_since.store(self.now().max(1), Ordering::Relaxed);
    }

    /// Passes over it. Of many requests that fail at the same time only the first counts.
    fn eject(&self, limits: &Limits) {
        let at = self.probe_at.load(Ordering::Relaxed);
        let now = self.now();
        if at > now {
            return;
        }
        let times = self.ejections.load(Ordering::Relaxed);
        let length = limits.eject.saturating_mul(1 << times.min(16)).min(limits.eject_max);
        let until = now.saturating_add(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)).max(1);
        if self.probe_at.compare_exchange(at, until, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.ejections.store(times.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { eject: Duration::from_mins(1), eject_max: Duration::from_mins(3), ..Limits::default() }
    }

    /// How long it is passed over, in minutes.
    fn minutes_out(health: &Health) -> u64 {
        (health.probe_at.load(Ordering::Relaxed) + 30_000 - health.now()) / 60_000
    }

    #[test]
    fn it_is_passed_over_for_twice_as_long_each_time() {
        let (health, limits) = (Health::new(), limits());
        for want in [1, 2, 3, 3] {
            health.unreachable(&limits);
            health.unreachable(&limits);
            assert!(health.is_out() && !health.is_due());
            assert_eq!(minutes_out(&health), want, "what fails together counts once");
            health.restore();
            assert!(!health.is_out());
        }
        // Well for the whole of the slow start: it begins anew.
        assert_eq!(health.share(Duration::ZERO), 1 << 32);
        health.unreachable(&limits);
        assert_eq!(minutes_out(&health), 1);
    }

    #[test]
    fn errors_count_in_a_row() {
        let (health, limits) = (Health::new(), limits());
        for _ in 0..5 {
            for _ in 1..limits.eject_errors {
                health.answered(StatusCode::SERVICE_UNAVAILABLE, &limits);
            }
            assert!(!health.is_out());
            health.answered(StatusCode::NOT_FOUND, &limits);
        }
        for _ in 0..limits.eject_errors {
            health.failed(&limits);
        }
        assert!(health.is_out());
        health.answered(StatusCode::OK, &limits);
        assert!(!health.is_out());
    }

    #[test]
    fn shares_grow() {
        let health = Health::new();
        let first = health.share(Duration::from_hours(1));
        assert!((FIRST_SHARE..FIRST_SHARE * 2).contains(&first), "{first}");
        let mut before = 0;
        while before < 1 << 32 {
            let share = health.share(Duration::from_millis(20));
            assert!(share >= before);
            before = share;
        }
    }
}
