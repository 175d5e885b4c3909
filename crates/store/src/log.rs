//! The append-only log of steps and services: bounded, readable while it is written, whole after a crash.
//!
//! Whose lines these are and what must be masked in them is settled before they come here. The database knows nothing
//! of them.

mod lines;
mod record;
mod segment;
mod stream;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::BoxStream;
use naru_model::effect::{Effects, Unobserved, observed};
use naru_model::{EnvironmentKey, Problem, ProjectName, RunNumber, ServiceName, StepName, Timestamp};
use serde::{Deserialize, Serialize};

use stream::Stream;

/// How many streams may stay open without anyone using them.
const IDLE_STREAMS: usize = 256;

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No room on the disk. What was kept before is whole; these records were not kept.
    #[error("no room on the disk for the log")]
    DiskFull,
    /// The disk refused.
    #[error("the log cannot be used: {0}")]
    Io(std::io::Error),
}

impl From<std::io::Error> for LogError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let summary = error.to_string();
        match error {
            LogError::DiskFull => Self::new("store.disk-full", summary)
                .state("everything that was stored before is whole")
                .hint("make room on the disk of the data folder"),
            LogError::Io(_) => {
                Self::new("store.log-failed", summary).hint("check the disk of the data folder")
            }
        }
    }
}

/// The result of every call here.
pub type Result<T, E = LogError> = std::result::Result<T, E>;

/// Whose lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// A step of a run; a build is a step, too.
    Step {
        /// Whose run.
        project: ProjectName,
        /// Which run.
        run: RunNumber,
        /// Which step.
        step: StepName,
    },
    /// A service in an environment: the lines of all its replicas, as they came.
    Service {
        /// Where.
        environment: EnvironmentKey,
        /// Which service.
        service: ServiceName,
    },
}

impl LogStream {
    /// Whose it is.
    pub fn project(&self) -> &ProjectName {
        match self {
            Self::Step { project, .. } => project,
            Self::Service { environment, .. } => &environment.project,
        }
    }

    /// The stream's folder. Names are plain labels: no two streams share a folder and none leaves `root`.
    fn folder(&self, root: &Path) -> PathBuf {
        let project = root.join(self.project().as_str());
        match self {
            Self::Step { run, step, .. } => project.join("run").join(run.to_string()).join(step.as_str()),
            Self::Service { environment, service } => {
                project.join("service").join(environment.environment.as_str()).join(service.as_str())
            }
        }
    }

    /// What happens when the limit is reached.
    fn rotates(&self) -> bool {
        matches!(self, Self::Service { .. })
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When it was printed, to the microsecond.
    pub at: Timestamp,
    /// The replica that printed it; empty for steps, `naru` for remarks of Naru itself.
    pub source: String,
    /// The line. Line breaks in it make several records of it; so does a length over 16 KiB.
    pub text: String,
}

/// A place between two records of a stream. The start is the default; larger is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub u64);

/// A record and where reading goes on after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Where reading goes on.
    pub next: Cursor,
    /// The record.
    #[serde(flatten)]
    pub record: LogRecord,
}

/// Part of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogPage {
    /// Records in order.
    pub entries: Vec<LogEntry>,
    /// Where reading goes on.
    pub next: Cursor,
    /// Whether there was nothing more at this moment.
    pub at_end: bool,
}

/// Part of a stream, by line number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinePage {
    /// The number of the first line; the stream begins with 0.
    pub first: u64,
    /// Lines there were at this moment.
    pub total: u64,
    /// Whether nothing more will be added.
    pub ended: bool,
    /// The lines in order, one entry for each.
    pub entries: Vec<LogEntry>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes per step. What comes after is dropped, and the log says so.
    pub step_bytes: u64,
    /// Bytes per service and environment. The oldest segment makes room for new lines.
    pub service_bytes: u64,
    /// Bytes per segment.
    pub segment_bytes: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { step_bytes: 64 << 20, service_bytes: 32 << 20, segment_bytes: 4 << 20 }
    }
}

/// All logs of an instance. Cheap to clone; one per data folder.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
    effects: Arc<dyn Effects>,
}

struct Inner {
    root: PathBuf,
    limits: LogLimits,
    streams: Mutex<HashMap<LogStream, Arc<Stream>>>,
}

impl LogStore {
    /// The logs below `folder`, which is made when it is missing.
    pub async fn open(folder: &Path, limits: LogLimits) -> Result<Self> {
        tokio::fs::create_dir_all(folder).await?;
        let inner = Inner { root: folder.to_owned(), limits, streams: Mutex::default() };
        let logs = Self { inner: Arc::new(inner), effects: Arc::new(Unobserved) };
        logs.finish_deletions().await?;
        Ok(logs)
    }

    /// The same logs, telling of every change.
    pub fn observed(self, effects: Arc<dyn Effects>) -> Self {
        Self { effects, ..self }
    }

    /// Adds records, all or none. Returns false when the step's limit was reached and something was dropped. When the
    /// call returns, a crash of Naru loses none of them.
    pub async fn append(&self, stream: &LogStream, records: Vec<LogRecord>) -> Result<bool> {
        let name = if stream.rotates() { "log.service.append" } else { "log.step.append" };
        let stream = self.stream(stream);
        self.change(name, blocking(move || stream.append(&records))).await
    }

    /// Says that nothing more will be added: followers end when they have read everything. Adding something after all
    /// takes it back.
    pub async fn finish(&self, stream: &LogStream) -> Result<()> {
        let stream = self.stream(stream);
        self.change("log.finish", blocking(move || stream.finish())).await
    }

    /// Makes one change, unless a full disk is being played.
    async fn change<T>(&self, name: &str, change: impl Future<Output = Result<T>>) -> Result<T> {
        let change = async {
            match self.effects.refusal(name) {
                Some(_) => Err(LogError::DiskFull),
                None => change.await,
            }
        };
        observed(&self.effects, name, change).await
    }

    /// The place after the newest record.
    pub async fn end(&self, stream: &LogStream) -> Result<Cursor> {
        let stream = self.stream(stream);
        blocking(move || stream.end()).await
    }

    /// Keeps a few bytes beside the stream, replacing what was there, for whoever writes it. They go with the stream.
    pub async fn keep_note(&self, stream: &LogStream, note: Vec<u8>) -> Result<()> {
        let stream = self.stream(stream);
        self.change("log.keep-note", blocking(move || stream.keep_note(&note))).await
    }

    /// What was kept last; `None` when nothing was.
    pub async fn note(&self, stream: &LogStream) -> Result<Option<Vec<u8>>> {
        let stream = self.stream(stream);
        blocking(move || stream.note()).await
    }

    /// Up to `limit` records from `cursor` on (at most about 1 MiB of them). A cursor whose records were rotated away
    /// reads from the oldest one; a stream that was never written is empty.
    pub async fn read(&self, stream: &LogStream, cursor: Cursor, limit: usize) -> Result<LogPage> {
        let stream = self.stream(stream);
        blocking(move || stream.read(cursor, limit)).await
    }

    /// The last `count` records (at most those of the last 1 MiB), in order.
    pub async fn tail(&self, stream: &LogStream, count: usize) -> Result<LogPage> {
        let stream = self.stream(stream);
        blocking(move || stream.tail(count)).await
    }

    /// Up to `limit` records that contain `needle`, oldest first, from `cursor` on; about 8 MiB are searched. `next` is where
    /// the search goes on; `at_end` says that everything was searched.
    pub async fn search(
        &self,
        stream: &LogStream,
        needle: &str,
        cursor: Cursor,
        limit: usize,
    ) -> Result<LogPage> {
        let (stream, needle) = (self.stream(stream), needle.to_owned());
        blocking(move || stream.search(&needle, cursor, limit)).await
    }

    /// Up to `count` lines from the line number `first` on. The first call counts the whole stream, later ones what came
    /// since.
    pub async fn lines(&self, stream: &LogStream, first: u64, count: u64) -> Result<LinePage> {
        let stream = self.stream(stream);
        blocking(move || stream.lines(first, count)).await
    }

    /// The numbers of up to `limit` lines whose text is `wanted`, and whether there were more.
    pub async fn find_lines(
        &self,
        stream: &LogStream,
        wanted: impl Fn(&str) -> bool + Send + 'static,
        limit: usize,
    ) -> Result<(Vec<u64>, bool)> {
        let stream = self.stream(stream);
        blocking(move || stream.find_lines(wanted, limit)).await
    }

    /// Records from `cursor` on, and new ones as they come. Ends when the stream is finished.
    pub fn follow(&self, stream: &LogStream, cursor: Cursor) -> BoxStream<'static, Result<LogEntry>> {
        stream::follow(self.stream(stream), cursor)
    }

    /// Removes one stream.
    pub async fn delete(&self, stream: &LogStream) -> Result<()> {
        self.forget(|held| held == stream);
        observed(&self.effects, "log.delete", self.remove(&stream.folder(&self.inner.root))).await
    }

    /// Removes everything of a project.
    pub async fn delete_project(&self, project: &ProjectName) -> Result<()> {
        self.forget(|held| held.project() == project);
        observed(&self.effects, "log.delete", self.remove(&self.inner.root.join(project.as_str()))).await
    }

    fn forget(&self, of: impl Fn(&LogStream) -> bool) {
        let mut streams = self.inner.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|held, stream| {
            let gone = of(held);
            if gone {
                stream.retire();
            }
            !gone
        });
    }

    /// Moves a folder out of the way in one step, then removes it; a crash in between is made good at the next start.
    async fn remove(&self, folder: &Path) -> Result<()> {
        let aside = self.inner.root.join(format!(".deleted-{}", uuid::Uuid::now_v7()));
        match tokio::fs::rename(folder, &aside).await {
            Ok(()) => Ok(tokio::fs::remove_dir_all(&aside).await?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn finish_deletions(&self) -> Result<()> {
        let mut entries = tokio::fs::read_dir(&self.inner.root).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_name().to_string_lossy().starts_with(".deleted-") {
                tokio::fs::remove_dir_all(entry.path()).await?;
            }
        }
        Ok(())
    }

    fn stream(&self, of: &LogStream) -> Arc<Stream> {
        let mut streams = self.inner.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(of) {
            return stream.clone();
        }
        if streams.len() >= IDLE_STREAMS {
            streams.retain(|_, stream| Arc::strong_count(stream) > 1);
        }
        let stream = Arc::new(Stream::new(of.folder(&self.inner.root), of.rotates(), self.inner.limits));
        streams.insert(of.clone(), stream.clone());
        stream
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LogError::Io(std::io::Error::other(error))),
    }
}
