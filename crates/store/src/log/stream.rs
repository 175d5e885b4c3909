//! One stream: its writer, its readers, its limits.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::watch;

use super::lines::{self, Lines};
use super::record::{REMARK, decode, encode};
use super::segment::{Segment, cut_torn_end, list};
use super::{Cursor, LinePage, LogEntry, LogLimits, LogPage, LogRecord, Result};

/// How much is read at once; larger than any record.
const CHUNK_BYTES: u64 = 256 << 10;
const PAGE_LIMIT_BYTES: u64 = 1 << 20;
/// A search that found little goes on with the next call.
const SEARCH_LIMIT_BYTES: u64 = 8 << 20;
const FOLLOW_PAGE: usize = 500;
const ENDED: &str = "ended";
const NOTE: &str = "note";

pub(super) struct Stream {
    folder: PathBuf,
    rotates: bool,
    limits: LogLimits,
    state: Mutex<State>,
    lines: Mutex<Lines>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// `None` until the folder was read.
    segments: Option<VecDeque<Segment>>,
    /// The newest segment, open for writing.
    writer: Option<File>,
    /// A step's limit was reached.
    full: bool,
    ended: bool,
    /// The stream was deleted: who still holds it writes into nothing.
    retired: bool,
}

impl Stream {
    pub(super) fn new(folder: PathBuf, rotates: bool, limits: LogLimits) -> Self {
        let (state, lines) = (Mutex::default(), Mutex::default());
        Self { folder, rotates, limits, state, lines, changed: watch::Sender::new(0) }
    }

    pub(super) fn append(&self, records: &[LogRecord]) -> Result<bool> {
        let mut state = self.load()?;
        if state.retired || state.full {
            return Ok(records.is_empty());
        }
        let mut batch = Vec::new();
        let mut complete = true;
        let room = self.limits.step_bytes.saturating_sub(state.end());
        for record in records {
            let before = batch.len();
            encode(record, &mut batch);
            if !self.rotates && batch.len() as u64 > room {
                batch.truncate(before);
                encode(&self.limit_remark(record), &mut batch);
                complete = false;
                break;
            }
        }
        self.write(&mut state, &batch)?;
        if state.ended && !batch.is_empty() {
            std::fs::remove_file(self.folder.join(ENDED))?;
            state.ended = false;
        }
        state.full |= !complete;
        drop(state);
        self.changed.send_modify(|change| *change += 1);
        Ok(complete)
    }

    fn limit_remark(&self, dropped: &LogRecord) -> LogRecord {
        let text =
            format!("log limit of {} KiB reached: what follows is not kept", self.limits.step_bytes >> 10);
        LogRecord { at: dropped.at, source: REMARK.into(), text }
    }

    pub(super) fn finish(&self) -> Result<()> {
        let mut state = self.load()?;
        if !state.retired && !state.ended {
            std::fs::create_dir_all(&self.folder)?;
            File::create(self.folder.join(ENDED))?;
            state.ended = true;
        }
        drop(state);
        self.changed.send_modify(|change| *change += 1);
        Ok(())
    }

    pub(super) fn end(&self) -> Result<Cursor> {
        Ok(Cursor(self.load()?.end()))
    }

    pub(super) fn keep_note(&self, note: &[u8]) -> Result<()> {
        let state = self.load()?;
        if !state.retired {
            std::fs::create_dir_all(&self.folder)?;
            let next = self.folder.join("note.next");
            std::fs::write(&next, note)?;
            std::fs::rename(&next, self.folder.join(NOTE))?;
        }
        drop(state);
        Ok(())
    }

    pub(super) fn note(&self) -> Result<Option<Vec<u8>>> {
        match std::fs::read(self.folder.join(NOTE)) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The stream was deleted.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        *state = State { segments: Some(VecDeque::new()), retired: true, ended: true, ..State::default() };
        drop(state);
        self.changed.send_modify(|change| *change += 1);
    }

    pub(super) fn read(&self, cursor: Cursor, limit: usize) -> Result<LogPage> {
        self.scan(cursor, limit, PAGE_LIMIT_BYTES, |_| true)
    }

    pub(super) fn search(&self, needle: &str, cursor: Cursor, limit: usize) -> Result<LogPage> {
        self.scan(cursor, limit, SEARCH_LIMIT_BYTES, |record| record.text.contains(needle))
    }

    pub(super) fn tail(&self, count: usize) -> Result<LogPage> {
        let end = self.load()?.end();
        let mut reach = 64 << 10;
        loop {
            let from = end.saturating_sub(reach);
            let mut page = self.scan(Cursor(self.line_start(from)?), usize::MAX, reach, |_| true)?;
            if page.entries.len() >= count || from == 0 || reach >= PAGE_LIMIT_BYTES {
                let surplus = page.entries.len().saturating_sub(count);
                page.entries.drain(..surplus);
                return Ok(page);
            }
            reach *= 4;
        }
    }

    pub(super) fn lines(&self, first: u64, count: u64) -> Result<LinePage> {
        let (segments, ended) = self.snapshot()?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.grow(&segments)?;
        let mut page = lines.page(&segments, first.min(lines.count()), count)?;
        page.ended = ended;
        Ok(page)
    }

    pub(super) fn find_lines(&self, wanted: impl Fn(&str) -> bool, limit: usize) -> Result<(Vec<u64>, bool)> {
        lines::find(&self.snapshot()?.0, wanted, limit)
    }

    /// The first record boundary at or after `position`.
    fn line_start(&self, position: u64) -> Result<u64> {
        if position == 0 {
            return Ok(0);
        }
        let segments = self.snapshot()?.0;
        let Some(segment) = segments.iter().find(|segment| position < segment.end()) else {
            return Ok(position);
        };
        if position <= segment.base {
            return Ok(segment.base);
        }
        // Beginning a byte early finds the boundary that `position` itself may be.
        let bytes = segment.read(position - 1, CHUNK_BYTES)?;
        let skip = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |index| index + 1);
        Ok(position - 1 + skip as u64)
    }

    /// Reads records from `cursor` on until `limit` were found, or `bytes_limit` bytes were read.
    fn scan(
        &self,
        cursor: Cursor,
        limit: usize,
        bytes_limit: u64,
        wanted: impl Fn(&LogRecord) -> bool,
    ) -> Result<LogPage> {
        let (segments, _) = self.snapshot()?;
        let end = segments.last().map_or(0, Segment::end);
        let mut page = LogPage { entries: Vec::new(), next: Cursor(cursor.0.min(end)), at_end: false };
        let mut bytes_read = 0;
        for segment in &segments {
            while page.next.0 < segment.end() {
                page.next = page.next.max(Cursor(segment.base));
                let chunk = segment.read(page.next.0, CHUNK_BYTES)?;
                let whole = chunk.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
                if whole == 0 {
                    page.next = Cursor(segment.end()); // rotated away meanwhile, or damaged: no record is this long
                    break;
                }
                for line in chunk[..whole].split_inclusive(|byte| *byte == b'\n') {
                    if page.entries.len() >= limit || bytes_read >= bytes_limit {
                        return Ok(page);
                    }
                    bytes_read += line.len() as u64;
                    page.next = Cursor(page.next.0 + line.len() as u64);
                    if let Some(record) = decode(&line[..line.len() - 1]).filter(&wanted) {
                        page.entries.push(LogEntry { next: page.next, record });
                    }
                }
            }
        }
        page.at_end = true;
        Ok(page)
    }

    /// The segments as they are now, and whether more can come.
    fn snapshot(&self) -> Result<(Vec<Segment>, bool)> {
        let state = self.load()?;
        Ok((state.segments.iter().flatten().cloned().collect(), state.ended))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, read from the folder the first time.
    fn load(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.segments.is_none() {
            let mut segments = VecDeque::from(list(&self.folder)?);
            if let Some(newest) = segments.back_mut() {
                cut_torn_end(newest)?;
            }
            state.segments = Some(segments);
            state.ended = self.folder.join(ENDED).exists();
            drop(state);
            let last = self.tail(1)?.entries.pop();
            state = self.lock();
            state.full = !self.rotates
                && last.is_some_and(|last| {
                    last.record.source == REMARK && last.record.text.starts_with("log limit")
                });
        }
        Ok(state)
    }

    /// Adds bytes that end with a line feed to the newest segment, whole or not at all.
    fn write(&self, state: &mut State, batch: &[u8]) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.open_segment(state)?;
        let (Some(newest), Some(writer)) =
            (state.segments.as_mut().and_then(VecDeque::back_mut), state.writer.as_mut())
        else {
            unreachable!("a segment was opened")
        };
        if let Err(error) = writer.write_all(batch) {
            // Whatever part of the batch was written must go, or the next record would be glued to it.
            let cut = writer.set_len(newest.length);
            state.writer = None;
            if cut.is_err() {
                state.segments = None; // read again, and cut, at the next use
            }
            return Err(error.into());
        }
        newest.length += batch.len() as u64;
        Ok(())
    }

    /// Makes sure that the newest segment is open and has room, and that the oldest make room for it.
    fn open_segment(&self, state: &mut State) -> Result<()> {
        let segments = state.segments.get_or_insert_default();
        let full = segments.back().is_none_or(|newest| newest.length >= self.limits.segment_bytes);
        if !full && state.writer.is_some() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder)?;
        if full {
            let segment = Segment::at(&self.folder, segments.back().map_or(0, Segment::end));
            state.writer = Some(File::options().append(true).create(true).open(&segment.file)?);
            segments.push_back(segment);
            let mut kept: u64 = segments.iter().map(|segment| segment.length).sum();
            while self.rotates
                && segments.len() > 1
                && kept + self.limits.segment_bytes > self.limits.service_bytes
            {
                let Some(oldest) = segments.pop_front() else { break };
                kept -= oldest.length;
                std::fs::remove_file(&oldest.file)?;
            }
        } else if let Some(newest) = segments.back() {
            state.writer = Some(File::options().append(true).open(&newest.file)?);
        }
        Ok(())
    }
}

impl State {
    fn end(&self) -> u64 {
        self.segments.as_ref().and_then(VecDeque::back).map_or(0, Segment::end)
    }
}

/// Records from `cursor` on, until the stream is finished and everything was read.
pub(super) fn follow(stream: Arc<Stream>, cursor: Cursor) -> BoxStream<'static, Result<LogEntry>> {
    let changes = stream.changed.subscribe();
    let pages =
        futures::stream::try_unfold((stream, changes, cursor), |(stream, mut changes, cursor)| async move {
            loop {
                changes.borrow_and_update();
                let reading = stream.clone();
                // Whether it ended is asked before reading, so that nothing written in between is missed.
                let (ended, page) = super::blocking(move || {
                    let (_, ended) = reading.snapshot()?;
                    Ok((ended, reading.read(cursor, FOLLOW_PAGE)?))
                })
                .await?;
                if !page.entries.is_empty() {
                    let next = page.next;
                    return Ok::<_, super::LogError>(Some((
                        futures::stream::iter(page.entries).map(Ok),
                        (stream, changes, next),
                    )));
                }
                if ended || changes.changed().await.is_err() {
                    return Ok(None);
                }
            }
        });
    futures::TryStreamExt::try_flatten(pages).boxed()
}
