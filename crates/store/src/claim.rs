//! Which environment a host and path lead to: the one that wants or serves a revision with that route. The first to
//! want it has it until it serves something without it. A host belongs to one organisation with all its paths: what
//! answers at a path of a host can read and change the pages at all others of it in a visitor's browser.

use naru_model::workload::RouteSpec;
use naru_model::{EnvironmentKey, RevisionNumber};
use sqlx::{Row, SqliteExecutor};

use crate::{Result, Store, Write, parse};

/// A route that another environment has, or whose host another organisation has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The host.
    pub host: String,
    /// The path prefix.
    pub path: String,
    /// Who has it; nobody is named to another organisation.
    pub by: Option<EnvironmentKey>,
}

impl Store {
    /// The first of these routes that another environment than `key` has.
    pub async fn taken(&self, key: &EnvironmentKey, routes: &[RouteSpec]) -> Result<Option<Taken>> {
        for route in routes {
            if let Some(taken) = taken(self.reader(), key, route).await? {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    /// Whether any environment has a route of this host, whatever its path.
    pub async fn has_host(&self, host: &str) -> Result<bool> {
        let found: i64 = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM claim
             JOIN environment ON environment.project = claim.project AND environment.name = claim.environment
             WHERE claim.host = $1 AND (claim.revision = environment.target OR claim.revision = environment.serving))",
        )
        .bind(host)
        .fetch_one(self.reader())
        .await?;
        Ok(found != 0)
    }
}

impl Write<'_> {
    /// Claims the routes of a revision for its environment; nothing is claimed when another environment has one of them.
    pub(crate) async fn claim(
        &mut self,
        key: &EnvironmentKey,
        revision: RevisionNumber,
        routes: &[RouteSpec],
    ) -> Result<Option<Taken>> {
        for route in routes {
            if let Some(taken) = taken(self.connection(), key, route).await? {
                return Ok(Some(taken));
            }
        }
        sqlx::query(
            "DELETE FROM claim WHERE project = $1 AND environment = $2
               AND revision IS NOT (SELECT serving FROM environment WHERE project = $1 AND name = $2)",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .execute(self.connection())
        .await?;
        for route in routes {
            sqlx::query(
                "INSERT INTO claim (project, environment, revision, host, path) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
            )
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(revision.0)
            .bind(&route.host)
            .bind(&route.path)
            .execute(self.connection())
            .await?;
        }
        Ok(None)
    }
}

async fn taken(
    reader: impl SqliteExecutor<'_>,
    key: &EnvironmentKey,
    route: &RouteSpec,
) -> Result<Option<Taken>> {
    let row = sqlx::query(
        "SELECT claim.project, claim.environment, theirs.organisation = ours.organisation AS together FROM claim
         JOIN environment ON environment.project = claim.project AND environment.name = claim.environment
         JOIN project AS theirs ON theirs.name = claim.project
         JOIN project AS ours ON ours.name = $3
         WHERE claim.host = $1 AND NOT (claim.project = $3 AND claim.environment = $4)
           AND (claim.path = $2 OR theirs.organisation <> ours.organisation)
           AND (claim.revision = environment.target OR claim.revision = environment.serving)
         LIMIT 1",
    )
    .bind(&route.host)
    .bind(&route.path)
    .bind(key.project.as_str())
    .bind(key.environment.as_str())
    .fetch_optional(reader)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let by = EnvironmentKey {
        project: parse("project name", row.try_get("project")?)?,
        environment: parse("environment name", row.try_get("environment")?)?,
    };
    let together: bool = row.try_get("together")?;
    Ok(Some(Taken { host: route.host.clone(), path: route.path.clone(), by: together.then_some(by) }))
}
