//! How many replicas of a large service change places at once: `surge` more than usual run, and `unavailable` fewer than
//! usual are ready.

use super::Wanted;
use super::replicas::Replicas;
use crate::definition::{Rolling, Strategy};
use crate::name::ServiceName;

/// A service whose new replicas do not fit beside the old ones.
pub(super) struct Turns<'a> {
    pub(super) service: &'a ServiceName,
    /// How many replicas are wanted.
    wanted: u32,
    /// How many the old revision has.
    before: u32,
    /// The most replicas of both revisions together.
    most: u32,
    /// The fewest that are ready.
    fewest: u32,
}

impl<'a> Turns<'a> {
    /// `None` when all new replicas fit beside the old ones: then nothing is taken away before they are ready.
    pub(super) fn of(want: &'a Wanted, old: &Wanted, service: &'a ServiceName) -> Option<Self> {
        let new = want.spec.services.get(service)?;
        let before = old.spec.services.get(service)?;
        let Strategy::Rolling(Rolling { surge, unavailable }) = new.strategy else { return None };
        if new.template == before.template || want.spec.is_exclusive(service) {
            return None;
        }
        let most = new.replicas.max(before.replicas).saturating_add(surge.rounded_up(new.replicas));
        let fewest = new.replicas.saturating_sub(unavailable.rounded_down(new.replicas));
        // A percentage of few replicas may be none: then one changes places at a time.
        let stuck = most <= new.replicas && fewest >= new.replicas;
        let most = if stuck { most + 1 } else { most };
        (new.replicas + before.replicas > most).then_some(Self {
            service,
            wanted: new.replicas,
            before: before.replicas,
            most,
            fewest,
        })
    }

    /// How many new replicas fit beside all the old ones: turns begin when they are ready.
    pub(super) fn first_room(&self) -> usize {
        self.most.saturating_sub(self.before).min(self.wanted) as usize
    }

    /// How many new replicas may run now.
    pub(super) fn room(&self, want: &Wanted, replicas: &Replicas<'_>) -> usize {
        let others = replicas.others_alive(&want.spec, self.service);
        (self.most as usize).saturating_sub(others).min(self.wanted as usize)
    }

    /// How many old replicas must stay.
    pub(super) fn old_to_keep(&self, want: &Wanted, replicas: &Replicas<'_>) -> usize {
        let ready = replicas.ready(&want.spec, self.service).count();
        (self.fewest as usize).saturating_sub(ready)
    }
}
