//! The files of a commit, on their way into a container or a build's context. Everything in an archive is hostile:
//! what could reach outside the folder it is meant for is refused, not repaired.
//!
//! Every file gets the current time: tools that compare times with those in a cache volume (Cargo, make) would
//! otherwise take a commit made before the last build for unchanged.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use futures::StreamExt as _;
use naru_model::Problem;
use naru_model::job::Workspace;
use tar::{Archive, EntryType, Header};
use tokio::io::AsyncWriteExt as _;

use crate::{Inputs, StepError};

const ARCHIVE_LIMIT_BYTES: u64 = 2 << 30;
const FILES_LIMIT_BYTES: u64 = 4 << 30;
const ENTRY_LIMIT: usize = 500_000;
const PATH_LIMIT_BYTES: usize = 4096;

/// Writes the commit's archive to a file.
pub(crate) async fn fetch(inputs: &dyn Inputs, workspace: &Workspace, to: &Path) -> Result<(), StepError> {
    let full =
        |error: std::io::Error| StepError::Transient(format!("the commit's files cannot be stored: {error}"));
    let mut chunks = inputs.archive(workspace).await?;
    let mut file = tokio::fs::File::create(to).await.map_err(full)?;
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        length += chunk.len() as u64;
        if length > ARCHIVE_LIMIT_BYTES {
            return Err(refused("it is larger than 2 GiB").into());
        }
        file.write_all(&chunk).await.map_err(full)?;
    }
    file.flush().await.map_err(full)
}

fn refused(why: impl Into<String>) -> Problem {
    Problem::new("engine.archive", "the commit's files cannot be unpacked").cause(why)
}

/// An entry that was found harmless.
enum Harmless {
    Folder,
    File { is_program: bool },
    Link { target: PathBuf },
}

/// Walks through an archive and hands out what is harmless; fails at the first thing that is not.
fn walk(
    archive: impl Read,
    mut each: impl FnMut(&Path, &Harmless, &mut dyn Read, u64) -> std::io::Result<()>,
) -> Result<(), Problem> {
    let broken = |error: std::io::Error| refused(format!("the archive is damaged: {error}"));
    let mut archive = Archive::new(archive);
    let mut total = 0;
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        let size = entry.size();
        total += size;
        if count >= ENTRY_LIMIT || total > FILES_LIMIT_BYTES {
            return Err(refused("it holds more than 500,000 files or 4 GiB"));
        }
        let path = inside(&entry.path().map_err(broken)?)?;
        let Some(path) = path else { continue };
        let kind = harmless(&path, &entry)?;
        let shown = path.display().to_string();
        each(&path, &kind, &mut entry, size).map_err(|error| refused(format!("{shown}: {error}")))?;
    }
    Ok(())
}

/// The path, if it stays below the folder it is relative to; `None` for that folder itself.
fn inside(path: &Path) -> Result<Option<PathBuf>, Problem> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) | Component::ParentDir => {
                return Err(refused(format!("the path {} leaves its folder", path.display())));
            }
        }
    }
    if clean.as_os_str().len() > PATH_LIMIT_BYTES {
        return Err(refused("a path is longer than 4096 bytes"));
    }
    Ok((!clean.as_os_str().is_empty()).then_some(clean))
}

fn harmless(path: &Path, entry: &tar::Entry<'_, impl Read>) -> Result<Harmless, Problem> {
    match entry.header().entry_type() {
        EntryType::Directory => Ok(Harmless::Folder),
        EntryType::Regular | EntryType::Continuous => {
            Ok(Harmless::File { is_program: entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0) })
        }
        EntryType::Symlink => {
            let target = entry.link_name().ok().flatten();
            let target = target.ok_or_else(|| refused(format!("{} links to nothing", path.display())))?;
            Ok(Harmless::Link { target: target.into_owned() })
        }
        EntryType::Link => Err(refused(format!("{} is a hard link", path.display()))),
        _ => Err(refused(format!("{} is neither a file, a folder nor a symbolic link", path.display()))),
    }
}

/// Unpacks into an empty folder. Symbolic links are kept as they are and never followed.
pub(crate) fn unpack(archive: &Path, folder: &Path) -> Result<(), Problem> {
    let file = File::open(archive).map_err(|error| refused(error.to_string()))?;
    walk(file, |path, kind, content, _| {
        let at = folder.join(path);
        if let Some(parent) = path.parent() {
            real_folders(folder, parent)?;
        }
        match kind {
            Harmless::Folder => real_folders(folder, path),
            Harmless::Link { target } => std::os::unix::fs::symlink(target, at),
            Harmless::File { is_program } => {
                let mode = if *is_program { 0o755 } else { 0o644 };
                // `create_new` neither follows a link nor overwrites anything.
                let mut file = File::options().write(true).create_new(true).mode(mode).open(at)?;
                std::io::copy(content, &mut file)?;
                file.set_permissions(std::fs::Permissions::from_mode(mode))
            }
        }
    })
}

/// Makes the folders below `root`; fails when one of them is a link.
fn real_folders(root: &Path, path: &Path) -> std::io::Result<()> {
    let mut at = root.to_owned();
    for part in path.components() {
        at.push(part);
        match std::fs::symlink_metadata(&at) {
            Ok(about) if about.is_dir() => {}
            Ok(_) => return Err(std::io::Error::other("a folder of its path is a link or a file")),
            Err(_) => std::fs::create_dir(&at)?,
        }
    }
    Ok(())
}

/// Writes the archive again, checked and with the current time, below `folder`.
pub(crate) fn rewrite(archive: &Path, folder: &str, now_seconds: u64, to: impl Write) -> Result<(), Problem> {
    let file = File::open(archive).map_err(|error| refused(error.to_string()))?;
    let failed = |error: std::io::Error| refused(error.to_string());
    let mut builder = tar::Builder::new(to);
    let header = |kind, mode, size| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(now_seconds);
        header
    };
    builder
        .append_data(&mut header(EntryType::Directory, 0o755, 0), folder, std::io::empty())
        .map_err(failed)?;
    // What follows a link of the archive itself would be written elsewhere by whoever unpacks it.
    let mut links = std::collections::HashSet::new();
    walk(file, |path, kind, content, size| {
        if path.ancestors().skip(1).any(|parent| links.contains(parent)) {
            return Err(std::io::Error::other("a folder of its path is a link or a file"));
        }
        let at = Path::new(folder).join(path);
        match kind {
            Harmless::Folder => builder.append_data(&mut header(EntryType::Directory, 0o755, 0), at, content),
            Harmless::File { is_program } => {
                let mode = if *is_program { 0o755 } else { 0o644 };
                builder.append_data(&mut header(EntryType::Regular, mode, size), at, content)
            }
            Harmless::Link { target } => {
                links.insert(path.to_owned());
                builder.append_link(&mut header(EntryType::Symlink, 0o777, 0), at, target)
            }
        }
    })?;
    builder.into_inner().and_then(|mut to| to.flush()).map_err(failed)
}

/// A file or folder below `root` that does not leave it, not even by a link.
pub(crate) fn within(root: &Path, path: &str) -> Result<PathBuf, Problem> {
    let clean = inside(Path::new(path))?.unwrap_or_default();
    let missing = |error: std::io::Error| {
        Problem::new("engine.build-path", format!("{path:?} is not in the repository"))
            .cause(error.to_string())
    };
    let real_root = root.canonicalize().map_err(missing)?;
    let real = real_root.join(clean).canonicalize().map_err(missing)?;
    if real.starts_with(&real_root) {
        return Ok(real);
    }
    Err(Problem::new("engine.build-path", format!("{path:?} leads outside the repository"))
        .cause("it is a symbolic link, or lies below one")
        .hint("commit the file itself in place of the link"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by hand: the `tar` crate refuses to make most of these.
    fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, path, text) in entries {
            let mut header = Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let is_file = *kind == EntryType::Regular;
            if !is_file {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_size(if is_file { text.len() as u64 } else { 0 });
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            if is_file {
                bytes.extend_from_slice(text.as_bytes());
                bytes.resize(bytes.len().next_multiple_of(512), 0);
            }
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    fn unpacked(entries: &[(EntryType, &str, &str)]) -> (tempfile::TempDir, Result<(), Problem>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar");
        std::fs::write(&file, archive(entries)).unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let unpacked = unpack(&file, &root);
        let rewritten = rewrite(&file, "workspace", 1, Vec::new());
        assert_eq!(unpacked.is_ok(), rewritten.is_ok(), "{unpacked:?} {rewritten:?}");
        (folder, unpacked)
    }

    const FILE: EntryType = EntryType::Regular;
    const LINK: EntryType = EntryType::Symlink;

    #[test]
    fn hostile_archives_are_refused_and_write_nothing_outside() {
        let cases: [&[(EntryType, &str, &str)]; 8] = [
            &[(FILE, "../outside", "x")],
            &[(FILE, "a/../../outside", "x")],
            &[(FILE, "/outside", "x")],
            &[(LINK, "link", ".."), (FILE, "link/outside", "x")],
            &[(LINK, "a", "/tmp"), (LINK, "a/b", "x")],
            &[(EntryType::Link, "hard", "/etc/passwd")],
            &[(EntryType::Fifo, "pipe", "")],
            &[(EntryType::Char, "device", "")],
        ];
        for case in cases {
            let (folder, result) = unpacked(case);
            assert_eq!(result.expect_err(&format!("{case:?}")).code, "engine.archive");
            assert!(!folder.path().join("outside").exists());
        }
    }

    #[test]
    fn ordinary_archives_are_unpacked() {
        let (folder, result) = unpacked(&[
            (EntryType::XGlobalHeader, "pax_global_header", ""),
            (FILE, "src/main.rs", "fn"),
            (LINK, "l", "src"),
        ]);
        result.unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("root/l/main.rs")).unwrap(), "fn");
    }

    #[test]
    fn a_context_or_dockerfile_outside_is_refused() {
        let (folder, result) = unpacked(&[
            (FILE, "web/Dockerfile", "FROM scratch"),
            (LINK, "secret", "/etc/passwd"),
            (LINK, "up", ".."),
            (LINK, "fine", "web"),
        ]);
        result.unwrap();
        let root = folder.path().join("root");
        assert!(within(&root, "web/Dockerfile").is_ok());
        assert!(within(&root, "fine/Dockerfile").is_ok());
        assert!(within(&root, ".").is_ok());
        for bad in ["secret", "up", "up/a.tar", "../a.tar", "/etc/passwd", "absent"] {
            assert!(within(&root, bad).is_err(), "{bad}");
        }
    }
}
