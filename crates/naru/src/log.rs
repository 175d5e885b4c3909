//! What this process says about itself: one event a line, to standard error or to a file of the edge's. A stranger's text
//! within an event cannot begin a line of its own, nor tell a terminal anything: control characters are written as words.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The edge's log is set aside at this size; one older file stays.
const FILE_BYTES: u64 = 8 << 20;

/// To standard error.
pub(crate) fn to_stderr(json: bool) {
    set_up(json, || Plain(io::stderr()));
}

/// To a file that only its owner reads. What cannot be written there is lost.
pub(crate) fn to_file(path: PathBuf) {
    let file = Arc::new(Mutex::new(Rotated { path, file: None, bytes: FILE_BYTES }));
    set_up(false, move || Plain(Shared(file.clone())));
}

fn set_up<W: for<'a> MakeWriter<'a> + Send + Sync + 'static>(json: bool, writer: W) {
    let filter = EnvFilter::try_from_env("NARU_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours are control characters, too.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer);
    // Fails only when logging is set up already.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}

/// Writes events as single lines.
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    /// `tracing-subscriber` hands over one event at a time, with the line break that ends it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(one_line(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn one_line(event: &str) -> String {
    let mut line = String::with_capacity(event.len());
    for character in event.strip_suffix('\n').unwrap_or(event).chars() {
        // U+2028 and U+2029 break lines for some readers.
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line
}

/// A file of bounded size.
struct Rotated {
    path: PathBuf,
    file: Option<(File, u64)>,
    bytes: u64,
}

impl Rotated {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.file.as_ref().is_some_and(|(_, written)| written.saturating_add(length) > self.bytes) {
            self.file = None;
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        if self.file.is_none() {
            self.file = Some(open(&self.path)?);
        }
        let Some((file, written)) = &mut self.file else { return Ok(()) };
        file.write_all(line)?;
        *written = written.saturating_add(length);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let written = file.metadata()?.len();
    Ok((file, written))
}

struct Shared(Arc<Mutex<Rotated>>);

impl Write for Shared {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_stays_in_its_line() {
        let mut written = Vec::new();
        let hostile =
            "push of `x\n2026-11-21T10:00:00Z  INFO naru: all is well\r\u{1b}[2J\u{9b}\u{2028}y` refused\n";
        Plain(&mut written).write_all(hostile.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "push of `x\\n2026-11-21T10:00:00Z  INFO naru: all is well\\r\\u{1b}[2J\\u{9b}\\u{2028}y` refused\n"
        );
        assert_eq!(one_line("한글은 그대로\n"), "한글은 그대로\n");
    }

    #[test]
    fn a_file_is_private_and_does_not_grow_for_ever() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.log");
        let mut log = Rotated { path: path.clone(), file: None, bytes: 100 };
        for number in 0..50 {
            log.write(format!("line {number} of the log\n").as_bytes()).unwrap();
        }
        let [now, before] =
            [path.clone(), path.with_extension("log.1")].map(|path| std::fs::read(path).unwrap());
        assert!(now.len() <= 100 && before.len() <= 100 && now.ends_with(b"line 49 of the log\n"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
