//! Time as a value. Who needs to know the hour is handed a [`Clock`].

/// An instant, written as RFC 3339 in UTC wherever it leaves the process.
pub type Timestamp = jiff::Timestamp;

/// How far processes that read the clock one after the other, or set it a little, may differ.
const SLACK: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// Whether a moment that was noted lies in the future: the clock was set back since. Who waits for time to pass since then
/// would wait until the clock has caught up.
pub fn is_ahead(noted: Timestamp, now: Timestamp) -> bool {
    noted.duration_since(now) > SLACK
}

/// Where the hour comes from. The system's clock is in the binary, a settable one in the tests.
pub trait Clock: Send + Sync + 'static {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_clock_that_was_set_back_shows_noted_moments_ahead() {
        let noted = Timestamp::from_second(1_000_000).unwrap();
        assert!(!is_ahead(noted, noted) && !is_ahead(noted, noted + Duration::from_secs(1)));
        assert!(!is_ahead(noted, noted - Duration::from_secs(5)), "a little is nothing");
        assert!(is_ahead(noted, noted - Duration::from_secs(6)));
        assert!(!is_ahead(Timestamp::MIN, noted) && is_ahead(Timestamp::MAX, Timestamp::MIN));
    }
}
