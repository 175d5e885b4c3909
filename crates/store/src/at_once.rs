//! Rows of many projects and environments, one statement a kind: what pages ask for that tell of several at once. What a
//! row means, and how one alone is read, is in the file of its kind.

use std::collections::BTreeMap;

use naru_model::pipeline::StepRecord;
use naru_model::{BranchName, EnvironmentKey, ProjectName, ReleaseNumber, RevisionNumber, RunNumber};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use crate::environment::{self, Environment};
use crate::intent::{self, Intent};
use crate::release::{self, Release};
use crate::revision::{Revision, Rollout, read_revision, read_rollout};
use crate::run::{self, Run, read_step};
use crate::trigger::{self, Trigger, TriggerId};
use crate::{Result, Store, parse};

/// A statement about many keys.
struct Statement {
    /// What each key is made of, as columns of `wanted`.
    columns: &'static str,
    /// What is read for them.
    select: &'static str,
}

const ENVIRONMENTS: Statement = Statement {
    columns: "project, environment",
    select: "SELECT it.* FROM wanted
         JOIN environment AS it ON it.project = wanted.project AND it.name = wanted.environment",
};
const ROLLOUTS: Statement = Statement {
    columns: "project, environment",
    select: "SELECT it.* FROM wanted
         JOIN rollout AS it ON it.project = wanted.project AND it.environment = wanted.environment
             AND it.revision = (SELECT MAX(revision) FROM rollout
                 WHERE rollout.project = wanted.project AND rollout.environment = wanted.environment)",
};
const INTENTS: Statement = Statement {
    columns: "project, environment",
    select: "SELECT it.* FROM wanted
         JOIN intent AS it ON it.id = (SELECT MAX(id) FROM intent
             WHERE intent.project = wanted.project AND intent.environment = wanted.environment)",
};
const REVISIONS: Statement = Statement {
    columns: "project, environment, number",
    select: "SELECT it.* FROM wanted
         JOIN revision AS it ON it.project = wanted.project AND it.environment = wanted.environment
             AND it.number = wanted.number",
};
const TRIGGERS: Statement = Statement {
    columns: "project, reference",
    select: "SELECT it.* FROM wanted
         JOIN trigger AS it ON it.id = (SELECT id FROM trigger
             WHERE trigger.project = wanted.project AND trigger.reference = wanted.reference
                 AND trigger.kind <> 'deploy-push' AND trigger.state NOT IN ('ignored', 'superseded')
             ORDER BY trigger.id DESC LIMIT 1)",
};
const TRIGGERS_BY_ID: Statement =
    Statement { columns: "id", select: "SELECT it.* FROM wanted JOIN trigger AS it ON it.id = wanted.id" };
const RUNS: Statement = Statement {
    columns: "project, number",
    select: "SELECT it.* FROM wanted
         JOIN run AS it ON it.project = wanted.project AND it.number = wanted.number",
};
const STEPS: Statement = Statement {
    columns: "project, number",
    select: "SELECT it.* FROM wanted
         JOIN step AS it ON it.project = wanted.project AND it.run = wanted.number
         ORDER BY it.name",
};
const RELEASES: Statement = Statement {
    columns: "project, number",
    select: "SELECT it.* FROM wanted
         JOIN release AS it ON it.project = wanted.project AND it.number = wanted.number",
};

/// A column of a key.
enum Key<'a> {
    Text(&'a str),
    Number(u32),
}

/// Where a row is.
fn place(row: &SqliteRow) -> Result<EnvironmentKey> {
    Ok(EnvironmentKey {
        project: parse("project name", row.try_get("project")?)?,
        environment: parse("environment name", row.try_get("environment")?)?,
    })
}

fn in_environments(keys: &[EnvironmentKey]) -> Vec<[Key<'_>; 2]> {
    keys.iter().map(|key| [Key::Text(key.project.as_str()), Key::Text(key.environment.as_str())]).collect()
}

fn numbered<N: Copy>(keys: &[(ProjectName, N)], number: impl Fn(N) -> u32) -> Vec<[Key<'_>; 2]> {
    keys.iter().map(|(project, of)| [Key::Text(project.as_str()), Key::Number(number(*of))]).collect()
}

impl Store {
    /// What a statement finds for these keys. Nothing is asked for none.
    async fn found<const N: usize>(
        &self,
        statement: &Statement,
        wanted: Vec<[Key<'_>; N]>,
    ) -> Result<Vec<SqliteRow>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new(format!("WITH wanted ({}) AS (", statement.columns));
        query.push_values(wanted, |mut row, key| {
            for column in key {
                match column {
                    Key::Text(text) => row.push_bind(text.to_owned()),
                    Key::Number(number) => row.push_bind(number),
                };
            }
        });
        query.push(") ").push(statement.select);
        Ok(query.build().fetch_all(self.reader()).await?)
    }

    /// These environments, as far as they exist.
    pub async fn environments_at(
        &self,
        keys: &[EnvironmentKey],
    ) -> Result<BTreeMap<EnvironmentKey, Environment>> {
        let rows = self.found(&ENVIRONMENTS, in_environments(keys)).await?;
        rows.iter().map(environment::read).map(|row| row.map(|row| (row.key.clone(), row))).collect()
    }

    /// The newest rollout of each of these environments.
    pub async fn newest_rollouts(
        &self,
        keys: &[EnvironmentKey],
    ) -> Result<BTreeMap<EnvironmentKey, Rollout>> {
        let rows = self.found(&ROLLOUTS, in_environments(keys)).await?;
        rows.iter().map(|row| Ok((place(row)?, read_rollout(row)?))).collect()
    }

    /// What was asked for last in each of these environments.
    pub async fn newest_intents(&self, keys: &[EnvironmentKey]) -> Result<BTreeMap<EnvironmentKey, Intent>> {
        let rows = self.found(&INTENTS, in_environments(keys)).await?;
        rows.iter().map(|row| Ok((place(row)?, intent::read(row)?))).collect()
    }

    /// These revisions, as far as they exist.
    pub async fn revisions_at(
        &self,
        keys: &[(EnvironmentKey, RevisionNumber)],
    ) -> Result<BTreeMap<(EnvironmentKey, RevisionNumber), Revision>> {
        let wanted = keys
            .iter()
            .map(|(key, number)| {
                [Key::Text(key.project.as_str()), Key::Text(key.environment.as_str()), Key::Number(number.0)]
            })
            .collect();
        let rows = self.found(&REVISIONS, wanted).await?;
        rows.iter()
            .map(|row| {
                let revision = read_revision(row)?;
                Ok(((place(row)?, revision.number), revision))
            })
            .collect()
    }

    /// The newest trigger of each of these branches that was neither ignored nor replaced by a newer one.
    pub async fn newest_triggers(
        &self,
        branches: &[(ProjectName, BranchName)],
    ) -> Result<BTreeMap<(ProjectName, BranchName), Trigger>> {
        let references: Vec<(&ProjectName, String)> =
            branches.iter().map(|(project, branch)| (project, format!("refs/heads/{branch}"))).collect();
        let wanted = references
            .iter()
            .map(|(project, reference)| [Key::Text(project.as_str()), Key::Text(reference.as_str())])
            .collect();
        let rows = self.found(&TRIGGERS, wanted).await?;
        let mut newest = BTreeMap::new();
        for row in &rows {
            let trigger = trigger::read(row)?;
            if let Some(branch) = trigger.branch() {
                newest.insert((trigger.project.clone(), branch), trigger);
            }
        }
        Ok(newest)
    }

    /// These triggers, as far as they exist.
    pub async fn triggers_at(&self, ids: &[TriggerId]) -> Result<BTreeMap<TriggerId, Trigger>> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows =
            self.found(&TRIGGERS_BY_ID, ids.iter().map(|id| [Key::Text(id.as_str())]).collect()).await?;
        rows.iter().map(trigger::read).map(|row| row.map(|row| (row.id, row))).collect()
    }

    /// These runs, as far as they exist.
    pub async fn runs_at(
        &self,
        keys: &[(ProjectName, RunNumber)],
    ) -> Result<BTreeMap<(ProjectName, RunNumber), Run>> {
        let rows = self.found(&RUNS, numbered(keys, |number| number.0)).await?;
        rows.iter()
            .map(run::read)
            .map(|row| row.map(|row| ((row.project.clone(), row.number), row)))
            .collect()
    }

    /// The steps of these runs, by name.
    pub async fn steps_at(
        &self,
        keys: &[(ProjectName, RunNumber)],
    ) -> Result<BTreeMap<(ProjectName, RunNumber), Vec<StepRecord>>> {
        let rows = self.found(&STEPS, numbered(keys, |number| number.0)).await?;
        let mut steps: BTreeMap<_, Vec<StepRecord>> = BTreeMap::new();
        for row in &rows {
            let project: ProjectName = parse("project name", row.try_get("project")?)?;
            let run = RunNumber(row.try_get("run")?);
            steps.entry((project, run)).or_default().push(read_step(row)?);
        }
        Ok(steps)
    }

    /// These releases, as far as they exist.
    pub async fn releases_at(
        &self,
        keys: &[(ProjectName, ReleaseNumber)],
    ) -> Result<BTreeMap<(ProjectName, ReleaseNumber), Release>> {
        let rows = self.found(&RELEASES, numbered(keys, |number| number.0)).await?;
        rows.iter()
            .map(release::read)
            .map(|row| row.map(|row| ((row.project.clone(), row.number), row)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_key_is_looked_up_by_an_index() {
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
        sqlx::migrate!().run(&pool).await.unwrap();
        for statement in
            [ENVIRONMENTS, ROLLOUTS, INTENTS, REVISIONS, TRIGGERS, TRIGGERS_BY_ID, RUNS, STEPS, RELEASES]
        {
            let row = vec!["''"; statement.columns.split(',').count()].join(", ");
            let mut query = QueryBuilder::<Sqlite>::new("EXPLAIN QUERY PLAN WITH wanted (");
            query
                .push(statement.columns)
                .push(format!(") AS (VALUES ({row}), ({row})) "))
                .push(statement.select);
            let plan: Vec<String> = query
                .build()
                .fetch_all(&pool)
                .await
                .unwrap()
                .iter()
                .map(|row| row.try_get("detail").unwrap())
                .collect();
            let searched = plan.iter().filter(|line| line.starts_with("SEARCH")).count();
            let walked = plan.iter().find(|line| line.starts_with("SCAN it") || line.contains("AUTOMATIC"));
            assert!(searched > 0 && walked.is_none(), "{}: {plan:#?}", statement.select);
        }
    }
}
