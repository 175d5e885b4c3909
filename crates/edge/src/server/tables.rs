//! The tables in force, and how one becomes the index that requests are looked up in.
//!
//! Replicas and counters outlive the table that named them: the same replica at the same address keeps its count
//! of requests under way and its idle connections from table to table.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use naru_model::maintenance::Maintenance;
use naru_model::rollout::ReplicaKey;
use naru_model::route::{
    AppliedTable, InFlight, LatencyBucket, RevisionFigures, Route, RouteTable, TrafficSeen,
};
use naru_model::time::is_ahead;
use naru_model::{EnvironmentKey, Generation, RevisionNumber};

use super::backend::{Backend, Pools};
use super::figures::{Counts, Figures, LATENCY_BOUNDS_MS, RouteCounts};
use super::routing::{Choice, Entry, EntryParts, Routing};
use super::{Edge, FiguresKey};
use crate::Limits;
use crate::table::{self, TableError};

/// Sets of counters that are kept; past it those of routes and revisions that are gone are forgotten.
const FIGURES_MAX: usize = 4_096;

/// Why a table was not put in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A later generation is in force.
    #[error("generation {given} is older than {applied}, which is in force")]
    Stale {
        /// What was published.
        given: Generation,
        /// What is in force.
        applied: Generation,
    },
    /// The table cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A replica that is asked for its health elsewhere is another one here.
type BackendKey = (ReplicaKey, SocketAddr, Option<String>);

/// Everything that was published, and what it needs.
#[derive(Default)]
pub(super) struct Tables {
    applied: BTreeMap<EnvironmentKey, AppliedTable>,
    backends: BTreeMap<EnvironmentKey, HashMap<BackendKey, Arc<Backend>>>,
    figures: HashMap<FiguresKey, Arc<Figures>>,
    /// Of the index in force.
    version: u64,
}

impl Edge {
    /// Puts a table in force. When this returns, every new request uses it.
    ///
    /// An equal generation replaces. A lower one is refused, unless the environment is off the edge: an environment
    /// that was deleted and made again counts from the start.
    ///
    /// # Errors
    /// [`PublishError`]; the table in force stays.
    pub async fn publish(&self, table: &RouteTable, generation: Generation) -> Result<(), PublishError> {
        let mut tables = self.tables.lock().await;
        let now = self.clock.now();
        tables.accept(AppliedTable { generation, since: now, table: table.clone() })?;
        self.put_in_force(&mut tables);
        Ok(())
    }

    /// Puts tables in force that were kept from before. Those that cannot be used are left out and returned.
    pub async fn restore(&self, kept: Vec<AppliedTable>) -> Vec<(EnvironmentKey, PublishError)> {
        let mut tables = self.tables.lock().await;
        let mut left_out = Vec::new();
        for applied in kept {
            let environment = applied.table.environment.clone();
            if let Err(error) = tables.accept(applied) {
                left_out.push((environment, error));
            }
        }
        self.put_in_force(&mut tables);
        left_out
    }

    fn put_in_force(&self, tables: &mut Tables) {
        let version = self.version.load(Ordering::SeqCst) + 1;
        let pools = Pools { workers: self.workers.count(), unanswered: self.limits.unanswered_per_replica };
        let routing = tables.compile(version, pools);
        self.routing.store(Arc::new(routing));
        self.version.store(version, Ordering::SeqCst);
        self.changed.send_replace(version);
    }

    /// What is in force for an environment, and what is under way at its replicas: also at those that only an
    /// earlier table named.
    pub async fn status(&self, environment: &EnvironmentKey) -> TrafficSeen {
        let mut tables = self.tables.lock().await;
        tables.forget_idle(environment);
        let now = self.clock.now();
        if let Some(applied) = tables.applied.get_mut(environment)
            && is_ahead(applied.since, now)
        {
            // The clock was set back: who waits since then shall not wait until it has caught up.
            applied.since = now;
        }
        TrafficSeen {
            applied: tables.applied.get(environment).cloned(),
            in_flight: tables.in_flight(environment),
            counting_since: Some(self.started_at),
            figures: tables.figures_of(environment),
        }
    }

    /// All tables, the empty ones of environments that were taken off included.
    pub async fn applied(&self) -> Vec<AppliedTable> {
        self.tables.lock().await.applied.values().cloned().collect()
    }
}

impl Tables {
    fn accept(&mut self, mut given: AppliedTable) -> Result<(), PublishError> {
        table::check(&given.table)?;
        self.check_places(&given.table)?;
        let environment = given.table.environment.clone();
        if let Some(applied) = self.applied.get(&environment) {
            if given.generation < applied.generation && !applied.table.routes.is_empty() {
                return Err(PublishError::Stale { given: given.generation, applied: applied.generation });
            }
            if applied.table == given.table {
                given.since = applied.since;
            }
        }
        self.applied.insert(environment, given);
        Ok(())
    }

    /// A host and path lead to one environment.
    fn check_places(&self, given: &RouteTable) -> Result<(), TableError> {
        let wanted: HashSet<(&str, &str)> =
            given.routes.iter().map(|route| (route.host.as_str(), route.path.as_str())).collect();
        for (environment, applied) in &self.applied {
            if *environment == given.environment {
                continue;
            }
            for route in &applied.table.routes {
                if wanted.contains(&(route.host.as_str(), route.path.as_str())) {
                    return Err(TableError::Taken {
                        host: route.host.clone(),
                        path: route.path.clone(),
                        environment: environment.to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    fn compile(&mut self, version: u64, pools: Pools) -> Routing {
        let mut routing = Routing { version, hosts: HashMap::new() };
        self.version = version;
        let applied = std::mem::take(&mut self.applied);
        for (environment, table) in &applied {
            let maintenance = table.table.maintenance.clone().map(Arc::new);
            for route in &table.table.routes {
                let entry = self.entry(environment, route, maintenance.clone(), pools);
                routing.hosts.entry(route.host.as_str().into()).or_default().push(Arc::new(entry));
            }
        }
        self.applied = applied;
        if self.figures.len() > FIGURES_MAX {
            self.figures.retain(|_, figures| Arc::strong_count(figures) > 1);
        }
        routing.sort();
        routing
    }

    fn entry(
        &mut self,
        environment: &EnvironmentKey,
        route: &Route,
        maintenance: Option<Arc<Maintenance>>,
        pools: Pools,
    ) -> Entry {
        let choices = route
            .backends
            .iter()
            .map(|backend| Choice {
                backend: self.backend(environment, backend, pools),
                revision: backend.revision,
                weight: backend.weight,
                figures: self.figures(environment, route, Some(backend.revision)),
            })
            .collect();
        Entry::new(EntryParts {
            environment: environment.clone(),
            path: route.path.as_str().into(),
            service: route.service.as_str().into(),
            mode: route.mode,
            sticky: route.sticky.clone(),
            bounds: route.limits,
            maintenance,
            id: id_of(environment, route),
            choices,
            figures: self.figures(environment, route, None),
        })
    }

    fn backend(
        &mut self,
        environment: &EnvironmentKey,
        named: &naru_model::route::Backend,
        pools: Pools,
    ) -> Arc<Backend> {
        let backends = self.backends.entry(environment.clone()).or_default();
        let backend = backends
            .entry((named.replica.clone(), named.address, named.health.clone()))
            .or_insert_with(|| Arc::new(Backend::new(named, pools)));
        backend.named_in(self.version);
        Arc::clone(backend)
    }

    fn figures(
        &mut self,
        environment: &EnvironmentKey,
        route: &Route,
        revision: Option<RevisionNumber>,
    ) -> Arc<Figures> {
        let key = FiguresKey {
            environment: environment.clone(),
            host: route.host.clone(),
            path: route.path.clone(),
            service: route.service.to_string(),
            revision,
        };
        Arc::clone(self.figures.entry(key).or_default())
    }

    fn in_flight(&self, environment: &EnvironmentKey) -> Vec<InFlight> {
        let mut sums: BTreeMap<&ReplicaKey, u32> = BTreeMap::new();
        for backend in self.backends.get(environment).into_iter().flat_map(HashMap::values) {
            *sums.entry(&backend.replica).or_default() += backend.in_flight();
        }
        sums.into_iter()
            .filter(|(_, requests)| *requests > 0)
            .map(|(replica, requests)| InFlight { replica: replica.clone(), requests })
            .collect()
    }

    /// Everything counted for an environment, all its routes together.
    fn figures_of(&self, environment: &EnvironmentKey) -> Vec<RevisionFigures> {
        let mut sums: BTreeMap<(&str, RevisionNumber), RevisionFigures> = BTreeMap::new();
        for (key, figures) in self.figures.iter().filter(|(key, _)| key.environment == *environment) {
            let (Some(revision), Ok(service)) = (key.revision, key.service.parse()) else { continue };
            let counts = figures.read();
            let (requests, errors) = counts.ended_and_failed();
            let sum = sums.entry((&key.service, revision)).or_insert_with(|| RevisionFigures {
                service,
                revision,
                requests: 0,
                errors: 0,
                latency: buckets(&Counts::default()),
            });
            sum.requests += requests;
            sum.errors += errors;
            for (sum, more) in sum.latency.iter_mut().zip(buckets(&counts)) {
                sum.requests += more.requests;
            }
        }
        sums.into_values().filter(|figures| figures.requests > 0).collect()
    }

    /// Forgets replicas that no table names and where nothing is under way. The index in force, and requests that
    /// still hold an earlier one, own their replicas themselves: the strong count says whether that is so.
    fn forget_idle(&mut self, environment: &EnvironmentKey) {
        if let Some(backends) = self.backends.get_mut(environment) {
            backends.retain(|_, backend| Arc::strong_count(backend) > 1);
            if backends.is_empty() {
                self.backends.remove(environment);
            }
        }
    }

    pub(super) fn sweep(&mut self, limits: &Limits) {
        let environments: Vec<EnvironmentKey> = self.backends.keys().cloned().collect();
        for environment in environments {
            self.forget_idle(&environment);
        }
        for backend in self.backends.values().flat_map(HashMap::values) {
            backend.sweep(limits);
        }
    }

    /// Notes who left the index, and has their WebSockets told when it was long enough ago.
    pub(super) fn take_leave(&self, limits: &Limits) {
        for backend in self.backends.values().flat_map(HashMap::values) {
            backend.take_leave(self.version, limits.farewell);
        }
    }

    /// Replicas in the index in force that are passed over and are worth a probe.
    pub(super) fn due(&self) -> Vec<Arc<Backend>> {
        let all = self.backends.values().flat_map(HashMap::values);
        all.filter(|backend| backend.health.is_due() && Arc::strong_count(backend) > 1).cloned().collect()
    }

    pub(super) fn counts(&self) -> Vec<RouteCounts> {
        let mut counts: Vec<(&FiguresKey, RouteCounts)> = self
            .figures
            .iter()
            .map(|(key, figures)| {
                let counts = RouteCounts {
                    environment: key.environment.clone(),
                    host: key.host.clone(),
                    path: key.path.clone(),
                    service: key.service.clone(),
                    revision: key.revision,
                    counts: figures.read(),
                };
                (key, counts)
            })
            .collect();
        counts.sort_by(|left, right| left.0.cmp(right.0));
        counts.into_iter().map(|(_, counts)| counts).collect()
    }
}

fn id_of(environment: &EnvironmentKey, route: &Route) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    (environment, &route.host, &route.path).hash(&mut hasher);
    hasher.finish()
}

fn buckets(counts: &Counts) -> Vec<LatencyBucket> {
    let bounds = LATENCY_BOUNDS_MS.into_iter().map(Some).chain([None]);
    bounds
        .enumerate()
        .map(|(index, below_ms)| {
            let requests = counts.latency_counts.get(index).copied().unwrap_or(0);
            LatencyBucket { below_ms, requests }
        })
        .collect()
}
