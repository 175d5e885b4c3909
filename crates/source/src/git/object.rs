//! Reading commits, folders and files.

use std::fmt;

use naru_model::CommitId;

use super::{Git, GitError, Result};

/// The most entries of a listing.
const LISTING_LIMIT_BYTES: u64 = 32 << 20;

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A file.
    File,
    /// A file that may be executed.
    Executable,
    /// A symbolic link.
    Link,
    /// A folder.
    Folder,
    /// A commit of another repository.
    Submodule,
}

impl EntryKind {
    fn from_mode(mode: &str) -> Option<Self> {
        match mode {
            "100644" | "100664" => Some(Self::File),
            "100755" => Some(Self::Executable),
            "120000" => Some(Self::Link),
            "040000" => Some(Self::Folder),
            "160000" => Some(Self::Submodule),
            _ => None,
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Executable => "an executable file",
            Self::Link => "a symbolic link",
            Self::Folder => "a folder",
            Self::Submodule => "a submodule",
        })
    }
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// The object's id: 40 lower-case hexadecimal characters.
    pub object: String,
    /// Its size in bytes; 0 for folders and submodules.
    pub size_bytes: u64,
    /// Its path from the repository's root. Bytes that are no UTF-8 are replaced.
    pub path: String,
}

impl Git {
    /// The commit that a revision expression such as `refs/heads/main` or an id leads to; `None` when there is none.
    pub async fn rev_parse(&self, revision: &str) -> Result<Option<CommitId>> {
        if revision.is_empty() || revision.starts_with('-') || revision.contains(|c: char| c.is_control()) {
            return Err(GitError::Refused(revision.to_owned()));
        }
        let wanted = format!("{revision}^{{commit}}");
        let output =
            self.call(["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]).output().await?;
        // Exit code 1 is "no such revision"; 128 also stands for objects that are missing or no commits.
        match output.code {
            Some(0) => Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok()),
            Some(1 | 128) => Ok(None),
            _ => output.success("rev-parse").map(|_| None),
        }
    }

    /// The content of a file; `None` when the commit has none of that name. Links are refused, never followed.
    pub async fn cat_file(&self, commit: &CommitId, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        check_path(path)?;
        let arguments = ["ls-tree", "-z", "-l", "--full-tree", commit.as_str(), "--", path];
        let listing = parse_listing(&self.call(arguments).output_limit(64 << 10).read().await?)?;
        let Some(entry) = listing.into_iter().find(|entry| entry.path == path) else { return Ok(None) };
        if !matches!(entry.kind, EntryKind::File | EntryKind::Executable) {
            return Err(GitError::NotAFile { path: path.to_owned(), kind: entry.kind });
        }
        if entry.size_bytes > limit_bytes {
            return Err(GitError::TooLarge { what: path.to_owned(), limit_bytes });
        }
        let content = self.call(["cat-file", "blob", &entry.object]).output_limit(limit_bytes).read().await?;
        Ok(Some(content))
    }

    /// The entries of a folder (the root when `None`); with `recursive` every file below it instead of its folders.
    /// A folder that does not exist is empty.
    pub async fn ls_tree(
        &self,
        commit: &CommitId,
        folder: Option<&str>,
        recursive: bool,
    ) -> Result<Vec<Entry>> {
        let mut arguments = vec!["ls-tree", "-z", "-l", "--full-tree"];
        if recursive {
            arguments.push("-r");
        }
        arguments.extend([commit.as_str(), "--"]);
        let inside = match folder {
            Some(folder) => {
                check_path(folder)?;
                format!("{folder}/")
            }
            None => String::new(),
        };
        if !inside.is_empty() {
            arguments.push(&inside);
        }
        parse_listing(&self.call(arguments).output_limit(LISTING_LIMIT_BYTES).read().await?)
    }
}

/// Accepts relative paths of plain components.
fn check_path(path: &str) -> Result<()> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.len() <= 4096 && path.split('/').all(plain) && !path.contains(|c: char| c.is_control()) {
        Ok(())
    } else {
        Err(GitError::Refused(path.chars().take(200).collect()))
    }
}

/// Reads `<mode> <type> <id> <size>TAB<path>NUL` of `git ls-tree -z -l`.
fn parse_listing(listing: &[u8]) -> Result<Vec<Entry>> {
    let entries = listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let text = String::from_utf8_lossy(entry);
            parse_entry(&text).ok_or_else(|| GitError::Failed {
                command: "ls-tree".into(),
                code: Some(0),
                said: format!(
                    "an entry that cannot be read: {:?}",
                    text.chars().take(200).collect::<String>()
                ),
            })
        })
        .collect()
}

fn parse_entry(text: &str) -> Option<Entry> {
    let (facts, path) = text.split_once('\t')?;
    let mut facts = facts.split_ascii_whitespace();
    let kind = EntryKind::from_mode(facts.next()?)?;
    let (_, object, size) = (facts.next()?, facts.next()?, facts.next()?);
    Some(Entry {
        kind,
        object: object.to_owned(),
        size_bytes: size.parse().unwrap_or(0),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read() {
        let listing = b"100644 blob 1111111111111111111111111111111111111111      12\tnaru.yaml\0\
            120000 blob 2222222222222222222222222222222222222222       4\ta\tb\nc\0\
            040000 tree 3333333333333333333333333333333333333333       -\tdocs\0";
        let entries = parse_listing(listing).unwrap();
        let seen: Vec<_> = entries.iter().map(|e| (e.kind, e.size_bytes, e.path.as_str())).collect();
        assert_eq!(
            seen,
            [
                (EntryKind::File, 12, "naru.yaml"),
                (EntryKind::Link, 4, "a\tb\nc"),
                (EntryKind::Folder, 0, "docs")
            ]
        );
        assert!(parse_listing(b"nonsense\0").is_err());
    }

    #[test]
    fn paths_that_leave_the_repository_are_refused() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\nb"] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
        assert!(check_path("-dash/naru.yaml").is_ok());
    }
}
