//! `cargo xtask bench`: what Naru is measured by. Each measurement is a module; each ends with one line of JSON on
//! standard output.
//!
//! Naru is built in release. What it is compared with comes from Debian's packages. Nothing that is on the machine
//! already is changed, started or stopped.

mod bare;
mod debian;
pub(crate) mod drop;
mod edge;
mod edge_idle;
mod edge_routes;
mod idle;
mod load;
mod machine;
mod naru_side;
mod pages;
mod process;
mod push;
mod registry;
mod service;
mod statistics;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command;
use crate::demo::interrupt;
use crate::tools::{self, For};

/// A measurement, and of what.
#[derive(clap::Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
    /// Measure this binary instead of building one in release.
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
}

/// Which measurement.
#[derive(clap::Subcommand)]
enum What {
    /// From `git push` to the new version serving, against a shell script that does the same with bare tools.
    Push(push::Options),
    /// Pushing and pulling a large blob, against CNCF distribution.
    Registry(registry::Options),
    /// Requests that fail during deploys and rollbacks under load; there must be none.
    Drop(drop::Options),
    /// Requests per second, latency and CPU of the edge, against nginx.
    Edge(edge::Options),
    /// Memory and CPU of an idle Naru, with few and with many projects.
    Idle(idle::Options),
    /// How quickly pages are answered with many projects, and how a large log behaves in Chromium.
    Pages(pages::Options),
}

/// Measures.
pub(crate) fn run(root: &Path, bench: &Bench) -> Result<()> {
    tools::ensure(root, For::Demo, true)?;
    interrupt::watch()?;
    println!("{}", machine::describe()?);
    let binary = match &bench.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => build(root)?,
    };
    println!("measured: {}", binary.display());
    let result = match &bench.what {
        What::Push(options) => push::run(root, &binary, options)?,
        What::Registry(options) => registry::run(root, &binary, options)?,
        What::Drop(options) => drop::run(root, &binary, options)?,
        What::Edge(options) => edge::run(root, &binary, options)?,
        What::Idle(options) => idle::run(root, &binary, options)?,
        What::Pages(options) => pages::run(root, &binary, options)?,
    };
    println!("{result}");
    Ok(())
}

/// Builds Naru as it is shipped.
fn build(root: &Path) -> Result<PathBuf> {
    println!("building naru in release");
    command::run(command::cargo(root).args(["build", "--locked", "--release", "--package", "naru"]))?;
    Ok(target(root)?.join("release/naru"))
}

/// Where cargo builds.
fn target(root: &Path) -> Result<PathBuf> {
    let text =
        command::output(command::cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let target = metadata["target_directory"].as_str().context("cargo names no target folder")?;
    Ok(PathBuf::from(target))
}
