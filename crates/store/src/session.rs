//! Browsers that are logged in.

use naru_model::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::identity::{Holder, instant, read_holder};
use crate::{Change, Result, Store, StoreError, Topic, from_millis, to_millis};

/// A browser that is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Names the session; part of the cookie.
    pub id: String,
    /// SHA-256 of the cookie, in hexadecimal.
    pub digest: String,
    /// Whose it is.
    pub account: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What the browser says it is.
    pub user_agent: String,
    /// Where it logged in from.
    pub address: String,
    /// When it was last used, to the minute.
    pub last_seen_at: Option<Timestamp>,
    /// When the password was given last.
    pub authenticated_at: Option<Timestamp>,
}

fn read(row: &SqliteRow) -> Result<SessionRow> {
    Ok(SessionRow {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        account: row.try_get("account")?,
        created_at: from_millis(row.try_get("created_at")?),
        expires_at: from_millis(row.try_get("expires_at")?),
        user_agent: row.try_get("user_agent")?,
        address: row.try_get("address")?,
        last_seen_at: instant(row, "last_seen_at")?,
        authenticated_at: instant(row, "authenticated_at")?,
    })
}

impl Store {
    /// Adds a session, and sweeps away those that ended.
    pub async fn add_session(&self, session: &SessionRow) -> Result<()> {
        let mut write = self.write("identity.add-session").await?;
        sqlx::query("DELETE FROM web_session WHERE expires_at < $1")
            .bind(to_millis(self.now()))
            .execute(write.connection())
            .await?;
        sqlx::query(
            "INSERT INTO web_session
                 (id, digest, account, created_at, expires_at, user_agent, address, last_seen_at, authenticated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&session.id)
        .bind(&session.digest)
        .bind(&session.account)
        .bind(to_millis(session.created_at))
        .bind(to_millis(session.expires_at))
        .bind(&session.user_agent)
        .bind(&session.address)
        .bind(session.last_seen_at.map(to_millis))
        .bind(session.authenticated_at.map(to_millis))
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// One session by id, ended ones included, and the account behind it.
    pub async fn session(&self, id: &str) -> Result<Option<(SessionRow, Holder)>> {
        let row = sqlx::query(
            "SELECT web_session.*, account.administrator AS holder_administrator,
                    account.disabled_at AS holder_disabled_at
             FROM web_session JOIN account ON account.login = web_session.account WHERE web_session.id = $1",
        )
        .bind(id)
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        read_holder(&row)?.map(|holder| Ok((read(&row)?, holder))).transpose()
    }

    /// The sessions of an account that have not ended, newest first.
    pub async fn sessions(&self, account: &str) -> Result<Vec<SessionRow>> {
        let rows = sqlx::query(
            "SELECT * FROM web_session WHERE account = $1 AND expires_at > $2 ORDER BY created_at DESC, id",
        )
        .bind(account)
        .bind(to_millis(self.now()))
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that a session was used.
    pub async fn touch_session(&self, id: &str) -> Result<()> {
        let mut write = self.write("identity.touch-session").await?;
        sqlx::query("UPDATE web_session SET last_seen_at = $1 WHERE id = $2")
            .bind(to_millis(self.now()))
            .bind(id)
            .execute(write.connection())
            .await?;
        write.commit().await
    }

    /// Notes that the password was given again.
    pub async fn confirm_session(&self, id: &str) -> Result<()> {
        let mut write = self.write("identity.confirm-session").await?;
        sqlx::query("UPDATE web_session SET authenticated_at = $1 WHERE id = $2")
            .bind(to_millis(self.now()))
            .bind(id)
            .execute(write.connection())
            .await?;
        write.commit().await
    }

    /// Ends a session. Repeating it changes nothing.
    pub async fn end_session(&self, id: &str) -> Result<()> {
        let mut write = self.write("identity.end-session").await?;
        sqlx::query("DELETE FROM web_session WHERE id = $1").bind(id).execute(write.connection()).await?;
        write.ring(Change { topic: Topic::Identity, project: None });
        write.commit().await
    }

    /// Ends a session of this account.
    pub async fn end_session_of(&self, account: &str, id: &str) -> Result<()> {
        let mut write = self.write("identity.end-session").await?;
        let done = sqlx::query("DELETE FROM web_session WHERE id = $1 AND account = $2")
            .bind(id)
            .bind(account)
            .execute(write.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("session {id}")));
        }
        write.ring(Change { topic: Topic::Identity, project: None });
        write.commit().await
    }
}
