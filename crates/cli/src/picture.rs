//! Draws the crossing: one line with six landings, and below it what is known of each.

use naru_model::api::{Crossing, Landing, LandingName, LandingState};

use crate::commands::maintenance::line as maintenance_line;
use crate::screen::{Screen, Tone};

fn word(name: LandingName) -> &'static str {
    match name {
        LandingName::Trigger => "trigger",
        LandingName::Run => "run",
        LandingName::Image => "image",
        LandingName::Release => "release",
        LandingName::Rollout => "rollout",
        LandingName::Live => "live",
    }
}

fn sign(state: LandingState) -> (Tone, &'static str, &'static str) {
    match state {
        LandingState::Waiting => (Tone::Quiet, "○", "waiting"),
        LandingState::Moving => (Tone::Moving, "◐", "moving"),
        LandingState::Done => (Tone::Good, "●", "done"),
        LandingState::Failed => (Tone::Failed, "■", "failed"),
        LandingState::Skipped => (Tone::Quiet, "–", "skipped"),
    }
}

/// The one line.
pub(crate) fn line(screen: &Screen, landings: &[Landing]) -> String {
    let landings: Vec<String> = landings
        .iter()
        .map(|landing| {
            let (tone, mark, _) = sign(landing.state);
            screen.paint(tone, &format!("{mark} {}", word(landing.name)))
        })
        .collect();
    landings.join(" → ")
}

/// The whole picture.
pub(crate) fn draw(screen: &mut Screen, crossing: &Crossing) {
    screen.line(format!("{}: {}", crossing.project, crossing.sentence));
    screen.line("");
    let drawn = line(screen, &crossing.landings);
    screen.line(format!("  {drawn}"));
    screen.line("");
    for landing in &crossing.landings {
        if landing.at.is_none() && landing.reference.is_none() && landing.detail.is_none() {
            continue;
        }
        let (tone, _, state) = sign(landing.state);
        let state = screen.paint(tone, &format!("{state:<8}"));
        let time = landing.at.map(|at| screen.time(at)).unwrap_or_default();
        let about: Vec<&str> =
            [&landing.reference, &landing.detail].into_iter().flatten().map(String::as_str).collect();
        screen
            .line(format!("  {:<8} {state} {time:<26} {}", word(landing.name), about.join(": ")).trim_end());
    }
    if let Some(maintenance) = &crossing.maintenance {
        screen.line("");
        screen.line(format!("  {}", maintenance_line(screen, maintenance)));
    }
    if let Some(problem) = &crossing.problem {
        screen.line("");
        screen.problem(problem);
    }
    if !crossing.urls.is_empty() {
        screen.line("");
        screen.line(format!("  {}", crossing.urls.join("  ")));
    }
}

/// Whether the crossing has ended: `Some(true)` when it is live, `Some(false)` when it stopped.
pub(crate) fn ended(crossing: &Crossing) -> Option<bool> {
    if crossing.landings.iter().any(|landing| landing.state == LandingState::Failed) {
        return Some(false);
    }
    let last = crossing.landings.last()?;
    (last.state == LandingState::Done).then_some(true)
}
