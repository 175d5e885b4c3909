//! The access log: one JSON line per request, written by a thread of its own. A writer that falls behind loses
//! lines, which are counted, rather than slow requests down.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use http::{HeaderValue, Method, Uri};
use naru_model::{RevisionNumber, Timestamp};
use serde::Serialize;

use super::backend::Backend;
use super::routing::Entry;

/// Where access lines go.
#[derive(Debug, Clone)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To `tracing`, target `naru_edge::access`.
    Tracing,
    /// To a file that is rotated at `bytes_max`; `kept` older files stay beside it.
    File {
        /// The current file.
        path: PathBuf,
        /// When it is set aside.
        bytes_max: u64,
        /// How many older ones stay.
        kept: u32,
    },
}

/// Lines that wait for the writer.
const QUEUE_MAX: usize = 8_192;
/// Bytes of a path in a line.
const PATH_MAX: usize = 1_024;

/// One request, as it is handed to the writer. Rendering happens there.
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) request_id: HeaderValue,
    pub(super) peer: IpAddr,
    pub(super) host: Option<HeaderValue>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) status: Option<u16>,
    pub(super) broken: bool,
    pub(super) took: Duration,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) revision: Option<RevisionNumber>,
    pub(super) replica: Option<Arc<Backend>>,
    pub(super) route: Option<Arc<Entry>>,
}

/// The line's fields. The query is left out: it may carry what nobody should read later.
#[derive(Serialize)]
struct Fields<'a> {
    at: Timestamp,
    request_id: &'a str,
    peer: IpAddr,
    host: &'a str,
    method: &'a str,
    path: &'a str,
    status: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    broken: bool,
    took_us: u64,
    bytes_in: u64,
    bytes_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<RevisionNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<&'a str>,
}

impl Line {
    fn render(&self) -> Vec<u8> {
        let text = |value: &'_ HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let host = self.host.as_ref().map(text).unwrap_or_default();
        let path = self.uri.path();
        let fields = Fields {
            at: self.at,
            request_id: self.request_id.to_str().unwrap_or_default(),
            peer: self.peer,
            host: &host[..host.len().min(260)],
            method: self.method.as_str(),
            path: &path[..path.floor_char_boundary(PATH_MAX)],
            status: self.status,
            broken: self.broken,
            took_us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            environment: self.route.as_ref().map(|route| route.environment.to_string()),
            service: self.route.as_ref().map(|route| &*route.service),
            revision: self.revision,
            replica: self.replica.as_ref().map(|replica| &*replica.name),
        };
        serde_json::to_vec(&fields).unwrap_or_default()
    }
}

/// The request path's end of the log.
pub(super) struct AccessSink {
    queue: Option<SyncSender<Line>>,
    dropped: AtomicU64,
}

impl AccessSink {
    pub(super) fn open(log: AccessLog) -> std::io::Result<Self> {
        let mut target = match log {
            AccessLog::Off => return Ok(Self { queue: None, dropped: AtomicU64::new(0) }),
            AccessLog::Tracing => Target::Tracing,
            AccessLog::File { path, bytes_max, kept } => {
                Target::File(Rotating::open(path, bytes_max.max(1), kept)?)
            }
        };
        let (queue, lines) = sync_channel(QUEUE_MAX);
        std::thread::Builder::new()
            .name("edge-access".into())
            .spawn(move || write_all(&lines, &mut target))?;
        Ok(Self { queue: Some(queue), dropped: AtomicU64::new(0) })
    }

    pub(super) fn write(&self, line: impl FnOnce() -> Line) {
        if let Some(queue) = &self.queue
            && queue.try_send(line()).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

enum Target {
    Tracing,
    File(Rotating),
}

fn write_all(lines: &Receiver<Line>, target: &mut Target) {
    while let Ok(line) = lines.recv() {
        target.put(&line.render());
        // What has gathered goes into one write; what is alone does not wait.
        while let Ok(line) = lines.try_recv() {
            target.put(&line.render());
        }
        target.flush();
    }
}

impl Target {
    fn put(&mut self, line: &[u8]) {
        match self {
            Self::Tracing => {
                tracing::info!(target: "naru_edge::access", "{}", String::from_utf8_lossy(line));
            }
            Self::File(file) => file.put(line),
        }
    }

    fn flush(&mut self) {
        if let Self::File(file) = self {
            let _ = file.out.flush();
        }
    }
}

/// A file that is set aside when it is full.
struct Rotating {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
    bytes_max: u64,
    kept: u32,
}

impl Rotating {
    fn open(path: PathBuf, bytes_max: u64, kept: u32) -> std::io::Result<Self> {
        let (file, bytes) = append(&path)?;
        Ok(Self { path, out: BufWriter::with_capacity(64 * 1024, file), bytes, bytes_max, kept })
    }

    /// A line that cannot be written (the disk is full) is lost; the next one is tried again.
    fn put(&mut self, line: &[u8]) {
        let length = line.len() as u64 + 1;
        if self.bytes > 0 && self.bytes + length > self.bytes_max {
            let _ = self.out.flush();
            if let Err(error) = self.rotate() {
                tracing::warn!(%error, "the access log could not be rotated");
            }
        }
        if self.out.write_all(line).and_then(|()| self.out.write_all(b"\n")).is_ok() {
            self.bytes += length;
        }
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        for number in (1..self.kept).rev() {
            let _ = std::fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1));
        }
        if self.kept > 0 {
            std::fs::rename(&self.path, numbered(&self.path, 1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        let (file, bytes) = append(&self.path)?;
        self.out = BufWriter::with_capacity(64 * 1024, file);
        self.bytes = bytes;
        Ok(())
    }
}

fn append(path: &Path) -> std::io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_set_aside_when_full_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut file = Rotating::open(path.clone(), 25, 2).unwrap();
        for number in 0..10 {
            file.put(format!("line {number:04}").as_bytes());
        }
        file.out.flush().unwrap();
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(read(path.clone()), "line 0008\nline 0009\n");
        assert_eq!(read(numbered(&path, 1)), "line 0006\nline 0007\n");
        assert_eq!(read(numbered(&path, 2)), "line 0004\nline 0005\n");
        assert!(!numbered(&path, 3).exists());
    }
}
