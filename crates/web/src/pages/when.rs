//! Times as people read them: how long ago, with the hour in the reader's zone.

use jiff::tz::TimeZone;
use naru_model::Timestamp;

use super::html::{Html, escape};
use super::language::Language;

/// The cookie in which the script keeps the zone of the browser.
pub(crate) const ZONE_COOKIE: &str = "naru_zone";

/// The cookie with the zone that the person's account asks for, which counts before the browser's.
pub(crate) const ZONE_CHOICE_COOKIE: &str = "naru_zone_choice";

/// Where and when somebody reads.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    zone: TimeZone,
    now: Timestamp,
    language: Language,
}

impl Reader {
    /// A zone that is not known here is UTC, and every hour says which zone it is in.
    pub(crate) fn new(zone: Option<&str>, now: Timestamp, language: Language) -> Self {
        let named = zone.map(|name| name.replace("%2F", "/")).filter(|name| {
            name.len() <= 60 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-+".contains(&b))
        });
        let zone = named.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC);
        Self { zone, now, language }
    }

    /// The hour in the reader's zone, such as `2026-11-21 19:00:00 KST`.
    pub(crate) fn hour(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// How long ago, in one unit: `3 min ago`.
    pub(crate) fn ago(&self, at: Timestamp) -> String {
        let seconds = self.now.duration_since(at).as_secs();
        let ahead = seconds < -5;
        let span = self.span_words(seconds.unsigned_abs());
        match (self.language, ahead, seconds.unsigned_abs() < 5) {
            (Language::English, false, true) => "just now".to_owned(),
            (Language::Korean, false, true) => "방금".to_owned(),
            (Language::English, false, _) => format!("{span} ago"),
            (Language::Korean, false, _) => format!("{span} 전"),
            (Language::English, true, _) => format!("in {span}"),
            (Language::Korean, true, _) => format!("{span} 뒤"),
        }
    }

    fn span_words(&self, seconds: u64) -> String {
        let (count, english, korean) = match seconds {
            0..60 => (seconds, "s", "초"),
            60..3600 => (seconds / 60, "min", "분"),
            3600..86_400 => (seconds / 3600, "h", "시간"),
            86_400..5_184_000 => (seconds / 86_400, "d", "일"),
            5_184_000..63_072_000 => (seconds / 2_592_000, "months", "달"),
            _ => (seconds / 31_536_000, "years", "년"),
        };
        match self.language {
            Language::English => format!("{count} {english}"),
            Language::Korean => format!("{count}{korean}"),
        }
    }

    /// How long something took: `1 min 12 s`.
    pub(crate) fn span(&self, from: &Timestamp, to: &Timestamp) -> String {
        let millis = to.duration_since(*from).as_millis().max(0).unsigned_abs();
        let seconds = u64::try_from(millis / 1000).unwrap_or(u64::MAX);
        let (hour, minute, second) = match self.language {
            Language::English => (" h", " min", " s"),
            Language::Korean => ("시간", "분", "초"),
        };
        match seconds {
            0..10 => format!("{seconds}.{}{second}", millis % 1000 / 100),
            10..60 => format!("{seconds}{second}"),
            60..3600 => format!("{}{minute} {}{second}", seconds / 60, seconds % 60),
            _ => format!("{}{hour} {}{minute}", seconds / 3600, seconds % 3600 / 60),
        }
    }

    /// How long ago, with the hour in the tooltip.
    pub(crate) fn when(&self, at: &Timestamp) -> Html {
        let (hour, ago) = (escape(&self.hour(*at)), self.ago(*at));
        Html(format!(r#"<time datetime="{at}" title="{hour}" data-ago>{ago}</time>"#))
    }

    /// The hour, with how long ago beside it.
    pub(crate) fn moment(&self, at: &Timestamp) -> Html {
        let (hour, ago) = (escape(&self.hour(*at)), self.ago(*at));
        Html(format!(
            r#"<time datetime="{at}">{hour}</time> <span class="quiet"><time datetime="{at}" data-ago>{ago}</time></span>"#
        ))
    }

    /// How long something has been going on, counted on by the script.
    pub(crate) fn since(&self, from: &Timestamp) -> Html {
        Html(format!(r#"<time datetime="{from}" data-since>{}</time>"#, self.span(from, &self.now)))
    }

    /// The time of day to the millisecond, for logs.
    pub(crate) fn clock(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S%.3f").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_readers_zone_and_language() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let reader = |zone, language| Reader::new(zone, now, language);
        let utc = reader(None, Language::English);
        assert_eq!(utc.hour(now), "2026-11-21 10:00:00 UTC");
        for hostile in ["../../etc/passwd", "<script>", "", "Nowhere/City", "/etc/localtime"] {
            assert_eq!(reader(Some(hostile), Language::English).hour(now), utc.hour(now), "{hostile}");
        }
        let ago = |seconds: i64, language| {
            reader(None, language).ago(now - jiff::SignedDuration::from_secs(seconds))
        };
        assert_eq!(ago(2, Language::English), "just now");
        assert_eq!(ago(125, Language::English), "2 min ago");
        assert_eq!(ago(125, Language::Korean), "2분 전");
        assert_eq!(ago(7300, Language::Korean), "2시간 전");
        assert_eq!(ago(-90_000, Language::English), "in 1 d");
        let span = |millis: i64| utc.span(&now, &(now + jiff::SignedDuration::from_millis(millis)));
        assert_eq!(
            (span(1240), span(72_000), span(7_260_000)),
            ("1.2 s".to_owned(), "1 min 12 s".to_owned(), "2 h 1 min".to_owned())
        );
    }
}
