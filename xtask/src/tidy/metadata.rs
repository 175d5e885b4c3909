//! The part of `cargo metadata` that the rules read.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command;

/// A workspace and everything it depends on, on the platform that Naru is made for.
#[derive(Debug, Deserialize)]
pub(super) struct Workspace {
    pub(super) packages: Vec<Package>,
}

/// One package, ours when it has no source.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) source: Option<String>,
    pub(super) dependencies: Vec<Dependency>,
}

/// An edge between packages.
#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// Absent for an ordinary dependency, else `dev` or `build`.
    pub(super) kind: Option<String>,
}

impl Package {
    /// Whether it is written here.
    pub(super) fn ours(&self) -> bool {
        self.source.is_none()
    }
}

/// Reads the workspace of a folder. Fails when Cargo.lock would have to change.
pub(super) fn load(folder: &Path) -> Result<Workspace> {
    let mut cargo = command::cargo(folder);
    cargo.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]);
    let text = command::output(&mut cargo)?;
    serde_json::from_str(&text).context("cargo metadata printed something unexpected")
}
