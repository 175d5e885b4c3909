//! The table of all routes: each with what it asks for. There is no other way to add one, so a route without an entry
//! cannot exist. The OpenAPI document is read off the same table.

use axum::Router;
use axum::middleware::from_fn_with_state;
use naru_model::authorise::Permission;
use serde_json::json;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::Cx;
use crate::access::{Access, Rule, guard};
use crate::routes;

/// One row: what is asked for, and the handlers of one path and method.
struct Entry {
    rule: Rule,
    routes: UtoipaMethodRouter<Cx>,
}

fn open(routes: UtoipaMethodRouter<Cx>) -> Entry {
    Entry { rule: Rule { access: Access::Open, audit: None, fresh: false }, routes }
}

fn instance(permission: Permission, routes: UtoipaMethodRouter<Cx>) -> Entry {
    Entry { rule: Rule { access: Access::Instance(permission), audit: None, fresh: false }, routes }
}

fn organisation(permission: Permission, routes: UtoipaMethodRouter<Cx>) -> Entry {
    Entry { rule: Rule { access: Access::Organisation(permission), audit: None, fresh: false }, routes }
}

fn project(permission: Permission, routes: UtoipaMethodRouter<Cx>) -> Entry {
    Entry { rule: Rule { access: Access::Project(permission), audit: None, fresh: false }, routes }
}

fn environment(permission: Permission, routes: UtoipaMethodRouter<Cx>) -> Entry {
    Entry { rule: Rule { access: Access::Environment(permission), audit: None, fresh: false }, routes }
}

impl Entry {
    /// The audit log's word for this change.
    fn audited(mut self, action: &'static str) -> Self {
        self.rule.audit = Some(action);
        self
    }

    /// Asks a browser for the password again when it was given long ago.
    fn fresh(mut self) -> Self {
        self.rule.fresh = true;
        self
    }
}

#[rustfmt::skip] // one row, one line
fn table() -> Vec<Entry> {
    use Permission::{
        Administer, AdministerInstance, Configure, Delete, Deploy, OwnTokens, Read, ReadInstance, Run, UseInstance,
    };
    use routes::{
        about, account, audit, certificate, crossing, environment as environments, event, external_login, favourite,
        instance as here, intent, log, maintenance, metric, project as projects, receipt, release, replica, rollout, run,
        trigger,
    };
    let rows = vec![
        open(routes!(here::healthz)),
        open(routes!(here::readyz)),
        open(routes!(here::openapi)),
        open(routes!(account::setup)),
        open(routes!(account::login)),
        open(routes!(external_login::list_providers)),
        instance(OwnTokens, routes!(account::logout)).audited("account.logout"),
        instance(UseInstance, routes!(account::whoami)),
        instance(OwnTokens, routes!(account::list_tokens)),
        instance(OwnTokens, routes!(account::create_token)).audited("token.create").fresh(),
        instance(OwnTokens, routes!(account::revoke_token)).audited("token.revoke"),
        instance(UseInstance, routes!(audit::list)),
        instance(UseInstance, routes!(audit::export)),
        instance(OwnTokens, routes!(external_login::list)),
        instance(OwnTokens, routes!(external_login::untie)).audited("external-login.untie"),
        instance(ReadInstance, routes!(here::doctor)),
        instance(UseInstance, routes!(here::capabilities)),
        instance(ReadInstance, routes!(here::storage)),
        instance(UseInstance, routes!(receipt::keys)),
        instance(UseInstance, routes!(receipt::check)),
        instance(ReadInstance, routes!(certificate::list)),
        instance(UseInstance, routes!(certificate::authority)),
        instance(AdministerInstance, routes!(certificate::set)).audited("certificate.set"),
        instance(AdministerInstance, routes!(certificate::unset)).audited("certificate.unset"),
        instance(ReadInstance, routes!(here::metrics)),
        instance(UseInstance, routes!(event::events)),
        instance(UseInstance, routes!(projects::list)),
        instance(UseInstance, routes!(projects::create)).audited("project.create"),
        project(Read, routes!(projects::show)),
        project(Administer, routes!(about::change)).audited("project.change"),
        project(Read, routes!(favourite::add)).audited("favourite.add"),
        project(Read, routes!(favourite::remove)).audited("favourite.remove"),
        project(Delete, routes!(projects::delete)).audited("project.delete").fresh(),
        project(Read, routes!(event::project_events)),
        project(Read, routes!(trigger::list)),
        project(Run, routes!(trigger::replay)).audited("trigger.replay"),
        project(Read, routes!(run::list)),
        project(Read, routes!(run::show)),
        project(Run, routes!(run::cancel)).audited("run.cancel"),
        project(Read, routes!(log::step_logs)),
        project(Read, routes!(release::list)),
        project(Read, routes!(release::show)),
        project(Read, routes!(environments::list)),
        environment(Read, routes!(environments::show)),
        environment(Configure, routes!(environments::create)).audited("environment.create"),
        environment(Read, routes!(environments::list_revisions)),
        environment(Read, routes!(environments::show_revision)),
        environment(Read, routes!(environments::diff_revision)),
        environment(Read, routes!(receipt::show)),
        environment(Deploy, routes!(release::deploy)).audited("environment.deploy"),
        environment(Deploy, routes!(environments::rollback)).audited("environment.rollback"),
        environment(Read, routes!(rollout::show)),
        environment(Deploy, routes!(rollout::promote_rollout)).audited("rollout.promote"),
        environment(Deploy, routes!(rollout::abort_rollout)).audited("rollout.abort"),
        environment(Deploy, routes!(rollout::promote)).audited("environment.promote"),
        project(Read, routes!(intent::show)),
        environment(Read, routes!(crossing::show)),
        environment(Read, routes!(log::service_logs)),
        environment(Read, routes!(metric::show)),
        environment(Read, routes!(replica::list_replicas)),
        environment(Read, routes!(replica::list_volumes)),
        environment(Read, routes!(maintenance::show)),
        environment(Deploy, routes!(maintenance::begin)).audited("maintenance.begin"),
        environment(Deploy, routes!(maintenance::end)).audited("maintenance.end"),
        environment(Read, routes!(certificate::show_transport)),
        environment(Configure, routes!(certificate::set_transport)).audited("transport.set"),
    ];
    rows.into_iter().chain(setting_rows()).chain(people_rows()).collect()
}

#[rustfmt::skip] // one row, one line
fn setting_rows() -> Vec<Entry> {
    use Permission::{Administer, Configure, Read, ReadSecrets};
    use routes::{setting, setting_version as versions, shared_setting as shared};
    vec![
        environment(Read, routes!(setting::show_configuration)),
        environment(Configure, routes!(setting::change_configuration)).audited("configuration.change"),
        environment(Read, routes!(versions::list_configuration)),
        environment(Read, routes!(versions::compare_configuration)),
        environment(Configure, routes!(versions::restore_configuration)).audited("configuration.restore"),
        environment(Read, routes!(versions::export_configuration)),
        environment(Read, routes!(setting::list_secrets)),
        environment(Configure, routes!(setting::set_secret)).audited("secret.set"),
        environment(Configure, routes!(setting::unset_secret)).audited("secret.unset"),
        environment(Read, routes!(versions::list_secrets)),
        environment(Read, routes!(versions::compare_secrets)),
        environment(Configure, routes!(versions::restore_secrets)).audited("secret.restore"),
        environment(ReadSecrets, routes!(versions::export_secrets)).audited("secret.export").fresh(),
        project(Read, routes!(shared::show)),
        project(Configure, routes!(shared::change)).audited("configuration.change"),
        project(Read, routes!(shared::list_secrets)),
        project(Configure, routes!(shared::set_secret)).audited("secret.set"),
        project(Configure, routes!(shared::unset_secret)).audited("secret.unset"),
        project(Read, routes!(setting::list_pipeline_secrets)),
        project(Administer, routes!(setting::set_pipeline_secret)).audited("secret.set"),
        project(Administer, routes!(setting::unset_pipeline_secret)).audited("secret.unset"),
    ]
}

#[rustfmt::skip] // one row, one line
fn people_rows() -> Vec<Entry> {
    use Permission::{Administer, AdministerInstance, ManageMembers, OwnTokens, Read, UseInstance};
    use routes::{invitation, member, organisation as organisations, people, totp};
    vec![
        open(routes!(invitation::look)),
        open(routes!(invitation::accept)),
        open(routes!(invitation::reset)),
        instance(OwnTokens, routes!(invitation::join)),
        instance(OwnTokens, routes!(people::change_profile)).audited("account.profile"),
        instance(OwnTokens, routes!(people::change_password)).audited("account.password"),
        instance(OwnTokens, routes!(people::confirm)).audited("account.confirm"),
        instance(OwnTokens, routes!(totp::show)),
        instance(OwnTokens, routes!(totp::begin)).audited("account.totp-begin"),
        instance(OwnTokens, routes!(totp::confirm)).audited("account.totp-on"),
        instance(OwnTokens, routes!(totp::turn_off)).audited("account.totp-off").fresh(),
        instance(AdministerInstance, routes!(totp::reset)).audited("account.totp-reset").fresh(),
        instance(OwnTokens, routes!(people::list_sessions)),
        instance(OwnTokens, routes!(people::end_session)).audited("session.end"),
        instance(AdministerInstance, routes!(people::list)),
        instance(AdministerInstance, routes!(people::change)).audited("account.change").fresh(),
        instance(AdministerInstance, routes!(invitation::password_link)).audited("account.password-link").fresh(),
        instance(UseInstance, routes!(organisations::list)),
        instance(AdministerInstance, routes!(organisations::create)).audited("organisation.create").fresh(),
        organisation(Read, routes!(organisations::show)),
        organisation(ManageMembers, routes!(organisations::change)).audited("organisation.change"),
        organisation(ManageMembers, routes!(organisations::delete)).audited("organisation.delete").fresh(),
        organisation(Read, routes!(organisations::list_members)),
        organisation(ManageMembers, routes!(member::set)).audited("member.set").fresh(),
        organisation(ManageMembers, routes!(member::remove)).audited("member.remove").fresh(),
        organisation(Read, routes!(member::leave)).audited("member.leave").fresh(),
        organisation(ManageMembers, routes!(invitation::member_password_link)).audited("account.password-link").fresh(),
        organisation(ManageMembers, routes!(invitation::list)),
        organisation(ManageMembers, routes!(invitation::create)).audited("invitation.create").fresh(),
        organisation(ManageMembers, routes!(invitation::revoke)).audited("invitation.revoke"),
        project(Administer, routes!(member::list_roles)),
        project(ManageMembers, routes!(member::set_project_role)).audited("role.set").fresh(),
        project(ManageMembers, routes!(member::unset_project_role)).audited("role.unset").fresh(),
        environment(ManageMembers, routes!(member::set_environment_role)).audited("role.set").fresh(),
        environment(ManageMembers, routes!(member::unset_environment_role)).audited("role.unset").fresh(),
        environment(Administer, routes!(member::protect)).audited("environment.protect").fresh(),
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
        for item in paths.paths.values_mut() {
            describe(rule.access, item);
        }
        router = router.routes((schemas, paths, methods));
    }
    let document = router.into_openapi();
    let mut text = serde_json::to_string_pretty(&document).expect("the document is plain data");
    text.push('\n');
    text
}

/// Says what is asked for, and where no token is needed.
fn describe(access: Access, item: &mut PathItem) {
    let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    for operation in operations.into_iter().flatten() {
        match access.asked() {
            None => operation.security = Some(vec![SecurityRequirement::default()]),
            Some((resource, permission)) => {
                let rule = json!({ "permission": permission.word(), "resource": resource });
                operation.extensions = Some(ExtensionsBuilder::new().add("x-naru-rule", rule).build());
            }
        }
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
                "POST /api/v1/login",
                "GET /api/v1/login-providers",
                "POST /api/v1/invitations/look",
                "POST /api/v1/invitations/accept",
                "POST /api/v1/password-reset"
            ]
        );
    }

    #[test]
    fn what_lies_somewhere_asks_for_the_place() {
        for (method, path, access) in rows() {
            let expected = if path.contains("{environment}") {
                "environment"
            } else if path.contains("{project}") {
                "project"
            } else if path.contains("{organisation}") {
                "organisation"
            } else {
                "instance"
            };
            let asked = access.asked().map_or("instance", |(resource, _)| resource);
            assert_eq!(asked, expected, "{method} {path}");
        }
    }

    #[test]
    fn every_change_leaves_an_audit_line() {
        // Identity writes the lines of one-time links itself, and where nobody is known yet.
        let by_identity = [
            "/api/v1/setup",
            "/api/v1/login",
            "/api/v1/invitations/accept",
            "/api/v1/invitations/join",
            "/api/v1/password-reset",
        ];
        // What is sent there is looked at, and changes nothing.
        let by_sending = ["/api/v1/receipts/verify", "/api/v1/invitations/look"];
        for entry in table() {
            for (path, item) in &entry.routes.1.paths {
                let reads = item.get.is_some() || by_sending.contains(&path.as_str());
                let audited = entry.rule.audit.is_some() || by_identity.contains(&path.as_str());
                assert!(reads || audited, "{path}");
            }
        }
    }
}
