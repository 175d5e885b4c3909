//! Lines of output as text: what a terminal would obey means nothing in a sentence or a name.

use std::borrow::Cow;

/// A line without its colours and other control sequences (ECMA-48, 5.4).
pub(crate) fn plain(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let shown = part.strip_prefix('[').map_or(part, |sequence| {
            let mut rest = sequence.trim_start_matches(|c| (' '..='?').contains(&c)).chars();
            rest.next(); // the final byte
            rest.as_str()
        });
        text.push_str(shown);
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_no_part_of_a_sentence() {
        assert_eq!(plain("\u{1b}[1;31merror\u{1b}[0m: 1 test failed"), "error: 1 test failed");
        assert_eq!(plain("장바구니 \u{1b}[32mok\u{1b}["), "장바구니 ok");
        assert_eq!(plain("no [colours] here"), "no [colours] here");
    }
}
