//! cargo-deny over every lock file: licences, bans and sources, and security advisories where their database can be had.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Count;
use super::report::Outcome;
use crate::{command, tidy, tools};

/// Compiled by this task where it is missing, unoptimised: it reads a few files.
const VERSION: &str = "0.20.2";

pub(super) fn code(root: &Path) -> (Outcome, Count) {
    let result = prepare(root).and_then(|()| check(root, &["bans", "licenses", "sources"]));
    (Outcome::of(result), Count::default())
}

pub(super) fn advisories(root: &Path) -> (Outcome, Count) {
    if let Err(error) = prepare(root) {
        return (Outcome::of(Err(error)), Count::default());
    }
    if command::run(cargo_deny(root, root).args(["fetch", "db"])).is_ok() {
        return (Outcome::of(check(root, &["advisories"])), Count::default());
    }
    let note = "advisories were NOT checked: their database cannot be fetched from github.com";
    println!("{note}");
    (Outcome::LeftOut(note.to_owned()), Count::default())
}

fn prepare(root: &Path) -> Result<()> {
    if tools::present("cargo-deny") {
        return Ok(());
    }
    println!("installing what is missing: cargo-deny {VERSION}");
    let mut install = command::cargo(root);
    install.args(["install", "cargo-deny", "--version", VERSION, "--locked", "--debug"]);
    command::run(install.args(["--no-default-features", "--quiet"]))
        .context("cargo-deny could not be installed")
}

fn check(root: &Path, what: &[&str]) -> Result<()> {
    let applications = tidy::applications(root).into_iter().map(|app| root.join(app));
    for folder in std::iter::once(root.to_owned()).chain(applications) {
        command::run(cargo_deny(root, &folder).arg("check").args(what))?;
    }
    Ok(())
}

fn cargo_deny(root: &Path, folder: &Path) -> Command {
    let mut cargo = command::cargo(folder);
    cargo.args(["deny", "--locked", "--log-level", "error", "--config"]).arg(root.join("deny.toml"));
    cargo
}
