//! The manifests of a deploy repository: a typed subset of Kubernetes, and the three things done with it.
//!
//! [`render`] writes what a revision asks for, [`parse`] reads it back and refuses by name what is not in the subset,
//! [`merge`] joins a new render with what people changed by hand. `parse(render(x)) == x` for every
//! [canonical](canonical) `x`. Files are text here; where they are kept is the business of `naru-source`.
//! The subset is described field by field in `docs/reference/manifests.md`.

mod assemble;
mod diff;
mod document;
mod merge;
mod parse;
mod reader;
mod refuse;
mod render;
mod routes;
mod text;
mod value;

use std::collections::BTreeMap;

pub use diff::{FieldChange, diff};
pub use merge::{Conflict, merge};
pub use parse::{parse, parse_of};
pub use render::{canonical, render};
pub use value::secret_object;

/// The files of one environment's folder by name, such as `deployment-web.yaml`.
pub type Files = BTreeMap<String, String>;

/// Limits of what is read. Far above what a render needs, far below what would hurt.
pub mod limit {
    /// Bytes of one file.
    pub const FILE_BYTES: usize = 1 << 20;
    /// Bytes of one environment's folder.
    pub const FOLDER_BYTES: usize = 4 << 20;
    /// Files in one environment's folder.
    pub const FILES: usize = 400;
    /// Documents in one file.
    pub const DOCUMENTS: usize = 64;
    /// Replicas of one service.
    pub const REPLICAS: u32 = 1_000;
    /// Seconds of any duration: one day.
    pub const SECONDS: u64 = 86_400;
}

/// The file that lists the others.
pub const KUSTOMIZATION: &str = "kustomization.yaml";

/// Whether a file of the folder is a manifest; Markdown beside the manifests is for people and is not read.
pub fn is_note(name: &str) -> bool {
    !name.contains('/') && std::path::Path::new(name).extension().is_some_and(|ending| ending == "md")
}

#[cfg(test)]
mod merge_tests;
#[cfg(test)]
mod refused_tests;
#[cfg(test)]
mod round_trip_tests;
#[cfg(test)]
mod tests;
