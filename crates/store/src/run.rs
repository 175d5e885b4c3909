//! Runs and their steps. What the states mean, and which comes next, is decided in `naru_model::pipeline`.

use naru_model::definition::{NodeName, ProjectDefinition};
use naru_model::pipeline::{RunState, StepRecord, TestSummary};
use naru_model::{BranchName, CommitId, Problem, ProjectName, ReleaseNumber, RunNumber, Timestamp};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::release::NewRelease;
use crate::trigger::{self, Trigger, TriggerId, TriggerState};
use crate::{
    Change, Result, Store, StoreError, Topic, Write, from_json, from_millis, parse, release, to_json,
    to_millis,
};

/// The most rows of one page.
const PAGE_LIMIT: u32 = 500;
/// The most open runs handed out at once.
const OPEN_LIMIT: i64 = 1000;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its project.
    pub project: ProjectName,
    /// Its number within the project.
    pub number: RunNumber,
    /// What asked for it.
    pub trigger: TriggerId,
    /// The branch whose commit it runs.
    pub branch: BranchName,
    /// The commit.
    pub commit: CommitId,
    /// How it is.
    pub state: RunState,
    /// Whether a person asked for its end.
    pub cancel: bool,
    /// What it waits for, in words for people; empty when it waits for nothing.
    pub note: String,
    /// Why it failed.
    pub problem: Option<Problem>,
    /// The run that took its place.
    pub superseded_by: Option<RunNumber>,
    /// The release it made.
    pub release: Option<ReleaseNumber>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first step was ordered.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Whether the engine has nothing of it any more.
    pub cleared: bool,
}

/// How a run begins.
#[derive(Debug, Clone, Copy)]
pub enum Begin<'a> {
    /// With steps to do.
    Queued {
        /// What the commit's files say.
        definition: &'a ProjectDefinition,
        /// Its steps, none of which has begun.
        steps: &'a [StepRecord],
    },
    /// Not at all: the commit cannot be run.
    Failed(&'a Problem),
}

/// What one pass found out about a run.
#[derive(Debug, Clone, Copy)]
pub struct RunChange<'a> {
    /// Which project.
    pub project: &'a ProjectName,
    /// Which run.
    pub number: RunNumber,
    /// How it is now.
    pub state: RunState,
    /// What it waits for.
    pub note: &'a str,
    /// Steps that are different from what is stored.
    pub steps: &'a [StepRecord],
    /// Why it failed.
    pub problem: Option<&'a Problem>,
    /// The run that took its place.
    pub superseded_by: Option<RunNumber>,
    /// What it made: stored in the same transaction, so that a successful run always has its release.
    pub release: Option<&'a NewRelease>,
    /// Whether the engine has nothing of it any more.
    pub cleared: bool,
}

pub(crate) fn read(row: &SqliteRow) -> Result<Run> {
    let time = |column: &str| -> Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(from_millis))
    };
    Ok(Run {
        project: parse("project name", row.try_get("project")?)?,
        number: RunNumber(row.try_get("number")?),
        trigger: parse("trigger id", row.try_get("trigger_id")?)?,
        branch: parse("branch name", row.try_get("branch")?)?,
        commit: parse("commit id", row.try_get("commit_id")?)?,
        state: parse("run state", row.try_get("state")?)?,
        cancel: row.try_get::<i64, _>("cancel")? != 0,
        note: row.try_get("note")?,
        problem: row
            .try_get::<Option<&str>, _>("problem")?
            .map(|text| from_json("problem", text))
            .transpose()?,
        superseded_by: row.try_get::<Option<u32>, _>("superseded_by")?.map(RunNumber),
        release: row.try_get::<Option<u32>, _>("release")?.map(ReleaseNumber),
        created_at: from_millis(row.try_get("created_at")?),
        started_at: time("started_at")?,
        finished_at: time("finished_at")?,
        cleared: row.try_get::<i64, _>("cleared")? != 0,
    })
}

pub(crate) fn read_step(row: &SqliteRow) -> Result<StepRecord> {
    let time = |column: &str| -> Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(from_millis))
    };
    let name: &str = row.try_get("name")?;
    Ok(StepRecord {
        name: name
            .parse()
            .map_err(|()| StoreError::Damaged { what: "step name", why: format!("{name:?}") })?,
        state: parse("step state", row.try_get("state")?)?,
        attempt: row.try_get("attempt")?,
        started: time("started_at")?,
        finished: time("finished_at")?,
        exit: row
            .try_get::<Option<&str>, _>("exit")?
            .map(|text| from_json("exit reason", text))
            .transpose()?,
        outputs: from_json("step outputs", row.try_get("outputs")?)?,
        log_complete: row.try_get::<i64, _>("log_complete")? != 0,
        tests: row
            .try_get::<Option<&str>, _>("tests")?
            .map(|text| from_json("test summary", text))
            .transpose()?,
    })
}

/// Writes a step. A log that was completed meanwhile for the same attempt stays complete, with what was read in it.
async fn write_step(
    write: &mut Write<'_>,
    (project, run): (&ProjectName, RunNumber),
    step: &StepRecord,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO step (project, run, name, state, attempt, started_at, finished_at, exit, outputs, log_complete)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (project, run, name) DO UPDATE SET
             state = excluded.state, started_at = excluded.started_at, finished_at = excluded.finished_at,
             exit = excluded.exit, outputs = excluded.outputs,
             log_complete = CASE WHEN step.attempt = excluded.attempt AND step.log_complete = 1
                                 THEN 1 ELSE excluded.log_complete END,
             tests = CASE WHEN step.attempt = excluded.attempt THEN step.tests END,
             attempt = excluded.attempt",
    )
    .bind(project.as_str())
    .bind(run.0)
    .bind(step.name.to_string())
    .bind(step.state.as_str())
    .bind(step.attempt)
    .bind(step.started.map(to_millis))
    .bind(step.finished.map(to_millis))
    .bind(step.exit.as_ref().map(to_json))
    .bind(to_json(&step.outputs))
    .bind(i64::from(step.log_complete))
    .execute(write.connection())
    .await?;
    Ok(())
}

impl Store {
    /// Makes a run of an accepted trigger, and settles the trigger in the same transaction. Fails with
    /// [`StoreError::Stale`] when the trigger was settled meanwhile.
    pub async fn begin_run(
        &self,
        trigger: &Trigger,
        (branch, commit): (&BranchName, &CommitId),
        begin: Begin<'_>,
    ) -> Result<RunNumber> {
        let mut write = self.write("run.begin").await?;
        let now = to_millis(self.now());
        let project = &trigger.project;
        let last: Option<u32> = sqlx::query_scalar("SELECT MAX(number) FROM run WHERE project = $1")
            .bind(project.as_str())
            .fetch_one(write.connection())
            .await?;
        let number = RunNumber(last.unwrap_or(0)).next();
        let (state, definition, problem, steps): (_, _, _, &[StepRecord]) = match begin {
            Begin::Queued { definition, steps } => (RunState::Queued, Some(to_json(definition)), None, steps),
            Begin::Failed(problem) => (RunState::Failed, None, Some(to_json(problem)), &[]),
        };
        sqlx::query(
            "INSERT INTO run (project, number, trigger_id, branch, commit_id, state, problem, definition, created_at,
                              finished_at, cleared)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(project.as_str())
        .bind(number.0)
        .bind(trigger.id.to_string())
        .bind(branch.as_str())
        .bind(commit.as_str())
        .bind(state.as_str())
        .bind(problem)
        .bind(definition)
        .bind(now)
        .bind(state.is_over().then_some(now))
        .bind(i64::from(state.is_over()))
        .execute(write.connection())
        .await?;
        for step in steps {
            write_step(&mut write, (project, number), step).await?;
        }
        let to = (TriggerState::Accepted, TriggerState::Run);
        trigger::advance(write.connection(), trigger.id, to.0, to.1, (Some(number), "")).await?;
        write.ring(Change { topic: Topic::Triggers, project: Some(project.clone()) });
        write.ring(Change { topic: Topic::Runs, project: Some(project.clone()) });
        write.commit().await?;
        Ok(number)
    }

    /// Records what a pass found out, all or nothing, with the release if there is one. Fails with
    /// [`StoreError::Stale`] when the run was over before in another way.
    pub async fn change_run(&self, change: &RunChange<'_>) -> Result<Option<ReleaseNumber>> {
        let name = if change.release.is_some() { "run.release" } else { "run.change" };
        let mut write = self.write(name).await?;
        let now = to_millis(self.now());
        let over = change.state.is_over();
        let made = match change.release {
            Some(new) => Some(release::insert(&mut write, change.project, change.number, new, now).await?),
            None => None,
        };
        let done = sqlx::query(
            "UPDATE run SET
                 state = $3, note = $4, problem = COALESCE($5, problem),
                 superseded_by = COALESCE($6, superseded_by), release = COALESCE($7, release),
                 started_at = CASE WHEN $3 = 'running' THEN COALESCE(started_at, $8) ELSE started_at END,
                 finished_at = CASE WHEN $9 = 1 THEN COALESCE(finished_at, $8) ELSE finished_at END,
                 cleared = $10
             WHERE project = $1 AND number = $2 AND (state IN ('queued', 'running') OR state = $3)",
        )
        .bind(change.project.as_str())
        .bind(change.number.0)
        .bind(change.state.as_str())
        .bind(change.note)
        .bind(change.problem.map(to_json))
        .bind(change.superseded_by.map(|number| number.0))
        .bind(made.map(|number| number.0))
        .bind(now)
        .bind(i64::from(over))
        .bind(i64::from(change.cleared))
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Stale("the run is over"));
        }
        for step in change.steps {
            write_step(&mut write, (change.project, change.number), step).await?;
        }
        write.ring(Change { topic: Topic::Runs, project: Some(change.project.clone()) });
        if made.is_some() {
            write.ring(Change { topic: Topic::Releases, project: Some(change.project.clone()) });
        }
        write.commit().await?;
        Ok(made)
    }

    /// Records that everything an attempt of a step printed is stored, and what its test runners said. Who completes it
    /// again without knowing that takes nothing away. Does nothing when a later attempt has begun.
    pub async fn complete_step_log(
        &self,
        project: &ProjectName,
        run: RunNumber,
        (step, attempt): (&NodeName, u32),
        tests: Option<&TestSummary>,
    ) -> Result<()> {
        let mut write = self.write("run.log-complete").await?;
        sqlx::query(
            "UPDATE step SET log_complete = 1, tests = COALESCE($5, tests)
             WHERE project = $1 AND run = $2 AND name = $3 AND attempt = $4",
        )
        .bind(project.as_str())
        .bind(run.0)
        .bind(step.to_string())
        .bind(attempt)
        .bind(tests.map(to_json))
        .execute(write.connection())
        .await?;
        write.ring(Change { topic: Topic::Runs, project: Some(project.clone()) });
        write.commit().await
    }

    /// Records a person's wish to end a run. `false` when it was over already.
    pub async fn cancel_run(&self, project: &ProjectName, number: RunNumber) -> Result<bool> {
        let mut write = self.write("run.cancel").await?;
        let done = sqlx::query(
            "UPDATE run SET cancel = 1 WHERE project = $1 AND number = $2 AND state IN ('queued', 'running')",
        )
        .bind(project.as_str())
        .bind(number.0)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            drop(write);
            let run = self.run(project, number).await?;
            return run
                .map(|_| false)
                .ok_or_else(|| StoreError::Missing(format!("run {number} of {project}")));
        }
        write.ring(Change { topic: Topic::Runs, project: Some(project.clone()) });
        write.commit().await?;
        Ok(true)
    }

    /// Runs that are not over, or of which the engine may still have something; oldest first, at most 1,000.
    pub async fn open_runs(&self) -> Result<Vec<Run>> {
        let rows = sqlx::query("SELECT * FROM run WHERE cleared = 0 ORDER BY created_at, number LIMIT $1")
            .bind(OPEN_LIMIT)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// One run.
    pub async fn run(&self, project: &ProjectName, number: RunNumber) -> Result<Option<Run>> {
        let row = sqlx::query("SELECT * FROM run WHERE project = $1 AND number = $2")
            .bind(project.as_str())
            .bind(number.0)
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// What the run's commit says; `None` when it could not be read.
    pub async fn run_definition(
        &self,
        project: &ProjectName,
        number: RunNumber,
    ) -> Result<Option<ProjectDefinition>> {
        let text: Option<Option<String>> =
            sqlx::query_scalar("SELECT definition FROM run WHERE project = $1 AND number = $2")
                .bind(project.as_str())
                .bind(number.0)
                .fetch_optional(self.reader())
                .await?;
        text.flatten().map(|text| from_json("definition", &text)).transpose()
    }

    /// The newest run of a branch for a commit.
    pub async fn run_of(
        &self,
        project: &ProjectName,
        branch: &BranchName,
        commit: &CommitId,
    ) -> Result<Option<RunNumber>> {
        let number: Option<u32> = sqlx::query_scalar(
            "SELECT MAX(number) FROM run WHERE project = $1 AND branch = $2 AND commit_id = $3",
        )
        .bind(project.as_str())
        .bind(branch.as_str())
        .bind(commit.as_str())
        .fetch_one(self.reader())
        .await?;
        Ok(number.map(RunNumber))
    }

    /// The steps of a run, by name.
    pub async fn run_steps(&self, project: &ProjectName, number: RunNumber) -> Result<Vec<StepRecord>> {
        let rows = sqlx::query("SELECT * FROM step WHERE project = $1 AND run = $2 ORDER BY name")
            .bind(project.as_str())
            .bind(number.0)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read_step).collect()
    }

    /// A project's runs, newest first, at most `limit` (and at most 500), those before `before` when given.
    pub async fn runs(
        &self,
        project: &ProjectName,
        before: Option<RunNumber>,
        limit: u32,
    ) -> Result<Vec<Run>> {
        let rows =
            sqlx::query("SELECT * FROM run WHERE project = $1 AND number < $2 ORDER BY number DESC LIMIT $3")
                .bind(project.as_str())
                .bind(before.map_or(u32::MAX, |number| number.0))
                .bind(limit.min(PAGE_LIMIT))
                .fetch_all(self.reader())
                .await?;
        rows.iter().map(read).collect()
    }
}
