//! The command line as a person sees it: against a server that answers what a test wants.

#[path = "cli/certificate.rs"]
mod certificate;
#[path = "cli/document.rs"]
mod document;
#[path = "cli/maintenance.rs"]
mod maintenance;
#[path = "cli/metric.rs"]
mod metric;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/project.rs"]
mod project;
#[path = "cli/vault.rs"]
mod vault;
#[path = "cli/world.rs"]
mod world;
