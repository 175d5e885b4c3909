//! The one answer to "may they?". First who is asking, from a row; then what that opens, from one table.

use naru_model::authorise::{Authorise, Credentials, Decision, Denied, Permission, Principal, Resource};
use naru_model::{ProjectName, Timestamp};
use naru_store::StoreError;
use naru_store::identity::{TokenKind, TokenRow};

use crate::{Identity, secret_text};

/// A token's last use is noted at most this often.
const TOUCH_EVERY_SECONDS: i64 = 60;

/// What credentials open.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Grant {
    /// Everything.
    Administrator,
    /// The listed things, to one project or to all.
    Listed { project: Option<ProjectName>, permissions: Vec<Permission> },
}

impl Grant {
    /// The authorisation table.
    fn allows(&self, permission: Permission, resource: &Resource) -> bool {
        match (self, resource) {
            (Self::Administrator, _) => true,
            // A listed token never opens the instance: it cannot make projects or further tokens.
            (Self::Listed { .. }, Resource::Instance) => false,
            (Self::Listed { project, permissions }, Resource::Project(wanted)) => {
                project.as_ref().is_none_or(|project| project == wanted) && permissions.contains(&permission)
            }
        }
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
            let (principal, grant) = self.identify(credentials).await?;
            if grant.allows(permission, resource) { Ok(principal) } else { Err(Denied::Forbidden) }
        })
    }
}

impl Identity {
    async fn identify(&self, credentials: &Credentials) -> Result<(Principal, Grant), Denied> {
        match credentials {
            Credentials::None => Err(Denied::Unauthenticated),
            Credentials::Token(plain) => self.identify_token(plain).await,
            Credentials::Session(plain) => self.identify_session(plain).await,
        }
    }

    async fn identify_token(&self, plain: &str) -> Result<(Principal, Grant), Denied> {
        let id = secret_text::id_of(secret_text::TOKEN, plain).ok_or(Denied::Unauthenticated)?;
        let token = self
            .store
            .token(id)
            .await
            .map_err(|error| unavailable(&error))?
            .ok_or(Denied::Unauthenticated)?;
        let now = self.store.now();
        if !secret_text::matches(plain, &token.digest) || !is_good(&token, now) {
            return Err(Denied::Unauthenticated);
        }
        self.touch(&token, now).await;
        let principal = Principal {
            login: token.account.unwrap_or_else(|| "naru".to_owned()),
            credential_id: format!("token:{}", token.id),
        };
        let grant = match token.kind {
            TokenKind::Account => Grant::Administrator,
            TokenKind::Project | TokenKind::Engine => {
                Grant::Listed { project: token.project, permissions: token.permissions }
            }
        };
        Ok((principal, grant))
    }

    async fn identify_session(&self, plain: &str) -> Result<(Principal, Grant), Denied> {
        let id = secret_text::id_of(secret_text::SESSION, plain).ok_or(Denied::Unauthenticated)?;
        let session = self
            .store
            .session(id)
            .await
            .map_err(|error| unavailable(&error))?
            .ok_or(Denied::Unauthenticated)?;
        if !secret_text::matches(plain, &session.digest) || session.expires_at <= self.store.now() {
            return Err(Denied::Unauthenticated);
        }
        let credential_id = format!("session:{}", session.id);
        Ok((Principal { login: session.account, credential_id }, Grant::Administrator))
    }

    /// Nobody waits for, or fails because of, the note of a last use.
    async fn touch(&self, token: &TokenRow, now: Timestamp) {
        let fresh =
            token.last_used_at.is_some_and(|at| now.as_second() - at.as_second() < TOUCH_EVERY_SECONDS);
        if fresh || token.kind == TokenKind::Engine {
            return;
        }
        if let Err(error) = self.store.touch_token(&token.id).await {
            tracing::warn!(token = %token.id, %error, "the last use of a token could not be noted");
        }
    }
}

fn is_good(token: &TokenRow, now: Timestamp) -> bool {
    token.revoked_at.is_none() && token.expires_at.is_none_or(|end| now < end)
}

fn unavailable(error: &StoreError) -> Denied {
    Denied::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_token_opens_its_project_and_nothing_else() {
        let shop: ProjectName = "shop".parse().unwrap();
        let other: ProjectName = "other".parse().unwrap();
        let grant = Grant::Listed {
            project: Some(shop.clone()),
            permissions: vec![Permission::Read, Permission::PushImage],
        };
        assert!(grant.allows(Permission::Read, &Resource::Project(shop.clone())));
        assert!(grant.allows(Permission::PushImage, &Resource::Project(shop.clone())));
        assert!(!grant.allows(Permission::Deploy, &Resource::Project(shop)));
        assert!(!grant.allows(Permission::Read, &Resource::Project(other)));
        assert!(!grant.allows(Permission::Read, &Resource::Instance));
        assert!(!grant.allows(Permission::OwnTokens, &Resource::Instance));
    }
}
