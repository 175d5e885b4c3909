//! Maintenance: visitors of an environment get a page instead of the service, while its replicas keep running.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What visitors are told. It never ends by itself, also not after `until`: who began it knows when the work is done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Maintenance {
    /// The operator's own words; text, never markup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the service is expected back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How long a message may be.
pub const MESSAGE_CHARACTERS_MAX: usize = 1_000;

/// Whether a text can be shown to visitors: not too long, and nothing but lines of it.
pub fn is_message(text: &str) -> bool {
    text.chars().count() <= MESSAGE_CHARACTERS_MAX && !text.chars().any(|c| c.is_control() && c != '\n')
}
