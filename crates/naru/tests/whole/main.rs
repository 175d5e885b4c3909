//! The whole binary, as a person meets it: `naru serve` on an empty folder, `git push`, containers on real Podman, and
//! requests through the edge. Nothing is replaced and nothing is skipped; what is missing on the machine fails.

#![allow(clippy::disallowed_methods, reason = "tests start the programs that a person would start")]

mod api;
mod guest;
mod instance;
mod load;
mod process;
mod project;

mod crash;
mod crowd;
mod drift;
mod drill;
mod engine_away;
mod failing;
mod flood;
mod full_disk;
mod limits;
mod maintenance;
mod network;
mod push;
mod quarantine;
mod receipt;
mod release;
mod repository;
mod setting;
mod stop;
mod strategy;
mod tls;
mod volume;
