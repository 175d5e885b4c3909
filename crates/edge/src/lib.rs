//! Leads requests to replicas: a reverse proxy in a process of its own, and the client that tells it where to.
//!
//! This crate knows routes, connections and counts. It decides nothing about releases: which replica is in a
//! table, and when one may be stopped, is planned elsewhere; it only says what is under way.
//!
//! * [`server`] carries requests.
//! * [`control`] publishes tables and reports, over a Unix socket.
//! * [`open_metrics`] writes what was counted in the OpenMetrics format.
//! * [`process`] starts, adopts and restarts the edge as a process beside `naru serve`.

pub mod control;
mod exposition;
mod limits;
pub mod process;
pub mod server;
mod table;
mod tls_table;

pub use exposition::{CONTENT_TYPE, open_metrics};
pub use limits::Limits;
#[doc(hidden)]
pub use server::fuzz;
pub use table::{TableError, check};
pub use tls_table::{Certificate, TlsHost, TlsTable, TlsTableError};
