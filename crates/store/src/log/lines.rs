//! Lines by number. A sparse index says where every so-many-th line begins; it is made when it is first asked for and
//! grows with the stream. Numbers are those of what is kept: a stream that rotates is counted anew when it did.

use std::collections::VecDeque;

use super::record::decode;
use super::segment::Segment;
use super::{Cursor, LinePage, LogEntry, LogRecord, Result};

/// Lines between two marks: a page is found by reading at most this many too many.
const EVERY: u64 = 256;
const CHUNK_BYTES: u64 = 256 << 10;

/// Where lines begin.
#[derive(Default)]
pub(super) struct Lines {
    /// Position of the first line.
    base: u64,
    /// Position up to which lines are counted.
    counted_to: u64,
    /// Lines before that.
    count: u64,
    /// Positions of lines 0, [`EVERY`], 2 × [`EVERY`] and so on.
    marks: Vec<u64>,
}

impl Lines {
    /// Counts what came since the last time.
    pub(super) fn grow(&mut self, segments: &[Segment]) -> Result<()> {
        let base = segments.first().map_or(0, |segment| segment.base);
        let end = segments.last().map_or(0, Segment::end);
        if self.marks.is_empty() || self.base != base || self.counted_to > end {
            *self = Self { base, counted_to: base, count: 0, marks: vec![base] };
        }
        for segment in segments {
            self.counted_to = self.counted_to.max(segment.base.min(end));
            while self.counted_to < segment.end() {
                let chunk = segment.read(self.counted_to, CHUNK_BYTES)?;
                if chunk.is_empty() {
                    self.counted_to = segment.end(); // removed meanwhile
                    break;
                }
                for at in memchr::memchr_iter(b'\n', &chunk) {
                    self.count += 1;
                    if self.count.is_multiple_of(EVERY) {
                        self.marks.push(self.counted_to + at as u64 + 1);
                    }
                }
                self.counted_to += chunk.len() as u64;
            }
        }
        Ok(())
    }

    /// Lines there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// A position at or before the line `number`, and the number of the line there.
    fn before(&self, number: u64) -> (u64, u64) {
        let index = usize::try_from(number / EVERY).unwrap_or(usize::MAX).min(self.marks.len() - 1);
        (self.marks[index], index as u64 * EVERY)
    }

    /// Up to `count` lines from the line `first` on. What cannot be read is an empty line, so that numbers stay true.
    pub(super) fn page(&self, segments: &[Segment], first: u64, count: u64) -> Result<LinePage> {
        let (position, mut number) = self.before(first);
        let mut page = LinePage { first, total: self.count, ended: false, entries: Vec::new() };
        each(segments, position, |line, next| {
            if number >= first {
                let record = decode(line).unwrap_or_else(damaged);
                page.entries.push(LogEntry { next: Cursor(next), record });
            }
            number += 1;
            number < first + count
        })?;
        Ok(page)
    }
}

/// The numbers of up to `limit` lines whose text is `wanted`, and whether there were more.
pub(super) fn find(
    segments: &[Segment],
    wanted: impl Fn(&str) -> bool,
    limit: usize,
) -> Result<(Vec<u64>, bool)> {
    let mut found = VecDeque::new();
    let mut number = 0;
    let base = segments.first().map_or(0, |segment| segment.base);
    each(segments, base, |line, _| {
        if text(line).is_some_and(&wanted) {
            found.push_back(number);
        }
        number += 1;
        found.len() <= limit
    })?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found.into(), more))
}

/// The text of a line, without making a record of it.
fn text(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line).ok()?.splitn(3, '\t').nth(2)
}

fn damaged() -> LogRecord {
    LogRecord { at: naru_model::Timestamp::UNIX_EPOCH, source: String::new(), text: String::new() }
}

/// Calls `on` with each line, without its line feed, and with the position after it, until it says to stop.
fn each(segments: &[Segment], from: u64, mut on: impl FnMut(&[u8], u64) -> bool) -> Result<()> {
    let mut position = from;
    for segment in segments {
        position = position.max(segment.base);
        while position < segment.end() {
            let chunk = segment.read(position, CHUNK_BYTES)?;
            let whole = memchr::memrchr(b'\n', &chunk).map_or(0, |at| at + 1);
            if whole == 0 {
                break; // removed meanwhile, or damaged: no record is this long
            }
            for line in chunk[..whole].split_inclusive(|byte| *byte == b'\n') {
                position += line.len() as u64;
                if !on(&line[..line.len() - 1], position) {
                    return Ok(());
                }
            }
        }
        position = position.max(segment.end());
    }
    Ok(())
}
