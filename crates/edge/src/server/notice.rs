//! What is true of a maintenance at this moment: an end that has passed is not announced any more.

use naru_model::Timestamp;
use naru_model::maintenance::Maintenance;

/// What visitors are told now.
pub(super) struct Notice<'a> {
    pub(super) message: Option<&'a str>,
    /// It lies ahead.
    pub(super) until: Option<Timestamp>,
    now: Timestamp,
}

impl<'a> Notice<'a> {
    pub(super) fn at(now: Timestamp, told: &'a Maintenance) -> Self {
        Self { message: told.message.as_deref(), until: told.until.filter(|until| *until > now), now }
    }

    /// Seconds until it is expected to be over, at least 1.
    pub(super) fn retry_after(&self) -> Option<u32> {
        let left = self.until?.duration_since(self.now).as_secs().max(1);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }
}
