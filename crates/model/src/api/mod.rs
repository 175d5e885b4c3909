//! The shapes of the HTTP API: written once, served by `naru-web`, read by `naru-cli`, described by the OpenAPI document.
//!
//! Plain data. Times are RFC 3339 in UTC; numbers carry their unit in the name; errors are [`crate::Problem`].

mod account;
mod activity;
mod certificate;
mod crossing;
mod delivery;
mod external_login;
mod instance;
mod maintenance;
mod metric;
mod organisation;
mod project;
mod receipt;
mod replica;
mod setting;

use serde::{Deserialize, Serialize};

pub use account::*;
pub use activity::*;
pub use certificate::*;
pub use crossing::*;
pub use delivery::*;
pub use external_login::*;
pub use instance::*;
pub use maintenance::*;
pub use metric::*;
pub use organisation::*;
pub use project::*;
pub use receipt::*;
pub use replica::*;
pub use setting::*;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Ask again with `after` set to this for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
