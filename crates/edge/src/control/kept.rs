//! The file that lets an edge serve again by itself: all tables, replaced by write, fsync and rename.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use naru_model::route::AppliedTable;

use super::Kept;
use super::place::Place;

const NAME: &str = "table.json";
const VERSION: u32 = 1;
/// A file larger than this was not written by an edge.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Writes all tables.
pub(super) fn write(place: &Place, tables: Vec<AppliedTable>) -> io::Result<()> {
    let text = serde_json::to_vec(&Kept { version: VERSION, tables })?;
    let temporary = place.path("table.json.new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    let path = place.path(NAME);
    std::fs::rename(&temporary, &path)?;
    sync_folder(&path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Reads them back. A file that cannot be understood is set aside, and the edge starts without routes: `serve`
/// publishes again what it wants.
pub(super) fn read(place: &Place) -> Vec<AppliedTable> {
    let path = place.path(NAME);
    match read_file(&path) {
        Ok(tables) => tables,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "the kept tables cannot be read; they are set aside");
            let _ = std::fs::rename(&path, place.path("table.json.invalid"));
            Vec::new()
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<AppliedTable>> {
    if std::fs::metadata(path)?.len() > BYTES_MAX {
        return Err(io::Error::other("larger than any table"));
    }
    let kept: Kept = serde_json::from_slice(&std::fs::read(path)?)?;
    if kept.version != VERSION {
        return Err(io::Error::other(format!("version {} is not known", kept.version)));
    }
    Ok(kept.tables)
}
