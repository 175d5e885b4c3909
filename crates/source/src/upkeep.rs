//! When repositories are packed: after many pushes and once a day, one at a time, never while one of them is pushed to. A
//! push that arrives meanwhile ends the packing, which loses nothing, and is tried again later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};
use tokio::time::Instant;

use crate::git::{Git, GitError};
use crate::repository::Repository;

/// Pushes after which a repository is looked at.
const PUSHES: u32 = 50;
/// How long after the last look it is looked at in any case.
const EVERY: Duration = Duration::from_hours(24);
/// How long packing one repository may take.
const TIME_LIMIT: Duration = Duration::from_mins(10);

/// What is known of each repository since the start.
#[derive(Default)]
pub(crate) struct Upkeep {
    repositories: Mutex<HashMap<Repository, Arc<One>>>,
    many_pushes: Notify,
}

#[derive(Default)]
struct One {
    /// Pushes share it, packing has it alone.
    quiet: Arc<RwLock<()>>,
    /// A push wants to begin.
    wanted: Notify,
    since: Mutex<Since>,
}

/// What happened since the last look.
#[derive(Default)]
struct Since {
    pushes: u32,
    looked_at: Option<Instant>,
}

/// Held while a push is under way.
pub(crate) struct Pushing {
    _quiet: OwnedRwLockReadGuard<()>,
}

/// What became of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    /// It was packed, if there was much to pack.
    Done,
    /// It was not its time yet.
    NotDue,
    /// Somebody pushed.
    Disturbed,
}

impl Upkeep {
    /// Begins a push: packing gives way.
    pub(crate) async fn push(&self, repository: &Repository) -> Pushing {
        let one = self.one(repository);
        one.wanted.notify_waiters();
        let quiet = one.quiet.clone().read_owned().await;
        let mut since = one.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.pushes += 1;
        if since.pushes == PUSHES {
            self.many_pushes.notify_one();
        }
        Pushing { _quiet: quiet }
    }

    /// Resolves when a repository has had many pushes.
    pub(crate) async fn many_pushes(&self) {
        self.many_pushes.notified().await;
    }

    /// Packs a repository when it is due and nobody pushes to it.
    pub(crate) async fn pack(&self, repository: &Repository, git: &Git) -> Result<Packed, GitError> {
        let one = self.one(repository);
        if !one.is_due() || !git.exists().await {
            return Ok(Packed::NotDue);
        }
        let mut wanted = std::pin::pin!(one.wanted.notified());
        wanted.as_mut().enable();
        let Ok(_quiet) = one.quiet.clone().try_write_owned() else { return Ok(Packed::Disturbed) };
        let packed = tokio::select! {
            biased;
            () = wanted => return Ok(Packed::Disturbed),
            packed = pack(git) => packed,
        };
        *one.since.lock().unwrap_or_else(PoisonError::into_inner) =
            Since { pushes: 0, looked_at: Some(Instant::now()) };
        packed.map(|()| Packed::Done)
    }

    fn one(&self, repository: &Repository) -> Arc<One> {
        let mut repositories = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        repositories.entry(repository.clone()).or_default().clone()
    }
}

impl One {
    fn is_due(&self) -> bool {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.pushes >= PUSHES || since.looked_at.is_none_or(|at| at.elapsed() >= EVERY)
    }
}

/// Packs what has become loose, when it is much, leaving the processors to others. What it leaves when it is ended in the
/// middle, git removes the next time.
async fn pack(git: &Git) -> Result<(), GitError> {
    let settings = ["gc.auto=2000", "gc.autoDetach=false", "pack.threads=1", "pack.windowMemory=64m"];
    let arguments = settings.iter().flat_map(|setting| ["-c", setting]).chain(["gc", "--auto", "--quiet"]);
    git.call(arguments).time_limit(TIME_LIMIT).in_background().effect("git.maintain").await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::pin::Pin;
    use std::sync::Arc;

    use naru_model::effect::{Effects, Moment, Unobserved};

    use super::*;
    use crate::git::Variable;
    use crate::repository::{RepositoryKind, SourceRepositories};

    /// More than git leaves loose.
    const FILES: usize = 5_000;

    fn shop() -> Repository {
        Repository { project: "shop".parse().unwrap(), kind: RepositoryKind::Source }
    }

    /// A branch whose files are all loose objects.
    async fn loose(folder: &std::path::Path, effects: Arc<dyn Effects>) -> Git {
        let repositories = SourceRepositories::new(folder.join("git"), effects);
        let git = repositories.create(&shop().project, &"main".parse().unwrap()).await.unwrap();
        let mut paths = String::new();
        for number in 0..FILES {
            let path = folder.join(number.to_string());
            std::fs::write(&path, format!("content {number}")).unwrap();
            writeln!(paths, "{}", path.display()).unwrap();
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        let hash = git.call(["hash-object", "-w", "--no-filters", "--stdin-paths"]);
        let objects = text(hash.stdin(paths).read().await.unwrap());
        let mut tree = String::new();
        for (number, object) in objects.lines().enumerate() {
            write!(tree, "100644 blob {object}\t{number}\0").unwrap();
        }
        let tree = text(git.call(["mktree", "-z"]).stdin(tree).read().await.unwrap());
        let commit = git
            .call(["commit-tree", "-m", "Many files", &tree])
            .variable(Variable::AuthorName, "Tester")
            .variable(Variable::AuthorEmail, "tester@example.com")
            .variable(Variable::CommitterName, "Tester")
            .variable(Variable::CommitterEmail, "tester@example.com");
        let commit = text(commit.read().await.unwrap());
        git.read(&["update-ref", "refs/heads/main", &commit]).await.unwrap();
        git
    }

    async fn count_loose(git: &Git) -> usize {
        let counted = String::from_utf8(git.read(&["count-objects"]).await.unwrap()).unwrap();
        counted.split(' ').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn many_loose_objects_are_packed_and_looked_at_again_after_many_pushes() {
        let folder = tempfile::tempdir().unwrap();
        let git = loose(folder.path(), Arc::new(Unobserved)).await;
        let upkeep = Upkeep::default();
        let pushing = upkeep.push(&shop()).await;
        assert_eq!(upkeep.pack(&shop(), &git).await.unwrap(), Packed::Disturbed);
        assert_eq!(count_loose(&git).await, FILES + 2);
        drop(pushing);
        assert_eq!(upkeep.pack(&shop(), &git).await.unwrap(), Packed::Done);
        assert_eq!(count_loose(&git).await, 0);
        git.fsck().await.unwrap();

        assert_eq!(upkeep.pack(&shop(), &git).await.unwrap(), Packed::NotDue);
        for _ in 0..PUSHES {
            drop(upkeep.push(&shop()).await);
        }
        upkeep.many_pushes().await;
        assert_eq!(upkeep.pack(&shop(), &git).await.unwrap(), Packed::Done);
    }

    /// Says when packing begins.
    #[derive(Default)]
    struct Begun(Notify);

    impl Effects for Begun {
        fn at<'a>(&'a self, moment: Moment, name: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
            if moment == Moment::Before && name == "git.maintain" {
                self.0.notify_one();
            }
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn a_push_does_not_wait_for_packing() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Arc::new(Begun::default());
        let git = loose(folder.path(), begun.clone()).await;
        let upkeep = Upkeep::default();
        let repository = shop();
        let push = async {
            begun.0.notified().await;
            upkeep.push(&repository).await
        };
        let (packed, pushing) = tokio::join!(upkeep.pack(&repository, &git), push);
        assert_eq!(packed.unwrap(), Packed::Disturbed);
        git.fsck().await.unwrap();
        drop(pushing);
        assert_eq!(upkeep.pack(&repository, &git).await.unwrap(), Packed::Done);
        assert_eq!(count_loose(&git).await, 0);
    }
}
