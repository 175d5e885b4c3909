//! Tokens: what a command line, git, a registry client and CI come with.

use std::time::Duration;

use naru_model::authorise::{Permission, Principal};
use naru_model::{EnvironmentName, ProjectName};
use naru_store::identity::{TokenKind, TokenRow};

use crate::secret_text::{self, SecretText};
use crate::{Identity, IdentityError, Issued, Result};

/// What a new token should be.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// What its owner calls it; at most 80 characters.
    pub label: String,
    /// Binds it to one project.
    pub project: Option<ProjectName>,
    /// Binds it to one environment of `project`.
    pub environment: Option<EnvironmentName>,
    /// What it may do at most; empty for whatever its account may.
    pub permissions: Vec<Permission>,
    /// How long it lives; `None` for until it is revoked.
    pub lasts: Option<Duration>,
}

impl Identity {
    /// Makes a token for this principal.
    pub async fn create_token(&self, principal: &Principal, new: NewToken) -> Result<Issued> {
        let label = new.label.trim();
        if label.chars().count() > 80 || label.chars().any(char::is_control) {
            return Err(IdentityError::BadLabel);
        }
        if new.project.is_none() && new.environment.is_some() {
            return Err(IdentityError::EnvironmentWithoutProject);
        }
        let kind = if new.project.is_some() { TokenKind::Project } else { TokenKind::Account };
        self.issue((kind, Some(&principal.login)), NewToken { label: label.to_owned(), ..new }).await
    }

    /// Makes a token for Naru's own use, such as the engine's pulls and a build's push: for one project, or for all.
    pub async fn engine_token(
        &self,
        project: Option<&ProjectName>,
        permissions: &[Permission],
        lasts: Duration,
    ) -> Result<Issued> {
        let new = NewToken {
            label: "engine".to_owned(),
            project: project.cloned(),
            environment: None,
            permissions: permissions.to_vec(),
            lasts: Some(lasts),
        };
        self.issue((TokenKind::Engine, None), new).await
    }

    async fn issue(&self, (kind, account): (TokenKind, Option<&str>), new: NewToken) -> Result<Issued> {
        let text = SecretText::new(secret_text::TOKEN);
        let now = self.store.now();
        let expires_at = new.lasts.map(|lasts| now.saturating_add(lasts)).transpose().unwrap_or(None);
        let row = TokenRow {
            id: text.id().to_owned(),
            digest: text.digest(),
            kind,
            account: account.map(str::to_owned),
            label: new.label,
            project: new.project,
            environment: new.environment,
            permissions: new.permissions,
            created_at: now,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        self.store.add_token(&row).await?;
        Ok(Issued { id: row.id, plain: text.plain(), expires_at })
    }

    /// The principal's tokens, newest first, after the one with id `after`.
    pub async fn tokens(&self, login: &str, after: Option<&str>, limit: u32) -> Result<Vec<TokenRow>> {
        Ok(self.store.tokens(login, after, limit).await?)
    }

    /// Revokes one of the principal's tokens. Repeating it changes nothing.
    pub async fn revoke_token(&self, principal: &Principal, id: &str) -> Result<()> {
        Ok(self.store.revoke_token(&principal.login, id).await?)
    }
}
