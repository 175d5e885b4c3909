//! The index that requests are looked up in: immutable, swapped as a whole, shared by all workers.
//!
//! Lookups allocate nothing and take no lock. How a table gets here is `tables`; what happens to the request
//! afterwards is `proxy`.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::HeaderMap;
use naru_model::maintenance::Maintenance;
use naru_model::route::{RouteLimits, RouteMode, Sticky};
use naru_model::{EnvironmentKey, RevisionNumber};

use super::backend::{Backend, InFlight};
use super::figures::Figures;
use super::sticky::Place;

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
    pub(super) sticky: Option<Sticky>,
    pub(super) bounds: RouteLimits,
    /// What visitors are told instead of being served.
    pub(super) maintenance: Option<Arc<Maintenance>>,
    /// Tells the route from others, from table to table.
    pub(super) id: u64,
    pub(super) choices: Box<[Choice]>,
    /// Answers that no replica gave.
    pub(super) figures: Arc<Figures>,
    /// The revisions that share the route, when visitors stay with one or the shares differ: by share first, then the
    /// least loaded replica within.
    shares: Box<[Share]>,
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

/// The replicas of one revision on a route: a run of its choices.
struct Share {
    choices: Range<usize>,
    weight: u64,
}

/// How a replica must be to be taken, the strictest first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fitness {
    /// In service, and it is its turn while its share grows.
    Ready,
    /// In service.
    Sound,
    /// Whatever is left: somebody is always asked.
    Any,
}

/// What an [`Entry`] is made of.
pub(super) struct EntryParts {
    pub(super) environment: EnvironmentKey,
    pub(super) path: Box<str>,
    pub(super) service: Box<str>,
    pub(super) mode: RouteMode,
    pub(super) sticky: Option<Sticky>,
    pub(super) bounds: RouteLimits,
    pub(super) maintenance: Option<Arc<Maintenance>>,
    pub(super) id: u64,
    pub(super) choices: Box<[Choice]>,
    pub(super) figures: Arc<Figures>,
}

/// The replica that was chosen on a route, counted as under way.
pub(super) struct Ticket {
    pub(super) choice: usize,
    pub(super) in_flight: InFlight,
    /// The place that the visitor was given and is to be told.
    pub(super) given: Option<Place>,
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
        let EntryParts {
            environment,
            path,
            service,
            mode,
            sticky,
            bounds,
            maintenance,
            id,
            choices,
            figures,
        } = parts;
        let total_weight = choices.iter().map(|choice| u64::from(choice.weight)).sum();
        let even = choices.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let shares = if even && sticky.is_none() { Box::default() } else { shares(&choices) };
        let turn = AtomicU32::new(0);
        Self {
            environment,
            path,
            service,
            mode,
            sticky,
            bounds,
            maintenance,
            id,
            choices,
            figures,
            shares,
            even,
            total_weight,
            turn,
        }
    }

    /// Chooses a replica that is not in `tried` and counts the request there. `headers` tell the visitor's place; the
    /// share of a new replica grows over `slow_start`.
    pub(super) fn take(&self, tried: Tried, headers: &HeaderMap, slow_start: Duration) -> Option<Ticket> {
        if self.total_weight == 0 {
            return None;
        }
        let (place, given) = self.seat(headers);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let choice =
            self.choose(turn, place, |index, fitness| self.is_fit(index, fitness, tried, turn, slow_start))?;
        let in_flight = InFlight::enter(&self.choices[choice].backend);
        Some(Ticket { choice, in_flight, given })
    }

    fn is_fit(&self, index: usize, fitness: Fitness, tried: Tried, turn: u32, slow_start: Duration) -> bool {
        let choice = &self.choices[index];
        let health = &choice.backend.health;
        choice.weight > 0
            && !tried.has(index)
            && (fitness == Fitness::Any || !health.is_out())
            && (fitness != Fitness::Ready || u64::from(scatter(turn)) < health.share(slow_start))
    }

    /// The visitor's place where visitors stay with a revision, and the place it is to be told when it had none.
    fn seat(&self, headers: &HeaderMap) -> (Option<Place>, Option<Place>) {
        let Some(sticky) = self.sticky.as_ref().filter(|_| self.shares.len() > 1) else {
            return (None, None);
        };
        if let Some(place) = Place::of(sticky, headers) {
            return (Some(place), None);
        }
        let drawn = Place::drawn(self.turn.fetch_add(1, Ordering::Relaxed));
        (Some(drawn), Some(drawn).filter(|_| *sticky == Sticky::Cookie))
    }

    /// By share first, also when all of the revision's replicas are still growing; another revision is asked when
    /// none of this one's is in service.
    fn choose(&self, turn: u32, place: Option<Place>, fit: impl Fn(usize, Fitness) -> bool) -> Option<usize> {
        let among = |choices: &Range<usize>, fitness| {
            self.least_loaded(turn, choices.clone(), |index| fit(index, fitness))
        };
        if self.shares.len() > 1 {
            let own = self.share(place.map_or_else(|| spread(turn), Place::fraction));
            let any = |fitness| {
                std::iter::once(own).chain(&*self.shares).find_map(|share| among(&share.choices, fitness))
            };
            return among(&own.choices, Fitness::Ready)
                .or_else(|| any(Fitness::Sound))
                .or_else(|| any(Fitness::Any));
        }
        [Fitness::Ready, Fitness::Sound, Fitness::Any].into_iter().find_map(|fitness| {
            if self.even {
                return among(&(0..self.choices.len()), fitness);
            }
            let first = self.weighted(turn);
            std::iter::once(first).chain(0..self.choices.len()).find(|&index| fit(index, fitness))
        })
    }

    /// Starts at another replica each turn, so that equal loads take turns.
    fn least_loaded(&self, turn: u32, among: Range<usize>, fit: impl Fn(usize) -> bool) -> Option<usize> {
        let start = among.start + turn as usize % among.len();
        (start..among.end)
            .chain(among.start..start)
            .filter(|&index| fit(index))
            .min_by_key(|&index| self.choices[index].backend.in_flight())
    }

    /// The revision that the fraction of the weights falls on.
    fn share(&self, fraction: u32) -> &Share {
        let mut point = (u64::from(fraction) * self.total_weight) >> 32;
        for share in &self.shares {
            match point.checked_sub(share.weight) {
                Some(rest) => point = rest,
                None => return share,
            }
        }
        &self.shares[0]
    }

    fn weighted(&self, turn: u32) -> usize {
        let mut point = (u64::from(spread(turn)) * self.total_weight) >> 32;
        for (index, choice) in self.choices.iter().enumerate() {
            match point.checked_sub(u64::from(choice.weight)) {
                Some(rest) => point = rest,
                None => return index,
            }
        }
        0
    }
}

/// Turn n falls on the fraction n·φ of 2³²: any run of turns is spread evenly, without chance.
pub(super) fn spread(turn: u32) -> u32 {
    turn.wrapping_mul(0x9E37_79B9)
}

/// Spreads turns without regard to the fractions that choose a revision.
fn scatter(turn: u32) -> u32 {
    let mixed = (turn ^ (turn >> 16)).wrapping_mul(0x85EB_CA6B);
    (mixed ^ (mixed >> 13)).wrapping_mul(0xC2B2_AE35) ^ (mixed >> 16)
}

/// The runs of choices with one revision.
fn shares(choices: &[Choice]) -> Box<[Share]> {
    let mut shares = Vec::new();
    let mut start = 0;
    for run in choices.chunk_by(|left, right| left.revision == right.revision) {
        let weight = run.iter().map(|choice| u64::from(choice.weight)).sum();
        shares.push(Share { choices: start..start + run.len(), weight });
        start += run.len();
    }
    shares.into()
}

/// Which replicas of a route a request has already failed on. Those past the 64th are tried at most once anyway.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tried(u64);

impl Tried {
    pub(super) fn add(&mut self, index: usize) {
        self.0 |= 1_u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
    }

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    fn has(self, index: usize) -> bool {
        index < 64 && self.0 & (1 << index) != 0
    }
}

#[cfg(test)]
mod tests {
    use naru_model::rollout::ReplicaKey;

    use super::super::backend::Pools;
    use super::*;

    fn entry(path: &str, weights: &[u32]) -> Arc<Entry> {
        let weights: Vec<_> = weights.iter().map(|weight| (1, *weight)).collect();
        shared(path, None, &weights)
    }

    fn replica(index: u32) -> naru_model::route::Backend {
        let service = "web".parse().unwrap();
        let replica = ReplicaKey { service, revision: RevisionNumber(1), index, attempt: 0 };
        let address = "127.0.0.1:1".parse().unwrap();
        naru_model::route::Backend { replica, address, revision: RevisionNumber(1), weight: 1, health: None }
    }

    /// Each choice by revision and weight.
    fn shared(path: &str, sticky: Option<Sticky>, weights: &[(u32, u32)]) -> Arc<Entry> {
        let choices = weights.iter().zip(0..).map(|(&(revision, weight), index)| Choice {
            backend: Arc::new(Backend::new(&replica(index), Pools { workers: 1, unanswered: 1 })),
            revision: RevisionNumber(revision),
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
            sticky,
            bounds: RouteLimits::default(),
            maintenance: None,
            id: 0,
            choices: choices.collect(),
            figures: Arc::default(),
        }))
    }

    /// Takes one, without regard to slow starts.
    fn take(entry: &Entry) -> Ticket {
        entry.take(Tried::default(), &HeaderMap::new(), Duration::ZERO).unwrap()
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
            counts[take(&entry).choice] += 1;
        }
        assert!((940..=960).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[2], 0);
    }

    #[test]
    fn equal_weights_take_the_least_loaded_and_then_turns() {
        let entry = entry("/", &[1, 1, 1]);
        let tickets: Vec<_> = (0..9).map(|_| take(&entry)).collect();
        for index in 0..3 {
            assert_eq!(entry.choices[index].backend.in_flight(), 3);
        }
        drop(tickets);
        assert_eq!(entry.choices[0].backend.in_flight(), 0);
    }

    #[test]
    fn weights_choose_the_revision_and_load_the_replica() {
        let entry = shared("/", None, &[(8, 20), (7, 90), (7, 90)]);
        let mut taken: Vec<Ticket> = (0..1_000).map(|_| take(&entry)).collect();
        let counts = [0, 1, 2].map(|index| entry.choices[index].backend.in_flight());
        assert!((95..=105).contains(&counts[0]), "{counts:?}");
        assert!(counts[1].abs_diff(counts[2]) <= 1, "{counts:?}");
        // One of the old ones is slow and keeps what it has: the other takes what comes.
        taken.retain(|ticket| ticket.choice == 1);
        assert!((0..100).all(|_| take(&entry).choice != 1));
    }

    #[test]
    fn what_is_out_is_passed_over_unless_it_is_the_last() {
        let entry = entry("/", &[1, 1]);
        let limits = crate::Limits::default();
        entry.choices[0].backend.health.unreachable(&limits);
        assert!((0..10).all(|_| take(&entry).choice == 1));
        let mut tried = Tried::default();
        tried.add(1);
        assert_eq!(entry.take(tried, &HeaderMap::new(), Duration::ZERO).unwrap().choice, 0);
        tried.add(0);
        assert!(entry.take(tried, &HeaderMap::new(), Duration::ZERO).is_none());
        // Never all: then it is as if none were.
        entry.choices[1].backend.health.unreachable(&limits);
        let first = (0..10).filter(|_| take(&entry).choice == 0).count();
        assert_eq!(first, 5);
    }

    #[test]
    fn a_revision_without_a_sound_replica_is_served_by_the_other() {
        let entry = shared("/", None, &[(8, 30), (8, 20), (7, 50)]);
        for index in [0, 1] {
            entry.choices[index].backend.health.unreachable(&crate::Limits::default());
        }
        assert!((0..100).all(|_| take(&entry).choice == 2));
    }

    #[test]
    fn a_new_replica_takes_its_share_by_and_by_unless_all_are_new() {
        let slow = Duration::from_hours(1);
        for replicas in [&[(7, 1), (7, 1)][..], &[(8, 10), (8, 10), (7, 80)]] {
            let entry = shared("/", None, replicas);
            let count = |wanted: usize| {
                let none = HeaderMap::new();
                let taken = (0..10_000).map(|_| entry.take(Tried::default(), &none, slow).unwrap().choice);
                taken.filter(|&choice| choice == wanted).count()
            };
            let share = if replicas.len() == 2 { 5_000 } else { 1_000 };
            let even = count(0);
            assert!(even.abs_diff(share) < share / 5, "all are new: {even}");
            // The other one has been here for long.
            assert_eq!(entry.choices[1].backend.health.share(Duration::ZERO), 1 << 32);
            let few = count(0);
            assert!((share / 20..share / 5).contains(&few), "{few}");
        }
    }

    #[test]
    fn a_revision_gets_its_share_and_its_replicas_take_turns() {
        let entry = shared("/", None, &[(2, 250), (2, 250), (1, 9_500)]);
        let mut counts = [0_u32; 3];
        for _ in 0..1_000 {
            counts[take(&entry).choice] += 1;
        }
        assert!((45..=55).contains(&(counts[0] + counts[1])), "{counts:?}");
        assert!(counts[0].abs_diff(counts[1]) <= 10, "{counts:?}");
    }

    #[test]
    fn who_came_to_the_growing_revision_stays_with_it() {
        let step = |new: u32| shared("/", Some(Sticky::Cookie), &[(2, new), (1, 10_000 - new)]);
        let (five, half) = (step(500), step(5_000));
        let (mut new, mut moved) = (0, 0);
        for _ in 0..1_000 {
            let first = five.take(Tried::default(), &HeaderMap::new(), Duration::ZERO).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert("cookie", format!("a=b; {}", first.given.unwrap().cookie_pair()).parse().unwrap());
            let again = five.take(Tried::default(), &headers, Duration::ZERO).unwrap();
            assert_eq!((again.choice, again.given), (first.choice, None));
            let later = half.take(Tried::default(), &headers, Duration::ZERO).unwrap();
            new += u32::from(first.choice == 0);
            moved += u32::from(later.choice == 0);
            assert!(first.choice == 1 || later.choice == 0, "a visitor of the new revision was sent back");
        }
        assert!((45..=55).contains(&new) && (480..=520).contains(&moved), "{new} {moved}");
    }

    #[test]
    fn a_header_decides_and_without_it_the_shares_are_met() {
        let entry = shared("/", Some(Sticky::Header("x-user".into())), &[(2, 5_000), (1, 5_000)]);
        let of = |user: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-user", user.parse().unwrap());
            let ticket = entry.take(Tried::default(), &headers, Duration::ZERO).unwrap();
            assert_eq!(ticket.given, None);
            ticket.choice
        };
        let users: Vec<_> = (0..200).map(|user| format!("user-{user}")).collect();
        let firsts: Vec<_> = users.iter().map(|user| of(user)).collect();
        let seconds: Vec<_> = users.iter().map(|user| of(user)).collect();
        assert_eq!(firsts, seconds);
        let new = firsts.iter().filter(|choice| **choice == 0).count();
        assert!((70..=130).contains(&new), "{new}");
    }

    #[test]
    fn a_visitor_of_a_failing_revision_is_served_by_the_other() {
        let entry = shared("/", Some(Sticky::Cookie), &[(2, 5_000), (1, 5_000)]);
        let mut tried = Tried::default();
        tried.add(0);
        let mut headers = HeaderMap::new();
        headers.insert("cookie", "naru-place=0".parse().unwrap());
        assert_eq!(entry.take(Tried::default(), &headers, Duration::ZERO).unwrap().choice, 0);
        assert_eq!(entry.take(tried, &headers, Duration::ZERO).unwrap().choice, 1);
    }
}
