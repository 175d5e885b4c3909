//! What commands print: tables, pairs, sentences. Results to standard output, the rest to standard error.

use std::io::Write as _;

use naru_model::{Problem, Timestamp};
use serde_json::Value;

use crate::client::Answer;
use crate::exit::CliError;
use crate::outside::Outside;
use crate::text;

/// The tones of a state. Never the only sign: each has its mark and its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Moving,
    Attention,
    Failed,
    Quiet,
}

/// The terminal, or what stands for it.
pub(crate) struct Screen {
    pub(crate) outside: Outside,
    pub(crate) json: bool,
    colours: bool,
}

impl Screen {
    pub(crate) fn new(outside: Outside, json: bool) -> Self {
        let colours = outside.draws && outside.variable("NO_COLOR").is_none() && !json;
        Self { outside, json, colours }
    }

    /// Whether colours are shown.
    pub(crate) fn colours(&self) -> bool {
        self.colours
    }

    /// A line of the result. A reader that went away is not an error.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.outside.out, "{}", line.as_ref());
        let _ = self.outside.out.flush();
    }

    /// A line about what is happening; not part of the result.
    pub(crate) fn note(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.outside.err, "{}", line.as_ref());
    }

    /// The answer as it was, or as the function draws it.
    pub(crate) fn show<T>(&mut self, answer: &Answer<T>, draw: impl FnOnce(&mut Self, &T)) {
        if self.json { self.raw(&answer.raw) } else { draw(self, &answer.view) }
    }

    /// A JSON document.
    pub(crate) fn raw(&mut self, value: &Value) {
        if !value.is_null() {
            self.line(text::json(value));
        }
    }

    /// An error in its five fields, or as JSON.
    pub(crate) fn error(&mut self, error: &CliError) {
        let text = if self.json {
            text::json(&serde_json::to_value(&error.problem).unwrap_or_default())
        } else {
            text::clean_lines(&error.problem.to_string())
        };
        self.note(text);
    }

    /// A problem within a result.
    pub(crate) fn problem(&mut self, problem: &Problem) {
        let text = text::clean_lines(&problem.to_string());
        self.line(text);
    }

    /// Colours a text.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Moving => "34",
            Tone::Attention => "33",
            Tone::Failed => "31",
            Tone::Quiet => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// A mark and a word.
    pub(crate) fn state(&self, tone: Tone, word: &str) -> String {
        let mark = match tone {
            Tone::Good => "●",
            Tone::Moving => "◐",
            Tone::Attention => "▲",
            Tone::Failed => "■",
            Tone::Quiet => "○",
        };
        self.paint(tone, &format!("{mark} {word}"))
    }

    /// A table without lines; a sentence that teaches the next command when it is empty.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>], empty: &str) {
        if rows.is_empty() {
            self.note(empty);
            return;
        }
        let head: Vec<String> = head.iter().map(|title| title.to_uppercase()).collect();
        let rows: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| text::width(cell))
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        for row in rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - text::width(cell) + 2));
            }
            self.line(line.trim_end());
        }
    }

    /// Names and values, one pair a line; pairs without a value are left out.
    pub(crate) fn pairs(&mut self, pairs: &[(&str, Option<String>)]) {
        let width = pairs.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.len()).max();
        for (name, value) in pairs {
            if let Some(value) = value {
                self.line(format!("{name:width$}  {value}", width = width.unwrap_or_default()));
            }
        }
    }

    /// An instant for people: `2 min ago (10:32:05Z)`, with the date when it is older than a day.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        let zone = jiff::tz::TimeZone::UTC;
        let seconds = self.outside.clock.now().as_second() - at.as_second();
        let format = if (0..86_400).contains(&seconds) { "%H:%M:%SZ" } else { "%Y-%m-%d %H:%MZ" };
        format!("{} ({})", ago(seconds), at.to_zoned(zone).strftime(format))
    }
}

fn ago(seconds: i64) -> String {
    match seconds {
        ..0 => format!("in {}", span(-seconds)),
        0..5 => "just now".to_owned(),
        _ => format!("{} ago", span(seconds)),
    }
}

fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_one_unit() {
        let said: Vec<_> = [0, 30, 119, 120, 7_199, 7_200, 172_800, -90].into_iter().map(ago).collect();
        assert_eq!(
            said,
            [
                "just now",
                "30 s ago",
                "119 s ago",
                "2 min ago",
                "119 min ago",
                "2 h ago",
                "2 d ago",
                "in 90 s"
            ]
        );
    }
}
