//! How a record is written: `<microseconds since 1970>TAB<source>TAB<text>LF`. A line without its line feed was torn
//! off by a crash.

use naru_model::Timestamp;

use super::LogRecord;

/// Longer texts become several records.
const TEXT_LIMIT_BYTES: usize = 16 << 10;
const SOURCE_LIMIT_CHARS: usize = 100;

/// The source of Naru's own remarks.
pub(super) const REMARK: &str = "naru";

/// Adds a record's lines to `buffer`.
pub(super) fn encode(record: &LogRecord, buffer: &mut Vec<u8>) {
    let source: String = record.source.chars().filter(|c| !c.is_control()).take(SOURCE_LIMIT_CHARS).collect();
    for line in record.text.split('\n') {
        let mut rest = line;
        loop {
            let (text, more) = rest.split_at(rest.floor_char_boundary(TEXT_LIMIT_BYTES));
            buffer
                .extend_from_slice(format!("{}\t{source}\t{text}\n", record.at.as_microsecond()).as_bytes());
            if more.is_empty() {
                break;
            }
            rest = more;
        }
    }
}

/// Reads a line without its line feed; `None` when it is damaged.
pub(super) fn decode(line: &[u8]) -> Option<LogRecord> {
    let line = std::str::from_utf8(line).ok()?;
    let (at, rest) = line.split_once('\t')?;
    let (source, text) = rest.split_once('\t')?;
    let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
    Some(LogRecord { at, source: source.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(source: &str, text: &str) -> Vec<(String, String)> {
        let at = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
        let mut buffer = Vec::new();
        encode(&LogRecord { at, source: source.into(), text: text.into() }, &mut buffer);
        let lines = buffer.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
        lines
            .map(|line| {
                let record = decode(line).unwrap();
                assert_eq!(record.at, at);
                (record.source, record.text)
            })
            .collect()
    }

    #[test]
    fn hostile_texts_cannot_forge_records() {
        assert_eq!(round("web-1-0", "a\tb\r"), [("web-1-0".into(), "a\tb\r".into())]);
        assert_eq!(round("x\ty\nz", "1\t2\n3"), [("xyz".into(), "1\t2".into()), ("xyz".into(), "3".into())]);
        assert_eq!(round("", ""), [(String::new(), String::new())]);
    }

    #[test]
    fn long_lines_are_continued_between_characters() {
        let long = "가".repeat(10_000);
        let parts = round("", &long);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts.iter().map(|(_, text)| text.as_str()).collect::<String>(), long);
    }
}
