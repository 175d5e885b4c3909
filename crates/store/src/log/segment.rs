//! Segments: files named by the position of their first byte in the stream, `00000000000000004096.log`.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// One file of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Position of its first byte in the stream.
    pub(super) base: u64,
    /// Its length, up to the last line feed for the newest one.
    pub(super) length: u64,
    /// Where it is.
    pub(super) file: PathBuf,
}

impl Segment {
    /// The segment that begins at `base`.
    pub(super) fn at(folder: &Path, base: u64) -> Self {
        Self { base, length: 0, file: folder.join(format!("{base:020}.log")) }
    }

    /// Position after its last byte.
    pub(super) fn end(&self) -> u64 {
        self.base + self.length
    }

    /// At most `limit` bytes from stream position `from` on. Fewer when the segment ends or is gone.
    pub(super) fn read(&self, from: u64, limit: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let wanted = self.end().saturating_sub(from).min(limit);
        match File::open(&self.file) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(from.saturating_sub(self.base)))?;
                file.take(wanted).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(bytes),
            Err(error) => Err(error),
        }
    }
}

/// A stream's segments, oldest first. Segments that do not follow each other without a gap are kept: a reader skips.
pub(super) fn list(folder: &Path) -> std::io::Result<Vec<Segment>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let base =
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|base| base.parse().ok());
        if let Some(base) = base {
            segments.push(Segment { base, length: entry.metadata()?.len(), file: entry.path() });
        }
    }
    segments.sort_by_key(|segment| segment.base);
    Ok(segments)
}

/// Cuts what a crash tore off: everything after the segment's last line feed.
pub(super) fn cut_torn_end(segment: &mut Segment) -> std::io::Result<()> {
    const STEP: u64 = 64 << 10;
    let mut end = segment.length;
    let whole = loop {
        let start = end.saturating_sub(STEP);
        let bytes = segment.read(segment.base + start, end - start)?;
        if let Some(position) = bytes.iter().rposition(|byte| *byte == b'\n') {
            break start + position as u64 + 1;
        }
        if start == 0 {
            break 0;
        }
        end = start;
    };
    if whole < segment.length {
        File::options().write(true).open(&segment.file)?.set_len(whole)?;
        segment.length = whole;
    }
    Ok(())
}
