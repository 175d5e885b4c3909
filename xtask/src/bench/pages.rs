//! `bench pages`: how long pages take to be answered with many projects, and how a large and a quick log behave in
//! Chromium. Measured by `tests/browser/bench.js`, from outside.
//!
//! The projects among which all pages are measured are made as people make them, with their repositories. For the list
//! of projects alone there are more, which are rows with an environment and no repositories: the list reads no
//! repository, and making 10,000 of them takes half an hour.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::browser::Stand;
use crate::command;
use crate::tools::{self, For};

/// Options of `cargo xtask bench pages`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many projects there are when the pages are measured.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    projects: u32,
    /// How many there are when the list of projects is measured.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    most: u32,
    /// How many lines the large log has.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    lines: u32,
}

/// Measures; returns the line of JSON.
pub(super) fn run(root: &Path, binary: &Path, options: &Options) -> Result<Value> {
    tools::ensure(root, For::Test, false)?;
    let rows = rows_program(root)?;
    let stand = Stand::start(root, binary, "bench-pages", &[])?;
    let mut node = stand.node(&["bench.js"])?;
    node.env("NARU_MANY", options.projects.to_string())
        .env("NARU_MOST", options.most.to_string())
        .env("NARU_ROWS", rows)
        .env("NARU_LINES", options.lines.to_string());
    let mut last = String::new();
    let whole = command::watch(&mut node, |line| line.clone_into(&mut last))?;
    ensure!(whole, "the measurement broke off");
    let result = serde_json::from_str(&last).with_context(|| format!("no line of JSON: {last}"))?;
    stand.clear()?;
    Ok(result)
}

/// Builds the program that adds rows, with what is built already.
fn rows_program(root: &Path) -> Result<PathBuf> {
    let name = "many_projects";
    let words = ["build", "--locked", "--workspace", "--all-features", "--example", name];
    command::run(command::cargo(root).args(words))?;
    Ok(super::target(root)?.join("debug/examples").join(name))
}
