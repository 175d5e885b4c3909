//! Seconds since 1970, and how a date is written.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 in UTC.
pub type Seconds = i64;

/// The wall clock.
pub fn now() -> Seconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// `2026-11-21 02:05`, in UTC.
pub fn written(at: Seconds) -> String {
    let (year, month, day) = date(at.div_euclid(86_400));
    let second = at.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", second / 3600, second / 60 % 60)
}

/// `2026-11-21T02:05Z`, for the `datetime` attribute.
pub fn machine(at: Seconds) -> String {
    written(at).replace(' ', "T") + "Z"
}

/// Year, month and day of a day number since 1970-01-01, by counting whole 400-year cycles from a first of March.
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let cycle = shifted.div_euclid(146_097);
    let day_of_cycle = shifted.rem_euclid(146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        let cases = [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (1_709_210_096, "2024-02-29 12:34"),
            (1_795_226_700, "2026-11-21 02:05"),
            (4_107_542_400, "2100-03-01 00:00"),
        ];
        for (at, text) in cases {
            assert_eq!(written(at), text);
        }
        assert_eq!(machine(0), "1970-01-01T00:00Z");
    }
}
