//! Environments: what is wanted, what was last seen, and what has the traffic. The deploy repository says what should
//! run; these rows say how far that is.

use naru_model::rollout::Status;
use naru_model::workload::RouteSpec;
use naru_model::{
    BranchName, ConfigurationVersion, EnvironmentKey, EnvironmentName, Generation, Problem, ProjectName,
    ReleaseNumber, RevisionNumber, Timestamp,
};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::claim::Taken;
use crate::listing::Severity;
use crate::{
    Change, Result, Store, StoreError, Topic, Write, from_json, from_millis, parse, to_json, to_millis,
};

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// Which one.
    pub key: EnvironmentKey,
    /// The branch whose releases are delivered by themselves.
    pub branch: Option<BranchName>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The newest release that was considered for delivery.
    pub considered_release: ReleaseNumber,
    /// The configuration version that the next render uses.
    pub configuration: ConfigurationVersion,
    /// Raised whenever something else is wanted.
    pub generation: Generation,
    /// The revision that the reconcile loop moves to, and since when.
    pub target: Option<RevisionNumber>,
    /// Since when `target` is wanted.
    pub target_since: Timestamp,
    /// The revision that had all traffic at the last switch.
    pub serving: Option<RevisionNumber>,
    /// How it is.
    pub status: EnvironmentStatus,
    /// The generation that `status` speaks of: older than `generation` means that nobody has looked yet.
    pub status_generation: Generation,
    /// When `status` was written.
    pub status_at: Timestamp,
    /// Why the deploy repository cannot be followed now; what serves is kept meanwhile.
    pub hindrance: Option<Problem>,
    /// Whether to deploy here takes more than elsewhere, and releases wait for a person.
    pub protected: bool,
}

/// How an environment is, written by the reconcile loop in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum EnvironmentStatus {
    /// Nothing was ever delivered, or everything was taken down.
    Idle,
    /// The planner's word for a pass that could look and act.
    Reconciled {
        /// What it said.
        status: Status,
    },
    /// A person must change something first.
    Blocked {
        /// What, with evidence.
        problem: Box<Problem>,
    },
    /// It did not work and will be tried again.
    Retrying {
        /// Why, in one sentence.
        reason: String,
        /// How often in a row.
        failures: u32,
    },
}

impl EnvironmentStatus {
    /// How it is in a word that sorts: the worse, the larger.
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Idle => Severity::Idle,
            Self::Blocked { .. } => Severity::Blocked,
            Self::Retrying { .. } => Severity::Retrying,
            Self::Reconciled { status } => match status {
                Status::Live => Severity::Live,
                Status::Moving { .. } => Severity::Moving,
                Status::Degraded { .. } => Severity::Degraded,
                Status::Failed { .. } => Severity::Failed,
            },
        }
    }
}

/// Why a writer is stale.
pub(crate) const OVERTAKEN: &str = "something else is wanted by now";

pub(crate) fn read(row: &SqliteRow) -> Result<Environment> {
    let number = |column: &str| -> Result<Option<u32>> { Ok(row.try_get::<Option<u32>, _>(column)?) };
    let branch: Option<String> = row.try_get("branch")?;
    Ok(Environment {
        key: EnvironmentKey {
            project: parse("project name", row.try_get("project")?)?,
            environment: parse("environment name", row.try_get("name")?)?,
        },
        branch: branch.map(|branch| parse("branch name", &branch)).transpose()?,
        created_at: from_millis(row.try_get("created_at")?),
        considered_release: ReleaseNumber(row.try_get("considered_release")?),
        configuration: ConfigurationVersion(row.try_get("configuration")?),
        generation: Generation(row.try_get::<i64, _>("generation")?.unsigned_abs()),
        target: number("target")?.map(RevisionNumber),
        target_since: from_millis(row.try_get("target_since")?),
        serving: number("serving")?.map(RevisionNumber),
        status: from_json("status", row.try_get("status")?)?,
        status_generation: Generation(row.try_get::<i64, _>("status_generation")?.unsigned_abs()),
        status_at: from_millis(row.try_get("status_at")?),
        hindrance: row
            .try_get::<Option<String>, _>("hindrance")?
            .map(|text| from_json("hindrance", &text))
            .transpose()?,
        protected: row.try_get::<i64, _>("protected")? != 0,
    })
}

/// The change that wakes the reconcile loop.
pub(crate) fn environments_changed(project: &ProjectName) -> Change {
    Change { topic: Topic::Environments, project: Some(project.clone()) }
}

pub(crate) fn signed(generation: Generation) -> i64 {
    i64::try_from(generation.0).unwrap_or(i64::MAX)
}

impl Store {
    /// Creates an environment, or changes the branch it follows.
    pub async fn ensure_environment(&self, key: &EnvironmentKey, branch: Option<&BranchName>) -> Result<()> {
        let mut write = self.write("environment.ensure").await?;
        write.ensure_environment(key, branch, self.now()).await?;
        write.ring(environments_changed(&key.project));
        write.commit().await
    }

    /// One environment.
    pub async fn environment(&self, key: &EnvironmentKey) -> Result<Option<Environment>> {
        let row = sqlx::query("SELECT * FROM environment WHERE project = $1 AND name = $2")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The environments of a project, by name.
    pub async fn environments_of(&self, project: &ProjectName) -> Result<Vec<Environment>> {
        let rows = sqlx::query("SELECT * FROM environment WHERE project = $1 ORDER BY name")
            .bind(project.as_str())
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Every environment's key.
    pub async fn environment_keys(&self) -> Result<Vec<EnvironmentKey>> {
        let rows = sqlx::query("SELECT project, name FROM environment ORDER BY project, name")
            .fetch_all(self.reader())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(EnvironmentKey {
                    project: parse("project name", row.try_get("project")?)?,
                    environment: parse::<EnvironmentName>("environment name", row.try_get("name")?)?,
                })
            })
            .collect()
    }

    /// Says whether an environment is protected.
    pub async fn protect_environment(&self, key: &EnvironmentKey, protected: bool) -> Result<()> {
        let mut write = self.write("environment.protect").await?;
        let done = sqlx::query("UPDATE environment SET protected = $3 WHERE project = $1 AND name = $2")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .bind(i64::from(protected))
            .execute(write.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("environment {key}")));
        }
        write.ring(environments_changed(&key.project));
        write.ring(Change { topic: Topic::Identity, project: None });
        write.commit().await
    }

    /// Wants another revision: raises the generation, claims its routes and starts a rollout. Does nothing when it is
    /// wanted already, or when another environment has one of the routes: says which. `released` says that the release
    /// command need not run, because this content served before.
    pub async fn aim(
        &self,
        key: &EnvironmentKey,
        target: RevisionNumber,
        routes: &[RouteSpec],
        released: bool,
    ) -> Result<Option<Taken>> {
        let mut write = self.write("environment.aim").await?;
        let now = to_millis(self.now());
        let done = sqlx::query(
            "UPDATE environment SET target = $3, target_since = $4, generation = generation + 1
             WHERE project = $1 AND name = $2 AND target IS NOT $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(target.0)
        .bind(now)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        if let Some(taken) = write.claim(key, target, routes).await? {
            return Ok(Some(taken));
        }
        sqlx::query(
            "UPDATE rollout SET outcome = 'overtaken', finished_at = $4
             WHERE project = $1 AND environment = $2 AND revision <> $3 AND outcome = 'moving'",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(target.0)
        .bind(now)
        .execute(write.connection())
        .await?;
        sqlx::query(
            "INSERT INTO rollout (project, environment, revision, started_at, released) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (project, environment, revision) DO UPDATE SET
                 started_at = excluded.started_at, finished_at = NULL, outcome = 'moving', problem = NULL,
                 progress = NULL, decision = NULL, replaced = NULL",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(target.0)
        .bind(now)
        .bind(i64::from(released))
        .execute(write.connection())
        .await?;
        write.ring(environments_changed(&key.project));
        write.commit().await?;
        Ok(None)
    }

    /// Fails with [`StoreError::Stale`] when something else is wanted by now.
    pub async fn check_generation(&self, key: &EnvironmentKey, generation: Generation) -> Result<()> {
        let current = self.environment(key).await?.map(|environment| environment.generation);
        if current == Some(generation) { Ok(()) } else { Err(StoreError::Stale(OVERTAKEN)) }
    }

    /// Records why the deploy repository cannot be followed now, or that it can.
    pub async fn set_hindrance(&self, key: &EnvironmentKey, hindrance: Option<&Problem>) -> Result<()> {
        let text = hindrance.map(to_json);
        let mut write = self.write("environment.hindrance").await?;
        let status: Option<String> =
            sqlx::query_scalar("SELECT status FROM environment WHERE project = $1 AND name = $2")
                .bind(key.project.as_str())
                .bind(key.environment.as_str())
                .fetch_optional(write.connection())
                .await?;
        let status = status.map(|text| from_json::<EnvironmentStatus>("status", &text)).transpose()?;
        let severity = match (hindrance, status) {
            (Some(_), _) => Severity::Blocked,
            (None, status) => status.map_or(Severity::Idle, |status| status.severity()),
        };
        let done = sqlx::query(
            "UPDATE environment SET hindrance = $3, severity = $4
             WHERE project = $1 AND name = $2 AND hindrance IS NOT $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(text)
        .bind(severity as i64)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Ok(());
        }
        write.ring(environments_changed(&key.project));
        write.commit().await
    }

    /// Records how an environment is. Refused as stale when something else is wanted by now. Writing what is there
    /// already changes nothing and rings nobody. A further try that failed rings nobody either: whoever is rung looks
    /// again at once, and the wait between tries would be none.
    pub async fn set_status(
        &self,
        key: &EnvironmentKey,
        generation: Generation,
        status: &EnvironmentStatus,
    ) -> Result<()> {
        let text = to_json(status);
        let before: Option<String> = sqlx::query_scalar(
            "SELECT status FROM environment WHERE project = $1 AND name = $2 AND generation = $3
               AND status_generation = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(signed(generation))
        .fetch_optional(self.reader())
        .await?;
        if before.as_ref() == Some(&text) {
            return Ok(());
        }
        let was_tried = before.is_some_and(|before| is_retrying(serde_json::from_str(&before).ok().as_ref()));
        let mut write = self.write("environment.status").await?;
        let done = sqlx::query(
            "UPDATE environment SET status = $4, status_generation = $3, status_at = $5,
                 severity = CASE WHEN hindrance IS NULL THEN $6 ELSE severity END
             WHERE project = $1 AND name = $2 AND generation = $3",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(signed(generation))
        .bind(text)
        .bind(to_millis(self.now()))
        .bind(status.severity() as i64)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Stale(OVERTAKEN));
        }
        if !(was_tried && is_retrying(Some(status))) {
            write.ring(environments_changed(&key.project));
        }
        write.commit().await
    }
}

fn is_retrying(status: Option<&EnvironmentStatus>) -> bool {
    matches!(status, Some(EnvironmentStatus::Retrying { .. }))
}

impl Write<'_> {
    pub(crate) async fn is_protected(&mut self, key: &EnvironmentKey) -> Result<bool> {
        let protected: Option<i64> =
            sqlx::query_scalar("SELECT protected FROM environment WHERE project = $1 AND name = $2")
                .bind(key.project.as_str())
                .bind(key.environment.as_str())
                .fetch_optional(self.connection())
                .await?;
        Ok(protected.unwrap_or_default() != 0)
    }

    pub(crate) async fn ensure_environment(
        &mut self,
        key: &EnvironmentKey,
        branch: Option<&BranchName>,
        now: Timestamp,
    ) -> Result<()> {
        let is_new = sqlx::query("SELECT 1 FROM environment WHERE project = $1 AND name = $2")
            .bind(key.project.as_str())
            .bind(key.environment.as_str())
            .fetch_optional(self.connection())
            .await?
            .is_none();
        sqlx::query(
            "INSERT INTO environment (project, name, branch, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (project, name) DO UPDATE SET branch = excluded.branch",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(branch.map(BranchName::as_str))
        .bind(to_millis(now))
        .execute(self.connection())
        .await?;
        if is_new { self.inherit(key, now).await } else { Ok(()) }
    }
}
