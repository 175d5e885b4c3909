//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, where a nightly compiler and cargo-fuzz are installed;
//! otherwise says what is missing and replays the corpora, as the gate does.

use std::path::Path;

use anyhow::Result;

use crate::command;

/// Targets, and the crate whose tests replay each.
const TARGETS: &[(&str, &str)] = &[
    ("definition", "naru-model"),
    ("manifests", "naru-model"),
    ("packets", "naru-source"),
    ("upload", "naru-image"),
    ("request", "naru-edge"),
];

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target runs, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only this target.
    #[arg(value_parser = TARGETS.iter().map(|(target, _)| *target).collect::<Vec<_>>())]
    target: Option<String>,
}

/// Fuzzes, or replays.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let chosen =
        TARGETS.iter().filter(|(target, _)| options.target.as_deref().is_none_or(|one| one == *target));
    let missing = missing(root);
    if missing.is_empty() {
        for (target, _) in chosen {
            let seconds = format!("-max_total_time={}", options.seconds);
            command::run(
                command::program("cargo", root).args(["+nightly", "fuzz", "run", target, "--", &seconds]),
            )?;
        }
        return Ok(());
    }
    println!("libFuzzer does not run here; the corpora are replayed instead. Missing:");
    for line in missing {
        println!("  {line}");
    }
    let mut replay = command::cargo(root);
    replay.args(["nextest", "run", "-E", "test(/fuzz::tests::/)"]);
    let mut crates: Vec<&str> = chosen.map(|(_, owner)| *owner).collect();
    crates.dedup();
    for owner in crates {
        replay.args(["-p", owner]);
    }
    command::run(&mut replay)
}

/// What has to be installed, each with its command.
fn missing(root: &Path) -> Vec<&'static str> {
    [
        (["+nightly", "--version"], "a nightly compiler: rustup toolchain install nightly"),
        (["fuzz", "--version"], "cargo-fuzz: cargo install cargo-fuzz"),
    ]
    .into_iter()
    .filter(|(arguments, _)| command::output(command::program("cargo", root).args(arguments)).is_err())
    .map(|(_, install)| install)
    .collect()
}
