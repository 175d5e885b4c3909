//! Node programs of the repository: their packages from npm, as their lock files name them, and starting them.
//!
//! Tests that start node find their packages beside them: `cargo xtask test` and `cargo xtask tools --install` call
//! [`install`]. Packages are downloaded once into the cache of this machine, by the content of the lock file, and run no
//! script of theirs; the folder gets a link to them. What a program does is its own business.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use crate::command;

/// What names the packages of a folder, exactly.
const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Makes sure that every folder below `tests/` with a lock file has its packages.
pub(crate) fn install(root: &Path) -> Result<()> {
    let entries = fs::read_dir(root.join("tests")).into_iter().flatten().flatten();
    let mut folders = entries.map(|entry| entry.path()).filter(|path| path.join(LISTS[1]).is_file());
    folders.try_for_each(|folder| packages(&folder))
}

/// Makes sure that `folder` has the packages of its lock file, as `node_modules`.
pub(crate) fn packages(folder: &Path) -> Result<()> {
    let kept = cache()?.join(digest(folder)?);
    if !kept.join("node_modules").is_dir() {
        download(folder, &kept)?;
    }
    let link = folder.join("node_modules");
    let packages = kept.join("node_modules");
    if fs::read_link(&link).is_ok_and(|target| target == packages) {
        return Ok(());
    }
    match fs::symlink_metadata(&link) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(&link)?,
        Ok(_) => fs::remove_file(&link)?,
        Err(_) => {}
    }
    symlink(packages, &link).with_context(|| format!("{} could not be made", link.display()))
}

/// A node program in its folder, started with `words`.
pub(crate) fn program(folder: &Path, words: &[&str]) -> Command {
    let mut node = command::program("node", folder);
    node.args(words).env("NO_COLOR", "1");
    node
}

/// Into a folder beside, which gets its name when it is whole: two tasks may do this at once.
fn download(folder: &Path, kept: &Path) -> Result<()> {
    let above = kept.parent().context("the cache has a folder")?;
    fs::create_dir_all(above)?;
    let scratch = tempfile::Builder::new().prefix("new-").tempdir_in(above)?;
    for list in LISTS {
        fs::copy(folder.join(list), scratch.path().join(list))?;
    }
    let mut npm = command::program("npm", scratch.path());
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]);
    command::run(&mut npm)
        .with_context(|| format!("the packages of {} could not be downloaded", folder.display()))?;
    let whole = scratch.keep();
    if fs::rename(&whole, kept).is_err() {
        fs::remove_dir_all(&whole)?; // another task was quicker
    }
    Ok(())
}

fn digest(folder: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for list in LISTS {
        let path = folder.join(list);
        hash.update(fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    Ok(hex::encode(&hash.finalize()[..12]))
}

fn cache() -> Result<PathBuf> {
    let home = command::variable("HOME").context("HOME is not set")?;
    let cache = command::variable("XDG_CACHE_HOME").unwrap_or_else(|| format!("{home}/.cache"));
    Ok(PathBuf::from(cache).join("naru/npm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_lock_file_is_another_folder_of_packages() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("package.json"), "{}").unwrap();
        fs::write(folder.path().join("package-lock.json"), "{}").unwrap();
        let first = digest(folder.path()).unwrap();
        assert_eq!(digest(folder.path()).unwrap(), first);
        fs::write(folder.path().join("package-lock.json"), "{ }").unwrap();
        assert_ne!(digest(folder.path()).unwrap(), first);
    }
}
