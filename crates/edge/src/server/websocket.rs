//! Where one message of a WebSocket ends and the next begins (RFC 6455 §5.2), and the frame that says farewell. Of the
//! bytes nothing is kept and nothing is changed.

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; 14],
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// A close frame went by: nothing may follow it.
    closed: bool,
}

impl Frames {
    /// How many of the bytes belong to the frame under way, its end included; all of them when it goes on.
    pub(super) fn up_to_boundary(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            at += self.advance(&bytes[at..]);
            if self.at_boundary() {
                break;
            }
        }
        at
    }

    pub(super) fn follow(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at += self.advance(&bytes[at..]);
        }
    }

    pub(super) fn at_boundary(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the rest of a payload, or one byte of a head.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= taken as u64;
            return taken;
        }
        self.head[self.have] = bytes[0];
        self.have += 1;
        if self.have >= 2 && self.have == head_length(self.head[1]) {
            self.closed |= self.head[0] & 0x0F == 0x8;
            self.left = payload_length(&self.head);
            self.have = 0;
        }
        1
    }
}

/// By the second byte: the mask bit, and how the length is written.
fn head_length(second: u8) -> usize {
    let length = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 == 0 { 0 } else { 4 }
}

fn payload_length(head: &[u8; 14]) -> u64 {
    match head[1] & 0x7F {
        126 => u64::from(u16::from_be_bytes([head[2], head[3]])),
        127 => u64::from_be_bytes(head[2..10].try_into().unwrap_or_default()),
        short => u64::from(short),
    }
}

/// A close frame with status 1001, "going away", as a server sends it.
pub(super) const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xE9];

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | opcode];
        let length = (payload as u64).to_be_bytes();
        match payload {
            0..126 => bytes.push(mask | length[7]),
            126..0x1_0000 => bytes.extend([mask | 0x7E, length[6], length[7]]),
            _ => {
                bytes.push(mask | 0x7F);
                bytes.extend(length);
            }
        }
        bytes.extend(if masked { vec![7; 4] } else { Vec::new() });
        bytes.extend(vec![0x88; payload]);
        bytes
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_are_cut() {
        let frames = [(1, false, 0), (2, true, 1), (2, false, 125), (1, true, 126), (9, false, 70_000)];
        let pieces: Vec<Vec<u8>> =
            frames.into_iter().map(|(kind, masked, size)| frame(kind, masked, size)).collect();
        let all = pieces.concat();
        for cut in [1, 2, 3, 7, 1_000, all.len()] {
            let mut frames = Frames::default();
            let mut boundaries = Vec::new();
            let mut at = 0;
            for piece in all.chunks(cut) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let taken = frames.up_to_boundary(rest);
                    at += taken;
                    rest = &rest[taken..];
                    if frames.at_boundary() {
                        boundaries.push(at);
                    }
                }
            }
            let mut end = 0;
            let ends: Vec<usize> = pieces
                .iter()
                .map(|piece| {
                    end += piece.len();
                    end
                })
                .collect();
            assert_eq!(boundaries, ends, "in pieces of {cut}");
            assert!(!frames.is_closed());
        }
    }

    #[test]
    fn the_farewell_is_a_close_frame() {
        let mut frames = Frames::default();
        frames.follow(&GOING_AWAY);
        assert!(frames.at_boundary() && frames.is_closed());
        assert_eq!(GOING_AWAY[2..], 1001_u16.to_be_bytes());
    }
}
