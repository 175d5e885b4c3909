//! `cargo xtask sim`: plays seeds of the simulation of deliveries (`crates/testkit/src/sim`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::command;

/// Seeds that are played unless it is said, and by the gate.
const SEEDS: u64 = 2000;

/// Options of `cargo xtask sim`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = SEEDS)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plays this one only.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Tells the whole story of each.
    #[arg(long)]
    trace: bool,
}

/// What the simulation spends its time in, besides what is built quickly for all tests (`Cargo.toml`, `profile.dev`).
const PLAYED: [&str; 9] =
    ["delivery", "engine", "image", "model", "pipeline", "secret", "source", "store", "testkit"];

impl Options {
    /// What the gate plays.
    pub(crate) fn for_gate() -> Self {
        Self { seeds: SEEDS, from: 0, seed: None, trace: false }
    }
}

/// Plays the seeds. Those that fail are told with their last steps and the command that plays them again.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    command::run(&mut player(root, options)?)
}

/// The program that plays them. It is built with the features of the workspace's tests, so that no dependency is compiled
/// twice; the crates that it plays are, once more and optimised, which is won back within some hundred seeds.
pub(crate) fn player(root: &Path, options: &Options) -> Result<Command> {
    let mut build = command::cargo(root);
    build.args(["build", "--workspace", "--all-features", "--locked", "--quiet", "--example", "simulate"]);
    for name in PLAYED {
        build.args(["--config", &format!("profile.dev.package.naru-{name}.opt-level=1")]);
    }
    command::run(&mut build)?;
    let target = command::variable("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let program = root.join(target).join("debug/examples/simulate");
    let mut player = command::program(&program.display().to_string(), root);
    let (from, count) = options.seed.map_or((options.from, options.seeds), |seed| (seed, 1));
    player.args([from.to_string(), count.to_string()]);
    if options.trace {
        player.arg("trace");
    }
    Ok(player)
}
