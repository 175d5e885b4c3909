//! Slows guessing down: a few wrong passwords per login, then a wait. Kept in memory, bounded in size; a restart
//! forgets it, which costs a guesser more than it gains.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use naru_model::Timestamp;

use crate::{IdentityError, Result};

/// Wrong attempts within the window before a login has to wait.
const ALLOWED: u32 = 5;
/// Wrong attempts within the window over all logins: guessing many logins at once is guessing too.
const ALLOWED_TOGETHER: u32 = 50;
/// Counting starts again after this.
const WINDOW: Duration = Duration::from_mins(1);
/// Logins remembered at once.
const REMEMBERED: usize = 4096;

/// Wrong attempts of late.
#[derive(Default)]
pub(crate) struct Attempts {
    by_login: Mutex<HashMap<String, Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    wrong: u32,
    since: Timestamp,
}

/// The entry that counts every login. Not a possible login.
const EVERYONE: &str = "*";

impl Attempts {
    fn counts(&self) -> MutexGuard<'_, HashMap<String, Count>> {
        self.by_login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says no while this login, or all of them together, have to wait.
    pub(crate) fn check(&self, login: &str, now: Timestamp) -> Result<()> {
        let counts = self.counts();
        for (name, allowed) in [(login, ALLOWED), (EVERYONE, ALLOWED_TOGETHER)] {
            let Some(count) = counts.get(name) else { continue };
            let left = WINDOW.saturating_sub(age(count.since, now));
            if count.wrong >= allowed && !left.is_zero() {
                return Err(IdentityError::TooManyAttempts { retry_after: left });
            }
        }
        Ok(())
    }

    /// Counts a wrong attempt.
    pub(crate) fn failed(&self, login: &str, now: Timestamp) {
        let mut counts = self.counts();
        if counts.len() >= REMEMBERED {
            // Forgetting all logins at once is cheap, and the count over all of them still holds.
            counts.retain(|name, _| name == EVERYONE);
        }
        for name in [login, EVERYONE] {
            let count = counts.entry(name.to_owned()).or_insert(Count { wrong: 0, since: now });
            if age(count.since, now) >= WINDOW {
                *count = Count { wrong: 0, since: now };
            }
            count.wrong = count.wrong.saturating_add(1);
        }
    }

    /// Forgets the wrong attempts of a login that got it right.
    pub(crate) fn succeeded(&self, login: &str) {
        self.counts().remove(login);
    }
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn five_wrong_passwords_and_then_a_minute() {
        let attempts = Attempts::default();
        for _ in 0..ALLOWED {
            attempts.check("minji", at(0)).unwrap();
            attempts.failed("minji", at(0));
        }
        let refused = attempts.check("minji", at(20)).unwrap_err();
        assert!(
            matches!(refused, IdentityError::TooManyAttempts { retry_after } if retry_after.as_secs() == 40)
        );
        attempts.check("other", at(20)).unwrap();
        attempts.check("minji", at(60)).unwrap();
    }

    #[test]
    fn guessing_many_logins_counts_together() {
        let attempts = Attempts::default();
        for index in 0..ALLOWED_TOGETHER {
            attempts.failed(&format!("login-{index}"), at(0));
        }
        assert!(attempts.check("fresh", at(1)).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::default();
        for index in 0..REMEMBERED * 2 {
            attempts.failed(&format!("login-{index}"), at(0));
        }
        assert!(attempts.counts().len() <= REMEMBERED + 1);
    }
}
