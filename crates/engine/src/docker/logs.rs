//! Reading the output of containers: to its end or along with it. Podman's file is read when it is within reach,
//! because its API rounds times to seconds; otherwise the API's stream.

#![expect(clippy::disallowed_methods, reason = "lines that the engine left without a time get ours")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::Method;
use naru_model::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;

use super::api::Inspected;
use super::client::path;
use super::container::{Containers, is_new, is_running};
use super::lines::{FileReader, FrameReader};
use crate::{LogLine, LogPosition, StepError};

/// How often a file is looked at while its container runs.
const GLANCE: Duration = Duration::from_millis(200);
/// The end of a log that is read for its last lines.
const TAIL_BYTES: u64 = 64 << 10;

pub(crate) type Output = BoxStream<'static, Result<LogLine, StepError>>;
pub(crate) type Sender = mpsc::Sender<Result<LogLine, StepError>>;

/// A stream fed by a task, which ends when nobody listens any more.
pub(crate) fn fed_by<F>(feed: impl FnOnce(Sender) -> F) -> Output
where
    F: Future<Output = Result<(), StepError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(256);
    let feeding = feed(sender.clone());
    tokio::spawn(async move {
        tokio::select! {
            result = feeding => {
                if let Err(error) = result {
                    let _ = sender.send(Err(error)).await;
                }
            }
            () = sender.closed() => {}
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver).boxed()
}

/// Sends the lines that come after `from`; `false` when nobody listens any more.
pub(crate) async fn send(sender: &Sender, lines: Vec<LogLine>, from: LogPosition) -> bool {
    for line in lines {
        if line.position > from && sender.send(Ok(line)).await.is_err() {
            return false;
        }
    }
    true
}

/// A container's output from a position on, until it has ended. Nothing when there is no such container.
pub(crate) async fn follow(
    containers: &Containers,
    name: &str,
    from: LogPosition,
    sender: Sender,
) -> Result<(), StepError> {
    let Some(seen) = started(containers, name, &sender).await? else { return Ok(()) };
    match file_of(&seen) {
        Some(file) => follow_file(containers, &seen.id, &file, from, sender).await,
        None => follow_stream(containers, &seen.id, from, sender).await,
    }
}

/// Waits until the container has been started.
async fn started(
    containers: &Containers,
    name: &str,
    sender: &Sender,
) -> Result<Option<Inspected>, StepError> {
    loop {
        match containers.inspect(name).await? {
            Some(seen) if is_new(&seen.state.status) && !sender.is_closed() => {
                tokio::time::sleep(GLANCE).await;
            }
            seen => return Ok(seen),
        }
    }
}

/// Podman's own log file, when this process may read it.
pub(crate) fn file_of(seen: &Inspected) -> Option<PathBuf> {
    let path = PathBuf::from(seen.log_path.as_deref()?);
    (path.file_name()? == "ctr.log" && std::fs::File::open(&path).is_ok()).then_some(path)
}

async fn follow_file(
    containers: &Containers,
    id: &str,
    file: &Path,
    from: LogPosition,
    sender: Sender,
) -> Result<(), StepError> {
    let mut tail = Tail::default();
    let mut reader = FileReader::default();
    loop {
        // Asked before reading: what is printed between the two is then still read.
        let goes_on = containers.inspect(id).await?.is_some_and(|seen| is_running(&seen.state.status));
        let mut glances = 0;
        while glances < 5 {
            let bytes = tail.next(file).await;
            let has_more = !bytes.is_empty();
            if !send(&sender, reader.feed(&bytes), from).await {
                return Ok(());
            }
            if has_more {
                continue;
            }
            if !goes_on {
                break;
            }
            glances += 1;
            tokio::time::sleep(GLANCE).await;
        }
        if !goes_on {
            send(&sender, reader.finish(Timestamp::now()), from).await;
            return Ok(());
        }
    }
}

/// Reads a file that grows and that is now and then replaced by a fresh one.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    open: Option<tokio::fs::File>,
}

impl Tail {
    /// The next bytes, at most 64 KiB; none when there are none yet.
    pub(crate) async fn next(&mut self, path: &Path) -> Vec<u8> {
        if self.open.is_none() {
            self.open = tokio::fs::File::open(path).await.ok();
        }
        let mut bytes = Vec::new();
        let Some(file) = &mut self.open else { return bytes };
        let read = file.take(64 << 10).read_to_end(&mut bytes).await;
        if read.is_err() || (bytes.is_empty() && is_replaced(file, path).await) {
            self.open = None;
        }
        bytes
    }
}

async fn is_replaced(file: &tokio::fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata().await, tokio::fs::metadata(path).await) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) != (named.dev(), named.ino()),
        _ => false,
    }
}

async fn follow_stream(
    containers: &Containers,
    id: &str,
    from: LogPosition,
    sender: Sender,
) -> Result<(), StepError> {
    let options = [("stdout", "true"), ("stderr", "true"), ("timestamps", "true"), ("follow", "true")];
    let at = path(&["containers", id, "logs"], &options);
    let mut chunks = match containers.client.stream(Method::GET, &at, &[]).await? {
        Ok(chunks) => chunks,
        Err(answer) => return answer.found("reading a log").map(drop),
    };
    let mut reader = FrameReader::default();
    while let Some(chunk) = chunks.next().await {
        if !send(&sender, reader.feed(&chunk?), from).await {
            return Ok(());
        }
    }
    send(&sender, reader.finish(Timestamp::now()), from).await;
    Ok(())
}

/// The last lines of a container that has ended; none when they cannot be read.
pub(crate) async fn last_lines(containers: &Containers, seen: &Inspected, count: usize) -> Vec<String> {
    let mut lines = match file_of(seen) {
        Some(file) => tail_of_file(&file).await.unwrap_or_default(),
        None => tail_of_stream(containers, &seen.id, count).await.unwrap_or_default(),
    };
    let from = lines.len().saturating_sub(count);
    lines.drain(..from);
    lines.into_iter().map(|line| line.text).collect()
}

async fn tail_of_file(path: &Path) -> std::io::Result<Vec<LogLine>> {
    let mut file = tokio::fs::File::open(path).await?;
    let length = file.metadata().await?.len();
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).await?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes).await?;
    let mut reader = FileReader::default();
    let mut lines = reader.feed(&bytes);
    lines.extend(reader.finish(Timestamp::now()));
    Ok(lines)
}

async fn tail_of_stream(containers: &Containers, id: &str, count: usize) -> Result<Vec<LogLine>, StepError> {
    let count = count.to_string();
    let options = [("stdout", "true"), ("stderr", "true"), ("timestamps", "true"), ("tail", &count)];
    let at = path(&["containers", id, "logs"], &options);
    let mut reader = FrameReader::default();
    let mut lines = Vec::new();
    if let Ok(mut chunks) = containers.client.stream(Method::GET, &at, &[]).await? {
        while let Some(chunk) = chunks.next().await {
            lines.extend(reader.feed(&chunk?));
        }
    }
    lines.extend(reader.finish(Timestamp::now()));
    Ok(lines)
}
