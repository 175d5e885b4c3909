//! HTTP/2 frame by frame, for what no client would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::SOON;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const GOAWAY: u8 = 7;
const RST_STREAM: u8 = 3;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const REFUSED_STREAM: u32 = 7;

/// One frame (RFC 9113 §4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A whole head, without a body.
pub(crate) fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(1, 5, stream, block)
}

/// Takes a request back (CANCEL).
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// A field, neither indexed nor compressed (RFC 7541 §6.2.2).
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|&length| length < 127).unwrap();
    let mut bytes = vec![0, length(name)];
    bytes.extend(name.as_bytes());
    bytes.push(length(value));
    bytes.extend(value.as_bytes());
    bytes
}

/// The block of a GET.
pub(crate) fn request(host: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", host)];
    pseudo.iter().chain(fields).flat_map(|(name, value)| literal(name, value)).collect()
}

/// A connection on which frames are written and read.
pub(crate) struct Frames {
    stream: TcpStream,
    seen: Vec<(u8, u8, u32, Vec<u8>)>,
}

impl Frames {
    pub(crate) async fn unopened(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, seen: Vec::new() }
    }

    /// With preface and empty settings sent.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut connection = Self::unopened(address).await;
        connection.write(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await;
        connection
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Writes, and takes what has come meanwhile out of the way, as an attacker would.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        let mut discarded = [0; 4096];
        match self.stream.try_read(&mut discarded) {
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// The next frame; none at the end of the stream.
    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, id @ ..] = head;
            let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some((kind, flags, u32::from_be_bytes(id), payload))
        };
        tokio::time::timeout(SOON, read).await.expect("nothing came")
    }

    async fn until(&mut self, wanted: impl Fn(&(u8, u8, u32, Vec<u8>)) -> bool) -> Option<Vec<u8>> {
        if let Some(at) = self.seen.iter().position(&wanted) {
            return Some(self.seen.remove(at).3);
        }
        while let Some(found) = self.next().await {
            if wanted(&found) {
                return Some(found.3);
            }
            self.seen.push(found);
        }
        None
    }

    /// The code with which a stream is reset.
    pub(crate) async fn reset_of(&mut self, stream: u32) -> u32 {
        let payload = self.until(|frame| frame.0 == RST_STREAM && frame.2 == stream).await;
        u32::from_be_bytes(payload.expect("the stream is reset").try_into().unwrap())
    }

    /// Whether a stream comes to its end, one way or the other.
    pub(crate) async fn ends_stream(&mut self, stream: u32) -> bool {
        let ends = |kind: u8, flags: u8| kind == RST_STREAM || (kind < 2 && flags & 1 == 1);
        self.until(|frame| frame.2 == stream && ends(frame.0, frame.1)).await.is_some()
    }

    pub(crate) async fn sees(&mut self, kind: u8) -> bool {
        self.until(|frame| frame.0 == kind).await.is_some()
    }

    /// Whether the other side closes.
    pub(crate) async fn is_closed(&mut self) -> bool {
        while self.next().await.is_some() {}
        true
    }
}
