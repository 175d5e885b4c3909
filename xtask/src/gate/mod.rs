//! `cargo xtask test`: the gate. Runs every stage even when an earlier one failed, so that one run tells everything,
//! and ends with a table of stages and times, a summary, and a plain line of sums.

mod count;
mod deny;
mod report;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::bench;
use crate::browser;
use crate::command;
use crate::demo;
use crate::node;
use crate::sim;
use crate::tidy;
use crate::tools::{self, For};
use count::Count;
use report::{Outcome, Stage};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only these stages: fmt, tidy, deny, advisories, clippy, test, sim, apps, demo, browser, drop.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

const STAGES: &[&str] =
    &["fmt", "tidy", "deny", "advisories", "clippy", "test", "sim", "apps", "demo", "browser", "drop"];

/// Runs the stages. Anything missing on the machine is a failure before the first of them.
pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    match stages(root, options) {
        // The line of sums is the last thing that is printed, also when something failed.
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn stages(root: &Path, options: &Options) -> Result<bool> {
    if let Some(unknown) = options.only.iter().find(|name| !STAGES.contains(&name.as_str())) {
        bail!("there is no stage `{unknown}`; the stages are {}", STAGES.join(", "));
    }
    let missing = tools::missing(For::Test);
    if !missing.is_empty() {
        bail!("tools are missing; install them first:\n\n  {}\n", tools::install_line(&missing));
    }
    let started = Instant::now();
    let mut stages = Vec::new();
    for name in
        STAGES.iter().filter(|name| options.only.is_empty() || options.only.iter().any(|one| one == *name))
    {
        println!("\n──── {name} ────");
        let began = Instant::now();
        let (outcome, count) = stage(root, name);
        stages.push(Stage { name: (*name).to_owned(), took: began.elapsed(), outcome, count });
    }
    print!("\n{}", report::table(&stages, started.elapsed()));
    Ok(!stages.iter().any(Stage::failed))
}

fn stage(root: &Path, name: &str) -> (Outcome, Count) {
    match name {
        "fmt" => check(fmt(root)),
        "tidy" => check(tidy::run(root)),
        "deny" => deny::code(root),
        "advisories" => deny::advisories(root),
        "clippy" => check(clippy(root)),
        "test" => workspace_tests(root),
        "sim" => simulation(root),
        "apps" => application_tests(root),
        "demo" => demonstration(root),
        "browser" => browser_tests(root),
        _ => deploys_under_load(root),
    }
}

fn check(result: Result<()>) -> (Outcome, Count) {
    (Outcome::of(result), Count::default())
}

fn fmt(root: &Path) -> Result<()> {
    command::run(command::cargo(root).args(["fmt", "--all", "--check"]))?;
    for app in tidy::applications(root) {
        command::run(command::cargo(&root.join(app)).args(["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

fn clippy(root: &Path) -> Result<()> {
    let mut cargo = command::cargo(root);
    cargo.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]);
    command::run(&mut cargo)?;
    for app in tidy::applications(root) {
        let mut cargo = application_cargo(root, &app);
        command::run(cargo.args(["clippy", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn workspace_tests(root: &Path) -> (Outcome, Count) {
    if let Err(error) = node::install(root) {
        return (Outcome::of(Err(error)), Count::default());
    }
    let mut cargo = command::cargo(root);
    if tools::present("cargo-nextest") {
        cargo.args(["nextest", "run", "--workspace", "--all-features", "--locked", "--no-fail-fast"]);
    } else {
        cargo.args(["test", "--workspace", "--all-features", "--locked", "--no-fail-fast"]);
        cargo.args(["--lib", "--bins", "--tests"]);
    }
    counted(&mut cargo)
}

/// Deliveries under seeded trouble; see `crates/testkit/src/sim`.
fn simulation(root: &Path) -> (Outcome, Count) {
    match sim::player(root, &sim::Options::for_gate()) {
        Ok(mut player) => counted(&mut player),
        Err(error) => (Outcome::of(Err(error)), Count::default()),
    }
}

fn application_tests(root: &Path) -> (Outcome, Count) {
    let mut sum = Count::default();
    let mut outcome = Outcome::Passed;
    for app in tidy::applications(root) {
        let (result, count) =
            counted(application_cargo(root, &app).args(["test", "--locked", "--no-fail-fast"]));
        sum = sum + count;
        if let Outcome::Failed(reason) = result {
            outcome = Outcome::Failed(format!("{app}: {reason}"));
        }
    }
    (outcome, sum)
}

fn demonstration(root: &Path) -> (Outcome, Count) {
    match demo::run(root, &demo::Options::for_gate()) {
        Ok(checks) => {
            let count = Count { passed: checks.passed, failed: checks.failed };
            (Outcome::of(demo::verdict(checks)), count)
        }
        Err(error) => (Outcome::of(Err(error)), Count::default()),
    }
}

/// The pages in a real Chromium, from the first start on; see `tests/browser`.
fn browser_tests(root: &Path) -> (Outcome, Count) {
    summed(|line| browser::tests(root, &demo::naru::build(root, true)?, &[], line))
}

/// The short edition of `bench drop`: no request may fail while releases come and go.
fn deploys_under_load(root: &Path) -> (Outcome, Count) {
    let measured = demo::naru::build(root, true)
        .and_then(|binary| bench::drop::run(root, &binary, &bench::drop::Options::for_gate()));
    match measured {
        Ok(result) => {
            println!("{result}");
            (Outcome::Passed, Count { passed: 1, failed: 0 })
        }
        Err(error) => (Outcome::of(Err(error)), Count { passed: 0, failed: 1 }),
    }
}

/// Cargo in the workspace of an application, with a target folder apart: its profiles and features differ.
fn application_cargo(root: &Path, app: &str) -> Command {
    let mut cargo = command::cargo(&root.join(app));
    if let Some(target) = command::variable("CARGO_TARGET_DIR") {
        cargo.env("CARGO_TARGET_DIR", format!("{target}/{app}"));
    }
    cargo
}

/// Runs a test runner and adds up what it says.
fn counted(command: &mut Command) -> (Outcome, Count) {
    summed(|line| command::watch(command, line))
}

/// Adds up what `run` hands over, line by line, until it says whether everything passed.
fn summed(run: impl FnOnce(&mut (dyn FnMut(&str) + Send)) -> Result<bool>) -> (Outcome, Count) {
    let mut count = Count::default();
    match run(&mut |line| count = count + count::read(line)) {
        Ok(true) if count.passed == 0 => (Outcome::Failed("it ran no tests at all".to_owned()), count),
        Ok(true) => (Outcome::Passed, count),
        Ok(false) => (Outcome::Failed(format!("{} failed", count.failed)), count),
        Err(error) => (Outcome::of(Err(error)), count),
    }
}
