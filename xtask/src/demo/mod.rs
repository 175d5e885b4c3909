//! `cargo xtask demo`: the main job on this machine, from an empty data folder to two services that people can open.
//!
//! Reads as the story of what it does; each chapter is a module. It starts nothing that it does not stop again, and
//! touches no container, image or process of anybody else.

pub(crate) mod account;
pub(crate) mod api;
mod checks;
pub(crate) mod engine;
pub(crate) mod folders;
pub(crate) mod images;
pub(crate) mod interrupt;
pub(crate) mod naru;
mod progress;
mod project;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::tools::{self, For};
use api::Api;
pub(crate) use checks::Checks;
use engine::Engine;
use folders::Folders;
use naru::Naru;
use project::Project;

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Check everything by itself on an empty data folder, then stop: exit code 0, or what failed.
    #[arg(long)]
    ci: bool,
    /// Do not install what is missing: print the line that would, and stop.
    #[arg(long)]
    no_install: bool,
    /// Whether the tests were built just before.
    #[arg(skip)]
    after_tests: bool,
}

impl Options {
    /// For the gate: check everything, and fail where something is missing.
    pub(crate) fn for_gate() -> Self {
        Self { ci: true, no_install: true, after_tests: true }
    }
}

/// Runs the demo until Ctrl-C, or with `--ci` until everything was checked.
pub(crate) fn run(root: &Path, options: &Options) -> Result<Checks> {
    tools::ensure(root, For::Demo, !options.no_install)?;
    interrupt::watch()?;
    let folders = Folders::prepare(root, options.ci)?;
    let binary = naru::build(root, options.after_tests)?;
    let result = with_naru(root, &folders, &binary, options);
    if options.ci && result.as_ref().is_ok_and(|checks| checks.failed == 0) {
        folders.remove()?;
    }
    result
}

/// The closing line, and whether it is a failure.
pub(crate) fn verdict(checks: Checks) -> Result<()> {
    if checks.failed > 0 {
        bail!("demo: {} checks passed, {} failed", checks.passed, checks.failed);
    }
    if checks.passed > 0 {
        println!("demo: {} checks passed", checks.passed);
    }
    Ok(())
}

/// Everything between start and stop; the stop happens whatever came between.
fn with_naru(root: &Path, folders: &Folders, binary: &Path, options: &Options) -> Result<Checks> {
    let started = Instant::now();
    let naru = Naru::start(folders, binary, options.ci)?;
    let api = account::sign_in(Api::new(naru.url()), folders)?;
    let engine = Engine::new(folders);
    let projects = push_both(root, folders, &api, &naru, &engine)?;
    println!("\nboth services are live after {:.0} s", started.elapsed().as_secs_f64());
    if options.ci {
        return checks::run(&api, &naru, &projects);
    }
    println!("{}", progress::table(&api, &naru, folders, &projects)?);
    account::show_once(folders)?;
    println!("Ctrl-C stops everything that was started here; the data stays for the next time.");
    interrupt::wait();
    println!("\nstopping …");
    Ok(Checks::default())
}

/// Pushes the landing page as soon as what it is built on is there, then the board; both are live in the end.
fn push_both(
    root: &Path,
    folders: &Folders,
    api: &Api,
    naru: &Naru,
    engine: &Engine,
) -> Result<Vec<Project>> {
    let landing = Project::create(root, folders, api, "landing")?;
    let board = Project::create(root, folders, api, "board")?;
    images::provide(folders, engine, &[images::Base::Debian, images::Base::Nginx])?;
    let newer = landing.is_ahead();
    landing.push()?;
    std::thread::scope(|scope| {
        let rust = scope.spawn(|| images::provide(folders, engine, &[images::Base::Rust]));
        progress::until_live(api, naru, &landing, newer)?;
        rust.join().unwrap_or_else(|_| bail!("the stand-in for Rust could not be made"))
    })?;
    let newer = board.is_ahead();
    board.push()?;
    progress::until_live(api, naru, &board, newer)?;
    Ok(vec![landing, board])
}
