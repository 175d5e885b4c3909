//! A clock set by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use naru_model::{Clock, Timestamp};

/// Stands still until it is told to go on.
#[derive(Debug)]
pub struct HandClock(AtomicI64);

impl Default for HandClock {
    /// 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self(AtomicI64::new(1_767_225_600_000))
    }
}

impl HandClock {
    /// Goes on by so much.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).expect("a test's duration"), Ordering::SeqCst);
    }

    /// Is set back by so much.
    pub fn set_back(&self, by: Duration) {
        self.0.fetch_sub(i64::try_from(by.as_millis()).expect("a test's duration"), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).expect("a test's hour")
    }
}
