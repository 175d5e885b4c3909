//! The one answer to "may they?". First who is asking, from a row; then what that opens, from the table in
//! `naru_model::role` and the rows that say which role somebody has where.

use naru_model::authorise::{Authorise, Credentials, Decision, Denied, Permission, Principal, Resource};
use naru_model::role::{self, Role};
use naru_model::{EnvironmentKey, EnvironmentName, ProjectName, Timestamp};
use naru_store::StoreError;
use naru_store::identity::{Holder, TokenKind, TokenRow};
use naru_store::session::SessionRow;

use crate::{Identity, secret_text};

/// The last use of a token or session is noted at most this often.
const TOUCH_EVERY_SECONDS: i64 = 60;

/// Who is asking, and what that opens at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who.
    pub principal: Principal,
    /// Whether the account may change the instance. Never for a token that was cut down.
    pub administrator: bool,
    /// The session that a browser came with.
    pub session: Option<SessionRow>,
    grant: Grant,
}

/// What credentials open.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Grant {
    /// Naru's own: the listed things, to one project or to all.
    Engine { project: Option<ProjectName>, permissions: Vec<Permission> },
    /// What the account may.
    Account { administrator: bool, limits: Limits },
}

/// What a token was cut down to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Limits {
    permissions: Vec<Permission>,
    project: Option<ProjectName>,
    environment: Option<EnvironmentName>,
}

impl Limits {
    fn is_limited(&self) -> bool {
        !self.permissions.is_empty() || self.project.is_some()
    }

    fn include_project(&self, project: &ProjectName) -> bool {
        self.project.as_ref().is_none_or(|only| only == project)
    }

    /// Of its project, a token for one environment may read what the environment's releases are made of.
    fn allow_in_project(&self, permission: Permission, project: &ProjectName) -> bool {
        self.include_project(project)
            && role::scopes_allow(&self.permissions, permission)
            && (self.environment.is_none() || permission == Permission::Read)
    }

    fn allow_in_environment(&self, permission: Permission, key: &EnvironmentKey) -> bool {
        self.include_project(&key.project)
            && self.environment.as_ref().is_none_or(|only| *only == key.environment)
            && role::scopes_allow(&self.permissions, permission)
    }

    /// One's own account is only changed by what was not cut down: a token could otherwise make itself a larger one.
    fn allow_in_instance(&self, permission: Permission) -> bool {
        self.project.is_none()
            && role::scopes_allow(&self.permissions, permission)
            && (permission != Permission::OwnTokens || !self.is_limited())
    }
}

impl Authorise for Identity {
    fn authorise<'a>(
        &'a self,
        credentials: &'a Credentials,
        permission: Permission,
        resource: &'a Resource,
    ) -> Decision<'a> {
        Box::pin(async move {
            let known = self.identify(credentials).await?;
            self.allow(&known, permission, resource).await?;
            Ok(known.principal)
        })
    }
}

impl Identity {
    /// Who comes with these credentials.
    pub async fn identify(&self, credentials: &Credentials) -> Result<Known, Denied> {
        match credentials {
            Credentials::None => Err(Denied::Unauthenticated),
            Credentials::Token(plain) => self.identify_token(plain).await,
            Credentials::Session(plain) => self.identify_session(plain).await,
        }
    }

    /// Whether somebody known may do this: [`Denied::Forbidden`] when not.
    pub async fn allow(
        &self,
        known: &Known,
        permission: Permission,
        resource: &Resource,
    ) -> Result<(), Denied> {
        let allowed = match &known.grant {
            Grant::Engine { project, permissions } => {
                permissions.contains(&permission) && engine_reaches(project.as_ref(), resource)
            }
            Grant::Account { administrator, limits } => {
                let account = (known.principal.login.as_str(), *administrator);
                self.account_may(account, limits, permission, resource).await.map_err(|e| unavailable(&e))?
            }
        };
        if allowed { Ok(()) } else { Err(Denied::Forbidden) }
    }

    async fn account_may(
        &self,
        (login, administrator): (&str, bool),
        limits: &Limits,
        permission: Permission,
        resource: &Resource,
    ) -> Result<bool, StoreError> {
        let allows = |role: Option<Role>, permission| role.is_some_and(|role| role.allows(permission));
        Ok(match resource {
            Resource::Instance => {
                limits.allow_in_instance(permission)
                    && (role::everybody_may(permission)
                        || (administrator && role::administrators_may(permission)))
            }
            Resource::Organisation(name) => {
                limits.project.is_none()
                    && role::scopes_allow(&limits.permissions, permission)
                    && allows(self.store.role_in(login, name).await?, permission)
            }
            Resource::Project(project) => {
                limits.allow_in_project(permission, project) && {
                    let standing = self.store.standing(login, project, None).await?;
                    let role =
                        standing.and_then(|it| role::that_counts(Some(it.organisation), it.project, None));
                    allows(role, permission)
                }
            }
            Resource::Environment(key) => {
                let standing = self.store.standing(login, &key.project, Some(&key.environment)).await?;
                let Some(it) = standing else { return Ok(false) };
                let asked = role::asked_in(permission, it.protected);
                let role = role::that_counts(Some(it.organisation), it.project, it.environment);
                limits.allow_in_environment(asked, key) && allows(role, asked)
            }
        })
    }

    async fn identify_token(&self, plain: &str) -> Result<Known, Denied> {
        let id = secret_text::id_of(secret_text::TOKEN, plain).ok_or(Denied::Unauthenticated)?;
        let found = self.store.token_and_holder(id).await.map_err(|error| unavailable(&error))?;
        let (token, holder) = found.ok_or(Denied::Unauthenticated)?;
        let now = self.store.now();
        if !secret_text::matches(plain, &token.digest) || !is_good(&token, holder, now) {
            return Err(Denied::Unauthenticated);
        }
        self.touch_token(&token, now).await;
        let principal = Principal {
            login: token.account.unwrap_or_else(|| "naru".to_owned()),
            credential_id: format!("token:{}", token.id),
        };
        let holder = holder.filter(|_| token.kind != TokenKind::Engine);
        let Some(holder) = holder else {
            let grant = Grant::Engine { project: token.project, permissions: token.permissions };
            return Ok(Known { principal, administrator: false, session: None, grant });
        };
        let limits =
            Limits { permissions: token.permissions, project: token.project, environment: token.environment };
        let administrator = holder.administrator && !limits.is_limited();
        let grant = Grant::Account { administrator: holder.administrator, limits };
        Ok(Known { principal, administrator, session: None, grant })
    }

    async fn identify_session(&self, plain: &str) -> Result<Known, Denied> {
        let id = secret_text::id_of(secret_text::SESSION, plain).ok_or(Denied::Unauthenticated)?;
        let found = self.store.session(id).await.map_err(|error| unavailable(&error))?;
        let (session, holder) = found.ok_or(Denied::Unauthenticated)?;
        let now = self.store.now();
        if !secret_text::matches(plain, &session.digest) || session.expires_at <= now || holder.disabled {
            return Err(Denied::Unauthenticated);
        }
        self.touch_session(&session, now).await;
        let credential_id = format!("session:{}", session.id);
        let principal = Principal { login: session.account.clone(), credential_id };
        let administrator = holder.administrator;
        let grant = Grant::Account { administrator, limits: Limits::default() };
        Ok(Known { principal, administrator, session: Some(session), grant })
    }

    /// Nobody waits for, or fails because of, the note of a last use.
    async fn touch_token(&self, token: &TokenRow, now: Timestamp) {
        if is_fresh(token.last_used_at, now) || token.kind == TokenKind::Engine {
            return;
        }
        if let Err(error) = self.store.touch_token(&token.id).await {
            tracing::warn!(token = %token.id, %error, "the last use of a token could not be noted");
        }
    }

    async fn touch_session(&self, session: &SessionRow, now: Timestamp) {
        if is_fresh(session.last_seen_at, now) {
            return;
        }
        if let Err(error) = self.store.touch_session(&session.id).await {
            tracing::warn!(session = %session.id, %error, "the last use of a session could not be noted");
        }
    }
}

fn engine_reaches(only: Option<&ProjectName>, resource: &Resource) -> bool {
    match resource {
        Resource::Instance | Resource::Organisation(_) => false,
        Resource::Project(project) => only.is_none_or(|only| only == project),
        Resource::Environment(key) => only.is_none_or(|only| *only == key.project),
    }
}

fn is_fresh(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_some_and(|at| now.as_second() - at.as_second() < TOUCH_EVERY_SECONDS)
}

/// A token of people is as good as the account that made it.
fn is_good(token: &TokenRow, holder: Option<Holder>, now: Timestamp) -> bool {
    let held = token.kind == TokenKind::Engine || holder.is_some_and(|holder| !holder.disabled);
    held && token.revoked_at.is_none() && token.expires_at.is_none_or(|end| end > now)
}

fn unavailable(error: &StoreError) -> Denied {
    Denied::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> ProjectName {
        "shop".parse().unwrap()
    }

    fn at(environment: &str) -> EnvironmentKey {
        EnvironmentKey { project: shop(), environment: environment.parse().unwrap() }
    }

    #[test]
    fn a_token_for_one_environment_reads_its_project_and_stays_out_of_the_others() {
        let limits = Limits {
            permissions: vec![Permission::Read, Permission::Deploy],
            project: Some(shop()),
            environment: Some("production".parse().unwrap()),
        };
        assert!(limits.allow_in_environment(Permission::Deploy, &at("production")));
        assert!(!limits.allow_in_environment(Permission::Deploy, &at("staging")));
        assert!(!limits.allow_in_environment(Permission::Configure, &at("production")));
        assert!(limits.allow_in_project(Permission::Read, &shop()));
        assert!(!limits.allow_in_project(Permission::Deploy, &shop()));
        assert!(!limits.allow_in_project(Permission::Read, &"other".parse().unwrap()));
        assert!(!limits.allow_in_instance(Permission::UseInstance));
    }

    #[test]
    fn a_token_that_was_cut_down_cannot_make_a_larger_one() {
        let limits = Limits { permissions: vec![Permission::OwnTokens], ..Limits::default() };
        assert!(!limits.allow_in_instance(Permission::OwnTokens));
        assert!(Limits::default().allow_in_instance(Permission::OwnTokens));
    }

    #[test]
    fn the_engine_opens_no_instance() {
        assert!(engine_reaches(None, &Resource::Project(shop())));
        assert!(!engine_reaches(Some(&"other".parse().unwrap()), &Resource::Project(shop())));
        assert!(!engine_reaches(None, &Resource::Instance));
    }
}
