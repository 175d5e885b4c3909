//! Real git against real repositories in temporary folders.

#[path = "source/git.rs"]
mod git;
#[path = "source/support.rs"]
mod support;
