//! How often signing in may fail before one has to wait. In memory: a restart forgives.

use std::collections::HashMap;

use crate::time::Seconds;

/// Failures within [`WINDOW`] before waiting begins.
const ALLOWED: u32 = 10;
/// How long failures are remembered.
const WINDOW: Seconds = 10 * 60;
/// Names remembered at once; past it the oldest are forgotten.
const NAMES: usize = 10_000;

/// Failures by login name.
#[derive(Debug, Default)]
pub struct Attempts(HashMap<String, (u32, Seconds)>);

impl Attempts {
    /// Whether a login may be tried now.
    pub fn allowed(&self, login: &str, now: Seconds) -> bool {
        self.0
            .get(&login.to_lowercase())
            .is_none_or(|(failures, since)| *failures < ALLOWED || now - since >= WINDOW)
    }

    /// Remembers a failure.
    pub fn failed(&mut self, login: &str, now: Seconds) {
        if self.0.len() >= NAMES {
            self.0.retain(|_, (_, since)| now - *since < WINDOW);
        }
        if self.0.len() >= NAMES {
            self.0.clear();
        }
        let entry = self.0.entry(login.to_lowercase()).or_insert((0, now));
        if now - entry.1 >= WINDOW {
            *entry = (0, now);
        }
        entry.0 += 1;
    }

    /// Forgets the failures of a login that succeeded.
    pub fn succeeded(&mut self, login: &str) {
        self.0.remove(&login.to_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_mean_waiting_ten_minutes() {
        let mut attempts = Attempts::default();
        for _ in 0..ALLOWED {
            assert!(attempts.allowed("Kim", 0));
            attempts.failed("kim", 0);
        }
        assert!(!attempts.allowed("KIM", WINDOW - 1));
        assert!(attempts.allowed("lee", 0));
        assert!(attempts.allowed("kim", WINDOW));
        attempts.succeeded("kim");
        assert!(attempts.allowed("kim", 0));
    }
}
