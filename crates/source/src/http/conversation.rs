//! A git process between a request's body and a response's body. Both flow at the same time and neither is kept whole.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::ReaderStream;

use super::body::RequestBody;
use crate::git::{GitError, Running, read_tail};

/// Pieces of output that may wait for a slow reader.
const WAITING_PIECES: usize = 8;
const PIECE_BYTES: usize = 32 << 10;

/// Where git's output goes.
pub(super) struct Answer {
    pieces: mpsc::Sender<std::io::Result<Bytes>>,
    /// Whether git may go on when nobody reads any more.
    goes_on: bool,
}

impl Answer {
    /// An answer and the body that carries it. A push goes on when the sender hangs up: it may have been taken already.
    pub(super) fn new(goes_on: bool) -> (Self, Body) {
        let (pieces, received) = mpsc::channel(WAITING_PIECES);
        (Self { pieces, goes_on }, Body::from_stream(ReceiverStream::new(received)))
    }

    /// Breaks the response off, so that the other side does not take it for a whole one.
    pub(super) async fn fail(&self, why: &GitError) {
        let _ = self.pieces.send(Err(std::io::Error::other(why.to_string()))).await;
    }
}

/// Talks to git until it ends. `watch` sees everything that it answers.
pub(super) async fn converse(
    mut running: Running,
    (first, body): (Bytes, RequestBody),
    answer: &Answer,
    watch: impl FnMut(&[u8]),
    deadline: Instant,
) -> Result<(), GitError> {
    let (stdin, stdout, stderr) = running.take_pipes();
    let talk = async {
        let ((), heard, said) =
            tokio::join!(feed(stdin, first, body), pump(stdout, answer, watch), read_tail(stderr));
        heard?;
        let status = running.wait().await?;
        if status.success() {
            return Ok(());
        }
        Err(GitError::Failed { command: "of a client".into(), code: status.code(), said })
    };
    match tokio::time::timeout_at(deadline, talk).await {
        Ok(result) => result,
        Err(_) => Err(GitError::TimedOut { command: "of a client".into(), seconds: 0 }),
    }
}

/// Hands the request to git. When git wants no more, the rest is read and forgotten: the sender must get to listening.
async fn feed(mut stdin: ChildStdin, first: Bytes, mut body: RequestBody) {
    let mut takes = stdin.write_all(&first).await.is_ok();
    while takes {
        match body.next().await {
            Ok(Some(piece)) => takes = stdin.write_all(&piece).await.is_ok(),
            Ok(None) | Err(_) => return, // a body that broke off ends git's input, and git sees that it is not whole
        }
    }
    drop(stdin);
    body.drain().await;
}

async fn pump(stdout: ChildStdout, answer: &Answer, mut watch: impl FnMut(&[u8])) -> Result<(), GitError> {
    let mut pieces = ReaderStream::with_capacity(stdout, PIECE_BYTES);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        watch(&piece);
        if answer.pieces.send(Ok(piece)).await.is_err() && !answer.goes_on {
            return Err(GitError::Io(std::io::ErrorKind::BrokenPipe.into()));
        }
    }
    Ok(())
}
