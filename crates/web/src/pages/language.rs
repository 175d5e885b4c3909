//! Which language a page speaks, and [`words!`], the one way to write something for people: every message stands there
//! in English and Korean side by side, so that a missing one does not compile.

use axum::http::{HeaderMap, header};

/// The cookie that keeps a person's choice.
pub(crate) const LANGUAGE_COOKIE: &str = "naru_language";

/// Which language a page speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Korean,
}

impl Language {
    /// What the person chose, else the first of ours that the browser names (RFC 9110, 12.5.4; weights are taken to be in
    /// order, as browsers send them).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let chosen = crate::access::cookie(headers, LANGUAGE_COOKIE);
        if let Some(chosen) = chosen.and_then(|tag| Self::named(&tag)) {
            return chosen;
        }
        let wish =
            headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        wish.split(',').find_map(|tag| Self::named(tag.trim())).unwrap_or(Self::English)
    }

    /// The language of a tag such as `ko-KR`, if it is one of ours.
    pub(crate) fn named(tag: &str) -> Option<Self> {
        match tag.get(..2)?.to_ascii_lowercase().as_str() {
            "ko" => Some(Self::Korean),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// Its tag, for the markup and the cookie.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }
}

/// Makes `Words`, the messages of one page: `name: "English", "한국어";`, or with placeholders
/// `found(count): "{count} found", "{count}개 찾음";`. A placeholder that one language leaves out is only unused; one that
/// does not exist does not compile.
macro_rules! words {
    (@one $name:ident : $english:literal, $korean:literal) => {
        pub(crate) fn $name(self) -> &'static str {
            match self.0 {
                $crate::pages::language::Language::English => $english,
                $crate::pages::language::Language::Korean => $korean,
            }
        }
    };
    (@one $name:ident ($($given:ident),+) : $english:literal, $korean:literal) => {
        pub(crate) fn $name(self, $($given: impl std::fmt::Display),+) -> String {
            match self.0 {
                $crate::pages::language::Language::English => format!($english),
                $crate::pages::language::Language::Korean => format!($korean),
            }
        }
    };
    ($($name:ident $(($($given:ident),+))? : $english:literal, $korean:literal;)+) => {
        /// The messages of this page.
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct Words(pub(crate) $crate::pages::language::Language);

        #[allow(clippy::new_ret_no_self, clippy::wrong_self_convention, reason = "messages are named by what they say")]
        impl Words {
            $($crate::pages::language::words!(@one $name $(($($given),+))? : $english, $korean);)+
        }

        #[cfg(test)]
        #[test]
        fn every_message_is_written_in_both_languages() {
            $($crate::pages::language::check(stringify!($name), $english, $korean);)+
        }
    };
}
pub(crate) use words;

/// What both texts of a message must be.
#[cfg(test)]
pub(crate) fn check(name: &str, english: &str, korean: &str) {
    assert!(!english.trim().is_empty() && !korean.trim().is_empty(), "{name} is empty");
    assert!(english.is_ascii() || !english.chars().any(is_hangul), "{name}: Korean in the English text");
    for text in [english, korean] {
        assert!(!text.contains('!'), "{name}: an exclamation mark");
        assert!(!text.to_ascii_lowercase().contains("please"), "{name}: please");
    }
    let placeholders = |text: &str| {
        let mut found: Vec<String> =
            text.split('{').skip(1).filter_map(|rest| rest.split('}').next().map(str::to_owned)).collect();
        found.sort();
        found
    };
    assert_eq!(placeholders(english), placeholders(korean), "{name}: other placeholders");
}

#[cfg(test)]
fn is_hangul(character: char) -> bool {
    ('\u{ac00}'..='\u{d7a3}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_person_and_else_the_browser_chooses_the_language() {
        for (chosen, wish, expected) in [
            ("", "ko-KR,ko;q=0.9,en;q=0.8", Language::Korean),
            ("", "en-GB,en;q=0.9,ko;q=0.8", Language::English),
            ("", "de,ko;q=0.5", Language::Korean),
            ("", "", Language::English),
            ("", "fr", Language::English),
            ("naru_language=ko", "en", Language::Korean),
            ("a=b; naru_language=en", "ko", Language::English),
            ("naru_language=<script>", "ko", Language::Korean),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, wish.parse().unwrap());
            headers.insert(header::COOKIE, chosen.parse().unwrap());
            assert_eq!(Language::of(&headers), expected, "{chosen} {wish}");
        }
    }
}
