//! The trigger ledger: every push, request of a person and moved branch, with what became of it. Nothing is ever
//! removed from it but with its project.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use naru_model::{BranchName, CommitId, ProjectName, RunNumber, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::{Change, Result, Store, StoreError, Topic, Write, from_millis, parse, to_millis};

/// The most rows of one page.
const PAGE_LIMIT: u32 = 500;
/// The most triggers handed out at once.
const PENDING_LIMIT: i64 = 500;
const DETAIL_LIMIT: usize = 1000;

/// Names a trigger. Later ones sort later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TriggerId(Uuid);

impl TriggerId {
    fn new(at: Timestamp) -> Self {
        static COUNTER: Mutex<uuid::ContextV7> = Mutex::new(uuid::ContextV7::new());
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(&COUNTER, seconds, nanoseconds)))
    }
}

impl fmt::Display for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for TriggerId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

macro_rules! word_type {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$word_doc])* $variant,)+ }

        impl $name {
            /// The word that is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text { $($word => Ok(Self::$variant),)+ other => Err(format!("unknown word {other:?}")) }
            }
        }
    };
}

word_type! {
    /// What asked.
    TriggerKind {
        /// A push to the source repository.
        Push = "push",
        /// A push to the deploy repository. It leads to no run; the reconcile loop looks at the repository itself.
        DeployPush = "deploy-push",
        /// A branch of the source repository that was moved without a push through Naru.
        Found = "found",
        /// A person, or a replay.
        Person = "person",
    }
}

word_type! {
    /// What became of it.
    TriggerState {
        /// Recorded before git was asked; not settled yet.
        Received = "received",
        /// Git took it; the pipeline has not looked yet. For a push to the deploy repository this is the end.
        Accepted = "accepted",
        /// Git refused it.
        Rejected = "rejected",
        /// It led to a run.
        Run = "run",
        /// Nothing to run: a tag, a deleted branch, or no environment and step wants it.
        Ignored = "ignored",
        /// A newer commit of the same branch was run instead.
        Superseded = "superseded",
        /// No run could be made of it: the detail says why.
        Failed = "failed",
    }
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trigger {
    /// Its id.
    pub id: TriggerId,
    /// Whose.
    pub project: ProjectName,
    /// What asked.
    pub kind: TriggerKind,
    /// The full name of the reference, such as `refs/heads/main`; may be one that was refused.
    pub reference: String,
    /// Where the reference was.
    pub old: Option<CommitId>,
    /// Where it goes; nothing when it is deleted.
    pub new: Option<CommitId>,
    /// Login of who asked.
    pub by: String,
    /// When.
    pub received_at: Timestamp,
    /// What became of it.
    pub state: TriggerState,
    /// One sentence for people; empty when there is nothing to say.
    pub detail: String,
    /// The run it led to.
    pub run: Option<RunNumber>,
    /// The trigger that this one repeats.
    pub replay_of: Option<TriggerId>,
}

impl Trigger {
    /// The branch, when the reference is one that Naru accepts.
    pub fn branch(&self) -> Option<BranchName> {
        self.reference.strip_prefix("refs/heads/")?.parse().ok()
    }
}

/// A trigger that is about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTrigger {
    /// Whose.
    pub project: ProjectName,
    /// What asked.
    pub kind: TriggerKind,
    /// The full name of the reference.
    pub reference: String,
    /// Where the reference was.
    pub old: Option<CommitId>,
    /// Where it goes.
    pub new: Option<CommitId>,
    /// Login of who asked.
    pub by: String,
}

/// What became of a received trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Which trigger.
    pub id: TriggerId,
    /// [`TriggerState::Accepted`], [`TriggerState::Rejected`] or [`TriggerState::Ignored`].
    pub state: TriggerState,
    /// One sentence for people; may be empty.
    pub detail: String,
}

/// Which of a project's repositories triggers were settled in.
#[derive(Debug, Clone, Copy)]
pub enum SettledIn<'a> {
    /// The source repository, whose branches are here now, by full name.
    Source(&'a BTreeMap<String, CommitId>),
    /// The deploy repository: the loops behind it are woken.
    Deploy,
}

pub(crate) fn read(row: &SqliteRow) -> Result<Trigger> {
    let commit = |column: &str| -> Result<Option<CommitId>> {
        row.try_get::<Option<&str>, _>(column)?.map(|text| parse("commit id", text)).transpose()
    };
    Ok(Trigger {
        id: parse("trigger id", row.try_get("id")?)?,
        project: parse("project name", row.try_get("project")?)?,
        kind: parse("trigger kind", row.try_get("kind")?)?,
        reference: row.try_get("reference")?,
        old: commit("old")?,
        new: commit("new")?,
        by: row.try_get("by")?,
        received_at: from_millis(row.try_get("received_at")?),
        state: parse("trigger state", row.try_get("state")?)?,
        detail: row.try_get("detail")?,
        run: row.try_get::<Option<u32>, _>("run")?.map(RunNumber),
        replay_of: row
            .try_get::<Option<&str>, _>("replay_of")?
            .map(|text| parse("trigger id", text))
            .transpose()?,
    })
}

async fn insert(
    write: &mut Write<'_>,
    new: &NewTrigger,
    (at, state): (Timestamp, TriggerState),
    replay_of: Option<TriggerId>,
) -> Result<TriggerId> {
    let id = TriggerId::new(at);
    sqlx::query(
        r#"INSERT INTO trigger (id, project, kind, reference, old, new, "by", received_at, state, replay_of)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
    )
    .bind(id.to_string())
    .bind(new.project.as_str())
    .bind(new.kind.as_str())
    .bind(&new.reference)
    .bind(new.old.as_ref().map(CommitId::as_str))
    .bind(new.new.as_ref().map(CommitId::as_str))
    .bind(&new.by)
    .bind(to_millis(at))
    .bind(state.as_str())
    .bind(replay_of.map(|id| id.to_string()))
    .execute(write.connection())
    .await?;
    write.ring(Change { topic: Topic::Triggers, project: Some(new.project.clone()) });
    Ok(id)
}

/// Moves a trigger out of one of `from`. For use inside another aggregate's change, such as the one that makes a run.
/// Fails with [`StoreError::Stale`] when the trigger is no longer in one of these states.
pub(crate) async fn advance(
    connection: &mut SqliteConnection,
    id: TriggerId,
    from: TriggerState,
    to: TriggerState,
    (run, detail): (Option<RunNumber>, &str),
) -> Result<()> {
    let detail: String = detail.chars().take(DETAIL_LIMIT).collect();
    let done =
        sqlx::query("UPDATE trigger SET state = $1, run = $2, detail = $3 WHERE id = $4 AND state = $5")
            .bind(to.as_str())
            .bind(run.map(|run| run.0))
            .bind(detail)
            .bind(id.to_string())
            .bind(from.as_str())
            .execute(connection)
            .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Stale("the trigger moved on")) }
}

impl Store {
    /// Records triggers before anything is done about them, all or none.
    pub async fn receive_triggers(&self, triggers: &[NewTrigger]) -> Result<Vec<TriggerId>> {
        let mut write = self.write("trigger.receive").await?;
        let now = self.now();
        let mut ids = Vec::with_capacity(triggers.len());
        for trigger in triggers {
            ids.push(insert(&mut write, trigger, (now, TriggerState::Received), None).await?);
        }
        write.commit().await?;
        Ok(ids)
    }

    /// Records what became of received triggers, and where the project's branches are now. Triggers that were settled
    /// before stay as they are.
    pub async fn settle_triggers(
        &self,
        project: &ProjectName,
        settlements: &[Settlement],
        settled_in: SettledIn<'_>,
    ) -> Result<()> {
        let mut write = self.write("trigger.settle").await?;
        for Settlement { id, state, detail } in settlements {
            let settled =
                advance(write.connection(), *id, TriggerState::Received, *state, (None, detail)).await;
            match settled {
                Ok(()) | Err(StoreError::Stale(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut ring = |topic| write.ring(Change { topic, project: Some(project.clone()) });
        ring(Topic::Triggers);
        match settled_in {
            SettledIn::Source(heads) => replace_heads(&mut write, project, heads).await?,
            SettledIn::Deploy => [Topic::Releases, Topic::Environments].into_iter().for_each(ring),
        }
        write.commit().await
    }

    /// Records branches that were moved without a push through Naru, as accepted triggers, with where every branch is
    /// now. A move that is recorded already is recorded once: who asked for it is kept, not who found it.
    pub async fn record_found_triggers(
        &self,
        project: &ProjectName,
        found: &[NewTrigger],
        heads: &BTreeMap<String, CommitId>,
    ) -> Result<()> {
        let mut write = self.write("trigger.find").await?;
        let now = self.now();
        let known = heads_of(write.connection(), project).await?;
        for trigger in found {
            if trigger.new.is_none() || known.get(&trigger.reference) != trigger.new.as_ref() {
                insert(&mut write, trigger, (now, TriggerState::Accepted), None).await?;
            } else if trigger.kind != TriggerKind::Found {
                credit(&mut write, trigger).await?;
            }
        }
        replace_heads(&mut write, project, heads).await?;
        write.commit().await
    }

    /// Records that a person asked for a run of a commit; it is accepted at once.
    pub async fn request_run(
        &self,
        project: &ProjectName,
        branch: &BranchName,
        commit: &CommitId,
        by: &str,
    ) -> Result<TriggerId> {
        let mut write = self.write("trigger.request").await?;
        let asked = NewTrigger {
            project: project.clone(),
            kind: TriggerKind::Person,
            reference: format!("refs/heads/{branch}"),
            old: None,
            new: Some(commit.clone()),
            by: by.to_owned(),
        };
        let id = insert(&mut write, &asked, (self.now(), TriggerState::Accepted), None).await?;
        write.commit().await?;
        Ok(id)
    }

    /// Repeats a trigger for the same commit, as a new row. Fails with [`StoreError::Missing`] when there is no such
    /// trigger in the project, or when it has no commit to run: a deleted branch, a tag, a deploy repository.
    pub async fn replay_trigger(&self, project: &ProjectName, id: TriggerId, by: &str) -> Result<TriggerId> {
        let replayable = |trigger: &Trigger| {
            trigger.project == *project
                && trigger.kind != TriggerKind::DeployPush
                && trigger.state != TriggerState::Rejected
                && trigger.new.is_some()
                && trigger.branch().is_some()
        };
        let Some(original) = self.trigger(id).await?.filter(replayable) else {
            return Err(StoreError::Missing(format!("a trigger {id} that can be repeated")));
        };
        let mut write = self.write("trigger.replay").await?;
        let again = NewTrigger {
            project: project.clone(),
            kind: TriggerKind::Person,
            reference: original.reference,
            old: original.old,
            new: original.new,
            by: by.to_owned(),
        };
        let repeated = insert(&mut write, &again, (self.now(), TriggerState::Accepted), Some(id)).await?;
        write.commit().await?;
        Ok(repeated)
    }

    /// Ends an accepted trigger that leads to no run: [`TriggerState::Ignored`], [`TriggerState::Superseded`] or
    /// [`TriggerState::Failed`]. Fails with [`StoreError::Stale`] when it is no longer accepted.
    pub async fn finish_trigger(&self, id: TriggerId, state: TriggerState, detail: &str) -> Result<()> {
        let Some(trigger) = self.trigger(id).await? else {
            return Err(StoreError::Missing(format!("trigger {id}")));
        };
        let mut write = self.write("trigger.finish").await?;
        advance(write.connection(), id, TriggerState::Accepted, state, (None, detail)).await?;
        write.ring(Change { topic: Topic::Triggers, project: Some(trigger.project) });
        write.commit().await
    }

    /// Accepted triggers of source repositories that wait for the pipeline, oldest first, at most 500.
    pub async fn pending_triggers(&self) -> Result<Vec<Trigger>> {
        let rows = sqlx::query(
            "SELECT * FROM trigger WHERE state = 'accepted' AND kind <> 'deploy-push' ORDER BY id LIMIT $1",
        )
        .bind(PENDING_LIMIT)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Triggers that were received and not settled: pushes under way, and those that a crash cut off.
    pub async fn unsettled_triggers(&self) -> Result<Vec<Trigger>> {
        let rows = sqlx::query("SELECT * FROM trigger WHERE state = 'received' ORDER BY id")
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// One trigger.
    pub async fn trigger(&self, id: TriggerId) -> Result<Option<Trigger>> {
        let row = sqlx::query("SELECT * FROM trigger WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// A project's triggers, newest first, at most `limit` (and at most 500), those before `before` when given.
    pub async fn triggers(
        &self,
        project: &ProjectName,
        before: Option<TriggerId>,
        limit: u32,
    ) -> Result<Vec<Trigger>> {
        let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string()); // 'g' sorts after every hexadecimal id
        let rows =
            sqlx::query("SELECT * FROM trigger WHERE project = $1 AND id < $2 ORDER BY id DESC LIMIT $3")
                .bind(project.as_str())
                .bind(before)
                .bind(limit.min(PAGE_LIMIT))
                .fetch_all(self.reader())
                .await?;
        rows.iter().map(read).collect()
    }

    /// Where the project's branches were when their last move was recorded, by full name.
    pub async fn known_heads(&self, project: &ProjectName) -> Result<BTreeMap<String, CommitId>> {
        heads_of(self.reader(), project).await
    }
}

async fn heads_of(
    rows: impl sqlx::SqliteExecutor<'_>,
    project: &ProjectName,
) -> Result<BTreeMap<String, CommitId>> {
    let rows = sqlx::query("SELECT reference, commit_id FROM known_head WHERE project = $1")
        .bind(project.as_str())
        .fetch_all(rows)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("reference")?, parse("commit id", row.try_get("commit_id")?)?)))
        .collect()
}

/// Says who asked for a move that was found before they could be named.
async fn credit(write: &mut Write<'_>, asked: &NewTrigger) -> Result<()> {
    sqlx::query(
        r#"UPDATE trigger SET kind = $1, "by" = $2 WHERE project = $3 AND reference = $4 AND new = $5 AND kind = $6"#,
    )
    .bind(asked.kind.as_str())
    .bind(&asked.by)
    .bind(asked.project.as_str())
    .bind(&asked.reference)
    .bind(asked.new.as_ref().map(CommitId::as_str))
    .bind(TriggerKind::Found.as_str())
    .execute(write.connection())
    .await?;
    write.ring(Change { topic: Topic::Triggers, project: Some(asked.project.clone()) });
    Ok(())
}

async fn replace_heads(
    write: &mut Write<'_>,
    project: &ProjectName,
    heads: &BTreeMap<String, CommitId>,
) -> Result<()> {
    let known = heads_of(write.connection(), project).await?;
    for reference in known.keys().filter(|reference| !heads.contains_key(*reference)) {
        sqlx::query("DELETE FROM known_head WHERE project = $1 AND reference = $2")
            .bind(project.as_str())
            .bind(reference)
            .execute(write.connection())
            .await?;
    }
    for (reference, commit) in heads {
        if known.get(reference) == Some(commit) {
            continue;
        }
        sqlx::query(
            "INSERT INTO known_head (project, reference, commit_id) VALUES ($1, $2, $3)
             ON CONFLICT (project, reference) DO UPDATE SET commit_id = excluded.commit_id",
        )
        .bind(project.as_str())
        .bind(reference)
        .bind(commit.as_str())
        .execute(write.connection())
        .await?;
    }
    Ok(())
}
