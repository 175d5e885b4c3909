//! Configuration and secrets, by version. Values of secrets are sealed before they come here.

use std::collections::{BTreeMap, BTreeSet};

use naru_model::job::SecretScope;
use naru_model::{
    ConfigurationVersion, EnvironmentKey, ProjectName, SecretName, SecretVersion, Timestamp, VariableName,
};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::intent::IntentKind;
use crate::shared::changed;
use crate::{Change, Result, Store, StoreError, Topic, Write, from_json, from_millis, parse, to_millis};

/// One configuration version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Configuration {
    /// Its number; 0 is the empty configuration.
    pub version: ConfigurationVersion,
    /// What counts, by name.
    pub variables: BTreeMap<VariableName, String>,
    /// The names among them that the project set.
    pub inherited: BTreeSet<VariableName>,
}

impl Configuration {
    /// The variables that are the environment's own.
    pub fn own(&self) -> BTreeMap<VariableName, String> {
        let own = self.variables.iter().filter(|(name, _)| !self.inherited.contains(*name));
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Of the columns `version`, `variables` and `inherited`, the last two of which are NULL without a version.
pub(crate) fn read_configuration(row: &SqliteRow) -> Result<Configuration> {
    let Some(variables) = row.try_get::<Option<&str>, _>("variables")? else {
        return Ok(Configuration::default());
    };
    Ok(Configuration {
        version: ConfigurationVersion(row.try_get("version")?),
        variables: from_json("configuration", variables)?,
        inherited: from_json("configuration", row.try_get("inherited")?)?,
    })
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
    /// Whether the environment has it from its project.
    pub inherited: bool,
}

/// A sealed value and the version it was stored under; that may be newer than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The version.
    pub version: SecretVersion,
    /// The sealed text.
    pub sealed: String,
    /// The project's version for whose place it is sealed; for the scope's own without it.
    pub shared: Option<SecretVersion>,
}

impl SealedSecret {
    /// The place that it is sealed for, when it was read in this scope.
    pub fn place(&self, scope: &SecretScope) -> (SecretScope, SecretVersion) {
        match (self.shared, scope) {
            (Some(version), SecretScope::Environment(key)) => {
                (SecretScope::Project(key.project.clone()), version)
            }
            _ => (scope.clone(), self.version),
        }
    }
}

/// Stands for the environment in rows of what a project has for all. No environment can be called so.
pub(crate) const SHARED: &str = "*";

pub(crate) fn place(scope: &SecretScope) -> (&ProjectName, &str) {
    match scope {
        SecretScope::Pipeline(project) => (project, ""),
        SecretScope::Project(project) => (project, SHARED),
        SecretScope::Environment(key) => (&key.project, key.environment.as_str()),
    }
}

impl Store {
    /// The configuration that the next render uses.
    pub async fn configuration(&self, key: &EnvironmentKey) -> Result<Configuration> {
        let row = sqlx::query(
            "SELECT configuration.version, configuration.variables, configuration.inherited FROM configuration
             JOIN environment ON environment.project = configuration.project
                  AND environment.name = configuration.environment
                  AND environment.configuration = configuration.version
             WHERE configuration.project = $1 AND configuration.environment = $2",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map_or_else(|| Ok(Configuration::default()), read_configuration)
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
        let before = write.current_configuration(key).await?;
        let own = changed(&before.own(), changes);
        let now = self.now();
        let made = write.settle_configuration(key, &before, own, by, now).await?;
        let Some(version) = made else { return Ok((before.version, None)) };
        let intent = write.intend(key, &IntentKind::Render, by, now).await?;
        write.commit().await?;
        Ok((version, Some(intent)))
    }

    /// The secrets that the next render, or the next run, uses.
    pub async fn secrets(&self, scope: &SecretScope) -> Result<Vec<SecretInfo>> {
        let (project, environment) = place(scope);
        let rows = sqlx::query(
            "SELECT current.name, current.version, version.by, version.created_at, version.shared
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
                    inherited: row.try_get::<Option<u32>, _>("shared")?.is_some(),
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
        write.note_secrets(scope, by, now).await?;
        let intent = match scope {
            SecretScope::Environment(key) => Some(write.intend(key, &IntentKind::Render, by, now).await?),
            SecretScope::Pipeline(_) => None,
            SecretScope::Project(project) => {
                write.spread_secret(project, name, by, now).await?;
                None
            }
        };
        write.ring(Change { topic: Topic::Releases, project: Some(project.clone()) });
        write.commit().await?;
        Ok(intent)
    }

    /// Unsets a secret. Its versions stay for revisions that name them, unless `revoke`: then they can no longer be
    /// revealed, and a rollback uses what is current and says so. An environment then has what its project has under the
    /// name; what it has from there cannot be unset in it, which is refused as stale.
    pub async fn unset_secret(
        &self,
        scope: &SecretScope,
        name: &SecretName,
        revoke: bool,
        by: &str,
    ) -> Result<Option<i64>> {
        let now = self.now();
        let mut write = self.write("secret.unset").await?;
        if let SecretScope::Environment(key) = scope
            && write.taken_over(key, name).await?.is_some_and(|from| from.is_some())
        {
            return Err(StoreError::Stale("the environment has this secret from its project"));
        }
        let was_set = write.forget_current(scope, name).await?;
        if revoke {
            write.revoke(scope, name).await?;
        }
        if !was_set && !revoke {
            return Err(StoreError::Missing(format!("secret {name}")));
        }
        let intent = match scope {
            SecretScope::Environment(key) => {
                write.take_over(key, name, by, now).await?;
                Some(write.intend(key, &IntentKind::Render, by, now).await?)
            }
            SecretScope::Pipeline(_) => None,
            SecretScope::Project(project) => {
                write.spread_secret(project, name, by, now).await?;
                None
            }
        };
        write.note_secrets(scope, by, now).await?;
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
            "SELECT version.version, version.sealed, version.shared FROM secret_version AS version
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
                shared: row.try_get::<Option<u32>, _>("shared")?.map(SecretVersion),
            })
        })
        .transpose()
    }
}

impl Write<'_> {
    /// Forgets the values of all versions of a secret; of a project's also where environments have taken them over.
    async fn revoke(&mut self, scope: &SecretScope, name: &SecretName) -> Result<()> {
        let (project, environment) = place(scope);
        sqlx::query(
            "UPDATE secret_version SET sealed = NULL WHERE project = $1 AND name = $3
               AND (environment = $2 OR ($2 = $4 AND shared IS NOT NULL))",
        )
        .bind(project.as_str())
        .bind(environment)
        .bind(name.as_str())
        .bind(SHARED)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
