//! Where requests go: which routes a revision asks for, and how two revisions share them meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::replicas::Replicas;
use super::{ReplicaKey, Situation, Wanted};
use crate::definition::Stickiness;
use crate::name::ServiceName;
use crate::route::{Backend, Route, RouteMode, RouteTable, Sticky, preview_of};
use crate::workload::{Probe, RouteSpec};

/// Where the requests of a service go during a move. A service without one stays with the old revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lane {
    /// They wait: the old replica stops, or the new one starts.
    Held,
    /// The new revision gets a share.
    Shared {
        /// Of 100 requests.
        percent: u8,
        /// How a visitor stays with a revision.
        sticky: Option<Sticky>,
    },
    /// They go to every ready new replica, and to so many old ones.
    Mixed {
        /// How many old ones.
        old: usize,
    },
}

/// The services that have left the old revision's lane.
pub(super) type Lanes<'a> = BTreeMap<&'a ServiceName, Lane>;

impl From<&Stickiness> for Sticky {
    fn from(stickiness: &Stickiness) -> Self {
        match stickiness {
            Stickiness::Cookie => Self::Cookie,
            Stickiness::Header(name) => Self::Header(name.clone()),
        }
    }
}

/// The environment's table when `wanted` has the traffic: each route leads to the ready replicas of its service. A route
/// whose replicas are all on their way holds requests instead of failing them.
pub(super) fn table(situation: &Situation, wanted: &Wanted, replicas: &Replicas<'_>) -> RouteTable {
    let routes = wanted
        .spec
        .routes
        .iter()
        .map(|asked| route(wanted, replicas, asked, backends(replicas, wanted, &asked.service), None));
    of_situation(situation, routes.collect())
}

/// The table while the traffic moves from `old`: its routes, each service in its lane, and previews of those in
/// `previewed`.
pub(super) fn meanwhile(
    situation: &Situation,
    old: &Wanted,
    replicas: &Replicas<'_>,
    lanes: &Lanes<'_>,
    previewed: &BTreeSet<&ServiceName>,
) -> RouteTable {
    let want = &situation.want;
    let mut routes: Vec<Route> = old
        .spec
        .routes
        .iter()
        .map(|asked| {
            let service = &asked.service;
            let of_old = backends(replicas, old, service);
            match lanes.get(service) {
                Some(Lane::Held) => held(old, replicas, asked),
                Some(Lane::Shared { percent, sticky }) => {
                    let shared = share(backends(replicas, want, service), of_old, *percent);
                    route(old, replicas, asked, shared, sticky.clone())
                }
                Some(Lane::Mixed { old: keep }) => {
                    let mut both = backends(replicas, want, service);
                    both.extend(of_old.into_iter().take(*keep));
                    route(old, replicas, asked, both, None)
                }
                // What served before is better than nothing, also before all of it is back.
                None if situation.returning && of_old.is_empty() => {
                    route(old, replicas, asked, backends(replicas, want, service), None)
                }
                // A hand-over that was begun before has stopped the old replica: it comes back, however often it was so.
                None if of_old.is_empty() && want.spec.is_exclusive(service) => held(old, replicas, asked),
                None => route(old, replicas, asked, of_old, None),
            }
        })
        .collect();
    let previews = want.spec.routes.iter().filter(|asked| previewed.contains(&asked.service));
    routes.extend(previews.filter_map(|asked| {
        let preview = RouteSpec { host: preview_of(&asked.host)?, ..asked.clone() };
        Some(route(want, replicas, &preview, backends(replicas, want, &asked.service), None))
    }));
    of_situation(situation, routes)
}

fn of_situation(situation: &Situation, routes: Vec<Route>) -> RouteTable {
    let (environment, maintenance) = (situation.environment.clone(), situation.maintenance.clone());
    RouteTable { environment, routes, maintenance }
}

/// A route whose requests wait.
fn held(of: &Wanted, replicas: &Replicas<'_>, asked: &RouteSpec) -> Route {
    Route { mode: RouteMode::Hold, ..route(of, replicas, asked, Vec::new(), None) }
}

fn route(
    of: &Wanted,
    replicas: &Replicas<'_>,
    asked: &RouteSpec,
    backends: Vec<Backend>,
    sticky: Option<Sticky>,
) -> Route {
    let comes = backends.is_empty() && replicas.is_coming(&of.spec, &asked.service);
    Route {
        host: asked.host.clone(),
        path: asked.path.clone(),
        service: asked.service.clone(),
        mode: if comes { RouteMode::Hold } else { RouteMode::Serve },
        backends,
        sticky,
        limits: asked.limits.into(),
    }
}

/// The ready replicas of a service, with equal weights.
fn backends(replicas: &Replicas<'_>, wanted: &Wanted, service: &ServiceName) -> Vec<Backend> {
    let ready = replicas.ready(&wanted.spec, service);
    let health = health_path(wanted, service);
    let backend = |replica: &super::ReplicaSeen| {
        Some(Backend {
            replica: replica.key.clone(),
            address: replica.address?,
            revision: wanted.revision,
            weight: 1,
            health: health.clone(),
        })
    };
    ready.filter_map(backend).collect()
}

fn health_path(wanted: &Wanted, service: &ServiceName) -> Option<String> {
    match &wanted.spec.services.get(service)?.template.probe {
        Some(Probe::Http { path }) => Some(path.clone()),
        Some(Probe::Tcp) | None => None,
    }
}

/// Weights of a shared route are hundredths of a percent: together 10,000.
const WHOLE: u32 = 10_000;

/// Gives the new revision its share, whatever the number of replicas on either side.
fn share(mut new: Vec<Backend>, mut old: Vec<Backend>, percent: u8) -> Vec<Backend> {
    if !new.is_empty() && !old.is_empty() {
        let of_new = u32::from(percent) * (WHOLE / 100);
        divide(&mut new, of_new);
        divide(&mut old, WHOLE - of_new);
    }
    new.extend(old);
    new
}

/// Divides a weight among backends, the rest to the first.
fn divide(backends: &mut [Backend], weight: u32) {
    let count = u32::try_from(backends.len()).unwrap_or(u32::MAX);
    let (each, rest) = (weight / count, weight % count);
    for (index, backend) in (0..).zip(backends) {
        backend.weight = each + u32::from(index < rest);
    }
}

/// Every replica that the table leads to.
pub(super) fn with_backends(table: &RouteTable) -> impl Iterator<Item = &ReplicaKey> {
    table.routes.iter().flat_map(|route| &route.backends).map(|backend| &backend.replica)
}
