//! Browsers that are logged in.

use std::time::Duration;

use naru_model::Timestamp;
use naru_model::authorise::Principal;
use naru_store::session::SessionRow;

use crate::secret_text::{self, SecretText};
use crate::{Identity, Issued, Origin, Result};

/// A browser stays logged in this long.
pub const SESSION_LASTS: Duration = Duration::from_hours(12);

/// As much of a browser's name for itself is kept.
const LONGEST_USER_AGENT: usize = 200;

impl Identity {
    /// Logs a browser in whose person has just proved to be it.
    pub async fn start_session(&self, principal: &Principal, origin: &Origin) -> Result<Issued> {
        self.start_session_proved(principal, origin, self.store.now()).await
    }

    /// Logs a browser in whose person proved to be it at `proved_at`.
    pub async fn start_session_proved(
        &self,
        principal: &Principal,
        origin: &Origin,
        proved_at: Timestamp,
    ) -> Result<Issued> {
        let text = SecretText::new(secret_text::SESSION);
        let now = self.store.now();
        let expires_at = now.saturating_add(SESSION_LASTS).unwrap_or(Timestamp::MAX);
        let user_agent = origin.user_agent.chars().filter(|c| !c.is_control()).take(LONGEST_USER_AGENT);
        let row = SessionRow {
            id: text.id().to_owned(),
            digest: text.digest(),
            account: principal.login.clone(),
            created_at: now,
            expires_at,
            user_agent: user_agent.collect(),
            address: origin.address_text(),
            last_seen_at: Some(now),
            authenticated_at: Some(proved_at),
        };
        self.store.add_session(&row).await?;
        Ok(Issued { id: row.id, plain: text.plain(), expires_at: Some(expires_at) })
    }

    /// Ends what the caller came with: its session is forgotten, its token revoked.
    pub async fn log_out(&self, principal: &Principal) -> Result<()> {
        let id = &principal.credential_id;
        if let Some(session) = id.strip_prefix("session:") {
            return Ok(self.store.end_session(session).await?);
        }
        if let Some(token) = id.strip_prefix("token:") {
            return self.revoke_token(principal, token).await;
        }
        Ok(())
    }
}
