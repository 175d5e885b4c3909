//! All choices of a simulation, from one seed.

use std::time::Duration;

/// A stream of choices that is the same for the same seed.
pub(super) struct Chance(fastrand::Rng);

impl Chance {
    pub(super) fn of(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// True in so many of a thousand cases.
    pub(super) fn permille(&mut self, share: u32) -> bool {
        share > 0 && self.0.u32(0..1000) < share
    }

    /// Below `end`, which must not be 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.usize(0..end)
    }

    /// One of some; `None` of none.
    pub(super) fn one_of<'a, T>(&mut self, some: &'a [T]) -> Option<&'a T> {
        if some.is_empty() { None } else { some.get(self.below(some.len())) }
    }

    /// A time between two, by the millisecond.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (millis(least), millis(most));
        Duration::from_millis(self.0.u64(least..=most.max(least)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
