//! Accounts, the setup link and tokens. Digests come in ready made: what a password or token is, and who may do what, is
//! `naru-identity`'s. Sessions and the audit log have files of their own.

use naru_model::authorise::Permission;
use naru_model::role::Role;
use naru_model::{EnvironmentName, OrganisationName, ProjectName, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::totp::{Totp, read_totp};
use crate::{
    Change, Result, Store, StoreError, Topic, Write, from_json, from_millis, parse, to_json, to_millis,
};

/// Somebody who can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub login: String,
    /// argon2id, as a PHC string; empty for an account that has no password.
    pub password_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What people call them; may be empty.
    pub display_name: String,
    /// `en` or `ko`; the browser's without it.
    pub language: Option<String>,
    /// An IANA time zone; the browser's without it.
    pub zone: Option<String>,
    /// Since when nobody can log in with it.
    pub disabled_at: Option<Timestamp>,
    /// Whether it may change the instance.
    pub administrator: bool,
    /// Its second factor, or one that is being set up.
    pub totp: Option<Totp>,
}

/// What the account behind a token or session is, read together with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Whether it may change the instance.
    pub administrator: bool,
    /// Whether it was disabled.
    pub disabled: bool,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// May do what its account may, in every project.
    Account,
    /// May do what its account may, in one project.
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
    /// The only environment of `project` in which it may do more than read.
    pub environment: Option<EnvironmentName>,
    /// What it may do at most; empty for whatever its account may.
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

/// How the setup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupOutcome {
    /// The account exists now and the link is used up.
    Done,
    /// There is no such link, or it was used.
    NoSuchLink,
}

pub(crate) fn instant(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>> {
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
    let environment: Option<&str> = row.try_get("environment")?;
    Ok(TokenRow {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        kind,
        account: row.try_get("account")?,
        label: row.try_get("label")?,
        project: project.map(|name| parse("project name", name)).transpose()?,
        environment: environment.map(|name| parse("environment name", name)).transpose()?,
        permissions: from_json("permissions", row.try_get("permissions")?)?,
        created_at: from_millis(row.try_get("created_at")?),
        expires_at: instant(row, "expires_at")?,
        revoked_at: instant(row, "revoked_at")?,
        last_used_at: instant(row, "last_used_at")?,
    })
}

pub(crate) fn read_account(row: &SqliteRow) -> Result<Account> {
    Ok(Account {
        login: row.try_get("login")?,
        password_hash: row.try_get("password_hash")?,
        created_at: from_millis(row.try_get("created_at")?),
        display_name: row.try_get("display_name")?,
        language: row.try_get("language")?,
        zone: row.try_get("zone")?,
        disabled_at: instant(row, "disabled_at")?,
        administrator: row.try_get::<i64, _>("administrator")? != 0,
        totp: read_totp(row)?,
    })
}

/// Of the columns `holder_administrator` and `holder_disabled_at`, which are NULL where no account is.
pub(crate) fn read_holder(row: &SqliteRow) -> Result<Option<Holder>> {
    let administrator: Option<i64> = row.try_get("holder_administrator")?;
    let disabled = row.try_get::<Option<i64>, _>("holder_disabled_at")?.is_some();
    Ok(administrator.map(|administrator| Holder { administrator: administrator != 0, disabled }))
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
        row.as_ref().map(read_account).transpose()
    }

    /// Makes an account. An empty hash is no password.
    pub async fn create_account(&self, login: &str, password_hash: &str) -> Result<()> {
        let mut write = self.write("identity.create-account").await?;
        write.add_account(login, password_hash, self.now()).await?;
        write.ring(Change { topic: Topic::Identity, project: None });
        write.commit().await
    }

    /// Says whether an account may change the instance.
    pub async fn set_administrator(&self, login: &str, administrator: bool) -> Result<()> {
        let mut write = self.write("identity.set-administrator").await?;
        let done = sqlx::query("UPDATE account SET administrator = $2 WHERE login = $1")
            .bind(login)
            .bind(i64::from(administrator))
            .execute(write.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("account {login}")));
        }
        write.keep_an_administrator().await?;
        write.ring(Change { topic: Topic::Identity, project: None });
        write.commit().await
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

    /// Uses up the setup link and makes the first account: instance administrator, and owner of the organisation `main`.
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
        let now = self.now();
        write.add_account(login, password_hash, now).await?;
        sqlx::query("UPDATE account SET administrator = 1 WHERE login = $1")
            .bind(login)
            .execute(write.connection())
            .await?;
        write.add_member(&OrganisationName::main(), login, Role::Owner, now).await?;
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
            "INSERT INTO token (id, digest, kind, account, label, project, permissions, created_at, expires_at, environment)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
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
        .bind(token.environment.as_ref().map(EnvironmentName::as_str))
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

    /// One token by id and the account behind it, which Naru's own have not.
    pub async fn token_and_holder(&self, id: &str) -> Result<Option<(TokenRow, Option<Holder>)>> {
        let row = sqlx::query(
            "SELECT token.*, account.administrator AS holder_administrator,
                    account.disabled_at AS holder_disabled_at
             FROM token LEFT JOIN account ON account.login = token.account WHERE token.id = $1",
        )
        .bind(id)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| Ok((read_token(&row)?, read_holder(&row)?))).transpose()
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
}

/// Why the last instance administrator stays.
pub const LAST_ADMINISTRATOR: &str = "an instance keeps an administrator who can log in";

impl Write<'_> {
    pub(crate) async fn keep_an_administrator(&mut self) -> Result<()> {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM account WHERE administrator = 1 AND disabled_at IS NULL",
        )
        .fetch_one(self.connection())
        .await?;
        if left == 0 { Err(StoreError::Stale(LAST_ADMINISTRATOR)) } else { Ok(()) }
    }

    pub(crate) async fn add_account(
        &mut self,
        login: &str,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query("INSERT INTO account (login, password_hash, created_at) VALUES ($1, $2, $3)")
            .bind(login)
            .bind(password_hash)
            .bind(to_millis(now))
            .execute(self.connection())
            .await
            .map_err(|error| match StoreError::from(error) {
                StoreError::Exists(_) => StoreError::Exists(format!("account {login}")),
                other => other,
            })?;
        Ok(())
    }
}
