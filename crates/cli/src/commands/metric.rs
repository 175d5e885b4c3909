//! What an environment used and answered, as lines of small bars.

use naru_model::api::{EnvironmentMetrics, RevisionAnswers};

use crate::arguments::Metrics;
use crate::commands::delivery::There;
use crate::exit::Result;
use crate::screen::{Screen, Tone};

/// Bars in a line.
const BARS: usize = 48;

pub(crate) async fn metrics(arguments: Metrics, screen: &mut Screen) -> Result<()> {
    let there = There::find(screen, &arguments.place)?;
    let service = arguments.service.map(|service| format!("&service={service}")).unwrap_or_default();
    let path = format!("{}/metrics?range={}{service}", there.path(), arguments.range);
    let answer = there.client.get::<EnvironmentMetrics>(&path).await?;
    screen.show(&answer, |screen, metrics| draw(screen, metrics, &there));
    Ok(())
}

fn draw(screen: &mut Screen, metrics: &EnvironmentMetrics, there: &There) {
    let empty = format!(
        "nothing ran in the last {}; deliver something: naru deploy -p {} -e {}",
        metrics.range, there.project, there.environment
    );
    let last = format!("last {}", metrics.range);
    screen.table(&["", "now", "highest", &last], &rows(metrics), &empty);
    if !metrics.revisions.is_empty() {
        screen.line("");
        let rows: Vec<_> = metrics.revisions.iter().map(of_revision).collect();
        screen.table(&["answered by", "requests", "failed", "p50", "p95", "p99"], &rows, "");
    }
    for switch in &metrics.switches {
        let release = switch.release.map(|release| format!(" (release {release})")).unwrap_or_default();
        let at = screen.time(switch.at);
        let line = format!("revision {}{release} got all requests {at}", switch.revision);
        let line = screen.paint(Tone::Quiet, &line);
        screen.note(line);
    }
}

/// What is shown of a series, its values, and how one is written.
type Row<'a> = (&'a str, Vec<Option<f64>>, fn(f64) -> String);

fn rows(metrics: &EnvironmentMetrics) -> Vec<Vec<String>> {
    let series = &metrics.series;
    let bytes = |values: &[Option<u64>]| values.iter().map(|value| value.map(float)).collect::<Vec<_>>();
    let all: [Row<'_>; 10] = [
        ("replicas", series.replicas.clone(), plain),
        ("cpu", series.cpu_cores.clone(), cores),
        ("memory", bytes(&series.memory_bytes), size),
        ("received", bytes(&series.received_bytes_per_second), size_per_second),
        ("sent", bytes(&series.sent_bytes_per_second), size_per_second),
        ("requests", series.requests_per_second.clone(), per_second),
        ("errors", series.errors_per_second.clone(), per_second),
        ("latency p50", series.latency_p50_ms.clone(), millis),
        ("latency p95", series.latency_p95_ms.clone(), millis),
        ("latency p99", series.latency_p99_ms.clone(), millis),
    ];
    let told = all.into_iter().filter_map(|(name, values, unit)| {
        let now = values.iter().rev().flatten().next()?;
        let highest = values.iter().flatten().copied().fold(0.0, f64::max);
        Some(vec![name.to_owned(), unit(*now), unit(highest), bars(&values, highest)])
    });
    told.collect()
}

fn of_revision(answers: &RevisionAnswers) -> Vec<String> {
    let who = answers.revision.map_or("the edge itself".to_owned(), |number| format!("revision {number}"));
    let failed = match answers.errors {
        0 => "0".to_owned(),
        errors => format!("{errors} ({:.2} %)", float(errors) * 100.0 / float(answers.requests.max(1))),
    };
    let told = |value: Option<f64>| value.map_or("–".to_owned(), millis);
    let latency = [answers.latency_p50_ms, answers.latency_p95_ms, answers.latency_p99_ms].map(told);
    [who, answers.requests.to_string(), failed].into_iter().chain(latency).collect()
}

/// A bar per equal part of the time, as high as the highest value in it; nothing where nothing is known.
fn bars(values: &[Option<f64>], highest: f64) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let each = values.len().div_ceil(BARS).max(1);
    let bar = |part: &[Option<f64>]| {
        let value = part
            .iter()
            .flatten()
            .copied()
            .fold(None, |most: Option<f64>, value| Some(most.map_or(value, |most| most.max(value))));
        value.map_or(' ', |value| {
            let height = if highest > 0.0 { value / highest * 7.0 } else { 0.0 };
            HEIGHTS[index(height).min(7)]
        })
    };
    values.chunks(each).map(bar).collect::<String>().trim_end().to_owned()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
fn index(height: f64) -> usize {
    height.round().max(0.0) as usize
}

#[expect(clippy::cast_precision_loss, reason = "for the eye")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Without zeros at the end.
fn plain(value: f64) -> String {
    trimmed(&format!("{value:.2}"))
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn cores(value: f64) -> String {
    if value < 0.1 { trimmed(&format!("{value:.4}")) } else { plain(value) }
}

fn per_second(value: f64) -> String {
    format!("{}/s", plain(value))
}

fn millis(value: f64) -> String {
    if value < 10.0 { format!("{value:.1} ms") } else { format!("{value:.0} ms") }
}

fn size(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value, 0);
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if value < 10.0 && unit > 0 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

fn size_per_second(value: f64) -> String {
    format!("{}/s", size(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_the_highest_and_gaps_are_gaps() {
        assert_eq!(bars(&[Some(0.0), Some(1.0), None, Some(2.0)], 2.0), "▁▅ █");
        assert_eq!(bars(&[Some(0.0), Some(0.0)], 0.0), "▁▁");
        assert_eq!(bars(&[], 0.0), "");
        let mut many = vec![Some(1.0); 240];
        many[7] = Some(10.0);
        let drawn = bars(&many, 10.0);
        assert_eq!((drawn.chars().count(), drawn.chars().nth(1)), (BARS, Some('█')));
    }

    #[test]
    fn values_are_told_with_their_unit() {
        assert_eq!((cores(0.0042), cores(0.25), cores(2.0)), ("0.0042".into(), "0.25".into(), "2".into()));
        assert_eq!(
            (size(0.0), size(1_536.0), size(134_217_728.0)),
            ("0 B".into(), "1.5 KiB".into(), "128 MiB".into())
        );
        assert_eq!((millis(2.54), millis(250.0)), ("2.5 ms".into(), "250 ms".into()));
        assert_eq!((plain(2.0), per_second(0.5)), ("2".into(), "0.5/s".into()));
    }
}
