//! Which routes a revision asks for, given who is ready.

use std::collections::BTreeSet;

use super::replicas::Replicas;
use super::{ReplicaKey, Situation, Wanted};
use crate::name::ServiceName;
use crate::route::{Backend, Route, RouteMode, RouteTable};

/// The environment's table when `wanted` has the traffic: each route leads to the ready replicas of its service. A route
/// whose replicas are all on their way holds requests instead of failing them.
pub(super) fn table(situation: &Situation, wanted: &Wanted, replicas: &Replicas<'_>) -> RouteTable {
    let routes = wanted.spec.routes.iter().map(|route| {
        let backends: Vec<Backend> = replicas
            .ready(&wanted.spec, &route.service)
            .filter_map(|replica| {
                Some(Backend {
                    replica: replica.key.clone(),
                    address: replica.address?,
                    revision: wanted.revision,
                    weight: 1,
                })
            })
            .collect();
        let mode = if backends.is_empty() && replicas.is_coming(&wanted.spec, &route.service) {
            RouteMode::Hold
        } else {
            RouteMode::Serve
        };
        Route {
            host: route.host.clone(),
            path: route.path.clone(),
            service: route.service.clone(),
            mode,
            backends,
            sticky: None,
        }
    });
    RouteTable { environment: situation.environment.clone(), routes: routes.collect() }
}

/// The same table with the routes of `services` held.
pub(super) fn hold(mut table: RouteTable, services: &BTreeSet<&ServiceName>) -> RouteTable {
    for route in table.routes.iter_mut().filter(|route| services.contains(&&route.service)) {
        route.mode = RouteMode::Hold;
        route.backends.clear();
    }
    table
}

/// Every replica that the table leads to.
pub(super) fn with_backends(table: &RouteTable) -> impl Iterator<Item = &ReplicaKey> {
    table.routes.iter().flat_map(|route| &route.backends).map(|backend| &backend.replica)
}
