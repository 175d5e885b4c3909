//! The files of a commit as a tar stream.

use std::ffi::OsString;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use naru_model::CommitId;
use tokio_util::io::ReaderStream;

use super::command::read_tail;
use super::{Git, GitError, Result};

const TIME_LIMIT: Duration = Duration::from_mins(10);

/// A tar stream. It ends with an error when git fails, when it is larger than the limit, or when the reader is so slow
/// that ten minutes pass.
pub struct Archive {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

impl Stream for Archive {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(cx)
    }
}

impl Git {
    /// Every file of `commit`, as it was committed. Dropping the stream ends git.
    pub fn archive(&self, commit: &CommitId, limit_bytes: u64) -> Archive {
        let (git, commit) = (self.clone(), commit.clone());
        let started = futures::stream::once(async move { git.start_archive(&commit, limit_bytes) });
        let stream = started.flat_map(|started| match started {
            Ok(stream) => stream,
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        });
        Archive { stream: Box::pin(stream) }
    }

    fn start_archive(
        &self,
        commit: &CommitId,
        limit_bytes: u64,
    ) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let arguments =
            ["-c", "tar.umask=0022", "archive", "--format=tar", commit.as_str()].map(OsString::from);
        let mut running = self.spawn(&arguments, &[])?;
        let (stdin, stdout, stderr) = running.take_pipes();
        drop(stdin);
        let said = tokio::spawn(read_tail(stderr));
        let deadline = tokio::time::Instant::now() + TIME_LIMIT;
        let state = (running, ReaderStream::with_capacity(stdout, 64 << 10), Some(said), 0_u64);
        let chunks =
            futures::stream::try_unfold(state, move |(mut running, mut chunks, mut said, sent)| async move {
                let next = tokio::time::timeout_at(deadline, chunks.next()).await.map_err(|_| {
                    GitError::TimedOut { command: "archive".into(), seconds: TIME_LIMIT.as_secs() }
                })?;
                if let Some(chunk) = next {
                    let chunk = chunk?;
                    let sent = sent + chunk.len() as u64;
                    if sent > limit_bytes {
                        return Err(GitError::TooLarge { what: "the commit's archive".into(), limit_bytes });
                    }
                    return Ok(Some((chunk, (running, chunks, said, sent))));
                }
                let status = running.wait().await?;
                let said = match said.take() {
                    Some(said) if !status.success() => said.await.unwrap_or_default(),
                    _ => String::new(),
                };
                if status.success() {
                    return Ok(None);
                }
                Err(GitError::Failed { command: "archive".into(), code: status.code(), said })
            });
        Ok(chunks.boxed())
    }
}
