//! Code arrives: hosted git, the trigger ledger, and the deploy repositories.
//!
//! This crate records what was asked for and keeps the repositories. It runs no pipeline and delivers nothing.

pub mod commits;
pub mod deploy;
pub mod git;
pub mod http;
mod ledger;
mod recovery;
mod repository;
mod starter;
mod upkeep;

#[doc(hidden)]
pub use http::fuzz;
pub use http::{Hosting, HostingSettings};
pub use ledger::LedgerError;
pub use repository::{Repository, RepositoryKind, SourceRepositories};
