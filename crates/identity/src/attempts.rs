//! Slows guessing down: a few wrong passwords per login and per address, then a wait. Kept in memory, bounded in size; a
//! restart forgets it, which costs a guesser more than it gains.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use naru_model::Timestamp;

use crate::{IdentityError, Origin, Result};

/// Wrong attempts within the window before a login has to wait.
const ALLOWED: u32 = 5;
/// Wrong attempts within the window from one address: a whole office may sit behind it.
const ALLOWED_FROM: u32 = 20;
/// Wrong attempts within the window over all logins: guessing many logins at once is guessing too.
const ALLOWED_TOGETHER: u32 = 50;
/// Counting starts again after this.
const WINDOW: Duration = Duration::from_mins(1);
/// Logins and addresses remembered at once.
const REMEMBERED: usize = 4096;
/// Nobody has a longer login (`password::check_login`): a longer text would only fill the memory.
const LONGEST_LOGIN: usize = 40;

/// Wrong attempts of late.
#[derive(Default)]
pub(crate) struct Attempts {
    counts: Mutex<HashMap<Of, Count>>,
}

/// Whose attempts are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Of {
    Login(String),
    Address(IpAddr),
    Everyone,
}

impl Of {
    fn allowed(&self) -> u32 {
        match self {
            Self::Login(_) => ALLOWED,
            Self::Address(_) => ALLOWED_FROM,
            Self::Everyone => ALLOWED_TOGETHER,
        }
    }
}

#[derive(Clone, Copy)]
struct Count {
    wrong: u32,
    since: Timestamp,
}

fn counted(login: &str, origin: &Origin) -> impl Iterator<Item = Of> {
    let login = (login.len() <= LONGEST_LOGIN).then(|| Of::Login(login.to_owned()));
    let address = origin.address.map(|address| Of::Address(network(address)));
    [login, address, Some(Of::Everyone)].into_iter().flatten()
}

/// Somebody with one IPv6 network has 2⁶⁴ addresses (RFC 4291, 2.5.4): they count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

impl Attempts {
    fn counts(&self) -> MutexGuard<'_, HashMap<Of, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says no while this login, this address, or all of them together, have to wait.
    pub(crate) fn check(&self, login: &str, origin: &Origin, now: Timestamp) -> Result<()> {
        let counts = self.counts();
        for of in counted(login, origin) {
            let Some(count) = counts.get(&of) else { continue };
            let left = WINDOW.saturating_sub(age(count.since, now));
            if count.wrong >= of.allowed() && !left.is_zero() {
                return Err(IdentityError::TooManyAttempts { retry_after: left });
            }
        }
        Ok(())
    }

    /// Counts a wrong attempt.
    pub(crate) fn failed(&self, login: &str, origin: &Origin, now: Timestamp) {
        let mut counts = self.counts();
        if counts.len() >= REMEMBERED {
            // Forgetting all at once is cheap, and the count over all of them still holds.
            counts.retain(|of, _| *of == Of::Everyone);
        }
        for of in counted(login, origin) {
            let count = counts.entry(of).or_insert(Count { wrong: 0, since: now });
            if age(count.since, now) >= WINDOW {
                *count = Count { wrong: 0, since: now };
            }
            count.wrong = count.wrong.saturating_add(1);
        }
    }

    /// Forgets the wrong attempts of a login that got it right. Those of its address stay: an account of one's own must
    /// not help to guess at others.
    pub(crate) fn succeeded(&self, login: &str) {
        self.counts().remove(&Of::Login(login.to_owned()));
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

    fn from(address: &str) -> Origin {
        Origin { address: Some(address.parse().unwrap()), user_agent: String::new() }
    }

    #[test]
    fn five_wrong_passwords_and_then_a_minute() {
        let (attempts, nowhere) = (Attempts::default(), Origin::default());
        for _ in 0..ALLOWED {
            attempts.check("minji", &nowhere, at(0)).unwrap();
            attempts.failed("minji", &nowhere, at(0));
        }
        let refused = attempts.check("minji", &nowhere, at(20)).unwrap_err();
        assert!(
            matches!(refused, IdentityError::TooManyAttempts { retry_after } if retry_after.as_secs() == 40)
        );
        attempts.check("other", &nowhere, at(20)).unwrap();
        attempts.check("minji", &nowhere, at(60)).unwrap();
    }

    #[test]
    fn guessing_many_logins_from_one_address_counts_together() {
        let attempts = Attempts::default();
        for index in 0..ALLOWED_FROM {
            let address = format!("2001:db8::{index:x}");
            attempts.failed(&format!("login-{index}"), &from(&address), at(0));
        }
        assert!(attempts.check("fresh", &from("2001:db8::ffff"), at(1)).is_err());
        attempts.check("fresh", &from("2001:db8:1::1"), at(1)).unwrap();
        attempts.succeeded("fresh");
        assert!(attempts.check("fresh", &from("2001:db8::ffff"), at(1)).is_err());
    }

    #[test]
    fn guessing_many_logins_counts_together() {
        let attempts = Attempts::default();
        for index in 0..ALLOWED_TOGETHER {
            attempts.failed(&format!("login-{index}"), &from(&format!("192.0.2.{index}")), at(0));
        }
        assert!(attempts.check("fresh", &Origin::default(), at(1)).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::default();
        for index in 0..REMEMBERED * 2 {
            attempts.failed(&format!("login-{index}"), &Origin::default(), at(0));
        }
        assert!(attempts.counts().len() <= REMEMBERED + 1);

        let attempts = Attempts::default();
        for index in 0..ALLOWED_TOGETHER {
            let long = format!("{index}{}", "x".repeat(1 << 10));
            attempts.failed(&long, &Origin::default(), at(0));
        }
        assert_eq!(attempts.counts().len(), 1, "of texts that are no login only the sum is kept");
        assert!(attempts.check("fresh", &Origin::default(), at(1)).is_err());
    }
}
