//! Configuration and secrets, by version. Values of secrets are sealed before they come here.

use std::collections::BTreeMap;

use naru_model::job::SecretScope;
use naru_model::{
    ConfigurationVersion, EnvironmentKey, ProjectName, SecretName, SecretVersion, Timestamp, VariableName,
};
use serde::Serialize;
use sqlx::Row;

use crate::intent::IntentKind;
use crate::{Change, Result, Store, StoreError, Topic, from_json, from_millis, parse, to_json, to_millis};

/// One configuration version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Configuration {
    /// Its number; 0 is the empty configuration.
    pub version: ConfigurationVersion,
    /// Its variables.
    pub variables: BTreeMap<VariableName, String>,
}

/// A secret as it may be shown: never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// The version that the next render uses.
    pub version: SecretVersion,
    /// Who set it.
    pub by: String,
    /// When.
    pub created_at: Timestamp,
}

/// A sealed value and the version it was stored under; that may be newer than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The version.
    pub version: SecretVersion,
    /// The sealed text.
    pub sealed: String,
}

fn place(scope: &SecretScope) -> (&ProjectName, &str) {
    match scope {
        SecretScope::Pipeline(project) => (project, ""),
        SecretScope::Environment(key) => (&key.project, key.environment.as_str()),
    }
}

impl Store {
    /// The configuration that the next render uses.
    pub async fn configuration(&self, key: &EnvironmentKey) -> Result<Configuration> {
        let row = sqlx::query(
            "SELECT configuration.version, configuration.variables FROM configuration
             JOIN environment ON environment.project = configuration.project
                  AND environment.name = configuration.environment
                  AND environment.configuration = configuration.version
             WHERE configuration.project = $1 AND configuration.environment = $2",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(Configuration::default()) };
        Ok(Configuration {
            version: ConfigurationVersion(row.try_get("version")?),
            variables: from_json("configuration", row.try_get("variables")?)?,
        })
    }

    /// Sets (`Some`) and unsets (`None`) variables: a new configuration version, and a render of it. Returns the version
    /// and the intent; the same values again change nothing and return no intent.
    pub async fn change_configuration(
        &self,
        key: &EnvironmentKey,
        changes: &BTreeMap<VariableName, Option<String>>,
        by: &str,
    ) -> Result<(ConfigurationVersion, Option<i64>)> {
        let mut write = self.write("configuration.change").await?;
        let row = sqlx::query(
            "SELECT environment.configuration AS current, configuration.variables FROM environment
             LEFT JOIN configuration ON environment.project = configuration.project
                  AND environment.name = configuration.environment
                  AND environment.configuration = configuration.version
             WHERE environment.project = $1 AND environment.name = $2",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_optional(write.connection())
        .await?
        .ok_or_else(|| StoreError::Missing(format!("environment {key}")))?;
        let before: BTreeMap<VariableName, String> = match row.try_get::<Option<String>, _>("variables")? {
            Some(text) => from_json("configuration", &text)?,
            None => BTreeMap::new(),
        };
        let mut after = before.clone();
        for (name, value) in changes {
            match value {
                Some(value) => after.insert(name.clone(), value.clone()),
                None => after.remove(name),
            };
        }
        if after == before {
            return Ok((ConfigurationVersion(row.try_get("current")?), None));
        }
        let version: u32 = sqlx::query_scalar(
            "SELECT COALESCE(MAX(version), 0) + 1 FROM configuration WHERE project = $1 AND environment = $2",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_one(write.connection())
        .await?;
        let now = self.now();
        sqlx::query(
            "INSERT INTO configuration (project, environment, version, variables, by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(version)
        .bind(to_json(&after))
        .bind(by)
        .bind(to_millis(now))
        .execute(write.connection())
        .await?;
        sqlx::query("UPDATE environment SET configuration = $3 WHERE project = $1 AND name = $2")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(version)
            .execute(write.connection())
            .await?;
        let intent = write.intend(key, &IntentKind::Render, by, now).await?;
        write.commit().await?;
        Ok((ConfigurationVersion(version), Some(intent)))
    }

    /// The secrets that the next render, or the next run, uses.
    pub async fn secrets(&self, scope: &SecretScope) -> Result<Vec<SecretInfo>> {
        let (project, environment) = place(scope);
        let rows = sqlx::query(
            "SELECT current.name, current.version, version.by, version.created_at
             FROM secret_current AS current JOIN secret_version AS version
               ON version.project = current.project AND version.environment = current.environment
              AND version.name = current.name AND version.version = current.version
             WHERE current.project = $1 AND current.environment = $2 ORDER BY current.name",
        )
        .bind(project.as_str())
        .bind(environment)
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(SecretInfo {
                    name: parse("secret name", row.try_get("name")?)?,
                    version: SecretVersion(row.try_get("version")?),
                    by: row.try_get("by")?,
                    created_at: from_millis(row.try_get("created_at")?),
                })
            })
            .collect()
    }

    /// The number that the next version of a secret will have: it is sealed with it. [`Store::add_secret`] refuses another.
    pub async fn next_secret_version(&self, scope: &SecretScope, name: &SecretName) -> Result<SecretVersion> {
        let (project, environment) = place(scope);
        let next: u32 = sqlx::query_scalar(
            "SELECT COALESCE(MAX(version), 0) + 1 FROM secret_version
             WHERE project = $1 AND environment = $2 AND name = $3",
        )
        .bind(project.as_str())
        .bind(environment)
        .bind(name.as_str())
        .fetch_one(self.reader())
        .await?;
        Ok(SecretVersion(next))
    }

    /// Adds a version, makes it the current one, and renders the environment. Returns the intent, if there is an
    /// environment. Fails with [`StoreError::Exists`] when another writer took the number: seal again with the next.
    pub async fn add_secret(
        &self,
        scope: &SecretScope,
        name: &SecretName,
        version: SecretVersion,
        sealed: &str,
        by: &str,
    ) -> Result<Option<i64>> {
        let (project, environment) = place(scope);
        let mut write = self.write("secret.add").await?;
        let now = self.now();
        sqlx::query(
            "INSERT INTO secret_version (project, environment, name, version, sealed, by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(project.as_str())
        .bind(environment)
        .bind(name.as_str())
        .bind(version.0)
        .bind(sealed)
        .bind(by)
        .bind(to_millis(now))
        .execute(write.connection())
        .await?;
        sqlx::query(
            "INSERT INTO secret_current (project, environment, name, version) VALUES ($1, $2, $3, $4)
             ON CONFLICT (project, environment, name) DO UPDATE SET version = excluded.version",
        )
        .bind(project.as_str())
        .bind(environment)
        .bind(name.as_str())
        .bind(version.0)
        .execute(write.connection())
        .await?;
        let intent = match scope {
            SecretScope::Environment(key) => Some(write.intend(key, &IntentKind::Render, by, now).await?),
            SecretScope::Pipeline(_) => None,
        };
        write.ring(Change { topic: Topic::Releases, project: Some(project.clone()) });
        write.commit().await?;
        Ok(intent)
    }

    /// Unsets a secret. Its versions stay for revisions that name them, unless `revoke`: then they can no longer be
    /// revealed, and a rollback uses what is current and says so.
    pub async fn unset_secret(
        &self,
        scope: &SecretScope,
        name: &SecretName,
        revoke: bool,
        by: &str,
    ) -> Result<Option<i64>> {
        let (project, environment) = place(scope);
        let mut write = self.write("secret.unset").await?;
        let done =
            sqlx::query("DELETE FROM secret_current WHERE project = $1 AND environment = $2 AND name = $3")
                .bind(project.as_str())
                .bind(environment)
                .bind(name.as_str())
                .execute(write.connection())
                .await?;
        if revoke {
            sqlx::query(
                "UPDATE secret_version SET sealed = NULL WHERE project = $1 AND environment = $2 AND name = $3",
            )
            .bind(project.as_str())
            .bind(environment)
            .bind(name.as_str())
            .execute(write.connection())
            .await?;
        }
        if done.rows_affected() == 0 && !revoke {
            return Err(StoreError::Missing(format!("secret {name}")));
        }
        let intent = match scope {
            SecretScope::Environment(key) => {
                Some(write.intend(key, &IntentKind::Render, by, self.now()).await?)
            }
            SecretScope::Pipeline(_) => None,
        };
        write.commit().await?;
        Ok(intent)
    }

    /// The sealed value of a version, or of the current one when that version was revoked.
    pub async fn sealed_secret(
        &self,
        scope: &SecretScope,
        name: &SecretName,
        version: SecretVersion,
    ) -> Result<Option<SealedSecret>> {
        let (project, environment) = place(scope);
        let row = sqlx::query(
            "SELECT version.version, version.sealed FROM secret_version AS version
             LEFT JOIN secret_current AS current
               ON current.project = version.project AND current.environment = version.environment
              AND current.name = version.name AND current.version = version.version
             WHERE version.project = $1 AND version.environment = $2 AND version.name = $3
               AND version.sealed IS NOT NULL AND (version.version = $4 OR current.version IS NOT NULL)
             ORDER BY version.version = $4 DESC LIMIT 1",
        )
        .bind(project.as_str())
        .bind(environment)
        .bind(name.as_str())
        .bind(version.0)
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            Ok(SealedSecret {
                version: SecretVersion(row.try_get("version")?),
                sealed: row.try_get("sealed")?,
            })
        })
        .transpose()
    }
}
