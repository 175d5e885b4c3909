//! `cargo xtask screenshots`: every page in light and dark, narrow and wide, English and Korean, with the demo's apps
//! delivered.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Stand;
use crate::command;
use crate::demo::images::Base;
use crate::demo::interrupt;
use crate::demo::naru;
use crate::tools::{self, For};

/// Options of `cargo xtask screenshots`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder that they are written into.
    #[arg(long, default_value = "target/screenshots")]
    out: PathBuf,
    /// Only pages whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Leave out the message board, which is compiled for some minutes.
    #[arg(long)]
    quick: bool,
    /// Show this binary instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Starts Naru, delivers the apps, and writes the pictures.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    tools::ensure(root, For::Test, false)?;
    interrupt::watch()?;
    let out = std::path::absolute(&options.out)?;
    std::fs::create_dir_all(&out)?;
    let binary = naru::given_or_built(root, options.binary.as_deref())?;
    let more: &[Base] = if options.quick { &[] } else { &[Base::Rust] };
    let stand = Stand::start(root, &binary, "screenshots", more)?;
    let mut node = stand.node(&["screenshots.js"])?;
    node.env("NARU_OUT", &out).env("NARU_ONLY", options.only.as_deref().unwrap_or_default());
    if options.quick {
        node.env("NARU_QUICK", "1");
    }
    command::run(&mut node)?;
    println!("written into {}", out.display());
    stand.clear()
}
