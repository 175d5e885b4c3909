//! Reading commits, folders and files: one process answers all looks of an operation.

use std::fmt;
use std::sync::Arc;

use naru_model::CommitId;
use tokio::sync::Mutex;

use super::{Conversation, Git, GitError, Result};

/// The most bytes of folders in one listing.
const LISTING_LIMIT_BYTES: u64 = 32 << 20;
/// The largest commit whose text is skipped over.
const COMMIT_LIMIT_BYTES: u64 = 16 << 20;
/// Bytes of a SHA-1 object id.
const ID_BYTES: usize = 20;

/// The process that answers, once there was a question.
pub(super) type Reader = Arc<Mutex<Option<Conversation>>>;

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
    fn from_mode(mode: &[u8]) -> Option<Self> {
        match mode {
            b"100644" | b"100664" => Some(Self::File),
            b"100755" => Some(Self::Executable),
            b"120000" => Some(Self::Link),
            b"40000" => Some(Self::Folder),
            b"160000" => Some(Self::Submodule),
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
    /// Its path from the repository's root. Bytes that are no UTF-8 are replaced.
    pub path: String,
}

/// An object by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// There is none of that name.
    Missing,
    /// It has this many bytes, more than were asked for.
    TooLarge(u64),
    /// It is this.
    Whole {
        /// Its id.
        id: String,
        /// `blob`, `tree`, `commit` or `tag`.
        kind: String,
        /// All of it.
        content: Vec<u8>,
    },
}

impl Git {
    /// An object by a name that git knows: an id, `<commit>:<path>`, a reference. Names are never taken for options.
    pub async fn object(&self, name: &str, limit_bytes: u64) -> Result<Object> {
        if name.contains(|c: char| c.is_control()) {
            return Err(GitError::Refused(name.chars().take(200).collect()));
        }
        let mut reader = self.objects.lock().await;
        // Taken while it is asked: a question that is not answered to its end leaves no half-read process behind.
        let mut asked = match reader.take() {
            Some(asked) => asked,
            None => self.converse("cat-file", &["--batch"])?,
        };
        let found = ask(&mut asked, name, limit_bytes).await?;
        if !matches!(found, Object::TooLarge(_)) {
            *reader = Some(asked);
        }
        Ok(found)
    }

    /// The commit that a revision expression such as `refs/heads/main` or an id leads to; `None` when there is none.
    pub async fn rev_parse(&self, revision: &str) -> Result<Option<CommitId>> {
        if revision.is_empty() || revision.starts_with('-') {
            return Err(GitError::Refused(revision.to_owned()));
        }
        match self.object(&format!("{revision}^{{commit}}"), COMMIT_LIMIT_BYTES).await? {
            Object::Whole { id, .. } => Ok(id.parse().ok()),
            Object::Missing => Ok(None),
            Object::TooLarge(_) => {
                Err(GitError::TooLarge { what: revision.to_owned(), limit_bytes: COMMIT_LIMIT_BYTES })
            }
        }
    }

    /// The content of a file; `None` when the commit has none of that name. Links are refused, never followed.
    pub async fn cat_file(&self, commit: &CommitId, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        check_path(path)?;
        let folder = path.rsplit_once('/').map(|(folder, _)| folder);
        let listing = self.ls_tree(commit, folder, false).await?;
        let Some(entry) = listing.into_iter().find(|entry| entry.path == path) else { return Ok(None) };
        if !matches!(entry.kind, EntryKind::File | EntryKind::Executable) {
            return Err(GitError::NotAFile { path: path.to_owned(), kind: entry.kind });
        }
        match self.object(&entry.object, limit_bytes).await? {
            Object::Whole { content, .. } => Ok(Some(content)),
            Object::TooLarge(_) => Err(GitError::TooLarge { what: path.to_owned(), limit_bytes }),
            Object::Missing => Err(unreadable(&entry.object)),
        }
    }

    /// The entries of a folder (the root when `None`); with `recursive` every file below it instead of its folders.
    /// A folder that does not exist is empty.
    pub async fn ls_tree(
        &self,
        commit: &CommitId,
        folder: Option<&str>,
        recursive: bool,
    ) -> Result<Vec<Entry>> {
        let (name, prefix) = match folder {
            Some(folder) => {
                check_path(folder)?;
                (format!("{commit}:{folder}"), format!("{folder}/"))
            }
            None => (format!("{commit}^{{tree}}"), String::new()),
        };
        let mut room = LISTING_LIMIT_BYTES;
        let mut listing = Vec::new();
        let mut ahead: Vec<Entry> = self.entries(&name, &prefix, &mut room).await?.unwrap_or_default();
        ahead.reverse();
        while let Some(entry) = ahead.pop() {
            if recursive && entry.kind == EntryKind::Folder {
                let prefix = format!("{}/", entry.path);
                let below = self.entries(&entry.object, &prefix, &mut room).await?;
                let below = below.ok_or_else(|| unreadable(&entry.object))?;
                ahead.extend(below.into_iter().rev());
            } else {
                listing.push(entry);
            }
        }
        Ok(listing)
    }

    /// The entries of one folder; `None` when there is no folder of that name.
    async fn entries(&self, name: &str, prefix: &str, room: &mut u64) -> Result<Option<Vec<Entry>>> {
        match self.object(name, *room).await? {
            Object::Whole { kind, content, id } if kind == "tree" => {
                *room = room.saturating_sub(content.len() as u64);
                parse_folder(&content, prefix).map(Some).ok_or_else(|| unreadable(&id))
            }
            Object::Whole { .. } | Object::Missing => Ok(None),
            Object::TooLarge(_) => {
                Err(GitError::TooLarge { what: "a listing".into(), limit_bytes: LISTING_LIMIT_BYTES })
            }
        }
    }
}

async fn ask(reader: &mut Conversation, name: &str, limit_bytes: u64) -> Result<Object> {
    reader.say(format!("{name}\n").as_bytes()).await?;
    let header = reader.line().await?;
    let mut words = header.rsplitn(3, ' ');
    let (Some(size), Some(kind), Some(id)) = (words.next(), words.next(), words.next()) else {
        return Ok(Object::Missing);
    };
    // `<name> missing`, `<name> ambiguous`; a name may have spaces, a size is a number.
    let Ok(size) = size.parse::<u64>() else { return Ok(Object::Missing) };
    if size > limit_bytes {
        return Ok(Object::TooLarge(size));
    }
    let room = usize::try_from(size).map_err(|_| unreadable(id))?;
    let content = reader.bytes(room).await?;
    reader.bytes(1).await?; // the line feed after it
    Ok(Object::Whole { id: id.to_owned(), kind: kind.to_owned(), content })
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

/// Reads the entries of a tree object: `<mode> <name>NUL<20 bytes of id>` each.
fn parse_folder(mut tree: &[u8], prefix: &str) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !tree.is_empty() {
        let space = tree.iter().position(|byte| *byte == b' ')?;
        let end = tree.iter().position(|byte| *byte == 0)?;
        let (mode, name) = (&tree[..space], tree.get(space + 1..end)?);
        let id = tree.get(end + 1..end + 1 + ID_BYTES)?;
        entries.push(Entry {
            kind: EntryKind::from_mode(mode)?,
            object: hex::encode(id),
            path: format!("{prefix}{}", String::from_utf8_lossy(name)),
        });
        tree = &tree[end + 1 + ID_BYTES..];
    }
    Some(entries)
}

fn unreadable(object: &str) -> GitError {
    GitError::Failed {
        command: "cat-file".into(),
        code: Some(0),
        said: format!("object {object} cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read() {
        let mut tree = Vec::new();
        for (entry, byte) in [("100644 naru.yaml", 0x11), ("120000 a\tb\nc", 0x22), ("40000 docs", 0x33)] {
            tree.extend_from_slice(entry.as_bytes());
            tree.push(0);
            tree.extend_from_slice(&[byte; 20]);
        }
        let entries = parse_folder(&tree, "x/").unwrap();
        let seen: Vec<_> = entries.iter().map(|e| (e.kind, &e.object[..4], e.path.as_str())).collect();
        assert_eq!(
            seen,
            [
                (EntryKind::File, "1111", "x/naru.yaml"),
                (EntryKind::Link, "2222", "x/a\tb\nc"),
                (EntryKind::Folder, "3333", "x/docs")
            ]
        );
        assert!(parse_folder(&tree[..30], "").is_none());
        assert!(parse_folder(b"nonsense", "").is_none());
    }

    #[test]
    fn paths_that_leave_the_repository_are_refused() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\nb"] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
        assert!(check_path("-dash/naru.yaml").is_ok());
    }
}
