//! Logins at providers that are tied to accounts, and the roles that groups there give here. What a group means is the
//! settings', who may come in is `naru-identity`'s.

use std::collections::BTreeMap;

use naru_model::name::ProviderName;
use naru_model::role::Role;
use naru_model::{OrganisationName, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::{Change, Result, Store, StoreError, Topic, Write, from_millis, parse, to_millis};

/// A login at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalLogin {
    /// Which provider.
    pub provider: ProviderName,
    /// The provider's name for the person.
    pub subject: String,
    /// Whose it is here.
    pub account: String,
    /// What the person is called there.
    pub name: String,
    /// Since when.
    pub tied_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
}

/// Roles that groups give, by organisation.
pub type GroupRoles = BTreeMap<OrganisationName, Role>;

/// What a provider says of somebody, as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Which provider.
    pub provider: &'a ProviderName,
    /// Its name for the person.
    pub subject: &'a str,
    /// What the person is called there.
    pub name: &'a str,
    /// What the person's groups give here. Organisations that do not exist are passed over.
    pub roles: &'a GroupRoles,
}

fn read(row: &SqliteRow) -> Result<ExternalLogin> {
    Ok(ExternalLogin {
        provider: parse("provider name", row.try_get("provider")?)?,
        subject: row.try_get("subject")?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        tied_at: from_millis(row.try_get("tied_at")?),
        last_used_at: from_millis(row.try_get("last_used_at")?),
    })
}

const CHANGED: Change = Change { topic: Topic::Identity, project: None };

/// Why a member stays as they are.
pub const BY_GROUP: &str = "a group at a login provider makes this account a member; it is changed there";

impl Store {
    /// The login that a provider means by this subject, if it is tied to an account.
    pub async fn external_login(
        &self,
        provider: &ProviderName,
        subject: &str,
    ) -> Result<Option<ExternalLogin>> {
        let row = sqlx::query("SELECT * FROM external_login WHERE provider = $1 AND subject = $2")
            .bind(provider.as_str())
            .bind(subject)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The logins of an account, by provider.
    pub async fn external_logins(&self, account: &str) -> Result<Vec<ExternalLogin>> {
        let rows = sqlx::query("SELECT * FROM external_login WHERE account = $1 ORDER BY provider")
            .bind(account)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Ties a login to an account, with the roles of its groups. Exists when the login or the account has another.
    pub async fn tie_external_login(&self, account: &str, seen: Seen<'_>) -> Result<()> {
        let mut write = self.write("external-login.tie").await?;
        write.tie_external_login(account, seen, self.now()).await?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// Makes an account that has no password, and ties the login to it. Exists when the name is taken.
    pub async fn add_external_account(&self, login: &str, display_name: &str, seen: Seen<'_>) -> Result<()> {
        let mut write = self.write("external-login.account").await?;
        write.add_account(login, "", self.now()).await?;
        sqlx::query("UPDATE account SET display_name = $2 WHERE login = $1")
            .bind(login)
            .bind(display_name)
            .execute(write.connection())
            .await?;
        write.tie_external_login(login, seen, self.now()).await?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// Notes that a login was used, what the person is called now, and what the groups of now give. Returns whether the
    /// roles changed.
    pub async fn use_external_login(&self, account: &str, seen: Seen<'_>) -> Result<bool> {
        let mut write = self.write("external-login.use").await?;
        let done = sqlx::query(
            "UPDATE external_login SET name = $3, last_used_at = $4 WHERE provider = $1 AND subject = $2",
        )
        .bind(seen.provider.as_str())
        .bind(seen.subject)
        .bind(seen.name)
        .bind(to_millis(self.now()))
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing("the login".to_owned()));
        }
        let changed = write.set_group_roles(account, seen, self.now()).await?;
        if changed {
            write.ring(CHANGED);
        }
        write.commit().await?;
        Ok(changed)
    }

    /// Unties a login from an account; the roles of its groups go with it.
    pub async fn untie_external_login(&self, account: &str, provider: &ProviderName) -> Result<()> {
        let mut write = self.write("external-login.untie").await?;
        let done = sqlx::query("DELETE FROM external_login WHERE provider = $1 AND account = $2")
            .bind(provider.as_str())
            .bind(account)
            .execute(write.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("a login at {provider}")));
        }
        write.ring(CHANGED);
        write.commit().await
    }
}

impl Write<'_> {
    pub(crate) async fn tie_external_login(
        &mut self,
        account: &str,
        seen: Seen<'_>,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO external_login (provider, subject, account, name, tied_at, last_used_at)
             VALUES ($1, $2, $3, $4, $5, $5)",
        )
        .bind(seen.provider.as_str())
        .bind(seen.subject)
        .bind(account)
        .bind(seen.name)
        .bind(to_millis(now))
        .execute(self.connection())
        .await
        .map_err(|error| match StoreError::from(error) {
            StoreError::Exists(_) => StoreError::Exists(format!("a login at {}", seen.provider)),
            other => other,
        })?;
        self.set_group_roles(account, seen, now).await.map(drop)
    }

    /// Whether a member was changed, and why not: people change what people gave.
    pub(crate) async fn check_changed(
        &mut self,
        rows: u64,
        organisation: &OrganisationName,
        login: &str,
    ) -> Result<()> {
        if rows > 0 {
            return Ok(());
        }
        let by_group: i64 =
            sqlx::query_scalar("SELECT count(*) FROM group_role WHERE organisation = $1 AND account = $2")
                .bind(organisation.as_str())
                .bind(login)
                .fetch_one(self.connection())
                .await?;
        if by_group == 0 {
            Err(StoreError::Missing(format!("member {login}")))
        } else {
            Err(StoreError::Stale(BY_GROUP))
        }
    }

    /// Writes what groups give in the place of what they gave. Returns whether that differs.
    async fn set_group_roles(&mut self, account: &str, seen: Seen<'_>, now: Timestamp) -> Result<bool> {
        let before = self.group_roles(account, seen.provider).await?;
        sqlx::query("DELETE FROM group_role WHERE provider = $1 AND account = $2")
            .bind(seen.provider.as_str())
            .bind(account)
            .execute(self.connection())
            .await?;
        for (organisation, role) in seen.roles {
            sqlx::query(
                "INSERT INTO group_role (account, organisation, provider, role, given_at)
                 SELECT $1, name, $3, $4, $5 FROM organisation WHERE name = $2",
            )
            .bind(account)
            .bind(organisation.as_str())
            .bind(seen.provider.as_str())
            .bind(role.word())
            .bind(to_millis(now))
            .execute(self.connection())
            .await?;
        }
        Ok(self.group_roles(account, seen.provider).await? != before)
    }

    async fn group_roles(&mut self, account: &str, provider: &ProviderName) -> Result<GroupRoles> {
        let rows =
            sqlx::query("SELECT organisation, role FROM group_role WHERE provider = $1 AND account = $2")
                .bind(provider.as_str())
                .bind(account)
                .fetch_all(self.connection())
                .await?;
        rows.iter()
            .map(|row| {
                let organisation = parse("organisation name", row.try_get("organisation")?)?;
                Ok((organisation, parse("role", row.try_get("role")?)?))
            })
            .collect()
    }
}
