//! Settings of a project. They count in each of its environments that has none of that name itself: each gets them as a
//! configuration version and secret versions of its own, so that a revision and the way back know nothing of it.

use std::collections::{BTreeMap, BTreeSet};

use naru_model::job::SecretScope;
use naru_model::{
    ConfigurationVersion, EnvironmentKey, ProjectName, SecretName, SecretVersion, Timestamp, VariableName,
};
use sqlx::Row;

use crate::intent::IntentKind;
use crate::setting::{Configuration, SHARED, read_configuration};
use crate::{Change, Result, Store, StoreError, Topic, Write, from_json, parse, to_json, to_millis};

type Variables = BTreeMap<VariableName, String>;

impl Store {
    /// What a project sets for all its environments.
    pub async fn shared_configuration(&self, project: &ProjectName) -> Result<Configuration> {
        let row = sqlx::query(NEWEST).bind(project.as_str()).fetch_optional(self.reader()).await?;
        let Some(row) = row else { return Ok(Configuration::default()) };
        Ok(Configuration {
            version: ConfigurationVersion(row.try_get("version")?),
            variables: from_json("configuration", row.try_get("variables")?)?,
            inherited: BTreeSet::new(),
        })
    }

    /// Sets (`Some`) and unsets (`None`) variables of a project: a new version of its configuration, and one of each
    /// environment in which that changes something, with its render. The same values again change nothing.
    pub async fn change_shared_configuration(
        &self,
        project: &ProjectName,
        changes: &BTreeMap<VariableName, Option<String>>,
        by: &str,
    ) -> Result<ConfigurationVersion> {
        let mut write = self.write("configuration.change-shared").await?;
        let before = write.shared_variables(project).await?;
        let after = changed(&before, changes);
        let version: u32 = sqlx::query_scalar(
            "SELECT COALESCE(MAX(version), 0) FROM shared_configuration WHERE project = $1",
        )
        .bind(project.as_str())
        .fetch_one(write.connection())
        .await?;
        if after == before {
            return Ok(ConfigurationVersion(version));
        }
        let now = self.now();
        sqlx::query(
            "INSERT INTO shared_configuration (project, version, variables, by, created_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(project.as_str())
        .bind(version + 1)
        .bind(to_json(&after))
        .bind(by)
        .bind(to_millis(now))
        .execute(write.connection())
        .await?;
        for key in write.environments(project).await? {
            let current = write.current_configuration(&key).await?;
            if write.settle_configuration(&key, &current, current.own(), by, now).await?.is_some() {
                write.intend(&key, &IntentKind::Render, by, now).await?;
            }
        }
        write.commit().await?;
        Ok(ConfigurationVersion(version + 1))
    }
}

const NEWEST: &str =
    "SELECT version, variables FROM shared_configuration WHERE project = $1 ORDER BY version DESC LIMIT 1";

/// Variables after some were set and others unset.
pub(crate) fn changed(before: &Variables, changes: &BTreeMap<VariableName, Option<String>>) -> Variables {
    let mut after = before.clone();
    for (name, value) in changes {
        match value {
            Some(value) => after.insert(name.clone(), value.clone()),
            None => after.remove(name),
        };
    }
    after
}

impl Write<'_> {
    async fn shared_variables(&mut self, project: &ProjectName) -> Result<Variables> {
        let row = sqlx::query(NEWEST).bind(project.as_str()).fetch_optional(self.connection()).await?;
        row.map_or(Ok(Variables::new()), |row| from_json("configuration", row.try_get("variables")?))
    }

    async fn environments(&mut self, project: &ProjectName) -> Result<Vec<EnvironmentKey>> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT name FROM environment WHERE project = $1 ORDER BY name")
                .bind(project.as_str())
                .fetch_all(self.connection())
                .await?;
        let key = |name: &String| {
            Ok(EnvironmentKey { project: project.clone(), environment: parse("environment name", name)? })
        };
        names.iter().map(key).collect()
    }

    /// The configuration that the next render of an environment would use.
    pub(crate) async fn current_configuration(&mut self, key: &EnvironmentKey) -> Result<Configuration> {
        let row = sqlx::query(
            "SELECT environment.configuration AS version, configuration.variables, configuration.inherited
             FROM environment LEFT JOIN configuration ON environment.project = configuration.project
                  AND environment.name = configuration.environment
                  AND environment.configuration = configuration.version
             WHERE environment.project = $1 AND environment.name = $2",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_optional(self.connection())
        .await?
        .ok_or_else(|| StoreError::Missing(format!("environment {key}")))?;
        read_configuration(&row)
    }

    /// Makes a new version of an environment's own variables over those of its project, unless that is what is there.
    pub(crate) async fn settle_configuration(
        &mut self,
        key: &EnvironmentKey,
        before: &Configuration,
        own: Variables,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<ConfigurationVersion>> {
        let mut variables = self.shared_variables(&key.project).await?;
        let inherited: BTreeSet<_> =
            variables.keys().filter(|name| !own.contains_key(*name)).cloned().collect();
        variables.extend(own);
        if variables == before.variables && inherited == before.inherited {
            return Ok(None);
        }
        let version: u32 = sqlx::query_scalar(
            "SELECT COALESCE(MAX(version), 0) + 1 FROM configuration WHERE project = $1 AND environment = $2",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .fetch_one(self.connection())
        .await?;
        sqlx::query(
            "INSERT INTO configuration (project, environment, version, variables, inherited, by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(version)
        .bind(to_json(&variables))
        .bind(to_json(&inherited))
        .bind(by)
        .bind(to_millis(now))
        .execute(self.connection())
        .await?;
        sqlx::query("UPDATE environment SET configuration = $3 WHERE project = $1 AND name = $2")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(version)
            .execute(self.connection())
            .await?;
        Ok(Some(ConfigurationVersion(version)))
    }

    /// Gives a new environment what its project sets for all.
    pub(crate) async fn inherit(&mut self, key: &EnvironmentKey, now: Timestamp) -> Result<()> {
        let nothing = Configuration::default();
        self.settle_configuration(key, &nothing, Variables::new(), crate::intent::FOLLOWING, now).await?;
        for name in self.shared_secrets(&key.project).await? {
            self.take_over(key, &name, crate::intent::FOLLOWING, now).await?;
        }
        self.note_secrets(&SecretScope::Environment(key.clone()), crate::intent::FOLLOWING, now).await
    }

    async fn shared_secrets(&mut self, project: &ProjectName) -> Result<Vec<SecretName>> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT name FROM secret_current WHERE project = $1 AND environment = $2")
                .bind(project.as_str())
                .bind(SHARED)
                .fetch_all(self.connection())
                .await?;
        names.iter().map(|name| parse("secret name", name)).collect()
    }

    /// The project's version that an environment's current one was taken over from: `None` without a current one,
    /// `Some(None)` when it is the environment's own.
    pub(crate) async fn taken_over(
        &mut self,
        key: &EnvironmentKey,
        name: &SecretName,
    ) -> Result<Option<Option<SecretVersion>>> {
        let row = sqlx::query(
            "SELECT version.shared FROM secret_current AS current JOIN secret_version AS version
               ON version.project = current.project AND version.environment = current.environment
              AND version.name = current.name AND version.version = current.version
             WHERE current.project = $1 AND current.environment = $2 AND current.name = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(name.as_str())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| Ok(row.try_get::<Option<u32>, _>("shared")?.map(SecretVersion))).transpose()
    }

    /// Makes what the project has under this name a new version of the environment's. Says whether there is any.
    pub(crate) async fn take_over(
        &mut self,
        key: &EnvironmentKey,
        name: &SecretName,
        by: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO secret_version (project, environment, name, version, sealed, by, created_at, shared)
             SELECT version.project, $2, version.name,
                    (SELECT COALESCE(MAX(own.version), 0) + 1 FROM secret_version AS own
                     WHERE own.project = $1 AND own.environment = $2 AND own.name = $3),
                    version.sealed, $5, $6, version.version
             FROM secret_current AS current JOIN secret_version AS version
               ON version.project = current.project AND version.environment = current.environment
              AND version.name = current.name AND version.version = current.version
             WHERE current.project = $1 AND current.environment = $4 AND current.name = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(name.as_str())
        .bind(SHARED)
        .bind(by)
        .bind(to_millis(now))
        .execute(self.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO secret_current (project, environment, name, version)
             SELECT $1, $2, $3, MAX(version) FROM secret_version
             WHERE project = $1 AND environment = $2 AND name = $3
             ON CONFLICT (project, environment, name) DO UPDATE SET version = excluded.version",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(name.as_str())
        .execute(self.connection())
        .await?;
        Ok(true)
    }

    /// Brings what the project has under a name, or has no more, to each environment that has none of its own.
    pub(crate) async fn spread_secret(
        &mut self,
        project: &ProjectName,
        name: &SecretName,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        for key in self.environments(project).await? {
            let before = self.taken_over(&key, name).await?;
            if before == Some(None) {
                continue;
            }
            if !self.take_over(&key, name, by, now).await? {
                if before.is_none() {
                    continue;
                }
                self.forget_current(&SecretScope::Environment(key.clone()), name).await?;
            }
            self.note_secrets(&SecretScope::Environment(key.clone()), by, now).await?;
            self.intend(&key, &IntentKind::Render, by, now).await?;
        }
        self.ring(Change { topic: Topic::Releases, project: Some(project.clone()) });
        Ok(())
    }
}
