//! What is promised while requests move from one template to another: a canary gets its steps one after the other, each
//! once both sides have answered enough in the step before, and what waits for a person waits.

use std::collections::{BTreeMap, BTreeSet};

use naru_model::rollout::ReplicaKey;
use naru_model::route::{Route, RouteMode};
use naru_model::workload::TemplateHash;

use super::people::Quality;
use super::way::{SAMPLE, STEPS, Way};

/// How the replicas of a template are.
pub(super) enum Side {
    /// One at least can serve, and could all the time.
    Ready,
    /// None can, or something happened to them.
    Unready,
    /// There are none.
    Gone,
}

/// What the tables of one environment have shown so far.
#[derive(Default)]
pub(super) struct Crossing {
    /// What may get everything at once: it had everything once, or a person said so.
    at_once: BTreeSet<TemplateHash>,
    /// What had everything last.
    last: Option<TemplateHash>,
    step: Option<Step>,
}

/// A new template that has a share.
struct Step {
    to: TemplateHash,
    percent: u64,
    /// Requests that were answered since the share is in force.
    answered: BTreeMap<TemplateHash, u64>,
}

impl Step {
    fn is_sampled(&self, old: &TemplateHash) -> bool {
        let enough = |side| self.answered.get(side).is_some_and(|requests| *requests >= SAMPLE);
        enough(&self.to) && enough(old)
    }
}

impl Crossing {
    /// A person wants it: there are no steps and no waiting.
    pub(super) fn allow(&mut self, template: TemplateHash) {
        self.at_once.insert(template);
    }

    /// Nothing serves any more: whatever comes next is the first.
    pub(super) fn end(&mut self) {
        (self.last, self.step) = (None, None);
    }

    pub(super) fn answered(&mut self, template: &TemplateHash, requests: u64) {
        if let Some(step) = &mut self.step {
            *step.answered.entry(template.clone()).or_default() += requests;
        }
    }

    /// Looks at a route in force; says what is wrong with it.
    pub(super) fn look(
        &mut self,
        way: Way,
        route: &Route,
        templates: &BTreeMap<ReplicaKey, TemplateHash>,
        old_side: impl Fn(&TemplateHash) -> Side,
        quality: impl Fn(&TemplateHash) -> Option<Quality>,
    ) -> Option<String> {
        if route.backends.is_empty() || route.mode == RouteMode::Hold {
            return None;
        }
        let mut weights: BTreeMap<&TemplateHash, u64> = BTreeMap::new();
        for backend in &route.backends {
            // Of what is gone nobody knows what it was.
            *weights.entry(templates.get(&backend.replica)?).or_default() += u64::from(backend.weight);
        }
        let Some(last) = self.last.clone() else {
            let only = weights.keys().next().filter(|_| weights.len() == 1)?;
            self.arrived((*only).clone());
            return None;
        };
        let whole: u64 = weights.values().sum();
        let new: Vec<_> = weights.iter().filter(|(template, _)| ***template != last).collect();
        match (&new[..], weights.len()) {
            // What a step has shown so far counts on when the new replicas are back.
            ([], _) => None,
            ([(template, _)], 1) => {
                match old_side(&last) {
                    Side::Ready => {}
                    // Rather the new revision than nobody: how it comes by the rest then is not told here.
                    Side::Unready => {
                        self.allow((**template).clone());
                        return None;
                    }
                    Side::Gone => {
                        self.arrived((**template).clone());
                        return None;
                    }
                }
                let wrong = self.arrives(way, template, &last, quality);
                self.arrived((**template).clone());
                wrong
            }
            ([(template, weight)], 2) if way.is_canary() => self.shares(template, **weight, whole, &last),
            // An edge that was started anew with an older table shows what was before.
            _ => None,
        }
    }

    fn arrived(&mut self, template: TemplateHash) {
        self.at_once.insert(template.clone());
        (self.last, self.step) = (Some(template), None);
    }

    fn arrives(
        &self,
        way: Way,
        to: &TemplateHash,
        old: &TemplateHash,
        quality: impl Fn(&TemplateHash) -> Option<Quality>,
    ) -> Option<String> {
        let is_bad =
            |template: &TemplateHash| matches!(quality(template), Some(Quality::Fails | Quality::Slow));
        if self.at_once.contains(to) {
            return None;
        }
        match (way, &self.step) {
            (Way::Rolling | Way::Green, _) => None,
            (Way::Preview, _) => Some("requests move to what nobody promoted".to_owned()),
            (Way::Canary { .. }, Some(step)) if step.to == *to && step.percent == STEPS[1] => {
                if !step.is_sampled(old) {
                    return Some(format!("a canary is promoted on {:?} requests", step.answered));
                }
                (is_bad(to) && !is_bad(old)).then(|| "a canary that is worse is promoted".to_owned())
            }
            (Way::Canary { .. }, _) => Some("a canary gets all requests before its last step".to_owned()),
        }
    }

    fn shares(&mut self, to: &TemplateHash, weight: u64, whole: u64, old: &TemplateHash) -> Option<String> {
        if whole != 10_000 {
            return Some(format!("the weights of a canary add up to {whole}"));
        }
        let percent = weight / 100;
        let Some(index) = STEPS.iter().position(|step| step * 100 == weight) else {
            return Some(format!("a canary has {weight} of 10,000 requests"));
        };
        let begun = self.step.as_ref().filter(|step| step.to == *to);
        let wrong = match begun {
            Some(step) if step.percent >= percent => return None,
            Some(step) if !step.is_sampled(old) => {
                Some(format!("the next step of a canary comes on {:?} requests", step.answered))
            }
            None if index > 0 => Some(format!("a canary begins with {percent} %")),
            _ => None,
        };
        self.step = Some(Step { to: to.clone(), percent, answered: BTreeMap::new() });
        wrong
    }
}
