//! Which environment a host and path lead to: the one that wants or serves a revision with that route. The first to
//! want it has it until it serves something without it.

use naru_model::workload::RouteSpec;
use naru_model::{EnvironmentKey, RevisionNumber};
use sqlx::{Row, SqliteExecutor};

use crate::{Result, Store, Write, parse};

/// A host and path that another environment has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The host.
    pub host: String,
    /// The path prefix.
    pub path: String,
    /// Who has it.
    pub by: EnvironmentKey,
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
        "SELECT claim.project, claim.environment FROM claim
         JOIN environment ON environment.project = claim.project AND environment.name = claim.environment
         WHERE claim.host = $1 AND claim.path = $2 AND NOT (claim.project = $3 AND claim.environment = $4)
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
    Ok(Some(Taken { host: route.host.clone(), path: route.path.clone(), by }))
}
