//! `cargo xtask browser`, and the gate's stage of that name: the flows of `tests/browser/` on a Naru that nobody has
//! used yet.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::Stand;
use crate::command;
use crate::demo::{interrupt, naru};
use crate::tools::{self, For};

/// What is left to look at when something failed, below the root.
const LEFT: &str = "target/browser";
/// Lines of the server's log that are shown then.
const LAST_LINES: usize = 30;

/// Options of `cargo xtask browser`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Look at this binary instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Only these files of `tests/browser/flows`, after the first start.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// Runs them by themselves.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    tools::ensure(root, For::Test, false)?;
    interrupt::watch()?;
    let binary = naru::given_or_built(root, options.binary.as_deref())?;
    ensure!(tests(root, &binary, &options.only, |_| ())?, "not everything passed");
    Ok(())
}

/// Runs the flows (all, or `only` some) and hands on what they print. Returns whether everything passed; if not, pictures
/// of the open pages and the server's log are kept, and the log's end is shown.
pub(crate) fn tests(
    root: &Path,
    binary: &Path,
    only: &[String],
    line: impl FnMut(&str) + Send,
) -> Result<bool> {
    let left = root.join(LEFT);
    let _ = fs::remove_dir_all(&left);
    fs::create_dir_all(&left)?;
    let stand = Stand::start(root, binary, "browser", &[])?;
    let mut node = stand.node(&["--test-reporter=spec", "all.test.js"])?;
    node.env("NARU_LEFT", &left).env("NARU_FLOWS", only.join(","));
    let passed = command::watch(&mut node, line)?;
    if !passed {
        let log = fs::read_to_string(stand.log())?;
        fs::write(left.join("naru.log"), &log)?;
        println!("\nthe end of the server's log:\n{}", command::tail(&log, LAST_LINES));
        println!("\npictures of what was open and the whole log are in {}", left.display());
    }
    stand.clear()?;
    Ok(passed)
}
