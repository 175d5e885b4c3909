//! An app of the repository as a project of its own: a working copy with its own history, pushed with ordinary git.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::api::Api;
use super::folders::Folders;
use crate::command;

/// A project of the demo.
pub(super) struct Project {
    pub(super) name: &'static str,
    pub(super) work: PathBuf,
    /// When it was pushed.
    since: Cell<Instant>,
}

impl Project {
    /// Makes the project and the working copy of `apps/<name>`, unless they are there.
    pub(super) fn create(root: &Path, folders: &Folders, api: &Api, name: &'static str) -> Result<Self> {
        api.post_once("projects", &json!({ "name": name }))?;
        let work = folders.work(name);
        let project = Self { name, work, since: Cell::new(Instant::now()) };
        if !project.work.join(".git").exists() {
            project.begin(root, folders)?;
        }
        // The address may be another than last time.
        let remote = format!("{}/git/{name}.git", api.base());
        project.git(&["config", "remote.naru.url", &remote])?;
        Ok(project)
    }

    fn begin(&self, root: &Path, folders: &Folders) -> Result<()> {
        fs::create_dir_all(&self.work)?;
        copy(&root.join("apps").join(self.name), &self.work)?;
        let helper = format!("store --file={}", quoted(&folders.file("git-credentials")));
        self.git(&["init", "--quiet", "--initial-branch=main"])?;
        self.git(&["config", "user.name", "Naru demo"])?;
        self.git(&["config", "user.email", "demo@localhost"])?;
        self.git(&["config", "credential.helper", &helper])?;
        self.git(&["config", "remote.naru.fetch", "+refs/heads/*:refs/remotes/naru/*"])?;
        self.commit("First crossing")
    }

    /// Seconds since the newest push.
    pub(super) fn seconds(&self) -> f64 {
        self.since.get().elapsed().as_secs_f64()
    }

    /// Commits everything in the working copy.
    pub(super) fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])
    }

    /// Whether the working copy has commits that were not pushed.
    pub(super) fn is_ahead(&self) -> bool {
        let commit = |name: &str| {
            command::output(command::program("git", &self.work).args([
                "rev-parse",
                "--verify",
                "--quiet",
                name,
            ]))
        };
        let pushed = commit("refs/remotes/naru/main").ok();
        pushed.is_none() || commit("refs/heads/main").ok() != pushed
    }

    /// Pushes `main`, as a person would.
    pub(super) fn push(&self) -> Result<()> {
        self.since.set(Instant::now());
        println!("\n$ git -C {} push naru main", self.work.display());
        command::run(command::program("git", &self.work).args(["push", "naru", "main"]).envs(clean()))
    }

    fn git(&self, words: &[&str]) -> Result<()> {
        command::output(command::program("git", &self.work).args(words).envs(clean())).map(drop)
    }
}

/// Git asks nobody, and loopback needs no proxy.
fn clean() -> [(&'static str, &'static str); 2] {
    [("GIT_TERMINAL_PROMPT", "0"), ("NO_PROXY", "127.0.0.1,localhost")]
}

/// For the shell that git starts credential helpers with.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

/// Copies what git knows of a folder: no build results.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut git: Command = command::program("git", from);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = command::output(&mut git);
    let names: Vec<String> = match &listed {
        Ok(text) => text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Err(_) => walk(from, Path::new(""))?,
    };
    for name in names {
        let target = to.join(&name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(from.join(&name), target)?;
    }
    Ok(())
}

/// Every file below a folder but `target`: for a source tree that came without git.
fn walk(root: &Path, below: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                names.extend(walk(root, &path)?);
            }
        } else {
            names.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
