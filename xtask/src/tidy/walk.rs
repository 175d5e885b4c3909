//! Finding the files that rules read: those that git knows or would add.

use std::path::Path;

use anyhow::Result;

use crate::command;

/// A text file of the repository.
pub(super) struct File {
    /// Path below the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Every text file of the repository below one of the folders, ending in one of the endings, sorted.
pub(super) fn files(root: &Path, folders: &[&str], endings: &[&str]) -> Result<Vec<File>> {
    let mut git = command::program("git", root);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]).args(folders);
    let listing = command::output(&mut git)?;
    let mut found = Vec::new();
    for path in listing.split('\0').filter(|path| endings.iter().any(|ending| path.ends_with(ending))) {
        // Deleted but not yet committed.
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        found.push(File { path: path.to_owned(), text });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
