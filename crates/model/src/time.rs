//! Time as a value. Who needs to know the hour is handed a [`Clock`].

/// An instant, written as RFC 3339 in UTC wherever it leaves the process.
pub type Timestamp = jiff::Timestamp;

/// Where the hour comes from. The system's clock is in the binary, a settable one in the tests.
pub trait Clock: Send + Sync + 'static {
    /// The current instant.
    fn now(&self) -> Timestamp;
}
