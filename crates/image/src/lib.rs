//! Images: plans for building them, the registry that keeps them, and what is kept for how long.
//!
//! Building itself is a job of the engine, and which images are still needed is known to delivery; neither is known
//! here.

pub mod collect;
mod folder;
pub mod plan;
mod recent;
pub mod registry;
pub mod retention;

#[doc(hidden)]
pub use registry::fuzz;
pub use registry::{Limits, Registry};
pub use retention::{NeedUnknown, NeededImages, NeededNow};
