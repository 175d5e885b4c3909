//! One-time links: into an organisation, and to a new password. Digests come in ready made.

use naru_model::role::Role;
use naru_model::{OrganisationName, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::identity::instant;
use crate::{Change, Result, Store, StoreError, Topic, Write, from_millis, parse, to_millis};

/// Invitations that are listed at once.
const LISTED: u32 = 200;

/// A link into an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRow {
    /// Names it; part of the link.
    pub id: String,
    /// SHA-256 of the link's token, in hexadecimal.
    pub digest: String,
    /// Where it leads.
    pub organisation: OrganisationName,
    /// In which role.
    pub role: Role,
    /// Whom it was meant for, as its maker wrote it.
    pub address: String,
    /// Who made it.
    pub invited_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// Who used it.
    pub used_by: Option<String>,
}

/// A link to a new password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordLinkRow {
    /// Names it; part of the link.
    pub id: String,
    /// SHA-256 of the link's token, in hexadecimal.
    pub digest: String,
    /// Whose password it sets.
    pub account: String,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// Who accepts an invitation.
#[derive(Debug, Clone, Copy)]
pub enum Guest<'a> {
    /// Somebody new, with the hash of a password.
    New {
        /// The login name.
        login: &'a str,
        /// argon2id, as a PHC string.
        password_hash: &'a str,
    },
    /// Somebody who has an account.
    Known(&'a str),
}

fn read(row: &SqliteRow) -> Result<InvitationRow> {
    Ok(InvitationRow {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        organisation: parse("organisation name", row.try_get("organisation")?)?,
        role: parse("role", row.try_get("role")?)?,
        address: row.try_get("address")?,
        invited_by: row.try_get("invited_by")?,
        created_at: from_millis(row.try_get("created_at")?),
        expires_at: from_millis(row.try_get("expires_at")?),
        used_at: instant(row, "used_at")?,
        used_by: row.try_get("used_by")?,
    })
}

const CHANGED: Change = Change { topic: Topic::Identity, project: None };

impl Store {
    /// Adds an invitation.
    pub async fn add_invitation(&self, invitation: &InvitationRow) -> Result<()> {
        let mut write = self.write("identity.invite").await?;
        sqlx::query(
            "INSERT INTO invitation (id, digest, organisation, role, address, invited_by, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&invitation.id)
        .bind(&invitation.digest)
        .bind(invitation.organisation.as_str())
        .bind(invitation.role.word())
        .bind(&invitation.address)
        .bind(&invitation.invited_by)
        .bind(to_millis(invitation.created_at))
        .bind(to_millis(invitation.expires_at))
        .execute(write.connection())
        .await?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// One invitation, used and ended ones included.
    pub async fn invitation(&self, id: &str) -> Result<Option<InvitationRow>> {
        let row = sqlx::query("SELECT * FROM invitation WHERE id = $1")
            .bind(id)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The newest invitations of an organisation, newest first.
    pub async fn invitations(&self, organisation: &OrganisationName) -> Result<Vec<InvitationRow>> {
        let rows = sqlx::query(
            "SELECT * FROM invitation WHERE organisation = $1 ORDER BY created_at DESC, id DESC LIMIT $2",
        )
        .bind(organisation.as_str())
        .bind(LISTED)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Takes an invitation back that was not used yet.
    pub async fn revoke_invitation(&self, organisation: &OrganisationName, id: &str) -> Result<()> {
        let mut write = self.write("identity.uninvite").await?;
        let done =
            sqlx::query("DELETE FROM invitation WHERE id = $1 AND organisation = $2 AND used_at IS NULL")
                .bind(id)
                .bind(organisation.as_str())
                .execute(write.connection())
                .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("invitation {id}")));
        }
        write.ring(CHANGED);
        write.commit().await
    }

    /// Uses up an invitation and makes the guest a member, all or nothing. Missing when the link is not good any more.
    pub async fn accept_invitation(&self, invitation: &InvitationRow, guest: Guest<'_>) -> Result<()> {
        let mut write = self.write("identity.accept").await?;
        let now = self.now();
        let login = match guest {
            Guest::New { login, password_hash } => {
                write.add_account(login, password_hash, now).await?;
                login
            }
            Guest::Known(login) => login,
        };
        let done = sqlx::query(
            "UPDATE invitation SET used_at = $2, used_by = $3
             WHERE id = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(&invitation.id)
        .bind(to_millis(now))
        .bind(login)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing("the invitation".to_owned()));
        }
        write.add_member(&invitation.organisation, login, invitation.role, now).await?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// Adds a link to a new password; older ones of the account stop working.
    pub async fn add_password_link(&self, link: &PasswordLinkRow) -> Result<()> {
        let mut write = self.write("identity.password-link").await?;
        write.forget_password_links(&link.account).await?;
        sqlx::query(
            "INSERT INTO password_link (id, digest, account, made_by, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&link.id)
        .bind(&link.digest)
        .bind(&link.account)
        .bind(&link.made_by)
        .bind(to_millis(link.created_at))
        .bind(to_millis(link.expires_at))
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// One link to a new password, used and ended ones included.
    pub async fn password_link(&self, id: &str) -> Result<Option<PasswordLinkRow>> {
        let row = sqlx::query("SELECT * FROM password_link WHERE id = $1")
            .bind(id)
            .fetch_optional(self.reader())
            .await?;
        row.map(|row| {
            Ok(PasswordLinkRow {
                id: row.try_get("id")?,
                digest: row.try_get("digest")?,
                account: row.try_get("account")?,
                made_by: row.try_get("made_by")?,
                created_at: from_millis(row.try_get("created_at")?),
                expires_at: from_millis(row.try_get("expires_at")?),
                used_at: instant(&row, "used_at")?,
            })
        })
        .transpose()
    }

    /// Uses up a link, sets the password, and ends every session of the account, all or nothing. Missing when the link is
    /// not good any more.
    pub async fn use_password_link(&self, link: &PasswordLinkRow, password_hash: &str) -> Result<()> {
        let mut write = self.write("identity.use-password-link").await?;
        let done = sqlx::query(
            "UPDATE password_link SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(&link.id)
        .bind(to_millis(self.now()))
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing("the link".to_owned()));
        }
        write.set_password(&link.account, password_hash, None).await?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// Sets a password and ends every session of the account but `keep`.
    pub async fn set_password(&self, login: &str, password_hash: &str, keep: Option<&str>) -> Result<()> {
        let mut write = self.write("identity.set-password").await?;
        write.forget_password_links(login).await?;
        write.set_password(login, password_hash, keep).await?;
        write.ring(CHANGED);
        write.commit().await
    }
}

impl Write<'_> {
    async fn forget_password_links(&mut self, login: &str) -> Result<()> {
        sqlx::query("DELETE FROM password_link WHERE account = $1 AND used_at IS NULL")
            .bind(login)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn set_password(&mut self, login: &str, password_hash: &str, keep: Option<&str>) -> Result<()> {
        let done = sqlx::query("UPDATE account SET password_hash = $2 WHERE login = $1")
            .bind(login)
            .bind(password_hash)
            .execute(self.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("account {login}")));
        }
        sqlx::query("DELETE FROM web_session WHERE account = $1 AND id IS NOT $2")
            .bind(login)
            .bind(keep)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
