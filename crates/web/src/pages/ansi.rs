//! A line of output as markup: colours and weights of terminals become classes, everything else that a terminal would
//! obey is dropped, and the text stays text.

use super::html::escape_into;

/// What a terminal would draw with.
#[expect(clippy::struct_excessive_bools, reason = "these are the switches that terminals have")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Pen {
    is_bold: bool,
    is_dim: bool,
    is_italic: bool,
    is_underlined: bool,
    /// 30 to 37 and 90 to 97; 0 for the usual.
    colour: u8,
}

impl Pen {
    /// Select graphic rendition (ECMA-48, 8.3.117). Backgrounds and colours beyond the sixteen are left out.
    fn select(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|number| number.parse::<u8>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.is_bold = true,
                2 => self.is_dim = true,
                3 => self.is_italic = true,
                4 => self.is_underlined = true,
                22 => (self.is_bold, self.is_dim) = (false, false),
                23 => self.is_italic = false,
                24 => self.is_underlined = false,
                30..=37 | 90..=97 => self.colour = number,
                39 => self.colour = 0,
                38 | 48 => {
                    // `5;n` or `2;r;g;b` follow.
                    let skip = if numbers.next() == Some(2) { 3 } else { 1 };
                    let index = numbers.by_ref().take(skip).last();
                    if number == 38 && skip == 1 {
                        self.colour = match index {
                            Some(index @ 0..=7) => 30 + index,
                            Some(index @ 8..=15) => 82 + index,
                            _ => 0,
                        };
                    }
                }
                _ => {}
            }
        }
    }

    fn classes(self) -> String {
        let mut classes: Vec<String> =
            [(self.is_bold, "b"), (self.is_dim, "d"), (self.is_italic, "i"), (self.is_underlined, "u")]
                .into_iter()
                .filter(|(is_on, _)| *is_on)
                .map(|(_, class)| class.to_owned())
                .collect();
        if self.colour > 0 {
            classes.push(format!("a{}", self.colour));
        }
        classes.join(" ")
    }
}

/// One piece of a line.
enum Piece<'a> {
    Text(&'a str),
    Select(&'a str),
}

/// The line as markup.
pub(crate) fn markup(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 16);
    let mut pen = Pen::default();
    pieces(line, |piece| match piece {
        Piece::Select(parameters) => pen.select(parameters),
        Piece::Text(text) => {
            let classes = pen.classes();
            let visible: String = text.chars().filter(|c| *c == '\t' || !is_dropped(*c)).collect();
            if visible.is_empty() {
                return;
            }
            if classes.is_empty() {
                escape_into(&visible, &mut out);
            } else {
                out.push_str("<span class=\"");
                out.push_str(&classes);
                out.push_str("\">");
                escape_into(&visible, &mut out);
                out.push_str("</span>");
            }
        }
    });
    out
}

/// The line without anything that a terminal would obey.
pub(crate) fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    pieces(line, |piece| {
        if let Piece::Text(text) = piece {
            out.extend(text.chars().filter(|c| *c == '\t' || !is_dropped(*c)));
        }
    });
    out
}

/// Control characters, and marks that turn the direction of writing around so that a line reads as it is not.
fn is_dropped(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Cuts a line into text and selections. What a carriage return overwrote is left out.
fn pieces<'a>(line: &'a str, mut on: impl FnMut(Piece<'a>)) {
    let line = line.trim_end_matches('\r');
    let mut rest = line.rsplit('\r').next().unwrap_or(line);
    while let Some(at) = rest.find('\u{1b}') {
        if at > 0 {
            on(Piece::Text(&rest[..at]));
        }
        let (parameters, after) = sequence(&rest[at + 1..]);
        if let Some(parameters) = parameters {
            on(Piece::Select(parameters));
        }
        rest = after;
    }
    if !rest.is_empty() {
        on(Piece::Text(rest));
    }
}

/// What follows an escape: the parameters if it selects how to draw, and the rest.
fn sequence(text: &str) -> (Option<&str>, &str) {
    if let Some(body) = text.strip_prefix('[') {
        // Control sequences end with one of `@` to `~`.
        let Some(end) = body.find(|c: char| ('@'..='~').contains(&c)) else { return (None, "") };
        let after = &body[end + 1..];
        let parameters = &body[..end];
        let selects = body.as_bytes()[end] == b'm'
            && parameters.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':');
        return (selects.then_some(parameters), after);
    }
    if let Some(body) = text.strip_prefix(']') {
        // Operating system commands, such as links and titles, end with BEL or ESC \.
        let ends = [("\u{7}", 1), ("\u{1b}\\", 2)];
        let end = ends.iter().filter_map(|(end, length)| body.find(end).map(|at| at + length)).min();
        return (None, end.map_or("", |end| &body[end..]));
    }
    let mut characters = text.chars();
    characters.next();
    (None, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_nothing_else_survives() {
        for (line, expected) in [
            ("plain", "plain"),
            ("\u{1b}[1;31merror\u{1b}[0m: x", "<span class=\"b a31\">error</span>: x"),
            ("\u{1b}[38;5;9mred\u{1b}[39m", "<span class=\"a91\">red</span>"),
            ("\u{1b}[38;2;1;2;3mtrue\u{1b}[m", "true"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("\u{1b}]0;<script>\u{7}title", "title"),
            ("\u{1b}]8;;http://evil\u{1b}\\link", "link"),
            ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;"),
            ("\u{1b}[31m<img src=x>", "<span class=\"a31\">&lt;img src=x&gt;</span>"),
            ("\u{1b}[31\" onclick=\"xm", "nclick=&quot;xm"),
            ("10%\r50%\r100%", "100%"),
            ("done\r", "done"),
            ("a\u{0}b\u{8}c\u{202e}d", "abcd"),
            ("\u{1b}[", ""),
            ("\u{1b}", ""),
            ("한\u{1b}글", "한"),
        ] {
            assert_eq!(markup(line), expected, "{line:?}");
        }
        assert_eq!(plain("\u{1b}[1;31merror\u{1b}[0m: x"), "error: x");
    }
}
