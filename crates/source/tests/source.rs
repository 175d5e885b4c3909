//! Real git against real repositories in temporary folders.

#![allow(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]

#[path = "source/deploy.rs"]
mod deploy;
#[path = "source/double.rs"]
mod double;
#[path = "source/git.rs"]
mod git;
#[path = "source/hook.rs"]
mod hook;
#[path = "source/hosting.rs"]
mod hosting;
#[path = "source/support.rs"]
mod support;
