//! Accounts, tokens, sessions and the audit log. Digests come in ready made: what a password or token is, and who may
//! do what, is `naru-identity`'s.

use naru_model::authorise::Permission;
use naru_model::{ProjectName, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Change, Result, Store, StoreError, Topic, from_json, from_millis, parse, to_json, to_millis};

/// Somebody who can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub login: String,
    /// argon2id, as a PHC string.
    pub password_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// May do whatever its account may.
    Account,
    /// May do the listed things to one project.
    Project,
    /// Naru's own: made for the engine, for one project or for all, and not listed to people.
    Engine,
}

impl TokenKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Project => "project",
            Self::Engine => "engine",
        }
    }
}

/// One token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Names the token; part of its plain text.
    pub id: String,
    /// SHA-256 of the plain text, in hexadecimal.
    pub digest: String,
    /// What it is for.
    pub kind: TokenKind,
    /// Who made it; `None` for Naru's own.
    pub account: Option<String>,
    /// What its owner calls it.
    pub label: String,
    /// The only project it opens, if it is bound to one.
    pub project: Option<ProjectName>,
    /// What it may do; not read for [`TokenKind::Account`].
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A browser that is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Names the session; part of the cookie.
    pub id: String,
    /// SHA-256 of the cookie, in hexadecimal.
    pub digest: String,
    /// Whose it is.
    pub account: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; rises with time.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub login: String,
    /// With which token or session.
    pub credential: String,
    /// What, dotted, such as `project.create`.
    pub action: String,
    /// In which project.
    pub project: Option<ProjectName>,
    /// On what.
    pub target: String,
    /// `done`, or the code of the problem.
    pub result: String,
}

/// An audit line that is about to be written.
#[derive(Debug, Clone)]
pub struct AuditEntry<'a> {
    /// Who.
    pub login: &'a str,
    /// With which token or session.
    pub credential: &'a str,
    /// What.
    pub action: &'a str,
    /// In which project.
    pub project: Option<&'a ProjectName>,
    /// On what.
    pub target: &'a str,
    /// `done`, or the code of the problem.
    pub result: &'a str,
}

/// How the setup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupOutcome {
    /// The account exists now and the link is used up.
    Done,
    /// There is no such link, or it was used.
    NoSuchLink,
}

fn instant(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(from_millis))
}

fn read_token(row: &SqliteRow) -> Result<TokenRow> {
    let kind = match row.try_get("kind")? {
        "account" => TokenKind::Account,
        "project" => TokenKind::Project,
        "engine" => TokenKind::Engine,
        other => {
            return Err(StoreError::Damaged { what: "token kind", why: format!("{other:?} is not known") });
        }
    };
    let project: Option<&str> = row.try_get("project")?;
    Ok(TokenRow {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        kind,
        account: row.try_get("account")?,
        label: row.try_get("label")?,
        project: project.map(|name| parse("project name", name)).transpose()?,
        permissions: from_json("permissions", row.try_get("permissions")?)?,
        created_at: from_millis(row.try_get("created_at")?),
        expires_at: instant(row, "expires_at")?,
        revoked_at: instant(row, "revoked_at")?,
        last_used_at: instant(row, "last_used_at")?,
    })
}

fn read_audit(row: &SqliteRow) -> Result<AuditRow> {
    let project: Option<&str> = row.try_get("project")?;
    Ok(AuditRow {
        id: row.try_get("id")?,
        at: from_millis(row.try_get("at")?),
        login: row.try_get("login")?,
        credential: row.try_get("credential")?,
        action: row.try_get("action")?,
        project: project.map(|name| parse("project name", name)).transpose()?,
        target: row.try_get("target")?,
        result: row.try_get("result")?,
    })
}

impl Store {
    /// Whether anybody can log in yet.
    pub async fn has_account(&self) -> Result<bool> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM account").fetch_one(self.reader()).await?;
        Ok(count > 0)
    }

    /// One account.
    pub async fn account(&self, login: &str) -> Result<Option<Account>> {
        let row = sqlx::query("SELECT * FROM account WHERE login = $1")
            .bind(login)
            .fetch_optional(self.reader())
            .await?;
        row.map(|row| {
            Ok(Account {
                login: row.try_get("login")?,
                password_hash: row.try_get("password_hash")?,
                created_at: from_millis(row.try_get("created_at")?),
            })
        })
        .transpose()
    }

    /// Puts a new setup link in the place of an older one. Does nothing when there is an account already.
    pub async fn set_setup_token(&self, digest: &str) -> Result<()> {
        let mut write = self.write("identity.offer-setup").await?;
        sqlx::query(
            "INSERT INTO setup_token (id, digest, created_at)
             SELECT 1, $1, $2 WHERE NOT EXISTS (SELECT 1 FROM account)
             ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, created_at = excluded.created_at",
        )
        .bind(digest)
        .bind(to_millis(self.now()))
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// The digest of the setup link that is still good.
    pub async fn setup_token(&self) -> Result<Option<String>> {
        let digest = sqlx::query_scalar("SELECT digest FROM setup_token WHERE id = 1")
            .fetch_optional(self.reader())
            .await?;
        Ok(digest)
    }

    /// Uses up the setup link and makes the first account, both or neither.
    pub async fn use_setup_token(
        &self,
        digest: &str,
        login: &str,
        password_hash: &str,
    ) -> Result<SetupOutcome> {
        let mut write = self.write("identity.setup").await?;
        let used = sqlx::query("DELETE FROM setup_token WHERE digest = $1")
            .bind(digest)
            .execute(write.connection())
            .await?;
        if used.rows_affected() == 0 {
            return Ok(SetupOutcome::NoSuchLink);
        }
        sqlx::query("INSERT INTO account (login, password_hash, created_at) VALUES ($1, $2, $3)")
            .bind(login)
            .bind(password_hash)
            .bind(to_millis(self.now()))
            .execute(write.connection())
            .await?;
        write.ring(Change { topic: Topic::Identity, project: None });
        write.commit().await?;
        Ok(SetupOutcome::Done)
    }

    /// Adds a token, and sweeps away engine tokens that ended.
    pub async fn add_token(&self, token: &TokenRow) -> Result<()> {
        let mut write = self.write("identity.add-token").await?;
        sqlx::query("DELETE FROM token WHERE kind = 'engine' AND expires_at < $1")
            .bind(to_millis(self.now()))
            .execute(write.connection())
            .await?;
        sqlx::query(
            "INSERT INTO token (id, digest, kind, account, label, project, permissions, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&token.id)
        .bind(&token.digest)
        .bind(token.kind.as_str())
        .bind(&token.account)
        .bind(&token.label)
        .bind(token.project.as_ref().map(ProjectName::as_str))
        .bind(to_json(&token.permissions))
        .bind(to_millis(token.created_at))
        .bind(token.expires_at.map(to_millis))
        .execute(write.connection())
        .await?;
        write.ring(Change { topic: Topic::Identity, project: token.project.clone() });
        write.commit().await
    }

    /// One token by id, revoked and ended ones included.
    pub async fn token(&self, id: &str) -> Result<Option<TokenRow>> {
        let row =
            sqlx::query("SELECT * FROM token WHERE id = $1").bind(id).fetch_optional(self.reader()).await?;
        row.as_ref().map(read_token).transpose()
    }

    /// The tokens that an account made, newest first, after the one with id `after`.
    pub async fn tokens(&self, account: &str, after: Option<&str>, limit: u32) -> Result<Vec<TokenRow>> {
        let rows = sqlx::query(
            "SELECT * FROM token
             WHERE account = $1
               AND ($2 IS NULL OR (created_at, id) < (SELECT t.created_at, t.id FROM token t WHERE t.id = $2))
             ORDER BY created_at DESC, id DESC LIMIT $3",
        )
        .bind(account)
        .bind(after)
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read_token).collect()
    }

    /// Revokes a token of this account. Repeating it changes nothing.
    pub async fn revoke_token(&self, account: &str, id: &str) -> Result<()> {
        let mut write = self.write("identity.revoke-token").await?;
        let done = sqlx::query(
            "UPDATE token SET revoked_at = coalesce(revoked_at, $1) WHERE id = $2 AND account = $3",
        )
        .bind(to_millis(self.now()))
        .bind(id)
        .bind(account)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("token {id}")));
        }
        write.ring(Change { topic: Topic::Identity, project: None });
        write.commit().await
    }

    /// Notes that a token was used.
    pub async fn touch_token(&self, id: &str) -> Result<()> {
        let mut write = self.write("identity.touch-token").await?;
        sqlx::query("UPDATE token SET last_used_at = $1 WHERE id = $2")
            .bind(to_millis(self.now()))
            .bind(id)
            .execute(write.connection())
            .await?;
        write.commit().await
    }

    /// Adds a session, and sweeps away those that ended.
    pub async fn add_session(&self, session: &SessionRow) -> Result<()> {
        let mut write = self.write("identity.add-session").await?;
        let now = to_millis(self.now());
        sqlx::query("DELETE FROM web_session WHERE expires_at < $1")
            .bind(now)
            .execute(write.connection())
            .await?;
        sqlx::query(
            "INSERT INTO web_session (id, digest, account, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&session.id)
        .bind(&session.digest)
        .bind(&session.account)
        .bind(now)
        .bind(to_millis(session.expires_at))
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// One session by id, ended ones included.
    pub async fn session(&self, id: &str) -> Result<Option<SessionRow>> {
        let row = sqlx::query("SELECT * FROM web_session WHERE id = $1")
            .bind(id)
            .fetch_optional(self.reader())
            .await?;
        row.map(|row| {
            Ok(SessionRow {
                id: row.try_get("id")?,
                digest: row.try_get("digest")?,
                account: row.try_get("account")?,
                expires_at: from_millis(row.try_get("expires_at")?),
            })
        })
        .transpose()
    }

    /// Ends a session. Repeating it changes nothing.
    pub async fn end_session(&self, id: &str) -> Result<()> {
        let mut write = self.write("identity.end-session").await?;
        sqlx::query("DELETE FROM web_session WHERE id = $1").bind(id).execute(write.connection()).await?;
        write.commit().await
    }

    /// Writes a line into the audit log.
    pub async fn record_audit(&self, entry: AuditEntry<'_>) -> Result<()> {
        let mut write = self.write("identity.audit").await?;
        sqlx::query(
            "INSERT INTO audit (at, login, credential, action, project, target, result)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(to_millis(self.now()))
        .bind(entry.login)
        .bind(entry.credential)
        .bind(entry.action)
        .bind(entry.project.map(ProjectName::as_str))
        .bind(entry.target)
        .bind(entry.result)
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// The audit log, newest first, before the line with this number.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditRow>> {
        let rows = sqlx::query("SELECT * FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2")
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read_audit).collect()
    }
}
