//! The table of all routes: each with what it asks for. There is no other way to add one, so a route without an entry
//! cannot exist. The OpenAPI document is read off the same table.

use axum::Router;
use axum::middleware::from_fn_with_state;
use naru_model::authorise::Permission;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::Cx;
use crate::access::{Access, Rule, guard};
use crate::routes::{
    account, certificate, crossing, environment, event, instance, intent, log, maintenance, project, receipt,
    release, rollout, run, setting, trigger,
};

/// One row: what is asked for, and the handlers of one path and method.
struct Entry {
    rule: Rule,
    routes: UtoipaMethodRouter<Cx>,
}

fn open(routes: UtoipaMethodRouter<Cx>) -> Entry {
    Entry { rule: Rule { access: Access::Open, audit: None }, routes }
}

fn instance(permission: Permission, routes: UtoipaMethodRouter<Cx>) -> Entry {
    Entry { rule: Rule { access: Access::Instance(permission), audit: None }, routes }
}

fn project(permission: Permission, routes: UtoipaMethodRouter<Cx>) -> Entry {
    Entry { rule: Rule { access: Access::Project(permission), audit: None }, routes }
}

impl Entry {
    /// The audit log's word for this change.
    fn audited(mut self, action: &'static str) -> Self {
        self.rule.audit = Some(action);
        self
    }
}

#[rustfmt::skip] // one row, one line
fn table() -> Vec<Entry> {
    use Permission::{Administer, AdministerInstance, CreateProject, Deploy, OwnTokens, Read, ReadInstance, Run};
    vec![
        open(routes!(instance::healthz)),
        open(routes!(instance::readyz)),
        open(routes!(instance::openapi)),
        open(routes!(account::setup)),
        open(routes!(account::login)),
        instance(OwnTokens, routes!(account::logout)).audited("account.logout"),
        instance(OwnTokens, routes!(account::whoami)),
        instance(OwnTokens, routes!(account::list_tokens)),
        instance(OwnTokens, routes!(account::create_token)),
        instance(OwnTokens, routes!(account::revoke_token)),
        instance(ReadInstance, routes!(account::audit)),
        instance(ReadInstance, routes!(instance::doctor)),
        instance(ReadInstance, routes!(instance::capabilities)),
        instance(ReadInstance, routes!(receipt::keys)),
        instance(ReadInstance, routes!(receipt::check)),
        instance(ReadInstance, routes!(certificate::list)),
        instance(ReadInstance, routes!(certificate::authority)),
        instance(AdministerInstance, routes!(certificate::set)).audited("certificate.set"),
        instance(AdministerInstance, routes!(certificate::unset)).audited("certificate.unset"),
        instance(ReadInstance, routes!(instance::metrics)),
        instance(ReadInstance, routes!(event::events)),
        instance(ReadInstance, routes!(project::list)),
        instance(CreateProject, routes!(project::create)).audited("project.create"),
        project(Read, routes!(project::show)),
        project(Administer, routes!(project::delete)).audited("project.delete"),
        project(Read, routes!(event::project_events)),
        project(Read, routes!(trigger::list)),
        project(Run, routes!(trigger::replay)).audited("trigger.replay"),
        project(Read, routes!(run::list)),
        project(Read, routes!(run::show)),
        project(Run, routes!(run::cancel)).audited("run.cancel"),
        project(Read, routes!(log::step_logs)),
        project(Read, routes!(release::list)),
        project(Read, routes!(release::show)),
        project(Read, routes!(environment::list)),
        project(Read, routes!(environment::show)),
        project(Deploy, routes!(environment::create)).audited("environment.create"),
        project(Read, routes!(environment::list_revisions)),
        project(Read, routes!(environment::show_revision)),
        project(Read, routes!(environment::diff_revision)),
        project(Read, routes!(receipt::show)),
        project(Deploy, routes!(release::deploy)).audited("environment.deploy"),
        project(Deploy, routes!(environment::rollback)).audited("environment.rollback"),
        project(Read, routes!(rollout::show)),
        project(Deploy, routes!(rollout::promote_rollout)).audited("rollout.promote"),
        project(Deploy, routes!(rollout::abort_rollout)).audited("rollout.abort"),
        project(Deploy, routes!(rollout::promote)).audited("environment.promote"),
        project(Read, routes!(intent::show)),
        project(Read, routes!(crossing::show)),
        project(Read, routes!(log::service_logs)),
        project(Read, routes!(setting::show_configuration)),
        project(Deploy, routes!(setting::change_configuration)).audited("configuration.change"),
        project(Read, routes!(maintenance::show)),
        project(Deploy, routes!(maintenance::begin)).audited("maintenance.begin"),
        project(Deploy, routes!(maintenance::end)).audited("maintenance.end"),
        project(Read, routes!(certificate::show_transport)),
        project(Deploy, routes!(certificate::set_transport)).audited("transport.set"),
        project(Read, routes!(setting::list_secrets)),
        project(Deploy, routes!(setting::set_secret)).audited("secret.set"),
        project(Deploy, routes!(setting::unset_secret)).audited("secret.unset"),
        project(Read, routes!(setting::list_pipeline_secrets)),
        project(Administer, routes!(setting::set_pipeline_secret)).audited("secret.set"),
        project(Administer, routes!(setting::unset_pipeline_secret)).audited("secret.unset"),
    ]
}

/// All routes behind the authorisation layer.
pub(crate) fn router(cx: &Cx) -> Router<Cx> {
    let mut router = OpenApiRouter::new();
    for Entry { rule, routes: (schemas, paths, methods) } in table() {
        let guarded = methods.layer(from_fn_with_state((cx.clone(), rule), guard));
        router = router.routes((schemas, paths, guarded));
    }
    router.split_for_parts().0
}

/// The OpenAPI document.
pub(crate) fn document() -> String {
    let mut router = OpenApiRouter::<Cx>::with_openapi(head());
    for Entry { rule, routes: (schemas, mut paths, methods) } in table() {
        if rule.access == Access::Open {
            for item in paths.paths.values_mut() {
                open_operations(item);
            }
        }
        router = router.routes((schemas, paths, methods));
    }
    let document = router.into_openapi();
    let mut text = serde_json::to_string_pretty(&document).expect("the document is plain data");
    text.push('\n');
    text
}

/// Says that no token is needed.
fn open_operations(item: &mut utoipa::openapi::PathItem) {
    for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten() {
        operation.security = Some(vec![SecurityRequirement::default()]);
    }
}

fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Naru")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Everything the command line does, over HTTP. Errors are `Problem` objects with the type \
             `application/problem+json`. Lists are paged with `after` and `limit`.",
        ))
        .build();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    OpenApiBuilder::new()
        .info(info)
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme("token", token)
                .schema_from::<naru_model::Problem>()
                .build(),
        ))
        .security(Some([SecurityRequirement::new("token", Vec::<String>::new())]))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row as (method, path, access).
    pub(crate) fn rows() -> Vec<(String, String, Access)> {
        let mut rows = Vec::new();
        for entry in table() {
            for (path, item) in &entry.routes.1.paths {
                let methods = [
                    ("GET", &item.get),
                    ("PUT", &item.put),
                    ("POST", &item.post),
                    ("DELETE", &item.delete),
                    ("PATCH", &item.patch),
                ];
                for (method, _) in methods.iter().filter(|(_, operation)| operation.is_some()) {
                    rows.push(((*method).to_owned(), path.clone(), entry.rule.access));
                }
            }
        }
        rows
    }

    #[test]
    fn only_what_is_needed_to_log_in_or_says_nothing_is_open() {
        let open: Vec<_> = rows()
            .into_iter()
            .filter(|(_, _, access)| *access == Access::Open)
            .map(|(method, path, _)| format!("{method} {path}"))
            .collect();
        assert_eq!(
            open,
            [
                "GET /healthz",
                "GET /readyz",
                "GET /api/v1/openapi.json",
                "POST /api/v1/setup",
                "POST /api/v1/login"
            ]
        );
    }

    #[test]
    fn what_lies_in_a_project_asks_for_the_project() {
        for (method, path, access) in rows() {
            let in_project = path.starts_with("/api/v1/projects/{project}");
            assert_eq!(matches!(access, Access::Project(_)), in_project, "{method} {path}");
        }
    }

    #[test]
    fn every_change_leaves_an_audit_line() {
        // Identity writes the lines of tokens, setup and wrong passwords itself; a login leaves the line of its token.
        let by_identity = ["/api/v1/setup", "/api/v1/login", "/api/v1/tokens", "/api/v1/tokens/{id}"];
        // What is sent there is looked at, and changes nothing.
        let by_sending = ["/api/v1/receipts/verify"];
        for entry in table() {
            for (path, item) in &entry.routes.1.paths {
                let reads = item.get.is_some() || by_sending.contains(&path.as_str());
                let audited = entry.rule.audit.is_some() || by_identity.contains(&path.as_str());
                assert!(reads || audited, "{path}");
            }
        }
    }
}
