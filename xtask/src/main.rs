//! `cargo xtask`: everything a contributor or the gate runs besides cargo itself.
//!
//! Owns the command line and nothing else; each task is a module. Nothing here is part of Naru as it is installed.

mod bench;
mod browser;
mod command;
mod demo;
mod fuzz;
mod gate;
mod node;
mod sim;
mod tidy;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Naru workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that must pass before a change is merged: format, lints, rules, tests, the demo.
    #[command(visible_alias = "ci")]
    Test(gate::Options),
    /// The main job on this machine: builds and starts Naru, pushes two apps, shows what to try.
    Demo(demo::Options),
    /// Measurements, side by side with bare tools. Each ends with one line of JSON.
    Bench(bench::Bench),
    /// The pages in a real Chromium, by themselves: the gate's stage of that name.
    Browser(browser::Options),
    /// Pictures of every page, in light and dark, narrow and wide, English and Korean.
    Screenshots(browser::ScreenshotOptions),
    /// Deliveries under seeded trouble: crashes, failures, repeated and late calls; every promise is checked.
    Sim(sim::Options),
    /// Feeds readers of strangers' bytes with nonsense: with libFuzzer where it is installed, from the corpora otherwise.
    Fuzz(fuzz::Options),
    /// Which programs the demo and the tests need and this machine lacks; installs them with --install.
    Tools {
        /// Install with one apt-get line that is shown.
        #[arg(long)]
        install: bool,
    },
    /// The rules that no compiler checks: imports between crates, licences, sources, documents.
    Tidy,
}

fn main() -> ExitCode {
    let root = root();
    let result = match Arguments::parse().task {
        Task::Test(options) => return gate::run(&root, &options),
        Task::Demo(options) => demo::run(&root, &options).and_then(demo::verdict),
        Task::Fuzz(options) => fuzz::run(&root, &options),
        Task::Browser(options) => browser::run(&root, &options),
        Task::Screenshots(options) => browser::screenshots(&root, &options),
        Task::Bench(bench) => bench::run(&root, &bench),
        Task::Sim(options) => sim::run(&root, &options),
        Task::Tools { install } => tools::ensure(&root, tools::For::Demo, install)
            .and_then(|()| tools::ensure(&root, tools::For::Test, install))
            .and_then(|()| node::install(&root)),
        Task::Tidy => tidy::run(&root),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace folder, known since compilation.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}
