//! The pkt-line format of gitprotocol-common(5): four hexadecimal digits of length, then the content.

use bytes::{Buf as _, Bytes, BytesMut};

/// Ends a section.
pub(super) const FLUSH: &[u8] = b"0000";
/// The most content of one packet.
pub(super) const CONTENT_LIMIT: usize = 65_516;
/// The most content of one packet within a side band: one byte names the band.
pub(super) const BAND_LIMIT: usize = CONTENT_LIMIT - 1;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// `0000`
    Flush,
    /// `0001` and `0002`, which mean something in protocol version 2 only.
    Delimiter,
    /// Anything with content.
    Content(Bytes),
}

/// What was read is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not git's packet format")]
pub(super) struct Malformed;

/// Cuts a byte stream into packets.
#[derive(Debug, Default)]
pub(super) struct Packets {
    buffer: BytesMut,
}

impl Packets {
    /// Adds bytes as they come.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet; `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, Malformed> {
        let Some(digits) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let digits = std::str::from_utf8(digits).map_err(|_| Malformed)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Malformed);
        }
        let length = usize::from_str_radix(digits, 16).map_err(|_| Malformed)?;
        let packet = match length {
            0 => Packet::Flush,
            1 | 2 => Packet::Delimiter,
            3 => return Err(Malformed),
            _ if length > CONTENT_LIMIT + 4 => return Err(Malformed),
            _ if self.buffer.len() < length => return Ok(None),
            _ => {
                self.buffer.advance(4);
                return Ok(Some(Packet::Content(self.buffer.split_to(length - 4).freeze())));
            }
        };
        self.buffer.advance(4);
        Ok(Some(packet))
    }
}

/// Adds a packet to `buffer`. Content beyond the limit of the format is cut.
pub(super) fn encode(content: &[u8], buffer: &mut Vec<u8>) {
    let content = &content[..content.len().min(CONTENT_LIMIT)];
    buffer.extend_from_slice(format!("{:04x}", content.len() + 4).as_bytes());
    buffer.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_however_they_arrive() {
        let mut stream = Vec::new();
        encode(b"hello", &mut stream);
        stream.extend_from_slice(FLUSH);
        let mut packets = Packets::default();
        let mut seen = Vec::new();
        for byte in stream {
            packets.feed(&[byte]);
            while let Some(packet) = packets.next().unwrap() {
                seen.push(packet);
            }
        }
        assert_eq!(seen, [Packet::Content(Bytes::from_static(b"hello")), Packet::Flush]);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["zzzz", "0003", "ffff", "+001", "GET "] {
            let mut packets = Packets::default();
            packets.feed(bad.as_bytes());
            assert_eq!(packets.next(), Err(Malformed), "{bad}");
        }
    }
}
