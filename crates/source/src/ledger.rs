//! The trigger ledger of the hosted repositories: every push is a row before git sees it, and no moved branch stays
//! unnoticed. What a row leads to is the pipeline's business.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use naru_model::{BranchName, CommitId, ProjectName};
use naru_store::trigger::{NewTrigger, SettledIn, Settlement, Trigger, TriggerId, TriggerKind, TriggerState};
use naru_store::{Store, StoreError};
use tokio::sync::{Mutex, MutexGuard};

use crate::git::{Git, GitError};
use crate::repository::{Repository, RepositoryKind, SourceRepositories};

const LOCKS: usize = 16;
const HEADS: &str = "refs/heads/";

/// Why the ledger could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The repository does not answer.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// One reference that a push wants to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// For people, and for comparing with references.
    pub(crate) reference: String,
    pub(crate) old: Option<CommitId>,
    pub(crate) new: Option<CommitId>,
}

/// What git said about a wish: taken, refused and why, or nothing because it did not come to it.
pub(crate) type Said = Option<Result<(), String>>;

/// Keeps the ledger.
pub(crate) struct Ledger {
    store: Store,
    repositories: SourceRepositories,
    /// Settling and looking exclude each other within a project.
    locks: [Mutex<()>; LOCKS],
}

impl Ledger {
    pub(crate) fn new(store: Store, repositories: SourceRepositories) -> Self {
        Self { store, repositories, locks: std::array::from_fn(|_| Mutex::default()) }
    }

    async fn lock(&self, project: &ProjectName) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        project.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0);
        self.locks[index].lock().await
    }

    /// Records what a push asks for.
    pub(crate) async fn receive(
        &self,
        repository: &Repository,
        wishes: &[Wish],
        by: &str,
    ) -> Result<Vec<TriggerId>, LedgerError> {
        let kind = match repository.kind {
            RepositoryKind::Source => TriggerKind::Push,
            RepositoryKind::Deploy => TriggerKind::DeployPush,
        };
        let rows: Vec<NewTrigger> = wishes
            .iter()
            .map(|wish| NewTrigger {
                project: repository.project.clone(),
                kind,
                reference: wish.reference.clone(),
                old: wish.old.clone(),
                new: wish.new.clone(),
                by: by.to_owned(),
            })
            .collect();
        Ok(self.store.receive_triggers(&rows).await?)
    }

    /// Records what became of a push.
    pub(crate) async fn settle(
        &self,
        repository: &Repository,
        outcomes: &[(TriggerId, Wish, Said)],
    ) -> Result<(), LedgerError> {
        let _lock = self.lock(&repository.project).await;
        let git = self.repositories.open(repository);
        let references = references(&git, "refs/").await?;
        let mut settlements = Vec::with_capacity(outcomes.len());
        for (id, wish, said) in outcomes {
            let taken = match said {
                Some(Ok(())) => Ok(()),
                Some(Err(reason)) => Err(reason.clone()),
                None => compare(&git, wish, references.get(&wish.reference)).await?,
            };
            let (state, detail) = judge(repository.kind, wish, taken);
            settlements.push(Settlement { id: *id, state, detail });
        }
        let heads: BTreeMap<_, _> =
            references.into_iter().filter(|(name, _)| name.starts_with(HEADS)).collect();
        let settled_in = match repository.kind {
            RepositoryKind::Source => SettledIn::Source(&heads),
            RepositoryKind::Deploy => SettledIn::Deploy,
        };
        Ok(self.store.settle_triggers(&repository.project, &settlements, settled_in).await?)
    }

    /// Settles rows that nobody settled for `older_than`: a crash cut their push off.
    pub(crate) async fn settle_forgotten(&self, older_than: Duration) -> Result<(), LedgerError> {
        let mut forgotten: BTreeMap<(ProjectName, bool), Vec<Trigger>> = BTreeMap::new();
        let now = self.store.now();
        for row in self.store.unsettled_triggers().await? {
            let age = now.duration_since(row.received_at);
            if Duration::try_from(age).is_ok_and(|age| age >= older_than) {
                let deploys = row.kind == TriggerKind::DeployPush;
                forgotten.entry((row.project.clone(), deploys)).or_default().push(row);
            }
        }
        for ((project, deploys), rows) in forgotten {
            let kind = if deploys { RepositoryKind::Deploy } else { RepositoryKind::Source };
            let outcomes: Vec<_> = rows
                .into_iter()
                .map(|row| (row.id, Wish { reference: row.reference, old: row.old, new: row.new }, None))
                .collect();
            self.settle(&Repository { project, kind }, &outcomes).await?;
        }
        Ok(())
    }

    /// Finds branches of the source repository that are elsewhere than the ledger knows, and records them.
    pub(crate) async fn look(&self, project: &ProjectName) -> Result<(), LedgerError> {
        let _lock = self.lock(project).await;
        // References before rows: a push whose move is seen here has its row already, and cannot settle meanwhile.
        let mut heads = references(&self.repositories.source(project), HEADS).await?;
        let known = self.store.known_heads(project).await?;
        if heads == known {
            return Ok(());
        }
        let rows = self.store.unsettled_triggers().await?;
        let under_way: BTreeSet<&str> =
            rows.iter().filter(|row| row.project == *project).map(|row| row.reference.as_str()).collect();
        let mut found = Vec::new();
        for (reference, commit) in &mut heads {
            let before = known.get(reference);
            if under_way.contains(reference.as_str()) {
                if let Some(before) = before {
                    *commit = before.clone(); // its push settles it
                }
            } else if before != Some(commit) && is_branch(reference) {
                found.push(NewTrigger {
                    project: project.clone(),
                    kind: TriggerKind::Found,
                    reference: reference.clone(),
                    old: before.cloned(),
                    new: Some(commit.clone()),
                    by: "git".into(),
                });
            }
        }
        heads.retain(|reference, _| known.contains_key(reference) || !under_way.contains(reference.as_str()));
        if found.is_empty() && heads == known {
            return Ok(());
        }
        Ok(self.store.record_found_triggers(project, &found, &heads).await?)
    }
}

fn is_branch(reference: &str) -> bool {
    reference.strip_prefix(HEADS).is_some_and(|branch| branch.parse::<BranchName>().is_ok())
}

async fn references(git: &Git, prefix: &str) -> Result<BTreeMap<String, CommitId>, GitError> {
    if !git.exists().await {
        return Ok(BTreeMap::new());
    }
    Ok(git.references(prefix).await?.into_iter().map(|seen| (seen.name, seen.object)).collect())
}

/// Whether a wish came true, judged by where its reference is now.
async fn compare(git: &Git, wish: &Wish, now: Option<&CommitId>) -> Result<Result<(), String>, GitError> {
    if wish.new.as_ref() == now {
        return Ok(Ok(()));
    }
    if let (Some(new), Some(now)) = (&wish.new, now) {
        // A later push may have built on it already. Exit code 1 is "no"; 128 is "never arrived".
        let arguments = ["merge-base", "--is-ancestor", new.as_str(), now.as_str()];
        if git.call(arguments).output().await?.code == Some(0) {
            return Ok(Ok(()));
        }
    }
    Ok(Err("the push broke off before it took effect".into()))
}

fn judge(kind: RepositoryKind, wish: &Wish, taken: Result<(), String>) -> (TriggerState, String) {
    match (taken, kind) {
        (Err(reason), _) => (TriggerState::Rejected, reason),
        (Ok(()), RepositoryKind::Deploy) => (TriggerState::Accepted, String::new()),
        (Ok(()), RepositoryKind::Source) if wish.new.is_none() => {
            (TriggerState::Ignored, "it was deleted: nothing to run".into())
        }
        (Ok(()), RepositoryKind::Source) if !is_branch(&wish.reference) => {
            (TriggerState::Ignored, "tags are kept but start no run".into())
        }
        (Ok(()), RepositoryKind::Source) => (TriggerState::Accepted, String::new()),
    }
}
