//! Real Chromium on a real Naru: what the gate's stage `browser`, `cargo xtask screenshots` and `bench pages` stand on.
//!
//! Owns the instance that is looked at and starts the node programs of `tests/browser/`. What they look at and what they
//! demand is theirs.

mod screenshots;
mod suite;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

pub(crate) use screenshots::{Options as ScreenshotOptions, run as screenshots};
pub(crate) use suite::{Options, run, tests};

use crate::demo::engine::Engine;
use crate::demo::folders::Folders;
use crate::demo::images::{self, Base};
use crate::demo::naru::{LOG, Naru};
use crate::node;
use crate::tools;

/// Where the node programs are, below the root.
const PROGRAMS: &str = "tests/browser";

/// A Naru on an empty data folder with free ports, and what is needed to look at it. Dropping it stops everything.
pub(crate) struct Stand {
    naru: Naru,
    folders: Folders,
    programs: PathBuf,
    chromium: PathBuf,
}

impl Stand {
    /// Starts `binary`; the engine has the images that static sites are built on, and `more`.
    pub(crate) fn start(root: &Path, binary: &Path, name: &str, more: &[Base]) -> Result<Self> {
        let chromium = tools::find("chromium").context("chromium is not installed")?;
        let programs = root.join(PROGRAMS);
        node::packages(&programs)?;
        let folders = Folders::prepare_empty(root, name)?;
        let naru = Naru::start(&folders, binary, true)?;
        let engine = Engine::new(&folders);
        images::provide(&folders, &engine, &[Base::Debian, Base::Nginx])?;
        images::provide(&folders, &engine, more)?;
        Ok(Self { naru, folders, programs, chromium })
    }

    /// A node program that knows where everything is. Its working copies are below the instance's folder.
    pub(crate) fn node(&self, words: &[&str]) -> Result<Command> {
        let mut node = node::program(&self.programs, words);
        let root = self.programs.ancestors().nth(2).context("the programs are below the root")?;
        let work = self.folders.work("work");
        std::fs::create_dir_all(&work)?;
        node.env("NARU_URL", self.naru.url())
            .env("NARU_EDGE", self.naru.edge().to_string())
            .env("NARU_DATA", self.folders.data())
            .env("NARU_WORK", work)
            .env("NARU_SOURCES", root)
            .env("NARU_CHROMIUM", &self.chromium);
        Ok(node)
    }

    /// What the server says of itself.
    pub(crate) fn log(&self) -> PathBuf {
        self.folders.file(LOG)
    }

    /// Stops everything and removes the data folder: there is nothing left to look into.
    pub(crate) fn clear(self) -> Result<()> {
        let Self { naru, folders, .. } = self;
        drop(naru);
        folders.remove()
    }
}
