//! Earlier versions of an environment's configuration, and of which secrets it had: listed, compared by who reads them,
//! and restored as a new version.

use std::collections::BTreeMap;

use naru_model::job::SecretScope;
use naru_model::{ConfigurationVersion, EnvironmentKey, SecretName, SecretVersion, Timestamp};
use sqlx::Row;

use crate::intent::IntentKind;
use crate::setting::{Configuration, place, read_configuration};
use crate::{Result, Store, StoreError, Write, from_json, from_millis, to_json, to_millis};

/// A version in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its number.
    pub version: u32,
    /// Who made it.
    pub by: String,
    /// When.
    pub created_at: Timestamp,
    /// How many names it has.
    pub names: usize,
}

/// Which secrets there were, each in which version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretSet {
    /// Its number; 0 before the first secret.
    pub version: u32,
    /// Name → version.
    pub secrets: BTreeMap<SecretName, SecretVersion>,
}

fn read_version(row: &sqlx::sqlite::SqliteRow) -> Result<VersionRow> {
    Ok(VersionRow {
        version: row.try_get("version")?,
        by: row.try_get("by")?,
        created_at: from_millis(row.try_get("created_at")?),
        names: usize::try_from(row.try_get::<i64, _>("names")?).unwrap_or(0),
    })
}

impl Store {
    /// Versions of an environment's configuration, newest first, below `before`.
    pub async fn configuration_versions(
        &self,
        key: &EnvironmentKey,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<VersionRow>> {
        let rows = sqlx::query(
            "SELECT version, by, created_at, (SELECT count(*) FROM json_each(variables)) AS names
             FROM configuration WHERE project = $1 AND environment = $2 AND version < $3
             ORDER BY version DESC LIMIT $4",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(before.unwrap_or(u32::MAX))
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read_version).collect()
    }

    /// One version of an environment's configuration; 0 is the empty one.
    pub async fn configuration_at(
        &self,
        key: &EnvironmentKey,
        version: ConfigurationVersion,
    ) -> Result<Option<Configuration>> {
        if version.0 == 0 {
            return Ok(Some(Configuration::default()));
        }
        let row = sqlx::query(
            "SELECT version, variables, inherited FROM configuration
             WHERE project = $1 AND environment = $2 AND version = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(version.0)
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(read_configuration).transpose()
    }

    /// Makes a new version with the environment's own variables of an earlier one; those of its project are the present
    /// ones. Returns it with its render; none when nothing changes.
    pub async fn restore_configuration(
        &self,
        key: &EnvironmentKey,
        earlier: ConfigurationVersion,
        by: &str,
    ) -> Result<(ConfigurationVersion, Option<i64>)> {
        let wanted = self.configuration_at(key, earlier).await?;
        let wanted = wanted.ok_or_else(|| StoreError::Missing(format!("configuration version {earlier}")))?;
        let mut write = self.write("configuration.restore").await?;
        let before = write.current_configuration(key).await?;
        let now = self.now();
        let made = write.settle_configuration(key, &before, wanted.own(), by, now).await?;
        let Some(version) = made else { return Ok((before.version, None)) };
        let intent = write.intend(key, &IntentKind::Render, by, now).await?;
        write.commit().await?;
        Ok((version, Some(intent)))
    }

    /// Which secrets a scope had when, newest first, below `before`.
    pub async fn secret_sets(
        &self,
        scope: &SecretScope,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<VersionRow>> {
        let (project, environment) = place(scope);
        let rows = sqlx::query(
            "SELECT version, by, created_at, (SELECT count(*) FROM json_each(secrets)) AS names
             FROM secret_set WHERE project = $1 AND environment = $2 AND version < $3
             ORDER BY version DESC LIMIT $4",
        )
        .bind(project.as_str())
        .bind(environment)
        .bind(before.unwrap_or(u32::MAX))
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read_version).collect()
    }

    /// Which secrets a scope had; 0 is none at all.
    pub async fn secret_set(&self, scope: &SecretScope, version: u32) -> Result<Option<SecretSet>> {
        if version == 0 {
            return Ok(Some(SecretSet::default()));
        }
        let (project, environment) = place(scope);
        let text: Option<String> = sqlx::query_scalar(
            "SELECT secrets FROM secret_set WHERE project = $1 AND environment = $2 AND version = $3",
        )
        .bind(project.as_str())
        .bind(environment)
        .bind(version)
        .fetch_optional(self.reader())
        .await?;
        text.map(|text| Ok(SecretSet { version, secrets: from_json("secret names", &text)? })).transpose()
    }

    /// Makes the secrets that an environment had the current ones again, as a new version, and renders it. A version that
    /// was revoked does not come back: what is current under its name stays, and the name is among those returned.
    pub async fn restore_secrets(
        &self,
        key: &EnvironmentKey,
        earlier: u32,
        by: &str,
    ) -> Result<(u32, i64, Vec<SecretName>)> {
        let scope = SecretScope::Environment(key.clone());
        let wanted = self.secret_set(&scope, earlier).await?;
        let wanted =
            wanted.ok_or_else(|| StoreError::Missing(format!("version {earlier} of the secrets")))?;
        let mut write = self.write("secret.restore").await?;
        let now = self.now();
        let mut revoked = Vec::new();
        for name in write.current_secrets(&scope).await?.into_keys() {
            if !wanted.secrets.contains_key(&name) {
                write.forget_current(&scope, &name).await?;
            }
        }
        for (name, version) in wanted.secrets {
            if !write.make_current(key, &name, version).await? {
                revoked.push(name);
            }
        }
        write.note_secrets(&scope, by, now).await?;
        let intent = write.intend(key, &IntentKind::Render, by, now).await?;
        let version = write.newest_set(&scope).await?.version;
        write.commit().await?;
        Ok((version, intent, revoked))
    }
}

impl Write<'_> {
    /// Makes a version current that was not revoked. Says no for one that was.
    async fn make_current(
        &mut self,
        key: &EnvironmentKey,
        name: &SecretName,
        version: SecretVersion,
    ) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO secret_current (project, environment, name, version)
             SELECT project, environment, name, version FROM secret_version
             WHERE project = $1 AND environment = $2 AND name = $3 AND version = $4 AND sealed IS NOT NULL
             ON CONFLICT (project, environment, name) DO UPDATE SET version = excluded.version",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(name.as_str())
        .bind(version.0)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Unsets a secret. Says whether it was set.
    pub(crate) async fn forget_current(&mut self, scope: &SecretScope, name: &SecretName) -> Result<bool> {
        let (project, environment) = place(scope);
        let done =
            sqlx::query("DELETE FROM secret_current WHERE project = $1 AND environment = $2 AND name = $3")
                .bind(project.as_str())
                .bind(environment)
                .bind(name.as_str())
                .execute(self.connection())
                .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn current_secrets(&mut self, scope: &SecretScope) -> Result<BTreeMap<SecretName, SecretVersion>> {
        let (project, environment) = place(scope);
        let text: String = sqlx::query_scalar(
            "SELECT json_group_object(name, version) FROM secret_current WHERE project = $1 AND environment = $2",
        )
        .bind(project.as_str())
        .bind(environment)
        .fetch_one(self.connection())
        .await?;
        from_json("secret names", &text)
    }

    async fn newest_set(&mut self, scope: &SecretScope) -> Result<SecretSet> {
        let (project, environment) = place(scope);
        let row = sqlx::query(
            "SELECT version, secrets FROM secret_set WHERE project = $1 AND environment = $2
             ORDER BY version DESC LIMIT 1",
        )
        .bind(project.as_str())
        .bind(environment)
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(SecretSet::default()) };
        let secrets = from_json("secret names", row.try_get("secrets")?)?;
        Ok(SecretSet { version: row.try_get("version")?, secrets })
    }

    /// Notes which secrets a scope has by now, if they are not those of its newest version.
    pub(crate) async fn note_secrets(&mut self, scope: &SecretScope, by: &str, now: Timestamp) -> Result<()> {
        let (newest, current) = (self.newest_set(scope).await?, self.current_secrets(scope).await?);
        if newest.secrets == current {
            return Ok(());
        }
        let (project, environment) = place(scope);
        sqlx::query(
            "INSERT INTO secret_set (project, environment, version, secrets, by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(project.as_str())
        .bind(environment)
        .bind(newest.version + 1)
        .bind(to_json(&current))
        .bind(by)
        .bind(to_millis(now))
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
