//! How much the data folder holds, part by part. The engine's own storage is left out: its layers are mounted over each
//! other, and `podman system df` knows them better.

use std::io;
use std::path::{Path, PathBuf};

use naru_model::api::StoredPart;

/// Files and folders that are looked at; beyond that the count is given up.
const MOST: usize = 300_000;
/// Whose storage is not counted here.
const ENGINE: &str = "engine";

/// The parts of the folder, the largest first. Links are not followed; what goes away meanwhile is not counted.
pub(super) fn parts(data: &Path) -> io::Result<Vec<StoredPart>> {
    let mut looked_at = 0;
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != ENGINE {
            parts.push(StoredPart { bytes: size(entry.path(), &mut looked_at)?, name });
        }
    }
    parts.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name)));
    Ok(parts)
}

fn size(path: PathBuf, looked_at: &mut usize) -> io::Result<u64> {
    let (mut bytes, mut open) = (0, vec![path]);
    while let Some(path) = open.pop() {
        *looked_at += 1;
        if *looked_at > MOST {
            return Err(io::Error::other("there are too many files"));
        }
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        if about.is_file() {
            bytes += about.len();
        } else if about.is_dir() {
            open.extend(std::fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_without_the_engine_and_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("blobs/a")).unwrap();
        std::fs::create_dir(folder.path().join(ENGINE)).unwrap();
        std::fs::write(folder.path().join("blobs/a/one"), [0; 700]).unwrap();
        std::fs::write(folder.path().join("engine/layer"), [0; 9000]).unwrap();
        std::fs::write(folder.path().join("naru.db"), [0; 300]).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("blobs/around")).unwrap();
        let found: Vec<_> = parts(folder.path()).unwrap().into_iter().map(|it| (it.name, it.bytes)).collect();
        assert_eq!(found, [("blobs".to_owned(), 700), ("naru.db".to_owned(), 300)]);
    }
}
