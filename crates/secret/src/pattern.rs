//! The forms in which a secret may show up in a log: itself, its lines, JSON, base64 in every alignment, URL-encoded.
//! All forms are without line breaks, because the text they are looked for in is, too.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// Values shorter than this would mask innocent text everywhere.
pub(crate) const SHORTEST: usize = 4;
/// Lines of a secret shorter than this are only masked as part of the whole.
const SHORTEST_LINE: usize = 8;

/// Every form of `value`; none when it is too short to be masked.
pub(crate) fn forms(value: &str) -> BTreeSet<String> {
    let whole = without_breaks(value);
    if whole.chars().count() < SHORTEST {
        return BTreeSet::new();
    }
    let mut forms = BTreeSet::from([whole]);
    forms.extend(value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE).map(str::to_owned));
    // A program that prints a secret often drops or adds the final line break.
    let trimmed = value.trim_end_matches(['\r', '\n']);
    for text in [value, trimmed] {
        forms.insert(json(text));
        forms.extend([
            STANDARD.encode(text),
            STANDARD_NO_PAD.encode(text),
            URL_SAFE.encode(text),
            URL_SAFE_NO_PAD.encode(text),
        ]);
        forms.extend(url_encoded(text));
    }
    for alignment in 0..3 {
        forms.extend(base64_core(trimmed.as_bytes(), alignment));
    }
    forms.retain(|form| form.chars().count() >= SHORTEST);
    forms
}

fn without_breaks(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect()
}

/// As the inside of a JSON string.
fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string is plain data");
    quoted[1..quoted.len() - 1].to_owned()
}

/// The characters that stand for the secret alone when `alignment` unknown bytes are before it and any after it, in
/// both alphabets.
fn base64_core(secret: &[u8], alignment: usize) -> [String; 2] {
    let padded = [&[0; 2][..alignment], secret].concat();
    let known_from = (alignment * 8).div_ceil(6);
    let known_to = padded.len() * 8 / 6;
    [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)]
        .map(|encoded| encoded.get(known_from..known_to).unwrap_or_default().to_owned())
}

/// Percent-encoded as RFC 3986, section 2.1 has it, as browsers' `encodeURIComponent` does, and as forms do.
fn url_encoded(text: &str) -> Vec<String> {
    const UNRESERVED: &str = "-._~";
    const COMPONENT: &str = "-._~!'()*";
    const FORM: &str = "-._* ";
    let mut forms = Vec::new();
    for (kept, lower) in [(UNRESERVED, false), (UNRESERVED, true), (COMPONENT, false), (FORM, false)] {
        let mut encoded = String::new();
        for byte in text.bytes() {
            match byte {
                b' ' if kept.contains(' ') => encoded.push('+'),
                _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => {
                    encoded.push(char::from(byte));
                }
                _ if lower => {
                    let _ = write!(encoded, "%{byte:02x}");
                }
                _ => {
                    let _ = write!(encoded, "%{byte:02X}");
                }
            }
        }
        forms.push(encoded);
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_part_of_every_base64_text_that_contains_the_secret() {
        let secret = "p@ss wörd/?";
        for before in 0..6 {
            for after in 0..4 {
                let text =
                    [&b"\xfa\x13\x9c\xff\x00\xee"[..before], secret.as_bytes(), &b"\xff\x01\x7f"[..after]]
                        .concat();
                let [standard, url_safe] = base64_core(secret.as_bytes(), before % 3);
                assert!(STANDARD.encode(&text).contains(&standard));
                assert!(URL_SAFE_NO_PAD.encode(&text).contains(&url_safe));
                assert!(standard.len() >= 12);
            }
        }
    }

    #[test]
    fn short_values_have_no_forms() {
        assert!(forms("abc").is_empty());
        assert!(forms("a\nb\nc\n").is_empty());
        assert!(forms("abcd").contains("abcd"));
    }
}
