//! The files that let an edge serve again by itself: all tables of routes, and the one of TLS with its private keys.
//! Each is replaced by write, fsync and rename, and is its owner's only.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use naru_model::route::AppliedTable;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::place::Place;
use super::{Kept, KeptTls};
use crate::TlsTable;

const TABLES: &str = "table.json";
const TLS: &str = "tls.json";
const VERSION: u32 = 1;
/// A file larger than this was not written by an edge.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Writes all tables.
pub(super) fn write(place: &Place, tables: Vec<AppliedTable>) -> io::Result<()> {
    replace(place, TABLES, &Kept { version: VERSION, tables })
}

/// Writes the table of TLS.
pub(super) fn write_tls(place: &Place, table: TlsTable) -> io::Result<()> {
    replace(place, TLS, &KeptTls { version: VERSION, table })
}

/// Reads the tables back.
pub(super) fn read(place: &Place) -> Vec<AppliedTable> {
    let kept: Option<Kept> = understood(place, TABLES, |kept: &Kept| kept.version);
    kept.map(|kept| kept.tables).unwrap_or_default()
}

/// Reads the table of TLS back.
pub(super) fn read_tls(place: &Place) -> TlsTable {
    let kept: Option<KeptTls> = understood(place, TLS, |kept: &KeptTls| kept.version);
    kept.map(|kept| kept.table).unwrap_or_default()
}

fn replace(place: &Place, name: &str, content: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(content)?;
    let temporary = place.path(&format!("{name}.new"));
    // One that was left behind may have another mode.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    let path = place.path(name);
    std::fs::rename(&temporary, &path)?;
    sync_folder(&path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// A file that cannot be understood is set aside, and the edge starts without what it says: `serve` publishes again
/// what it wants.
fn understood<T: DeserializeOwned>(place: &Place, name: &str, version: fn(&T) -> u32) -> Option<T> {
    let path = place.path(name);
    match read_file(&path, version) {
        Ok(kept) => Some(kept),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "a kept table cannot be read; it is set aside");
            let _ = std::fs::rename(&path, place.path(&format!("{name}.invalid")));
            None
        }
    }
}

fn read_file<T: DeserializeOwned>(path: &Path, version: fn(&T) -> u32) -> io::Result<T> {
    if std::fs::metadata(path)?.len() > BYTES_MAX {
        return Err(io::Error::other("larger than any table"));
    }
    let kept: T = serde_json::from_slice(&std::fs::read(path)?)?;
    match version(&kept) {
        VERSION => Ok(kept),
        other => Err(io::Error::other(format!("version {other} is not known"))),
    }
}
