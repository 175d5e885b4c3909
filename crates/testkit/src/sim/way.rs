//! How the projects of a simulation move from one revision to the next, and who visits canaries meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use naru_model::route::{LatencyBucket, RevisionFigures, RouteMode, is_preview};
use naru_model::{EnvironmentKey, RevisionNumber};

use super::mistake::Mistake;
use super::people::{Project, Quality, Shape};
use super::stage::Stage;

/// A strategy, as far as people and promises care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Rolling,
    /// Blue-green that switches by itself.
    Green,
    /// Blue-green that waits for a person.
    Preview,
    Canary {
        sticky: bool,
    },
}

impl Way {
    /// Drawn apart from all else: a seed whose projects all roll tells the story that it told before there were others.
    pub(super) fn draw(stage: &Stage, shape: Shape) -> Self {
        let mut chance = stage.apart();
        let some = [
            Self::Rolling,
            Self::Rolling,
            Self::Green,
            Self::Preview,
            Self::Canary { sticky: true },
            Self::Canary { sticky: false },
        ];
        let drawn = *chance.one_of(&some).expect("six");
        match stage.mistake {
            // A volume has one holder: nothing runs side by side.
            _ if shape == Shape::Board => Self::Rolling,
            Some(Mistake::PromotedWithoutData | Mistake::StepsSkipped) => Self::Canary { sticky: false },
            Some(Mistake::AbortForgotten) => Self::Preview,
            _ => drawn,
        }
    }

    /// What `naru.yaml` says under `strategy`.
    pub(super) fn text(self) -> String {
        match self {
            Self::Rolling => "rolling".to_owned(),
            Self::Green => "{ blue-green: { keep: 40s } }".to_owned(),
            Self::Preview => "{ blue-green: { keep: 40s, promote: manual } }".to_owned(),
            Self::Canary { sticky } => {
                let sticky = if sticky { ", sticky: cookie" } else { "" };
                format!(
                    "{{ canary: {{ steps: [{}%, {}%], pause: 3s, analysis: errors < 1% and latency < 200% and requests >= {SAMPLE}{sticky} }} }}",
                    STEPS[0], STEPS[1]
                )
            }
        }
    }

    pub(super) fn is_canary(self) -> bool {
        matches!(self, Self::Canary { .. })
    }
}

/// The shares of the new revision, in percent.
pub(super) const STEPS: [u64; 2] = [10, 50];
/// Without so many requests to either side there is no next step.
pub(super) const SAMPLE: u64 = 20;

/// Those who visit services that are judged by their answers.
#[derive(Default)]
pub(super) struct Visitors {
    /// Requests of a second. With none nobody can tell how good a canary is.
    per_second: BTreeMap<EnvironmentKey, u64>,
    /// Parts of requests: so many ten-millionths.
    parts: BTreeMap<(EnvironmentKey, RevisionNumber), u64>,
}

impl Visitors {
    /// Time passed: they came by the weights in force.
    pub(super) fn come(&mut self, stage: &Stage, projects: &[Project], calm: bool, passed: Duration) {
        let millis = u64::try_from(passed.as_millis()).unwrap_or(0);
        for project in projects.iter().filter(|project| project.way.is_canary() && !project.deleted) {
            for key in &project.environments {
                let drawn = *self
                    .per_second
                    .entry(key.clone())
                    .or_insert_with(|| *stage.apart().one_of(&[0, 10, 100, 100]).expect("four"));
                let per_second = if calm { 100 } else { drawn };
                self.visit(stage, key, per_second * millis);
            }
        }
    }

    fn visit(&mut self, stage: &Stage, key: &EnvironmentKey, thousandths: u64) {
        let Some(table) = stage.fake.table(key) else { return };
        let serves = |mode| mode == RouteMode::Serve;
        let Some(route) = table.routes.iter().find(|route| !is_preview(&route.host) && serves(route.mode))
        else {
            return;
        };
        let templates = stage.templates(key);
        let whole: u64 = route.backends.iter().map(|one| u64::from(one.weight)).sum();
        for backend in &route.backends {
            let Some(template) = templates.get(&backend.replica) else { continue };
            let parts = self.parts.entry((key.clone(), backend.revision)).or_default();
            *parts += thousandths * u64::from(backend.weight) * 10_000 / whole.max(1);
            let requests = *parts / 10_000_000;
            *parts %= 10_000_000;
            if requests == 0 {
                continue;
            }
            let quality = stage.quality_of(template);
            let slow = if quality == Some(Quality::Slow) { 1000 } else { 10 };
            let figures = RevisionFigures {
                service: route.service.clone(),
                revision: backend.revision,
                requests,
                errors: if quality == Some(Quality::Fails) { requests } else { 0 },
                latency: vec![LatencyBucket { below_ms: Some(slow), requests }],
            };
            stage.fake.count_requests(key, &figures);
            stage.promises().crossing(key).answered(template, requests);
        }
    }
}
