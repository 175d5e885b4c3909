//! The index that requests are looked up in: immutable, swapped as a whole, shared by all workers.
//!
//! Lookups allocate nothing and take no lock. How a table gets here is `tables`; what happens to the request
//! afterwards is `proxy`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use naru_model::route::RouteMode;
use naru_model::{EnvironmentKey, RevisionNumber};

use super::backend::{Backend, InFlight};
use super::figures::Figures;

/// All routes of all environments.
#[derive(Default)]
pub(super) struct Routing {
    /// Grows with every published table.
    pub(super) version: u64,
    /// Per host, the longest prefix first.
    pub(super) hosts: HashMap<Box<str>, Vec<Arc<Entry>>>,
}

/// One route.
pub(super) struct Entry {
    pub(super) environment: EnvironmentKey,
    pub(super) path: Box<str>,
    pub(super) service: Box<str>,
    pub(super) mode: RouteMode,
    pub(super) choices: Box<[Choice]>,
    /// Answers that no replica gave.
    pub(super) figures: Arc<Figures>,
    /// Whether all weights are equal: then the least loaded replica is taken.
    even: bool,
    total_weight: u64,
    turn: AtomicU32,
}

/// One replica of a route.
pub(super) struct Choice {
    pub(super) backend: Arc<Backend>,
    pub(super) revision: RevisionNumber,
    pub(super) weight: u32,
    pub(super) figures: Arc<Figures>,
}

/// What an [`Entry`] is made of.
pub(super) struct EntryParts {
    pub(super) environment: EnvironmentKey,
    pub(super) path: Box<str>,
    pub(super) service: Box<str>,
    pub(super) mode: RouteMode,
    pub(super) choices: Box<[Choice]>,
    pub(super) figures: Arc<Figures>,
}

/// The replica that was chosen on a route, counted as under way.
pub(super) struct Ticket {
    pub(super) choice: usize,
    pub(super) in_flight: InFlight,
}

impl Routing {
    /// The route with the longest prefix that covers `path`. `host` is lower case, without port.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&Arc<Entry>> {
        self.hosts.get(host)?.iter().find(|entry| covers(&entry.path, path))
    }

    /// Puts the longest prefixes first.
    pub(super) fn sort(&mut self) {
        for entries in self.hosts.values_mut() {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.path.trim_end_matches('/').len()));
        }
    }
}

/// Whole segments only: `/api` covers `/api` and `/api/x`, not `/apix`; `/api/` covers what lies below it.
fn covers(prefix: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')
}

impl Entry {
    pub(super) fn new(parts: EntryParts) -> Self {
        let EntryParts { environment, path, service, mode, choices, figures } = parts;
        let total_weight = choices.iter().map(|choice| u64::from(choice.weight)).sum();
        let even = choices.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let turn = AtomicU32::new(0);
        Self { environment, path, service, mode, choices, figures, even, total_weight, turn }
    }

    /// Chooses a replica that is not in `tried` and counts the request there.
    pub(super) fn take(&self, tried: Tried) -> Option<Ticket> {
        let choice = self.choose(tried, true).or_else(|| self.choose(tried, false))?;
        let in_flight = InFlight::enter(&self.choices[choice].backend);
        Some(Ticket { choice, in_flight })
    }

    fn choose(&self, tried: Tried, healthy_only: bool) -> Option<usize> {
        if self.total_weight == 0 {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let usable = |index: usize| {
            let choice = &self.choices[index];
            choice.weight > 0 && !tried.has(index) && !(healthy_only && choice.backend.is_suspect())
        };
        if self.even {
            self.least_loaded(turn, usable)
        } else {
            let first = self.weighted(turn);
            std::iter::once(first).chain(0..self.choices.len()).find(|&index| usable(index))
        }
    }

    /// Starts at another replica each turn, so that equal loads take turns.
    fn least_loaded(&self, turn: u32, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let count = self.choices.len();
        let start = turn as usize % count;
        (start..count)
            .chain(0..start)
            .filter(|&index| usable(index))
            .min_by_key(|&index| self.choices[index].backend.in_flight())
    }

    /// Turn n falls on the fraction n·φ of the weights: any run of turns is spread by weight, without chance.
    fn weighted(&self, turn: u32) -> usize {
        let fraction = turn.wrapping_mul(0x9E37_79B9);
        let mut point = (u64::from(fraction) * self.total_weight) >> 32;
        for (index, choice) in self.choices.iter().enumerate() {
            match point.checked_sub(u64::from(choice.weight)) {
                Some(rest) => point = rest,
                None => return index,
            }
        }
        0
    }
}

/// Which replicas of a route a request has already failed on. Those past the 64th are tried at most once anyway.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tried(u64);

impl Tried {
    pub(super) fn add(&mut self, index: usize) {
        self.0 |= 1_u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
    }

    fn has(self, index: usize) -> bool {
        index < 64 && self.0 & (1 << index) != 0
    }
}

#[cfg(test)]
mod tests {
    use naru_model::rollout::ReplicaKey;

    use super::*;

    fn entry(path: &str, weights: &[u32]) -> Arc<Entry> {
        let choices = weights.iter().zip(0..).map(|(&weight, index)| Choice {
            backend: Arc::new(Backend::new(
                ReplicaKey {
                    service: "web".parse().unwrap(),
                    revision: RevisionNumber(1),
                    index,
                    attempt: 0,
                },
                "127.0.0.1:1".parse().unwrap(),
                1,
            )),
            revision: RevisionNumber(1),
            weight,
            figures: Arc::default(),
        });
        Arc::new(Entry::new(EntryParts {
            environment: EnvironmentKey {
                project: "shop".parse().unwrap(),
                environment: "production".parse().unwrap(),
            },
            path: path.into(),
            service: "web".into(),
            mode: RouteMode::Serve,
            choices: choices.collect(),
            figures: Arc::default(),
        }))
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let mut routing = Routing::default();
        let paths = ["/", "/api", "/api/v1", "/static/"];
        routing.hosts.insert("a".into(), paths.iter().map(|path| entry(path, &[1])).collect());
        routing.sort();
        let found = |path: &str| routing.find("a", path).map(|entry| entry.path.to_string());
        assert_eq!(found("/").as_deref(), Some("/"));
        assert_eq!(found("/apix").as_deref(), Some("/"));
        assert_eq!(found("/api").as_deref(), Some("/api"));
        assert_eq!(found("/api/v1/x").as_deref(), Some("/api/v1"));
        assert_eq!(found("/api/v12").as_deref(), Some("/api"));
        assert_eq!(found("/static").as_deref(), Some("/"));
        assert_eq!(found("/static/x").as_deref(), Some("/static/"));
        assert!(routing.find("b", "/").is_none());
    }

    #[test]
    fn weights_are_met_over_any_hundred_turns() {
        let entry = entry("/", &[95, 5, 0]);
        let mut counts = [0; 3];
        for _ in 0..1_000 {
            counts[entry.take(Tried::default()).unwrap().choice] += 1;
        }
        assert!((940..=960).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[2], 0);
    }

    #[test]
    fn equal_weights_take_the_least_loaded_and_then_turns() {
        let entry = entry("/", &[1, 1, 1]);
        let tickets: Vec<_> = (0..9).map(|_| entry.take(Tried::default()).unwrap()).collect();
        for index in 0..3 {
            assert_eq!(entry.choices[index].backend.in_flight(), 3);
        }
        drop(tickets);
        assert_eq!(entry.choices[0].backend.in_flight(), 0);
    }

    #[test]
    fn a_suspect_is_passed_over_unless_it_is_the_last() {
        let entry = entry("/", &[1, 1]);
        entry.choices[0].backend.suspect(std::time::Duration::from_mins(1));
        for _ in 0..10 {
            assert_eq!(entry.take(Tried::default()).unwrap().choice, 1);
        }
        let mut tried = Tried::default();
        tried.add(1);
        assert_eq!(entry.take(tried).unwrap().choice, 0);
        tried.add(0);
        assert!(entry.take(tried).is_none());
    }
}
