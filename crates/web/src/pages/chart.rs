//! Series as pictures: plain data in, SVG out. Thin lines on a baseline at zero, a gap where nothing is known, a name at
//! the end of each line instead of a legend, and marks that cross the whole height, so that charts below each other
//! read as one.
//!
//! Colours and strokes are the stylesheet's. Values stand in attributes too, as they are to be told: the script shows
//! those under the cursor.

use std::fmt::Write as _;

use super::html::{Html, escape, escape_into};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 132.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 92.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 18.0;
const PLOT_WIDTH: f64 = WIDTH - LEFT - RIGHT;
const PLOT_HEIGHT: f64 = HEIGHT - TOP - BOTTOM;
/// Names at the ends of lines keep this distance.
const NAME_HEIGHT: f64 = 14.0;
/// Labels of marks keep this distance; of marks that are closer, the newer one's stays.
const MARK_WIDTH: f64 = 26.0;

/// What values are, and how they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    Cores,
    Bytes,
    BytesPerSecond,
    PerSecond,
    Millis,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// What the stylesheet calls it; empty for the usual.
    pub(crate) class: &'static str,
    /// At its end; may be empty when there is only one.
    pub(crate) name: &'static str,
    /// One value per step.
    pub(crate) values: Vec<Option<f64>>,
}

/// One picture.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// What it shows, for those who do not see it, in one sentence.
    pub(crate) summary: String,
    pub(crate) unit: Unit,
    pub(crate) lines: Vec<Line>,
}

/// What the charts of a page share.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    /// What is written at its beginning, middle and end.
    pub(crate) ticks: [String; 3],
    pub(crate) marks: Vec<Mark>,
}

/// A moment that matters to all charts.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// Where between the beginning, 0, and the end, 1.
    pub(crate) place: f64,
    pub(crate) label: String,
    /// In the tooltip.
    pub(crate) title: String,
}

/// Draws a chart.
pub(crate) fn draw(chart: &Chart, time: &Time) -> Html {
    let top = top_of(chart.unit, highest(chart.lines.iter().flat_map(|line| &line.values)));
    let steps = chart.lines.iter().map(|line| line.values.len()).max().unwrap_or_default();
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}" data-chart data-left="{LEFT}" data-width="{PLOT_WIDTH}" data-top="{TOP}" data-bottom="{}" data-steps="{steps}">"#,
        escape(&chart.summary),
        HEIGHT - BOTTOM,
    );
    draw_grid(&mut svg, chart.unit, top);
    draw_time(&mut svg, time);
    for line in &chart.lines {
        draw_line(&mut svg, line, chart.unit, top, steps);
    }
    draw_names(&mut svg, chart, top);
    svg.push_str("</svg>");
    Html(svg)
}

fn draw_grid(svg: &mut String, unit: Unit, top: f64) {
    for value in [0.0, top / 2.0, top] {
        let y = height_of(value, top);
        let end = LEFT + PLOT_WIDTH;
        let _ = write!(svg, r#"<line x1="{LEFT}" y1="{y:.1}" x2="{end}" y2="{y:.1}"/>"#);
        let (x, y, label) = (LEFT - 6.0, y + 4.0, unit.tell(value));
        let _ = write!(svg, r#"<text x="{x}" y="{y:.1}" text-anchor="end">{label}</text>"#);
    }
}

fn draw_time(svg: &mut String, time: &Time) {
    let y = HEIGHT - 4.0;
    for (label, (share, anchor)) in time.ticks.iter().zip([(0.0, "start"), (0.5, "middle"), (1.0, "end")]) {
        let x = LEFT + PLOT_WIDTH * share;
        let _ = write!(svg, r#"<text x="{x}" y="{y}" text-anchor="{anchor}">{}</text>"#, escape(label));
    }
    let (top, bottom) = (TOP - 2.0, HEIGHT - BOTTOM);
    for (index, mark) in time.marks.iter().enumerate() {
        let x = LEFT + PLOT_WIDTH * mark.place.clamp(0.0, 1.0);
        let title = escape(&mark.title);
        let _ = write!(
            svg,
            r#"<g><title>{title}</title><line class="release" x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{bottom}"/>"#
        );
        let is_covered =
            time.marks.get(index + 1).is_some_and(|next| (next.place - mark.place) * PLOT_WIDTH < MARK_WIDTH);
        if !is_covered {
            let _ = write!(
                svg,
                r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                top - 2.0,
                escape(&mark.label)
            );
        }
        svg.push_str("</g>");
    }
}

/// A path that is interrupted where nothing is known. A value alone is a dot: a line of no length with round ends.
fn draw_line(svg: &mut String, line: &Line, unit: Unit, top: f64, steps: usize) {
    let mut path = String::new();
    let mut told = String::new();
    let mut is_drawing = false;
    for (index, value) in line.values.iter().enumerate() {
        if index > 0 {
            told.push('|');
        }
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        told.push_str(&unit.tell(*value));
        let (x, y) = (place_of(index, steps), height_of(*value, top));
        let command = if is_drawing { 'L' } else { 'M' };
        let _ = write!(path, "{command}{x:.1} {y:.1}");
        let goes_on = line.values.get(index + 1).is_some_and(Option::is_some);
        if !is_drawing && !goes_on {
            path.push_str("h0");
        }
        is_drawing = true;
    }
    let (class, name) = (line.class, escape(line.name));
    let _ = write!(svg, r#"<path class="{class}" d="{path}" data-name="{name}" data-values=""#);
    escape_into(&told, svg);
    svg.push_str("\"/>");
}

/// At the end of each line its name and its newest value, moved apart where lines end close to each other.
fn draw_names(svg: &mut String, chart: &Chart, top: f64) {
    let newest = |line: &Line| line.values.iter().rev().copied().flatten().next();
    let mut ends: Vec<(&Line, f64, f64)> = chart
        .lines
        .iter()
        .filter_map(|line| newest(line).map(|value| (line, value, height_of(value, top) + 4.0)))
        .collect();
    // The lines come with the lowest first; what is higher in the picture has the smaller y.
    ends.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut free = HEIGHT - BOTTOM + 4.0;
    for (line, value, y) in ends {
        let y = y.min(free);
        free = y - NAME_HEIGHT;
        let text = format!("{} {}", line.name, chart.unit.tell(value));
        let (x, class, text) = (LEFT + PLOT_WIDTH + 5.0, line.class, escape(text.trim()));
        let _ = write!(svg, r#"<text class="name {class}" x="{x}" y="{y:.1}">{text}</text>"#);
    }
}

fn place_of(index: usize, steps: usize) -> f64 {
    LEFT + PLOT_WIDTH * (float(index) + 0.5) / float(steps.max(1))
}

fn height_of(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - PLOT_HEIGHT * (value / top).clamp(0.0, 1.0)
}

/// The highest of the values that are known.
pub(crate) fn highest<'a>(values: impl IntoIterator<Item = &'a Option<f64>>) -> Option<f64> {
    values.into_iter().flatten().copied().reduce(f64::max)
}

/// The end of the axis: a round number that is not below the highest value.
fn top_of(unit: Unit, highest: Option<f64>) -> f64 {
    let least = match unit {
        Unit::Count | Unit::PerSecond => 1.0,
        Unit::Cores => 0.01,
        Unit::Bytes | Unit::BytesPerSecond => 1_024.0,
        Unit::Millis => 10.0,
    };
    let highest = highest.unwrap_or_default().max(least);
    if matches!(unit, Unit::Bytes | Unit::BytesPerSecond) {
        return round_up(highest, 1_024_f64.powf(highest.log(1_024.0).floor()));
    }
    round_up(highest, 1.0)
}

/// The next of 1, 2, 5, 10, … times `unit`.
fn round_up(value: f64, unit: f64) -> f64 {
    let tens = 10_f64.powf((value / unit).log10().floor()) * unit;
    // A value that is a hair above a round number by arithmetic alone is that number.
    let fits = |factor: &f64| tens * factor >= value * (1.0 - 1e-9);
    [1.0, 2.0, 5.0].into_iter().find(fits).map_or(tens * 10.0, |factor| tens * factor)
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

impl Unit {
    /// A value with its unit, as short as it can be.
    pub(crate) fn tell(self, value: f64) -> String {
        match self {
            Self::Count => short(value),
            Self::Cores => short(value),
            Self::Bytes => size(value),
            Self::BytesPerSecond => format!("{}/s", size(value)),
            Self::PerSecond => format!("{}/s", short(value)),
            Self::Millis if value >= 10_000.0 => format!("{} s", short(value / 1_000.0)),
            Self::Millis => format!("{} ms", short(value)),
        }
    }
}

/// Three figures at most, without zeros at the end.
fn short(value: f64) -> String {
    let text = match value.abs() {
        1_000_000.0.. => return format!("{} M", short(value / 1e6)),
        10_000.0.. => return format!("{} k", short(value / 1e3)),
        100.0.. => return format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.1.. => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn size(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value, 0);
    while value >= 1_000.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let digits = usize::from(value < 10.0 && unit > 0);
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(marks: Vec<Mark>) -> Time {
        Time { ticks: ["1 h ago", "30 min ago", "now"].map(str::to_owned), marks }
    }

    fn mark(place: f64, label: &str) -> Mark {
        Mark { place, label: label.to_owned(), title: format!("revision {label} <got> all requests") }
    }

    fn line(class: &'static str, name: &'static str, values: &[Option<f64>]) -> Line {
        Line { class, name, values: values.to_vec() }
    }

    fn drawn(lines: Vec<Line>, unit: Unit, marks: Vec<Mark>) -> String {
        let chart = Chart { summary: "it \"rises\" & falls".to_owned(), unit, lines };
        draw(&chart, &time(marks))
            .0
            .replace("/><", "/>\n<")
            .replace("><text", ">\n<text")
            .replace("><path", ">\n<path")
    }

    #[test]
    fn lines_gaps_dots_and_marks_are_drawn() {
        let values = [Some(0.0), Some(3.0), None, Some(5.0), None, None, Some(1.0), Some(2.0)];
        let marks = vec![mark(0.25, "41"), mark(0.27, "42"), mark(2.0, "<43>")];
        insta::assert_snapshot!(drawn(vec![line("", "", &values)], Unit::Count, marks));
    }

    #[test]
    fn names_of_lines_that_end_together_stand_apart() {
        let lines = ["p50", "p95", "p99"].map(|name| line(name, name, &[Some(12.0), Some(12.5)]));
        let svg = drawn(lines.to_vec(), Unit::Millis, Vec::new());
        let heights: Vec<f64> = svg
            .lines()
            .filter_map(|part| part.strip_prefix("<text class=\"name"))
            .map(|part| part.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(heights.len(), 3);
        assert!(heights.windows(2).all(|pair| pair[0] - pair[1] >= NAME_HEIGHT - 0.1), "{heights:?}");
    }

    #[test]
    fn nothing_known_is_an_empty_picture() {
        let svg = drawn(vec![line("", "", &[None, None])], Unit::Bytes, Vec::new());
        assert!(svg.contains(r#"d="""#) && svg.contains(">1 KiB<") && !svg.contains("NaN"), "{svg}");
        assert!(!drawn(Vec::new(), Unit::Cores, Vec::new()).contains("NaN"));
    }

    #[test]
    fn axes_end_at_round_numbers_that_hold_the_highest() {
        let top = |unit, value| top_of(unit, Some(value));
        assert_eq!((top(Unit::Count, 3.0), top(Unit::Count, 5.0), top(Unit::Count, 5.1)), (5.0, 5.0, 10.0));
        assert_eq!((top(Unit::Cores, 0.0), top(Unit::Cores, 0.3)), (0.01, 0.5));
        let bytes = [1_500.0, 130.0 * 1_048_576.0].map(|value| Unit::Bytes.tell(top(Unit::Bytes, value)));
        assert_eq!(bytes, ["2 KiB", "200 MiB"]);
        assert_eq!(Unit::Millis.tell(top(Unit::Millis, 1.0)), "10 ms");
    }

    #[test]
    fn values_are_told_shortly() {
        let told = [
            Unit::Count.tell(2.0),
            Unit::Cores.tell(0.0123),
            Unit::Bytes.tell(134_217_728.0),
            Unit::BytesPerSecond.tell(1_536.0),
            Unit::PerSecond.tell(12_345.0),
            Unit::Millis.tell(48.26),
            Unit::Millis.tell(10_000.0),
            Unit::Bytes.tell(1_023.0),
        ];
        assert_eq!(told, ["2", "0.0123", "128 MiB", "1.5 KiB/s", "12.3 k/s", "48.3 ms", "10 s", "1 KiB"]);
    }
}
