//! The access log: one JSON line per request. Each worker renders its lines into memory of its own; a thread writes down
//! what has gathered. A writer that falls behind loses lines, which are counted, rather than slow requests down.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use http::{HeaderValue, Method, Uri};
use naru_model::{EnvironmentKey, RevisionNumber, Timestamp};
use serde::{Serialize, Serializer};

use super::routing::{Choice, Entry};

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

/// Bytes of a worker's lines that wait for the writer.
const WAITING_MAX: usize = 4 * 1024 * 1024;
/// What is kept for them while little happens.
const ROOM: usize = 256 * 1024;
/// How long lines gather before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes of a host and of a path in a line.
const HOST_MAX: usize = 260;
const PATH_MAX: usize = 1_024;

/// One request that is over.
pub(super) struct Line<'a> {
    pub(super) at: Timestamp,
    pub(super) request_id: &'a HeaderValue,
    pub(super) peer: IpAddr,
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) status: Option<u16>,
    pub(super) broken: bool,
    pub(super) took: Duration,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) route: Option<&'a Entry>,
    pub(super) choice: Option<&'a Choice>,
}

/// The line's fields. The query is left out: it may carry what nobody should read later.
#[derive(Serialize)]
struct Fields<'a> {
    at: &'a str,
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
    environment: Option<AsText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<RevisionNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<&'a str>,
}

struct AsText<'a>(&'a EnvironmentKey);

impl Serialize for AsText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

impl Line<'_> {
    fn render(&self, out: &mut Vec<u8>) {
        let host = self.host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let path = self.uri.path();
        let at = Moment::of(self.at);
        let fields = Fields {
            at: at.text(),
            request_id: self.request_id.to_str().unwrap_or_default(),
            peer: self.peer,
            host: &host[..host.len().min(HOST_MAX)],
            method: self.method.as_str(),
            path: &path[..path.floor_char_boundary(PATH_MAX)],
            status: self.status,
            broken: self.broken,
            took_us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            environment: self.route.map(|route| AsText(&route.environment)),
            service: self.route.map(|route| &*route.service),
            revision: self.choice.map(|choice| choice.revision),
            replica: self.choice.map(|choice| &*choice.backend.name),
        };
        // Memory takes everything.
        let _ = serde_json::to_writer(&mut *out, &fields);
        out.push(b'\n');
    }
}

/// A moment as text, to the microsecond. Everything before the fraction is worked out once per second and thread.
struct Moment([u8; Self::LENGTH]);

impl Moment {
    /// `2026-11-21T10:31:00.000001Z`
    const LENGTH: usize = 27;
    const SECOND: usize = 19;

    fn of(at: Timestamp) -> Self {
        thread_local! {
            static LAST: Cell<(i64, [u8; Moment::SECOND])> = const { Cell::new((i64::MIN, [b'0'; Moment::SECOND])) };
        }
        // Before 1970 the parts of a moment are negative; clocks that show that are of nobody.
        let (second, micros) = (at.as_second(), at.subsec_microsecond().unsigned_abs());
        let (mut of, mut until_second) = LAST.get();
        if of != second {
            let whole = Timestamp::from_second(second).unwrap_or_default().to_string();
            if let Some(text) = whole.as_bytes().first_chunk() {
                (of, until_second) = (second, *text);
                LAST.set((of, until_second));
            }
        }
        let mut text = [b'.'; Self::LENGTH];
        text[..Self::SECOND].copy_from_slice(&until_second);
        let mut rest = micros;
        for digit in text[Self::SECOND + 1..Self::LENGTH - 1].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        text[Self::LENGTH - 1] = b'Z';
        Self(text)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The request path's end of the log.
pub(super) struct AccessSink {
    log: Option<(Arc<Log>, Thread)>,
    dropped: AtomicU64,
}

/// What the workers and the writer share.
struct Log {
    /// Lines of each worker: one that is interrupted at its own keeps no other from going on.
    waiting: Box<[Mutex<Vec<u8>>]>,
    desk: Mutex<Desk>,
    closed: AtomicBool,
}

/// The writer's side: where lines go, and those that it is at.
struct Desk {
    target: Target,
    lines: Vec<u8>,
}

impl AccessSink {
    pub(super) fn open(log: AccessLog, workers: usize) -> std::io::Result<Self> {
        let target = match log {
            AccessLog::Off => return Ok(Self { log: None, dropped: AtomicU64::new(0) }),
            AccessLog::Tracing => Target::Tracing,
            AccessLog::File { path, bytes_max, kept } => {
                Target::File(Rotating::open(path, bytes_max.max(1), kept)?)
            }
        };
        let log = Arc::new(Log {
            waiting: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            desk: Mutex::new(Desk { target, lines: Vec::new() }),
            closed: AtomicBool::new(false),
        });
        let shared = Arc::clone(&log);
        let writer = std::thread::Builder::new().name("edge-access".into()).spawn(move || shared.write())?;
        Ok(Self { log: Some((log, writer.thread().clone())), dropped: AtomicU64::new(0) })
    }

    pub(super) fn put(&self, worker: usize, line: &Line<'_>) {
        let Some((log, writer)) = &self.log else { return };
        let mut waiting = lock(&log.waiting[worker % log.waiting.len()]);
        if waiting.len() > WAITING_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let is_first = waiting.is_empty();
        line.render(&mut waiting);
        drop(waiting);
        // The writer sleeps until there is something, and then lets it gather: it is woken once for many lines.
        if is_first {
            writer.unpark();
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes down what waits, at once.
    pub(super) fn flush(&self) {
        if let Some((log, _)) = &self.log {
            log.write_down();
        }
    }
}

impl Drop for AccessSink {
    fn drop(&mut self) {
        if let Some((log, writer)) = &self.log {
            log.closed.store(true, Ordering::Release);
            writer.unpark();
        }
    }
}

impl Log {
    #[expect(clippy::disallowed_methods, reason = "a thread of its own, which nothing else waits for")]
    fn write(&self) {
        while !self.closed.load(Ordering::Acquire) {
            std::thread::park();
            std::thread::sleep(GATHER);
            self.write_down();
        }
    }

    fn write_down(&self) {
        let Desk { target, lines } = &mut *lock(&self.desk);
        for waiting in &self.waiting {
            std::mem::swap(&mut *lock(waiting), lines);
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                target.put(line);
            }
            lines.clear();
            lines.shrink_to(ROOM);
        }
        target.flush();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Target {
    Tracing,
    File(Rotating),
}

impl Target {
    fn put(&mut self, line: &[u8]) {
        match self {
            Self::Tracing => {
                let line = String::from_utf8_lossy(line);
                tracing::info!(target: "naru_edge::access", "{}", line.trim_end());
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

    /// `line` with its end. One that cannot be written (the disk is full) is lost; the next one is tried again.
    fn put(&mut self, line: &[u8]) {
        let length = line.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.bytes_max {
            let _ = self.out.flush();
            if let Err(error) = self.rotate() {
                tracing::warn!(%error, "the access log could not be rotated");
            }
        }
        if self.out.write_all(line).is_ok() {
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
    fn moments_are_written_to_the_microsecond() {
        let texts = ["2026-11-21T10:31:00.500001999Z", "2026-11-21T10:31:00Z", "1970-01-01T00:00:01.000999Z"];
        let written = texts.map(|text| Moment::of(text.parse().unwrap()).text().to_owned());
        let expected =
            ["2026-11-21T10:31:00.500001Z", "2026-11-21T10:31:00.000000Z", "1970-01-01T00:00:01.000999Z"];
        assert_eq!(written, expected);
    }

    #[test]
    fn the_file_is_set_aside_when_full_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut file = Rotating::open(path.clone(), 25, 2).unwrap();
        for number in 0..10 {
            file.put(format!("line {number:04}\n").as_bytes());
        }
        file.out.flush().unwrap();
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(read(path.clone()), "line 0008\nline 0009\n");
        assert_eq!(read(numbered(&path, 1)), "line 0006\nline 0007\n");
        assert_eq!(read(numbered(&path, 2)), "line 0004\nline 0005\n");
        assert!(!numbered(&path, 3).exists());
    }
}
