//! Text from elsewhere on its way to a terminal. Names, messages and logs are hostile: control characters could move the
//! cursor, rewrite what was printed, or set the window's title.

use std::fmt::Write as _;

use serde_json::Value;

/// Replaces everything that a terminal would obey. Tabs become spaces; line breaks become spaces, too.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { visible(c) }).collect()
}

/// The same for text of several lines.
pub(crate) fn clean_lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { visible(c) }).collect()
}

fn visible(c: char) -> char {
    if c.is_control() || turns_direction(c) { '\u{fffd}' } else { c }
}

/// Characters that reorder what is read (Unicode UAX #9): `evil` could read `live`.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

/// A log line. Colours (SGR, ECMA-48 8.3.117) pass when `colours` is set and are ended at the end of the line; every
/// other control sequence is removed.
pub(crate) fn clean_log(text: &str, colours: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut coloured = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '\u{1b}' {
            let (sequence, after) = escape(rest);
            if colours && is_colour(sequence) {
                out.push_str(sequence);
                coloured = true;
            }
            rest = after;
            continue;
        }
        out.push(if c == '\t' { c } else { visible(c) });
        rest = &rest[c.len_utf8()..];
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// Splits off the escape sequence that `text` begins with.
fn escape(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let end = match bytes.get(1) {
        // Control sequence: parameters and intermediates, then one final byte.
        Some(b'[') => bytes[2..].iter().position(|b| !(0x20..=0x3f).contains(b)).map(|at| at + 3),
        // Operating system command and the like: up to BEL or ESC \.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let bell = text.find('\u{7}').map(|at| at + 1);
            let stop = text[1..].find("\u{1b}\\").map(|at| at + 3);
            bell.into_iter().chain(stop).min()
        }
        Some(_) => Some(2),
        None => Some(1),
    };
    let mut end = end.unwrap_or(text.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    text.split_at(end)
}

fn is_colour(sequence: &str) -> bool {
    sequence.strip_prefix("\u{1b}[").and_then(|sequence| sequence.strip_suffix('m')).is_some_and(|numbers| {
        numbers.len() <= 32 && numbers.bytes().all(|b| b.is_ascii_digit() || b == b';')
    })
}

/// Cells of a terminal that a text takes. Colours take none; Korean, other wide scripts and emoji take two
/// (Unicode UAX #11, the ranges that occur in practice).
pub(crate) fn width(text: &str) -> usize {
    let mut cells = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '\u{1b}' {
            rest = escape(rest).1;
            continue;
        }
        let wide = matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd);
        cells += if wide { 2 } else { 1 };
        rest = &rest[c.len_utf8()..];
    }
    cells
}

/// Cleans every text of a JSON document, so that nothing that is printed from it can be forgotten.
pub(crate) fn clean_json(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean_lines(text),
        Value::Array(items) => items.iter_mut().for_each(clean_json),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| clean_json(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// JSON for a terminal or a program: what a terminal would obey is written as `\u…`, which means the same.
pub(crate) fn json(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).expect("a JSON value is plain data");
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && (c.is_control() || turns_direction(c)) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_messages_lose_what_a_terminal_obeys() {
        assert_eq!(clean("fix \u{1b}[2Jscreen\u{7}\u{9b}31m"), "fix \u{fffd}[2Jscreen\u{fffd}\u{fffd}31m");
        assert_eq!(clean("one\ntwo\r\tthree"), "one two  three");
        assert_eq!(clean("\u{202e}evil"), "\u{fffd}evil");
        assert_eq!(clean("배포 완료 🚢"), "배포 완료 🚢");
    }

    #[test]
    fn logs_keep_colours_and_nothing_else() {
        assert_eq!(clean_log("\u{1b}[1;31mred", true), "\u{1b}[1;31mred\u{1b}[0m");
        assert_eq!(clean_log("\u{1b}[1;31mred\u{1b}[0m", false), "red");
        assert_eq!(clean_log("a\u{1b}[2Jb\u{1b}[10;10Hc\u{1b}cd", true), "abcd");
        assert_eq!(clean_log("\u{1b}]0;title\u{7}x\u{1b}]8;;http://evil\u{1b}\\y", true), "xy");
        assert_eq!(clean_log("cut \u{1b}[", true), "cut ");
        assert_eq!(clean_log("cut \u{1b}", true), "cut ");
        assert_eq!(clean_log("\u{1b}]never ended", true), "");
        assert_eq!(clean_log("\u{1b}가나", true), "나");
        assert_eq!(clean_log("progress\rover", true), "progress\u{fffd}over");
    }

    #[test]
    fn colours_take_no_room_and_korean_takes_two_cells() {
        assert_eq!(width("\u{1b}[32m● live\u{1b}[0m"), 6);
        assert_eq!(width("배포"), 4);
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({ "message": "\u{1b}[2J\u{9b}\u{202e}가" });
        let text = json(&value);
        assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || turns_direction(c))));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
