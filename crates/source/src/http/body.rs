//! The body of a request: unpacked when it is gzip, and bounded in size, expansion and patience.

use std::io::Write as _;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Buf as _, Bytes};
use flate2::write::GzDecoder;
use futures::StreamExt as _;

/// A sender that is silent for this long has gone away.
const PATIENCE: Duration = Duration::from_mins(1);
/// How much compressed data is unpacked at once: at most a thousandfold comes out.
const UNPACKED_AT_ONCE: usize = 2 << 10;

/// Why a body cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the request is larger than {0} bytes")]
    TooLarge(u64),
    #[error("nothing came for a minute")]
    Stalled,
    #[error("the request broke off: {0}")]
    Broken(String),
}

/// A request's body.
pub(super) struct RequestBody {
    stream: BodyDataStream,
    decoder: Option<GzDecoder<Vec<u8>>>,
    /// Came in, not unpacked yet.
    packed: Bytes,
    read: u64,
    limit: u64,
}

impl RequestBody {
    /// The body, at most `limit` bytes once unpacked.
    pub(super) fn new(body: Body, gzip: bool, limit: u64) -> Self {
        let decoder = gzip.then(|| GzDecoder::new(Vec::new()));
        Self { stream: body.into_data_stream(), decoder, packed: Bytes::new(), read: 0, limit }
    }

    /// The next piece, never empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let Some(piece) = self.next_piece().await? else { return Ok(None) };
            if piece.is_empty() {
                continue;
            }
            self.read += piece.len() as u64;
            if self.read > self.limit {
                return Err(BodyError::TooLarge(self.limit));
            }
            return Ok(Some(piece));
        }
    }

    /// Reads and forgets the rest, so that the sender listens to the answer.
    pub(super) async fn drain(&mut self) {
        while let Ok(Some(_)) = self.next().await {}
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.packed.is_empty() {
            match tokio::time::timeout(PATIENCE, self.stream.next()).await {
                Err(_) => return Err(BodyError::Stalled),
                Ok(Some(Err(error))) => return Err(BodyError::Broken(error.to_string())),
                Ok(Some(Ok(piece))) if self.decoder.is_none() => return Ok(Some(piece)),
                Ok(Some(Ok(piece))) => self.packed = piece,
                Ok(None) => return self.finish(),
            }
        }
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let part = self.packed.len().min(UNPACKED_AT_ONCE);
        let broken = |error: std::io::Error| BodyError::Broken(error.to_string());
        decoder.write_all(&self.packed[..part]).map_err(broken)?;
        self.packed.advance(part);
        Ok(Some(std::mem::take(decoder.get_mut()).into()))
    }

    fn finish(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(decoder) = self.decoder.take() else { return Ok(None) };
        let last = decoder.finish().map_err(|error| BodyError::Broken(error.to_string()))?;
        Ok(Some(last.into()).filter(|last: &Bytes| !last.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    async fn read(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, BodyError> {
        let mut body = RequestBody::new(Body::from(bytes), true, limit);
        let mut all = Vec::new();
        while let Some(piece) = body.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn gzip_is_unpacked_within_the_limit() {
        let content = b"0032want ".repeat(10_000);
        assert_eq!(read(packed(&content), 1 << 20).await.unwrap(), content);
        let bomb = packed(&vec![0; 50 << 20]);
        assert_eq!(read(bomb, 1 << 20).await, Err(BodyError::TooLarge(1 << 20)));
    }

    #[tokio::test]
    async fn broken_gzip_is_an_error() {
        assert!(matches!(read(b"plain".to_vec(), 100).await, Err(BodyError::Broken(_))));
        let mut torn = packed(b"hello");
        torn.truncate(torn.len() - 9);
        assert!(matches!(read(torn, 100).await, Err(BodyError::Broken(_))));
    }
}
