//! What runs, as people see it: the logs of services, and what services use and answer over time. It reads along and
//! changes nothing that runs.

mod collect;
mod history;
mod meter;
mod sample;

pub use collect::{CollectError, Collector};
pub use history::history;
pub use sample::{EdgeFigures, SampleError, Sampler};
