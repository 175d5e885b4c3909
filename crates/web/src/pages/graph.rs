//! The steps of a run as a drawing: columns by what needs what, lines between them.

use std::collections::BTreeMap;

use naru_model::api::Step;

use super::html::{Html, escape};
use super::language::Language;
use super::sign::{Signed as _, Words};
use super::when::Reader;

const WIDTH: usize = 176;
const HEIGHT: usize = 40;
const GAP_X: usize = 40;
const GAP_Y: usize = 12;

/// A name of this many characters fits.
const NAME: usize = 18;

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    column: usize,
    row: usize,
}

impl Place {
    fn x(self) -> usize {
        1 + self.column * (WIDTH + GAP_X)
    }

    fn y(self) -> usize {
        1 + self.row * (HEIGHT + GAP_Y)
    }
}

/// A step stands right of everything it needs.
fn places(steps: &[Step]) -> Vec<Place> {
    let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
    // Every round settles at least one column of a graph without circles, so that there are at most as many rounds.
    for _ in 0..steps.len() {
        for step in steps {
            let after = step.needs.iter().filter_map(|need| columns.get(need.as_str()));
            let column = after.max().map_or(0, |column| column + 1).min(steps.len());
            columns.insert(&step.name, column);
        }
    }
    let mut used: BTreeMap<usize, usize> = BTreeMap::new();
    steps
        .iter()
        .map(|step| {
            let column = columns.get(step.name.as_str()).copied().unwrap_or_default();
            let row = used.entry(column).or_default();
            *row += 1;
            Place { column, row: *row - 1 }
        })
        .collect()
}

/// The drawing; nothing for a run without steps.
pub(crate) fn draw(language: Language, reader: &Reader, steps: &[Step]) -> Html {
    if steps.is_empty() {
        return Html::default();
    }
    let places = places(steps);
    let width = places.iter().map(|place| place.x() + WIDTH).max().unwrap_or_default() + 1;
    let height = places.iter().map(|place| place.y() + HEIGHT).max().unwrap_or_default() + 1;
    let mut out = format!(
        r#"<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" aria-label="{}">"#,
        super::run::graph_label(language)
    );
    for (step, place) in steps.iter().zip(&places) {
        for (need, from) in steps.iter().zip(&places) {
            if step.needs.contains(&need.name) {
                out.push_str(&line(*from, *place));
            }
        }
    }
    for (step, place) in steps.iter().zip(&places) {
        out.push_str(&node(language, reader, step, *place));
    }
    out.push_str("</svg>");
    Html(out)
}

fn line(from: Place, to: Place) -> String {
    let (x1, y1) = (from.x() + WIDTH, from.y() + HEIGHT / 2);
    let (x2, y2) = (to.x(), to.y() + HEIGHT / 2);
    let middle = x2.saturating_sub(GAP_X / 2).max(x1);
    format!(r#"<path d="M{x1} {y1}H{middle}V{y2}H{x2}"/>"#)
}

fn node(language: Language, reader: &Reader, step: &Step, place: Place) -> String {
    let (tone, word) = step.state.tone_and_word(Words(language));
    let (x, y) = (place.x(), place.y());
    let short: String = if step.name.chars().count() > NAME {
        step.name.chars().take(NAME - 1).chain(['…']).collect()
    } else {
        step.name.clone()
    };
    let took = match (step.started_at, step.finished_at) {
        (Some(from), Some(to)) => format!(" · {}", reader.span(&from, &to)),
        _ => String::new(),
    };
    let (class, mark) = (tone.class(), tone.mark());
    format!(
        concat!(
            r##"<a href="#step-{name}"><rect class="is-{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>"##,
            r#"<text class="{class}" x="{mark_x}" y="{top}">{mark}</text><text x="{text_x}" y="{top}">{short}</text>"#,
            r#"<text class="quiet" x="{text_x}" y="{bottom}">{word}{took}</text></a>"#
        ),
        name = escape(&step.name),
        short = escape(&short),
        class = class,
        mark = mark,
        word = word,
        took = took,
        x = x,
        y = y,
        width = WIDTH,
        height = HEIGHT,
        mark_x = x + 10,
        text_x = x + 28,
        top = y + 17,
        bottom = y + 33,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use naru_model::api::Progress;

    fn step(name: &str, needs: &[&str]) -> Step {
        Step {
            name: name.to_owned(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            state: Progress::Waiting,
            started_at: None,
            finished_at: None,
            detail: None,
            tests: None,
        }
    }

    #[test]
    fn a_step_stands_right_of_what_it_needs() {
        let steps = [
            step("build:web", &["test", "lint"]),
            step("test", &[]),
            step("lint", &["fmt"]),
            step("fmt", &[]),
        ];
        let places: Vec<(usize, usize)> = places(&steps).iter().map(|p| (p.column, p.row)).collect();
        assert_eq!(places, [(2, 0), (0, 0), (1, 0), (0, 1)]);
    }

    #[test]
    fn a_circle_ends_and_a_hostile_name_stays_text() {
        let steps = [step("a", &["b"]), step("b", &["a"]), step("<script>", &[])];
        let reader = Reader::new(None, naru_model::Timestamp::UNIX_EPOCH, Language::English);
        let drawn = draw(Language::English, &reader, &steps).0;
        assert!(!drawn.contains("<script>"), "{drawn}");
    }
}
