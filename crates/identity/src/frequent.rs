//! Passwords that are tried first: the most used ones, what is made of one of them or of a name, and what repeats itself
//! or follows the alphabet. Nothing is asked of anybody for it.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words to a line, in lower case; lines that begin with # are remarks.
const LIST: &str = include_str!("../data/frequent-passwords.txt");

/// With fewer different characters a password is one of few.
const DIFFERENT_CHARACTERS: usize = 4;
/// So many letters must be left of a password without the names in it.
const LETTERS_WITHOUT_NAMES: usize = 4;
/// Shorter names are in too many words to say anything.
const SHORTEST_NAME: usize = 3;
/// This product's name, which is the first that comes to mind.
const OWN_NAME: &str = "naru";

static FREQUENT: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    LIST.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_ascii_whitespace).collect()
});

/// Whether somebody who guesses would try it early. `names` are those of the account and of the instance.
pub(crate) fn is_frequent<'a>(password: &str, names: impl Iterator<Item = &'a str>) -> bool {
    let plain = password.to_lowercase();
    let core = plain.trim_matches(|c: char| !c.is_alphabetic());
    let spelled = spelled_out(core);
    [plain.as_str(), unit(&plain), core, unit(core), &spelled].into_iter().any(|text| FREQUENT.contains(text))
        || is_poor(&plain)
        || is_made_of(&plain, names)
}

/// Without the digits and signs that people put for letters.
fn spelled_out(text: &str) -> String {
    let letter = |c| match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    };
    text.chars().map(letter).collect()
}

/// The shortest text that, repeated, is the whole.
fn unit(text: &str) -> &str {
    let ends = text.char_indices().map(|(at, _)| at).skip(1);
    let repeats = |end: usize| text.len().is_multiple_of(end) && text[..end].repeat(text.len() / end) == text;
    ends.take_while(|end| end * 2 <= text.len()).find(|end| repeats(*end)).map_or(text, |end| &text[..end])
}

/// Few different characters, the same three times and more, or a run such as `abcdefghij`.
fn is_poor(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    let different: HashSet<char> = characters.iter().copied().collect();
    if different.len() < DIFFERENT_CHARACTERS || unit(text).len() * 3 <= text.len() {
        return true;
    }
    let follows = |step: i64| {
        characters.windows(2).all(|two| i64::from(u32::from(two[1])) - i64::from(u32::from(two[0])) == step)
    };
    follows(1) || follows(-1)
}

/// Hardly more than names.
fn is_made_of<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> bool {
    let names = names.map(str::to_lowercase).chain(std::iter::once(OWN_NAME.to_owned()));
    let names: Vec<String> = names.filter(|name| name.chars().count() >= SHORTEST_NAME).collect();
    let left = names.iter().fold(text.to_owned(), |left, name| left.replace(name.as_str(), ""));
    let letters = left.chars().filter(|c| c.is_alphabetic()).count();
    left.len() != text.len() && letters < LETTERS_WITHOUT_NAMES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequent(password: &str) -> bool {
        is_frequent(password, ["minji", "deploy.example", "shop"].into_iter())
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        for bad in [
            "qwertyuiop",
            "1q2w3e4r5t",
            "Password123",
            "P@ssw0rd2026!",
            "dragon12345",
            "2026monkey!!",
            "passwordpassword",
            "aaaaaaaaaaaa",
            "abababababab",
            "abcdefghijkl",
            "9876543210",
            "가나가나가나가나가나",
            "minji12345",
            "MinjiMinji1",
            "naru-minji-1",
            "naru2026!!",
        ] {
            assert!(frequent(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_long_and_ones_own_is_taken() {
        for good in [
            "river crossing at dawn",
            "a ferry at dawn",
            "another password",
            "a new password",
            "minji crosses the river",
            "나루터의 아침 안개는 짙다",
            "k7#Qw9!zLp2x",
            "shopping list of minji",
        ] {
            assert!(!frequent(good), "{good}");
        }
    }

    #[test]
    fn the_list_has_the_three_thousand_that_a_guesser_begins_with() {
        assert!(FREQUENT.len() > 3_000, "{}", FREQUENT.len());
        assert!(FREQUENT.iter().all(|word| *word == word.to_lowercase()));
    }
}
