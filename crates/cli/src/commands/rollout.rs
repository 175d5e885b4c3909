//! The rollout under way: where it stands, promoting it, giving it up.

use naru_model::api::{self, RolloutStage, RolloutState};

use crate::arguments::InEnvironment;
use crate::arguments::delivery::RolloutCommand;
use crate::commands::delivery::There;
use crate::exit::Result;
use crate::screen::{Screen, Tone};

pub(crate) async fn rollout(command: RolloutCommand, screen: &mut Screen) -> Result<()> {
    match command {
        RolloutCommand::Show(place) => {
            let there = There::find(screen, &place)?;
            let answer = there.client.get::<api::Rollout>(&format!("{}/rollout", there.path())).await?;
            screen.show(&answer, show);
            Ok(())
        }
        RolloutCommand::Promote(place) => decide(&place, "promote", screen).await,
        RolloutCommand::Abort(place) => decide(&place, "abort", screen).await,
    }
}

async fn decide(place: &InEnvironment, what: &str, screen: &mut Screen) -> Result<()> {
    let there = There::find(screen, place)?;
    let path = format!("{}/rollout/{what}", there.path());
    let answer = there.client.post::<api::Rollout>(&path, &serde_json::json!({})).await?;
    screen.show(&answer, |screen, rollout| {
        let decision = rollout.decision.clone().unwrap_or_default();
        screen.line(format!("revision {} in `{}`: {decision}", rollout.revision, there.environment));
        screen.note(format!(
            "follow it: naru status --project {} --environment {} --watch",
            there.project, there.environment
        ));
    });
    Ok(())
}

fn show(screen: &mut Screen, rollout: &api::Rollout) {
    let (tone, word) = match rollout.state {
        RolloutState::Waiting => (Tone::Quiet, "waiting"),
        RolloutState::Moving => (Tone::Moving, "moving"),
        RolloutState::Live => (Tone::Good, "live"),
        RolloutState::Failed => (Tone::Failed, "failed"),
        RolloutState::Overtaken => (Tone::Quiet, "overtaken"),
    };
    let stage = match (rollout.stage, rollout.step) {
        (RolloutStage::Start, _) => "new replicas become ready".to_owned(),
        (RolloutStage::Step, step) => format!("step {} of a canary", step.unwrap_or(1)),
        (RolloutStage::Preview, _) => "waits for promotion".to_owned(),
        (RolloutStage::Promoted, _) => "nothing stands in the way".to_owned(),
    };
    let word = screen.state(tone, word);
    let started = screen.time(rollout.started_at);
    let since = rollout.stage_since.map(|at| screen.time(at));
    let switched = rollout.switched_at.map(|at| screen.time(at));
    let is_moving = rollout.state == RolloutState::Moving;
    screen.pairs(&[
        ("rollout", Some(format!("{word}: {}", rollout.detail))),
        ("to revision", Some(rollout.revision.to_string())),
        ("release", rollout.release.map(|release| release.to_string())),
        ("serves", rollout.serving.map(|serving| format!("revision {serving}"))),
        ("stage", is_moving.then_some(stage)),
        ("stage began", since.filter(|_| is_moving)),
        ("began", Some(started)),
        ("got all traffic", switched),
        ("decision", rollout.decision.clone()),
    ]);
    if let Some(problem) = &rollout.problem {
        screen.line("");
        screen.problem(problem);
    }
    if rollout.stage == RolloutStage::Preview && is_moving {
        screen.note("go on: naru rollout promote; give it up: naru rollout abort");
    }
}
