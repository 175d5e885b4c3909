//! The system's clock. The only place that reads it for rows and logs.

use naru_model::{Clock, Timestamp};

/// The hour as the system has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter of the system's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
