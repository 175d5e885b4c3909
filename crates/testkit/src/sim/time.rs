//! Two times: that which passes for the world, and that which a machine's clock shows, which people and servers set.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use naru_model::{Clock, Timestamp};

use crate::clock::HandClock;

/// The clock of the machine: the world's time, moved by jumps.
pub(super) struct WallClock {
    /// The world's time, which never jumps.
    pub(super) world: Arc<HandClock>,
    /// From when in the world's time the clock is so many milliseconds ahead.
    jumps: Mutex<Vec<(Timestamp, i64)>>,
}

impl WallClock {
    pub(super) fn of(world: Arc<HandClock>) -> Self {
        Self { world, jumps: Mutex::default() }
    }

    /// Sets the clock forward, or back when it is negative.
    pub(super) fn jump(&self, millis: i64) {
        let now = self.world.now();
        let ahead = self.ahead(now) + millis;
        self.lock().push((now, ahead));
    }

    /// What the clock showed at a time of the world.
    pub(super) fn showed(&self, at: Timestamp) -> Timestamp {
        let ahead = self.ahead(at);
        Timestamp::from_millisecond(at.as_millisecond() + ahead).expect("a simulated hour")
    }

    /// Whether it was set since a time of the world.
    pub(super) fn jumped_since(&self, at: Timestamp) -> bool {
        self.lock().last().is_some_and(|(when, _)| *when >= at)
    }

    fn ahead(&self, at: Timestamp) -> i64 {
        self.lock().iter().rev().find(|(when, _)| *when <= at).map_or(0, |(_, ahead)| *ahead)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Timestamp, i64)>> {
        self.jumps.lock().expect("nothing panics while it holds the jumps")
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        self.showed(self.world.now())
    }
}

/// The time between two instants; none when they are the other way round.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
