//! Lists over all projects: searched, filtered, sorted and paged in the database, and what needs a person somewhere.

use naru_model::rollout::{Progress, Stage};
use naru_model::{BranchName, EnvironmentKey, ProjectName, RevisionNumber, RunNumber, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};

use crate::{Result, Store, StoreError, from_json, from_millis, parse, to_millis};

/// Rows of one answer at most.
const PAGE_LIMIT: u32 = 200;

/// How an environment is, in an order that sorts: the worse, the larger. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing was ever delivered.
    Idle = 0,
    /// Everything that is wanted runs.
    Live = 1,
    /// On its way to another revision.
    Moving = 2,
    /// It did not work and is tried again.
    Retrying = 3,
    /// Replicas are missing or restarting.
    Degraded = 4,
    /// The last move was given up.
    Failed = 5,
    /// A person must change something first.
    Blocked = 6,
}

impl Severity {
    fn read(number: i64) -> Result<Self> {
        Ok(match number {
            0 => Self::Idle,
            1 => Self::Live,
            2 => Self::Moving,
            3 => Self::Retrying,
            4 => Self::Degraded,
            5 => Self::Failed,
            6 => Self::Blocked,
            other => return Err(StoreError::Damaged { what: "severity", why: other.to_string() }),
        })
    }
}

/// What a list of projects is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProjectSort {
    /// By name.
    #[default]
    Name,
    /// The worst first, then by name.
    Severity,
    /// What ran last first.
    Activity,
}

/// Which projects, in which order, and which part of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProjectQuery<'a> {
    /// Whose: only projects that this account has a role in.
    pub account: &'a str,
    /// Only projects of the organisation of this name; empty for all.
    pub organisation: &'a str,
    /// Part of the name or of the summary, in any case; empty for all.
    pub search: &'a str,
    /// Only favourites of the account.
    pub favourites: bool,
    /// Only projects whose worst environment is so.
    pub severity: Option<(Severity, Severity)>,
    /// The order.
    pub sort: ProjectSort,
    /// Rows that are left out before the first.
    pub offset: u32,
    /// Rows at most; more than 200 are never given.
    pub limit: u32,
}

/// A project as a line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectLine {
    /// Its name.
    pub name: ProjectName,
    /// What it is for, in one line; may be empty.
    pub summary: String,
    /// The branch that its first environment follows before its first release.
    pub default_branch: BranchName,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it is being taken down.
    pub deleting: bool,
    /// Whether the account keeps it among its favourites.
    pub favourite: bool,
    /// How its worst environment is.
    pub severity: Severity,
    /// How many environments it has.
    pub environments: u32,
    /// When its newest run was asked for.
    pub active_at: Option<Timestamp>,
}

/// An environment that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub key: EnvironmentKey,
    /// How it is.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
}

/// A run that failed and that no newer run of its branch followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRun {
    /// Whose.
    pub project: ProjectName,
    /// Which.
    pub number: RunNumber,
    /// Of which branch.
    pub branch: String,
    /// When.
    pub at: Timestamp,
}

/// A rollout that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where.
    pub key: EnvironmentKey,
    /// To which revision.
    pub revision: RevisionNumber,
    /// Since when.
    pub since: Timestamp,
}

/// How bad the worst environment of a row of `project` is: one look into an index.
macro_rules! worst {
    () => {
        "COALESCE((SELECT MAX(severity) FROM environment WHERE environment.project = project.name), 0)"
    };
}

/// When the newest run of a row of `project` was asked for.
macro_rules! active {
    () => {
        "(SELECT run.created_at FROM run WHERE run.project = project.name ORDER BY run.number DESC LIMIT 1)"
    };
}

/// Which projects: `$1` the pattern, `$2` and `$3` the severities, `$4` the account, `$5` the organisation, `$6` whether only
/// favourites. How bad a project is, is only looked up when that is asked for.
macro_rules! which {
    () => {
        concat!(
            "FROM project
             JOIN membership ON membership.organisation = project.organisation AND membership.account = $4
             LEFT JOIN project_role ON project_role.project = project.name AND project_role.account = $4
             WHERE (project.name LIKE $1 ESCAPE '!' OR project.summary LIKE $1 ESCAPE '!')
                 AND COALESCE(project_role.role, membership.role) <> 'none'
                 AND ($5 = '' OR project.organisation = $5)
                 AND ($6 = 0 OR EXISTS (SELECT 1 FROM favourite
                                        WHERE favourite.account = $4 AND favourite.project = project.name))
                 AND (($2 = 0 AND $3 = 6) OR ",
            worst!(),
            " BETWEEN $2 AND $3) "
        )
    };
}

/// The names of a page are picked first, `$7` of them after `$8`; everything else is looked up for these alone.
macro_rules! page_by {
    ($rank:expr) => {
        concat!(
            "SELECT project.name, project.summary, project.default_branch, project.created_at, project.deleting, ",
            worst!(),
            " AS severity, ",
            active!(),
            " AS active_at,
                 (SELECT COUNT(*) FROM environment WHERE environment.project = project.name) AS environments,
                 EXISTS (SELECT 1 FROM favourite
                         WHERE favourite.account = $4 AND favourite.project = project.name) AS favourite
             FROM (SELECT project.name AS name, ",
            $rank,
            " AS rank ",
            which!(),
            "ORDER BY 2 DESC, 1 LIMIT $7 OFFSET $8) AS picked
             JOIN project ON project.name = picked.name
             ORDER BY picked.rank DESC, picked.name"
        )
    };
}

/// That an account may read what a row is about, by the rule of `naru_model::role::that_counts`: `$1` is the account,
/// `$row` has a `project`, and an environment when `$environment` names it.
macro_rules! readable {
    ($row:literal, $environment:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM project
             JOIN membership ON membership.organisation = project.organisation AND membership.account = $1
             LEFT JOIN project_role ON project_role.project = project.name AND project_role.account = $1
             LEFT JOIN environment_role ON environment_role.project = project.name
                 AND environment_role.environment = ",
            $environment,
            " AND environment_role.account = $1
             WHERE project.name = ",
            $row,
            ".project AND COALESCE(project_role.role, membership.role) <> 'none'
                 AND COALESCE(environment_role.role, '') <> 'none')"
        )
    };
}

/// `LIKE` with everything taken as it is.
fn pattern(search: &str) -> String {
    let mut pattern = "%".to_owned();
    for character in search.trim().chars().take(100) {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.extend(character.to_lowercase());
    }
    pattern.push('%');
    pattern
}

fn bound<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    asked: &ProjectQuery<'_>,
) -> Query<'q, Sqlite, SqliteArguments> {
    let (least, most) = asked.severity.unwrap_or((Severity::Idle, Severity::Blocked));
    query
        .bind(pattern(asked.search))
        .bind(least as i64)
        .bind(most as i64)
        .bind(asked.account.to_owned())
        .bind(asked.organisation.to_owned())
        .bind(i64::from(asked.favourites))
}

fn read_line(row: &SqliteRow) -> Result<ProjectLine> {
    Ok(ProjectLine {
        name: parse("project name", row.try_get("name")?)?,
        summary: row.try_get("summary")?,
        default_branch: parse("branch name", row.try_get("default_branch")?)?,
        created_at: from_millis(row.try_get("created_at")?),
        deleting: row.try_get::<i64, _>("deleting")? != 0,
        favourite: row.try_get::<i64, _>("favourite")? != 0,
        severity: Severity::read(row.try_get("severity")?)?,
        environments: row.try_get("environments")?,
        active_at: row.try_get::<Option<i64>, _>("active_at")?.map(from_millis),
    })
}

fn key(row: &SqliteRow) -> Result<EnvironmentKey> {
    Ok(EnvironmentKey {
        project: parse("project name", row.try_get("project")?)?,
        environment: parse("environment name", row.try_get("environment")?)?,
    })
}

impl Store {
    /// A page of projects.
    pub async fn list_projects(&self, asked: &ProjectQuery<'_>) -> Result<Vec<ProjectLine>> {
        let statement = match asked.sort {
            ProjectSort::Name => page_by!("0"),
            ProjectSort::Severity => page_by!(worst!()),
            ProjectSort::Activity => page_by!(concat!("COALESCE(", active!(), ", 0)")),
        };
        let rows = bound(sqlx::query(statement), asked)
            .bind(asked.limit.min(PAGE_LIMIT))
            .bind(asked.offset)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read_line).collect()
    }

    /// How many projects there are on all pages.
    pub async fn count_projects(&self, asked: &ProjectQuery<'_>) -> Result<u32> {
        let count = bound(sqlx::query(concat!("SELECT COUNT(*) AS count ", which!())), asked);
        Ok(count.fetch_one(self.reader()).await?.try_get("count")?)
    }

    /// Environments that are not as they should be and that an account may read, the worst first.
    pub async fn troubled_environments(&self, account: &str, limit: u32) -> Result<Vec<Trouble>> {
        let rows = sqlx::query(concat!(
            "SELECT project, name AS environment, severity, status_at FROM environment WHERE severity >= 3 AND ",
            readable!("environment", "environment.name"),
            " ORDER BY severity DESC, status_at DESC LIMIT $2"
        ))
        .bind(account)
        .bind(limit.min(PAGE_LIMIT))
        .fetch_all(self.reader())
        .await?;
        let read = |row: &SqliteRow| {
            Ok(Trouble {
                key: key(row)?,
                severity: Severity::read(row.try_get("severity")?)?,
                since: from_millis(row.try_get("status_at")?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Runs that failed since `since`, are the newest of their branch, and that an account may read; the newest first.
    pub async fn failed_runs(&self, account: &str, since: Timestamp, limit: u32) -> Result<Vec<FailedRun>> {
        let rows = sqlx::query(concat!(
            "SELECT project, number, branch, finished_at FROM run AS failed
             WHERE state = 'failed' AND finished_at >= $2 AND NOT EXISTS (
                 SELECT 1 FROM run WHERE run.project = failed.project AND run.number > failed.number
                     AND run.branch = failed.branch) AND ",
            readable!("failed", "NULL"),
            " ORDER BY finished_at DESC LIMIT $3"
        ))
        .bind(account)
        .bind(to_millis(since))
        .bind(limit.min(PAGE_LIMIT))
        .fetch_all(self.reader())
        .await?;
        let read = |row: &SqliteRow| {
            Ok(FailedRun {
                project: parse("project name", row.try_get("project")?)?,
                number: RunNumber(row.try_get("number")?),
                branch: row.try_get("branch")?,
                at: from_millis(row.try_get("finished_at")?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Rollouts whose preview waits for a person and that an account may read, the longest first.
    pub async fn waiting_rollouts(&self, account: &str, limit: u32) -> Result<Vec<Waiting>> {
        let rows = sqlx::query(concat!(
            "SELECT project, environment, revision, started_at, progress FROM rollout
             WHERE outcome = 'moving' AND progress IS NOT NULL AND decision IS NULL AND ",
            readable!("rollout", "rollout.environment"),
            " ORDER BY started_at LIMIT $2"
        ))
        .bind(account)
        .bind(PAGE_LIMIT)
        .fetch_all(self.reader())
        .await?;
        let mut waiting = Vec::new();
        for row in &rows {
            let progress: Progress = from_json("progress", row.try_get("progress")?)?;
            if progress.stage == Stage::Preview {
                waiting.push(Waiting {
                    key: key(row)?,
                    revision: RevisionNumber(row.try_get("revision")?),
                    since: progress.since.unwrap_or(from_millis(row.try_get("started_at")?)),
                });
            }
        }
        waiting.truncate(limit as usize);
        Ok(waiting)
    }
}
