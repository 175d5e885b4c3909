//! The API as a client sees it: over a real store, with a stand-in for what lies behind.

#[path = "web/about.rs"]
mod about;
#[path = "web/access.rs"]
mod access;
#[path = "web/certificate.rs"]
mod certificate;
#[path = "web/document.rs"]
mod document;
#[path = "web/guard.rs"]
mod guard;
#[path = "web/maintenance.rs"]
mod maintenance;
#[path = "web/metric.rs"]
mod metric;
#[path = "web/page.rs"]
mod page;
#[path = "web/page_about.rs"]
mod page_about;
#[path = "web/page_admin.rs"]
mod page_admin;
#[path = "web/page_confirm.rs"]
mod page_confirm;
#[path = "web/page_environment.rs"]
mod page_environment;
#[path = "web/page_frame.rs"]
mod page_frame;
#[path = "web/page_logs.rs"]
mod page_logs;
#[path = "web/page_metrics.rs"]
mod page_metrics;
#[path = "web/page_organisation.rs"]
mod page_organisation;
#[path = "web/page_people.rs"]
mod page_people;
#[path = "web/page_project.rs"]
mod page_project;
#[path = "web/page_receipt.rs"]
mod page_receipt;
#[path = "web/page_run.rs"]
mod page_run;
#[path = "web/page_security.rs"]
mod page_security;
#[path = "web/people.rs"]
mod people;
#[path = "web/project.rs"]
mod project;
#[path = "web/provider.rs"]
mod provider;
#[path = "web/rollout.rs"]
mod rollout;
#[path = "web/seed.rs"]
mod seed;
#[path = "web/setting.rs"]
mod setting;
#[path = "web/setup.rs"]
mod setup;
#[path = "web/stream.rs"]
mod stream;
#[path = "web/totp.rs"]
mod totp;
#[path = "web/version.rs"]
mod version;
#[path = "web/world.rs"]
mod world;
