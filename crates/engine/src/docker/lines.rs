//! Turning what engines keep of a container's output into lines with a time and a position. Pure: bytes in, lines out.
//!
//! A position is the time in microseconds since 2020 in the upper 51 bits and a counter for lines of the same
//! microsecond in the lower 13. It depends only on the lines before it, so reading again gives the same positions.

use naru_model::Timestamp;

use crate::{LogLine, LogPosition};

/// Longer lines are cut and continued.
pub(crate) const LINE_LIMIT_BYTES: usize = 16 << 10;

const EPOCH_MICROS: i64 = 1_577_836_800_000_000;
const COUNTER_BITS: u32 = 13;

/// Gives out strictly growing positions.
#[derive(Debug, Default)]
pub(crate) struct Positions(u64);

impl Positions {
    /// The position of the next line, printed at this time.
    pub(crate) fn next(&mut self, at: Timestamp) -> LogPosition {
        let micros = u64::try_from(at.as_microsecond() - EPOCH_MICROS).unwrap_or(0);
        self.0 = (micros << COUNTER_BITS).max(self.0 + 1);
        LogPosition(self.0)
    }
}

/// A piece of a line, as an engine keeps it.
#[derive(Debug, PartialEq, Eq)]
struct Piece<'a> {
    at: Timestamp,
    is_error: bool,
    /// Whether the line ends here.
    is_whole: bool,
    text: &'a [u8],
}

/// Joins pieces into lines, standard output and standard error apart.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    positions: Positions,
    open: [Vec<u8>; 2],
}

impl Joiner {
    fn add(&mut self, piece: &Piece<'_>, lines: &mut Vec<LogLine>) {
        let side = usize::from(piece.is_error);
        let mut rest = piece.text;
        loop {
            let room = LINE_LIMIT_BYTES - self.open[side].len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.open[side].extend_from_slice(now);
            rest = later;
            let is_full = self.open[side].len() == LINE_LIMIT_BYTES;
            if is_full || (piece.is_whole && rest.is_empty()) {
                lines.push(self.close(side, piece.at));
            }
            if rest.is_empty() {
                return;
            }
        }
    }

    fn close(&mut self, side: usize, at: Timestamp) -> LogLine {
        let bytes = std::mem::take(&mut self.open[side]);
        let text = String::from_utf8_lossy(&bytes);
        LogLine {
            at,
            position: self.positions.next(at),
            text: text.trim_end_matches(['\r', '\n']).to_owned(),
        }
    }

    /// What was printed last without a newline.
    pub(crate) fn finish(&mut self, at: Timestamp) -> Vec<LogLine> {
        let is_open = [!self.open[0].is_empty(), !self.open[1].is_empty()];
        (0..2).filter(|side| is_open[*side]).map(|side| self.close(side, at)).collect()
    }
}

/// Podman's and Kubernetes' log files: `<RFC 3339> <stdout|stderr> <F|P> <text>`.
#[derive(Debug, Default)]
pub(crate) struct FileReader {
    rest: Vec<u8>,
    joiner: Joiner,
}

impl FileReader {
    /// Takes the next bytes of the file and gives the lines that are complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<LogLine> {
        self.rest.extend_from_slice(bytes);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        let mut lines = Vec::new();
        for line in whole.split(|byte| *byte == b'\n') {
            if let Some(piece) = file_piece(line) {
                self.joiner.add(&piece, &mut lines);
            }
        }
        lines
    }

    /// The file is over.
    pub(crate) fn finish(&mut self, at: Timestamp) -> Vec<LogLine> {
        self.joiner.finish(at)
    }
}

fn file_piece(line: &[u8]) -> Option<Piece<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let at = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let is_error = parts.next()? == b"stderr";
    let is_whole = parts.next()? != b"P";
    Some(Piece { at, is_error, is_whole, text: parts.next().unwrap_or_default() })
}

/// The API's stream: frames of `<1|2> 0 0 0 <length, 4 bytes, big endian>` and that many bytes, which begin with a time.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    rest: Vec<u8>,
    joiner: Joiner,
}

impl FrameReader {
    /// Takes the next bytes of the stream and gives the lines that are complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<LogLine> {
        self.rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut used = 0;
        while let Some((is_error, payload)) = frame(&self.rest[used..]) {
            for line in payload.split_inclusive(|byte| *byte == b'\n') {
                if let Some(piece) = frame_piece(line, is_error) {
                    self.joiner.add(&piece, &mut lines);
                }
            }
            used += 8 + payload.len();
        }
        self.rest.drain(..used);
        lines
    }

    /// The stream is over.
    pub(crate) fn finish(&mut self, at: Timestamp) -> Vec<LogLine> {
        self.joiner.finish(at)
    }
}

fn frame(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let header: &[u8; 8] = bytes.first_chunk()?;
    let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    Some((header[0] == 2, bytes.get(8..8 + length)?))
}

fn frame_piece(line: &[u8], is_error: bool) -> Option<Piece<'_>> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let at = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    let text = &line[space + 1..];
    let (text, is_whole) = text.strip_suffix(b"\n").map_or((text, false), |text| (text, true));
    Some(Piece { at, is_error, is_whole, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn pieces_become_lines_and_ties_get_their_own_positions() {
        let file = b"2026-11-21T02:04:10.279594054+00:00 stdout F one\n\
                     2026-11-21T02:04:10.279594054+00:00 stdout P tw\n\
                     2026-11-21T02:04:10.279594054+00:00 stderr F error\n\
                     2026-11-21T02:04:10.279594054+00:00 stdout F o\n\
                     2026-11-21T02:04:10.279594054+00:00 stdout F \n\
                     garbage\n2026-11-21T02:04:11+00:00 stdout P end";
        let mut reader = FileReader::default();
        let mut lines = reader.feed(&file[..60]);
        lines.extend(reader.feed(&file[60..]));
        assert_eq!(texts(&lines), ["one", "error", "two", ""]);
        assert!(lines.windows(2).all(|pair| pair[0].position < pair[1].position));
        let again = FileReader::default().feed(file);
        assert_eq!(again, lines, "positions do not depend on how the file is read");
        reader.feed(b"\n");
        assert_eq!(texts(&reader.finish(Timestamp::UNIX_EPOCH)), ["end"]);
    }

    #[test]
    fn frames_are_decoded_wherever_they_are_cut() {
        let frame = |side: u8, text: &str| {
            let mut bytes = vec![side, 0, 0, 0];
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
            bytes
        };
        let mut bytes = frame(1, "2026-11-21T02:04:10Z hello\n");
        bytes.extend(frame(2, "2026-11-21T02:04:10Z err\n"));
        bytes.extend(frame(1, "2026-11-21T02:04:11Z long "));
        bytes.extend(frame(1, "2026-11-21T02:04:11Z line\n"));
        let mut reader = FrameReader::default();
        let lines: Vec<LogLine> = bytes.chunks(3).flat_map(|chunk| reader.feed(chunk)).collect();
        assert_eq!(texts(&lines), ["hello", "err", "long line"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut reader = FileReader::default();
        let line = format!("2026-11-21T02:04:10Z stdout F {}\n", "x".repeat(40_000));
        let lines = reader.feed(line.as_bytes());
        assert_eq!(lines.iter().map(|line| line.text.len()).collect::<Vec<_>>(), [16_384, 16_384, 7232]);
    }
}
