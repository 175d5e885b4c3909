//! Routes ↔ HTTPRoute objects: one object per host, one rule per path. Bounds are an annotation of the object and hold
//! for all its routes, so routes of one host with other bounds are an object of their own.

use std::collections::BTreeMap;

use sha2::Digest as _;

use super::document::{
    BackendReference, HttpRouteSpec, Labels, Metadata, NameReference, Object, PathMatch, RouteMatch,
    RouteRule,
};
use super::refuse::Refusals;
use super::render::{GATEWAY, LIMITS, labels, object};
use super::{text, value};
use crate::definition::RequestLimits;
use crate::id::EnvironmentKey;
use crate::name::ServiceName;
use crate::workload::{EnvironmentSpec, RouteSpec, ServiceSpec};

/// One object per host and bounds.
pub(super) fn render(environment: &EnvironmentKey, spec: &EnvironmentSpec) -> Vec<Object<HttpRouteSpec>> {
    let mut hosts: BTreeMap<&str, Vec<(RequestLimits, Vec<RouteRule>)>> = BTreeMap::new();
    for route in &spec.routes {
        let port = spec.services.get(&route.service).and_then(|service| service.template.port).unwrap_or(0);
        let rule = RouteRule {
            matches: vec![RouteMatch {
                path: PathMatch { kind: "PathPrefix".to_owned(), value: route.path.clone() },
            }],
            backend_refs: vec![BackendReference { name: route.service.to_string(), port }],
        };
        let objects = hosts.entry(&route.host).or_default();
        match objects.iter_mut().find(|(limits, _)| *limits == route.limits) {
            Some((_, rules)) => rules.push(rule),
            None => objects.push((route.limits, vec![rule])),
        }
    }
    let named = |(host, objects): (_, Vec<_>)| {
        let named = objects.into_iter().enumerate();
        named.map(move |(nth, (limits, rules))| http_route(environment, host, nth, limits, rules))
    };
    hosts.into_iter().flat_map(named).collect()
}

/// The first object of a host is named as the host, others also by their bounds.
fn http_route(
    environment: &EnvironmentKey,
    host: &str,
    nth: usize,
    limits: RequestLimits,
    rules: Vec<RouteRule>,
) -> Object<HttpRouteSpec> {
    let text = serde_json::to_string(&limits).expect("bounds are plain data");
    let name = match nth {
        0 => host.to_owned(),
        _ => format!("{host}-{}", hex::encode(&sha2::Sha256::digest(&text)[..4])),
    };
    let annotations =
        if limits.is_empty() { Labels::new() } else { Labels::from([(LIMITS.to_owned(), text)]) };
    let metadata = Metadata { name, labels: labels(environment, "route"), annotations };
    let spec = HttpRouteSpec {
        parent_refs: vec![NameReference { name: GATEWAY.to_owned() }],
        hostnames: vec![host.to_owned()],
        rules,
    };
    object("gateway.networking.k8s.io/v1", "HTTPRoute", metadata, spec)
}

/// The routes of one object. Hosts and matches multiply.
pub(super) fn read(
    refusals: &mut Refusals,
    file: &str,
    object: &Object<HttpRouteSpec>,
    services: &BTreeMap<ServiceName, ServiceSpec>,
) -> Vec<RouteSpec> {
    let spec = &object.spec;
    if !matches!(spec.parent_refs.as_slice(), [parent] if parent.name == GATEWAY) {
        refusals.add(file, "spec.parentRefs", format!("routes attach to the one gateway `{GATEWAY}`"));
    }
    if spec.hostnames.is_empty() {
        refusals.add(file, "spec.hostnames", "a route needs a host");
    }
    for (index, host) in spec.hostnames.iter().enumerate() {
        if !value::is_host(host) {
            let why = format!("{} is not a host name in lower case, without port", value::shorten(host));
            refusals.add(file, &format!("spec.hostnames[{index}]"), why);
        }
        if crate::route::is_preview(host) {
            let why = format!("hosts that start with `{}` lead to previews", crate::route::PREVIEW);
            refusals.add(file, &format!("spec.hostnames[{index}]"), why);
        }
    }
    let limits = limits(refusals, file, &object.metadata.annotations);
    let mut routes = Vec::new();
    for (index, rule) in spec.rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        let Some(service) = backend(refusals, file, &at, rule, services) else { continue };
        if rule.matches.is_empty() {
            refusals.add(file, &format!("{at}.matches"), "a rule needs a path");
        }
        for (nth, RouteMatch { path }) in rule.matches.iter().enumerate() {
            let at = format!("{at}.matches[{nth}].path");
            if path.kind != "PathPrefix" {
                refusals.add(file, &format!("{at}.type"), "only PathPrefix is honoured");
            }
            if !value::is_path_prefix(&path.value) {
                refusals.add(
                    file,
                    &format!("{at}.value"),
                    format!("{} is not a path prefix", value::shorten(&path.value)),
                );
            }
            let route = |host: &String| RouteSpec {
                host: host.clone(),
                path: path.value.clone(),
                service: service.clone(),
                limits,
            };
            routes.extend(spec.hostnames.iter().map(route));
        }
    }
    routes
}

/// The bounds of an object's routes; none when there is no annotation, or when it was refused.
fn limits(refusals: &mut Refusals, file: &str, annotations: &Labels) -> RequestLimits {
    let Some(stated) = annotations.get(LIMITS) else { return RequestLimits::default() };
    let at = format!("metadata.annotations[{LIMITS}]");
    let mut json = serde_json::Deserializer::from_str(stated);
    let read = serde_path_to_error::deserialize::<_, RequestLimits>(&mut json);
    match read {
        Ok(limits) => {
            for (keys, why) in limits.faults() {
                refusals.add(file, &format!("{at}.{}", keys.join(".")), why);
            }
            refusals.check(file, &at, json.end().map_err(|error| text::one_line(&error.to_string())));
            limits
        }
        Err(error) => {
            let path = error.path().to_string();
            let at = if path == "." { at } else { format!("{at}.{path}") };
            refusals.add(file, &at, text::one_line(&error.inner().to_string()));
            RequestLimits::default()
        }
    }
}

fn backend(
    refusals: &mut Refusals,
    file: &str,
    at: &str,
    rule: &RouteRule,
    services: &BTreeMap<ServiceName, ServiceSpec>,
) -> Option<ServiceName> {
    let at = format!("{at}.backendRefs");
    let [backend] = rule.backend_refs.as_slice() else {
        refusals.add(file, &at, "a rule leads to exactly one service");
        return None;
    };
    let found = services.iter().find(|(name, _)| name.as_str() == backend.name);
    let Some((name, service)) = found else {
        refusals.add(file, &at, format!("no Deployment is named {}", value::shorten(&backend.name)));
        return None;
    };
    if service.template.port != Some(backend.port) {
        refusals.add(file, &at, format!("`{name}` does not listen on port {}", backend.port));
        return None;
    }
    Some(name.clone())
}

/// Sorts the routes and refuses two that match the same requests.
pub(super) fn settle(refusals: &mut Refusals, mut routes: Vec<RouteSpec>) -> Vec<RouteSpec> {
    routes.sort_by(|a, b| (&a.host, &a.path, &a.service).cmp(&(&b.host, &b.path, &b.service)));
    for pair in routes.windows(2) {
        if pair[0].host == pair[1].host && pair[0].path == pair[1].path {
            let why = format!("`{}{}` is routed twice", pair[0].host, pair[0].path);
            refusals.add(super::KUSTOMIZATION, "", why);
        }
    }
    routes
}
