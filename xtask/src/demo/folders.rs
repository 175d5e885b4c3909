//! Where the demo keeps things: below `.naru/` in the repository, and a cache of base images for the whole machine.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command;

/// The demo's folders.
pub(crate) struct Folders {
    root: PathBuf,
    cache: PathBuf,
}

impl Folders {
    /// Makes the folders. For `--ci` they start empty; else what an earlier demo left is carried on.
    pub(crate) fn prepare(root: &Path, empty: bool) -> Result<Self> {
        if empty { Self::prepare_empty(root, "demo-ci") } else { Self::named(root, "demo") }
    }

    /// Makes folders that nobody else uses, for one task; `name` tells people which.
    pub(crate) fn prepare_empty(root: &Path, name: &str) -> Result<Self> {
        Self::named(root, &format!("{name}-{}", std::process::id()))
    }

    fn named(root: &Path, name: &str) -> Result<Self> {
        let home = command::variable("HOME").unwrap_or_else(|| "/tmp".to_owned());
        let cache = command::variable("XDG_CACHE_HOME").unwrap_or_else(|| format!("{home}/.cache"));
        let folders = Self { root: root.join(".naru").join(name), cache: PathBuf::from(cache).join("naru") };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folders.root)?;
        fs::create_dir_all(&folders.cache)
            .with_context(|| format!("{} cannot be used", folders.cache.display()))?;
        Ok(folders)
    }

    /// Naru's data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The working copy of an app, to edit and push from.
    pub(crate) fn work(&self, app: &str) -> PathBuf {
        self.root.join(app)
    }

    /// A file of the demo itself.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file that is kept for every demo of this machine.
    pub(crate) fn cached(&self, name: &str) -> PathBuf {
        self.cache.join(name)
    }

    /// Removes everything but the cache.
    pub(crate) fn remove(&self) -> Result<()> {
        // Podman leaves its storage mounted on itself.
        let overlay = self.data().join("engine/storage/overlay");
        let _ = command::output(command::program("umount", &self.root).arg(overlay));
        fs::remove_dir_all(&self.root)
            .with_context(|| format!("{} could not be removed", self.root.display()))
    }
}
