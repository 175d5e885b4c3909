//! The pages, and the table of their routes: each with what it asks for, through the same layer as the API. Pages are
//! complete without the script; they read through the same functions as the API's handlers and decide nothing.
//!
//! One file per page, its markup in `templates/`. To add one: a file with `words!`, a template and a handler that takes
//! a [`shell::Shell`]; a row in [`table`].

mod about;
mod account;
mod accounts;
mod activity;
mod ansi;
mod answer;
mod assets;
mod chart;
mod configuration;
mod confirm;
mod crossing;
mod doubt;
mod edge;
mod environment;
mod favourite;
mod graph;
mod home;
mod html;
mod instance;
mod join;
mod language;
mod log;
mod login;
mod logs;
mod meaning;
mod metrics;
mod new_project;
mod organisation;
mod organisations;
mod people;
mod preference;
mod problem;
mod project;
mod projects;
mod provider;
mod refusal;
mod releases;
mod replicas;
mod revision;
mod revisions;
mod role;
mod rollback;
mod run;
mod runs;
mod secrets;
mod security;
mod sentence;
mod settings;
mod setup;
mod shared;
mod shell;
mod sign;
mod starter;
mod step_tests;
mod totp;
mod triggers;
mod versions;
mod when;

pub(crate) use answer::{not_so, nowhere};

use std::collections::BTreeSet;

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::{self, MethodRouter};
use naru_model::authorise::Permission;

use crate::Cx;
use crate::access::{Access, Rule, guard};

/// One row: what is asked for, and the handler of one path and method.
struct Row {
    method: &'static str,
    path: &'static str,
    rule: Rule,
    handler: MethodRouter<Cx>,
}

impl Row {
    /// Asks for a login of the last minutes.
    fn fresh(mut self) -> Self {
        self.rule.fresh = true;
        self
    }

    /// The audit log's word for this change.
    fn audited(mut self, action: &'static str) -> Self {
        self.rule.audit = Some(action);
        self
    }
}

fn get<H: Handler<T, Cx>, T: 'static>(access: Access, path: &'static str, handler: H) -> Row {
    Row {
        method: "GET",
        path,
        rule: Rule { access, audit: None, fresh: false },
        handler: routing::get(handler),
    }
}

fn post<H: Handler<T, Cx>, T: 'static>(access: Access, path: &'static str, handler: H) -> Row {
    Row {
        method: "POST",
        path,
        rule: Rule { access, audit: None, fresh: false },
        handler: routing::post(handler),
    }
}

#[rustfmt::skip] // one row, one line
fn table() -> Vec<Row> {
    use Access::{Environment, Instance, Open, Project};
    use Permission::{Administer, Delete, Deploy, OwnTokens, Read, ReadInstance, Run, UseInstance};
    let rows = vec![
        get(Open, "/assets/{name}", assets::show),
        get(Open, "/login", login::form),
        post(Open, "/login", login::log_in),
        get(Open, "/login/{provider}", provider::begin),
        post(Instance(OwnTokens), "/login/{provider}", provider::begin_to_tie),
        get(Open, "/login/{provider}/callback", provider::back),
        post(Instance(OwnTokens), "/logout", login::log_out).audited("account.logout"),
        get(Instance(OwnTokens), "/confirm", confirm::form),
        post(Instance(OwnTokens), "/confirm", confirm::confirm).audited("account.confirm"),
        get(Open, "/setup", setup::form),
        post(Open, "/setup", setup::set_up),
        post(Open, "/preferences", preference::choose),
        get(Instance(OwnTokens), "/", home::show),
        get(Instance(OwnTokens), "/projects", projects::show),
        get(Instance(ReadInstance), "/edge", edge::show),
        get(Instance(UseInstance), "/activity", activity::show),
        get(Instance(OwnTokens), "/account", account::show),
        post(Instance(OwnTokens), "/account/tokens", account::make).audited("token.create").fresh(),
        post(Instance(OwnTokens), "/account/tokens/revoke", account::revoke).audited("token.revoke"),
        get(Instance(OwnTokens), "/account/totp", totp::show),
        post(Instance(OwnTokens), "/account/totp/begin", totp::begin).audited("account.totp-begin"),
        post(Instance(OwnTokens), "/account/totp/confirm", totp::confirm).audited("account.totp-on"),
        post(Instance(OwnTokens), "/account/totp/off", totp::turn_off).audited("account.totp-off").fresh(),
        get(Instance(OwnTokens), "/new", new_project::form),
        post(Instance(OwnTokens), "/new", new_project::create).audited("project.create"),
        post(Instance(OwnTokens), "/new/look", new_project::look),
        get(Instance(OwnTokens), "/new/check", new_project::check),
        get(Instance(OwnTokens), "/new/check/host", new_project::check_host),
        get(Project(Read), "/projects/{project}", project::show),
        post(Project(Read), "/projects/{project}/favourite", favourite::set).audited("favourite.change"),
        get(Project(Read), "/projects/{project}/runs", runs::show),
        get(Project(Read), "/projects/{project}/runs/{run}", run::show),
        post(Project(Run), "/projects/{project}/runs/{run}/cancel", run::cancel).audited("run.cancel"),
        post(Project(Run), "/projects/{project}/runs/{run}/again", run::again).audited("trigger.replay"),
        get(Project(Read), "/projects/{project}/runs/{run}/steps/{step}/lines", log::lines),
        get(Project(Read), "/projects/{project}/runs/{run}/steps/{step}/find", log::find),
        get(Project(Read), "/projects/{project}/runs/{run}/steps/{step}/text", log::text),
        get(Environment(Read), "/projects/{project}/environments/{environment}/metrics", metrics::show),
        get(Environment(Read), "/projects/{project}/environments/{environment}/logs", logs::show),
        get(Environment(Read), "/projects/{project}/environments/{environment}/logs/{service}/lines", logs::lines),
        get(Environment(Read), "/projects/{project}/environments/{environment}/logs/{service}/find", logs::find),
        get(Environment(Read), "/projects/{project}/environments/{environment}/logs/{service}/text", logs::text),
        get(Project(Read), "/projects/{project}/triggers", triggers::show),
        post(Project(Run), "/projects/{project}/triggers/{trigger}/replay", triggers::replay).audited("trigger.replay"),
        get(Project(Read), "/projects/{project}/releases", releases::list),
        get(Project(Read), "/projects/{project}/releases/{release}", releases::show),
        get(Project(Administer), "/projects/{project}/settings", settings::show),
        post(Project(Administer), "/projects/{project}/settings/about", about::change).audited("project.change"),
        post(Project(Administer), "/projects/{project}/settings/secrets", settings::set_secret).audited("secret.set"),
        post(Project(Administer), "/projects/{project}/settings/secrets/unset", settings::unset_secret).audited("secret.unset"),
        post(Project(Delete), "/projects/{project}/settings/delete", settings::delete).audited("project.delete").fresh(),
        get(Environment(Read), "/projects/{project}/environments/{environment}", environment::show),
        post(Environment(Deploy), "/projects/{project}/environments/{environment}/deploy", environment::deploy).audited("environment.deploy"),
        post(Environment(Deploy), "/projects/{project}/environments/{environment}/promote", releases::promote).audited("environment.promote"),
        post(Environment(Deploy), "/projects/{project}/environments/{environment}/rollout/promote", environment::promote).audited("rollout.promote"),
        post(Environment(Deploy), "/projects/{project}/environments/{environment}/rollout/abort", environment::abort).audited("rollout.abort"),
        post(Environment(Deploy), "/projects/{project}/environments/{environment}/maintenance/begin", environment::begin_maintenance).audited("maintenance.begin"),
        post(Environment(Deploy), "/projects/{project}/environments/{environment}/maintenance/end", environment::end_maintenance).audited("maintenance.end"),
        get(Environment(Read), "/projects/{project}/environments/{environment}/revisions", revisions::show),
        get(Environment(Read), "/projects/{project}/environments/{environment}/revisions/{revision}", revision::show),
        get(Environment(Read), "/projects/{project}/environments/{environment}/compare", revision::compare),
        get(Environment(Deploy), "/projects/{project}/environments/{environment}/rollback", rollback::confirm),
        post(Environment(Deploy), "/projects/{project}/environments/{environment}/rollback", rollback::roll_back).audited("environment.rollback"),
    ];
    rows.into_iter().chain(setting_rows()).chain(people_rows()).collect()
}

#[rustfmt::skip] // one row, one line
fn setting_rows() -> Vec<Row> {
    use Access::{Environment, Project};
    use Permission::{Configure, Read, ReadSecrets};
    vec![
        get(Environment(Read), "/projects/{project}/environments/{environment}/configuration", configuration::show),
        post(Environment(Configure), "/projects/{project}/environments/{environment}/configuration", configuration::set).audited("configuration.change"),
        post(Environment(Configure), "/projects/{project}/environments/{environment}/configuration/unset", configuration::unset).audited("configuration.change"),
        post(Environment(Configure), "/projects/{project}/environments/{environment}/secrets", configuration::set_secret).audited("secret.set"),
        post(Environment(Configure), "/projects/{project}/environments/{environment}/secrets/unset", configuration::unset_secret).audited("secret.unset"),
        get(Environment(Read), "/projects/{project}/environments/{environment}/configuration/versions", versions::show),
        post(Environment(Configure), "/projects/{project}/environments/{environment}/configuration/restore", versions::restore).audited("configuration.restore"),
        get(Environment(Read), "/projects/{project}/environments/{environment}/configuration/export", crate::routes::setting_version::export_configuration),
        post(Environment(Configure), "/projects/{project}/environments/{environment}/secrets/restore", versions::restore_secrets).audited("secret.restore"),
        post(Environment(ReadSecrets), "/projects/{project}/environments/{environment}/secrets/export", versions::export_secrets).audited("secret.export").fresh(),
        get(Project(Read), "/projects/{project}/configuration", shared::show),
        post(Project(Configure), "/projects/{project}/configuration", shared::set).audited("configuration.change"),
        post(Project(Configure), "/projects/{project}/configuration/unset", shared::unset).audited("configuration.change"),
        post(Project(Configure), "/projects/{project}/configuration/secrets", shared::set_secret).audited("secret.set"),
        post(Project(Configure), "/projects/{project}/configuration/secrets/unset", shared::unset_secret).audited("secret.unset"),
    ]
}

#[rustfmt::skip] // one row, one line
fn people_rows() -> Vec<Row> {
    use Access::{Environment, Instance, Open, Organisation, Project};
    use Permission::{Administer, AdministerInstance, ManageMembers, OwnTokens, Read, ReadInstance};
    vec![
        post(Instance(OwnTokens), "/account/profile", account::change_profile).audited("account.profile"),
        get(Instance(OwnTokens), "/account/security", security::show),
        post(Instance(OwnTokens), "/account/password", security::change_password).audited("account.password"),
        post(Instance(OwnTokens), "/account/sessions/end", security::end_session).audited("session.end"),
        post(Instance(OwnTokens), "/account/sessions/end-others", security::end_other_sessions).audited("session.end"),
        post(Instance(OwnTokens), "/account/logins/untie", security::untie).audited("external-login.untie"),
        get(Open, "/join", join::form),
        post(Open, "/join", join::accept),
        post(Instance(OwnTokens), "/join/known", join::join),
        get(Open, "/password", join::password_form),
        post(Open, "/password", join::set_password),
        get(Instance(OwnTokens), "/organisations", organisations::show),
        post(Instance(AdministerInstance), "/organisations", organisations::create).audited("organisation.create").fresh(),
        get(Organisation(Read), "/organisations/{organisation}", organisation::show),
        post(Organisation(ManageMembers), "/organisations/{organisation}/title", organisation::rename).audited("organisation.change"),
        post(Organisation(ManageMembers), "/organisations/{organisation}/delete", organisation::delete).audited("organisation.delete").fresh(),
        post(Organisation(ManageMembers), "/organisations/{organisation}/members", organisation::set_role).audited("member.set").fresh(),
        post(Organisation(ManageMembers), "/organisations/{organisation}/members/remove", organisation::remove).audited("member.remove").fresh(),
        post(Organisation(ManageMembers), "/organisations/{organisation}/members/password", organisation::password_link).audited("account.password-link").fresh(),
        post(Organisation(Read), "/organisations/{organisation}/leave", organisation::leave).audited("member.leave").fresh(),
        post(Organisation(ManageMembers), "/organisations/{organisation}/invitations", organisation::invite).audited("invitation.create").fresh(),
        post(Organisation(ManageMembers), "/organisations/{organisation}/invitations/revoke", organisation::take_back).audited("invitation.revoke"),
        get(Instance(ReadInstance), "/instance", instance::show),
        get(Instance(AdministerInstance), "/instance/accounts", accounts::show),
        post(Instance(AdministerInstance), "/instance/accounts", accounts::change).audited("account.change").fresh(),
        post(Instance(AdministerInstance), "/instance/accounts/password", accounts::password_link).audited("account.password-link").fresh(),
        get(Project(Administer), "/projects/{project}/people", people::show),
        post(Project(ManageMembers), "/projects/{project}/people", people::set).audited("role.set").fresh(),
        post(Project(ManageMembers), "/projects/{project}/people/unset", people::unset).audited("role.unset").fresh(),
        post(Environment(ManageMembers), "/projects/{project}/environments/{environment}/people", people::set_in_environment).audited("role.set").fresh(),
        post(Environment(ManageMembers), "/projects/{project}/environments/{environment}/people/unset", people::unset_in_environment).audited("role.unset").fresh(),
        post(Environment(Administer), "/projects/{project}/environments/{environment}/people/protection", people::protect).audited("environment.protect").fresh(),
    ]
}

/// All pages behind the authorisation layer.
pub(crate) fn router(cx: &Cx) -> Router<Cx> {
    let mut router = Router::new();
    let pages = pages();
    for Row { path, rule, handler, .. } in table() {
        let mut guarded = handler
            .layer(from_fn_with_state((cx.clone(), rule), guard))
            .layer(from_fn_with_state(cx.clone(), answer::finish));
        if !pages.contains(path) {
            guarded = guarded.get(to_page);
        }
        router = router.route(path, guarded);
    }
    router
}

/// What can be looked at.
fn pages() -> BTreeSet<&'static str> {
    table().into_iter().filter(|row| row.method == "GET").map(|row| row.path).collect()
}

/// A form that was refused without the script stands at the place that it was sent to: who loads that again is led to its
/// page. That says nothing of what there is; the page asks who is there.
async fn to_page(uri: Uri) -> Redirect {
    Redirect::to(&page_of_form(&HeaderMap::new(), uri.path()))
}

/// The page whose form was sent to `path`: where the browser says it comes from when that is a page here, else the nearest
/// page above.
fn page_of_form(headers: &HeaderMap, path: &str) -> String {
    let pages = pages();
    let is_page = |path: &str| pages.iter().any(|page| fits(page, path));
    let came_from = came_from(headers).filter(|place| is_page(place.split('?').next().unwrap_or_default()));
    let above = || path.char_indices().rev().filter(|(_, c)| *c == '/').map(|(at, _)| &path[..at]);
    came_from
        .or_else(|| above().find(|path| is_page(path)).map(str::to_owned))
        .unwrap_or_else(|| "/".to_owned())
}

/// The place on this server that the request was sent from.
fn came_from(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (_, rest) = text(header::REFERER)?.split_once("://")?;
    let (host, _) = rest.split_once('/')?;
    let place = &rest[host.len()..];
    (text(header::HOST) == Some(host) && answer::local(place) == place).then(|| place.to_owned())
}

/// Whether a path is one of a route.
fn fits(route: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let fits = route.split('/').all(|wanted| {
        parts.next().is_some_and(|part| part == wanted || (wanted.starts_with('{') && !part.is_empty()))
    });
    fits && parts.next().is_none()
}

/// A page's route, for tests and documents that list them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRoute {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path with its parameters in braces.
    pub path: &'static str,
    /// Whether everybody may use it.
    pub open: bool,
}

/// Every route of [`table`].
pub(crate) fn routes() -> Vec<PageRoute> {
    let route =
        |row: Row| PageRoute { method: row.method, path: row.path, open: row.rule.access == Access::Open };
    table().into_iter().map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_to_log_in_or_says_nothing_is_open() {
        let open: Vec<String> = routes()
            .into_iter()
            .filter(|route| route.open)
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        assert_eq!(
            open,
            [
                "GET /assets/{name}",
                "GET /login",
                "POST /login",
                "GET /login/{provider}",
                "GET /login/{provider}/callback",
                "GET /setup",
                "POST /setup",
                "POST /preferences",
                "GET /join",
                "POST /join",
                "GET /password",
                "POST /password"
            ]
        );
    }

    #[test]
    fn a_form_that_was_refused_leads_back_to_its_page() {
        let from = |referer: &str, path: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "naru.example:7070".parse().unwrap());
            headers.insert(header::REFERER, referer.parse().unwrap());
            page_of_form(&headers, path)
        };
        let delete = "/projects/shop/settings/delete";
        assert_eq!(from("http://naru.example:7070/account?after=x", "/account/tokens"), "/account?after=x");
        for stranger in [
            "",
            "http://evil.example/account",
            "http://naru.example:7070/none",
            "http://naru.example:7070//evil.example/",
        ] {
            assert_eq!(from(stranger, delete), "/projects/shop/settings", "{stranger}");
        }
        assert_eq!(from("", "/none/at/all"), "/");
    }

    #[test]
    fn what_lies_in_a_project_asks_for_the_project_and_every_change_leaves_an_audit_line() {
        // Identity writes the lines of setup, wrong passwords, tied logins and one-time links itself; a preference is a cookie.
        let by_identity =
            ["/setup", "/login", "/login/{provider}", "/preferences", "/join", "/join/known", "/password"];
        // What is sent there is looked at, and changes nothing.
        let by_sending = ["/new/look"];
        for row in table() {
            let in_project = row.path.starts_with("/projects/{project}");
            assert_eq!(
                matches!(row.rule.access, Access::Project(_) | Access::Environment(_)),
                in_project,
                "{}",
                row.path
            );
            let reads = row.method == "GET" || by_sending.contains(&row.path);
            let audited = row.rule.audit.is_some() || by_identity.contains(&row.path);
            assert!(reads || audited, "{}", row.path);
        }
    }
}
