//! Medians. Pure.

use std::time::Duration;

/// The median of some durations, in milliseconds; 0 for none.
pub(super) fn median_ms(durations: impl IntoIterator<Item = Duration>) -> f64 {
    median(durations.into_iter().map(|duration| duration.as_secs_f64() * 1000.0).collect())
}

/// The median of some numbers; 0 for none.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        length if length % 2 == 1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

/// What this share of sorted numbers does not exceed; 0 for none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index within the slice"
)]
pub(super) fn quantile(sorted: &[u32], share: f64) -> f64 {
    let rank = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(rank - 1).map_or(0.0, |number| f64::from(*number))
}

/// Rounded to a number of decimals, as results are printed.
pub(super) fn rounded(number: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (number * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let of = |numbers: &[f64]| rounded(median(numbers.to_vec()), 3).to_string();
        assert_eq!(
            [of(&[]), of(&[3.0]), of(&[9.0, 1.0, 2.0]), of(&[4.0, 1.0, 2.0, 3.0])],
            ["0", "3", "2", "2.5"]
        );
        let hundred: Vec<u32> = (1..=100).collect();
        let of = |share: f64| quantile(&hundred, share).to_string();
        assert_eq!([of(0.99), of(1.0), quantile(&[], 0.5).to_string()], ["99", "100", "0"]);
        assert_eq!(rounded(median_ms([Duration::from_millis(7)]), 1).to_string(), "7");
    }
}
