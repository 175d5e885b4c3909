//! What runs, as people see it: the logs of services. It reads along and changes nothing that runs.

mod collect;

pub use collect::{CollectError, Collector};
