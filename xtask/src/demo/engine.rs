//! The podman command on the engine that this Naru made, with the engine's own configuration files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::folders::Folders;
use crate::command;

/// The engine of the demo's data folder.
pub(crate) struct Engine {
    folder: PathBuf,
}

impl Engine {
    pub(crate) fn new(folders: &Folders) -> Self {
        Self { folder: folders.data().join("engine") }
    }

    /// Whether an image is there.
    pub(super) fn has(&self, image: &str) -> bool {
        command::output(self.podman().args(["image", "exists", image])).is_ok()
    }

    /// Removes every image that no container uses.
    pub(crate) fn prune(&self) -> Result<()> {
        command::output(self.podman().args(["image", "prune", "--all", "--force"])).map(drop)
    }

    /// Pulls an image from its registry, if that can be reached.
    pub(super) fn pull(&self, image: &str) -> bool {
        command::output(self.with_policy("pull").args(["--quiet", image])).is_ok()
    }

    /// Reads a file that [`Engine::save`] wrote.
    pub(super) fn load(&self, file: &Path) -> Result<()> {
        command::output(self.with_policy("load").arg("--quiet").arg("--input").arg(file)).map(drop)
    }

    /// Writes an image into a file.
    pub(super) fn save(&self, image: &str, file: &Path) -> Result<()> {
        let mut podman = self.podman();
        podman.args(["save", "--quiet", "--format", "docker-archive", "--output"]).arg(file).arg(image);
        command::output(&mut podman).map(drop)
    }

    /// Makes an image of a root file system in a tar file.
    pub(super) fn import(&self, file: &Path, image: &str) -> Result<()> {
        command::output(self.with_policy("import").arg("--quiet").arg(file).arg(image)).map(drop)
    }

    /// Builds an image; its steps use the network of this machine as it is.
    pub(super) fn build(&self, folder: &Path, image: &str) -> Result<()> {
        let mut podman = self.with_policy("build");
        podman
            .args(["--quiet", "--pull=never", "--network=host", "--layers=false", "--tag", image])
            .arg(folder);
        command::output(&mut podman).map(drop)
    }

    fn with_policy(&self, verb: &str) -> Command {
        let mut podman = self.podman();
        podman.arg(verb);
        // `import` and `load` of this version know the option too; all of them read the system's file otherwise.
        if verb != "import" {
            podman.arg("--signature-policy").arg(self.folder.join("policy.json"));
        }
        podman
    }

    fn podman(&self) -> Command {
        let mut podman = command::program("podman", &self.folder);
        podman
            .env("CONTAINERS_CONF", self.folder.join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.folder.join("storage.conf"))
            .env("CONTAINERS_REGISTRIES_CONF", self.folder.join("registries.conf"))
            .env("TMPDIR", self.folder.join("tmp"));
        podman
    }
}
