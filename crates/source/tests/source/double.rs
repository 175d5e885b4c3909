//! The deploy repositories in memory behave as those in git: one story, told to both.

use std::collections::BTreeMap;
use std::sync::Arc;

use naru_model::effect::Unobserved;
use naru_model::manifest::Files;
use naru_model::{CommitId, ConfigurationVersion, EnvironmentKey, ReleaseNumber};
use naru_source::deploy::memory::InMemory;
use naru_source::deploy::{Committed, DeployError, DeployRepositories, InGit, Message};

use crate::deploy::{Ticking, clone, commit_and_push, production, render, spec};

/// What both can do, and how a person pushes to each.
enum Side {
    Git(InGit, tempfile::TempDir),
    Memory(InMemory),
}

impl Side {
    fn all(&self) -> &dyn DeployRepositories {
        match self {
            Self::Git(git, _) => git,
            Self::Memory(memory) => memory,
        }
    }

    /// A person makes the folder `files`, or takes it away.
    async fn push(&self, key: &EnvironmentKey, files: Option<Files>, subject: &str) {
        match self {
            Self::Memory(memory) => {
                memory.push(key, files, "Person", subject).unwrap();
            }
            Self::Git(git, data) => {
                let clone = clone(data, &git.of(&key.project)).await;
                let folder = clone.path().join(key.environment.as_str());
                if folder.exists() {
                    std::fs::remove_dir_all(&folder).unwrap();
                }
                for (name, text) in files.unwrap_or_default() {
                    std::fs::create_dir_all(&folder).unwrap();
                    std::fs::write(folder.join(name), text).unwrap();
                }
                commit_and_push(clone.path(), subject).await.unwrap();
            }
        }
    }
}

fn message(release: u32, recreate: bool) -> Message {
    Message {
        subject: format!("Deliver release {release}"),
        author: recreate.then(|| "mina".to_owned()),
        release: Some(ReleaseNumber(release)),
        configuration: ConfigurationVersion(release),
        recreate,
        intent: None,
    }
}

/// Tells what happens, with commits by the order in which they were first seen.
#[derive(Default)]
struct Teller {
    ids: BTreeMap<CommitId, usize>,
    told: Vec<String>,
}

impl Teller {
    fn id(&mut self, id: &CommitId) -> usize {
        let next = self.ids.len();
        *self.ids.entry(id.clone()).or_insert(next)
    }

    fn committed(&mut self, what: &str, result: Result<Committed, DeployError>) {
        let said = match result {
            Ok(committed) => format!("{} {}", self.id(&committed.head), committed.changed),
            Err(DeployError::Stale { expected, found }) => {
                let ids = [expected, found].map(|id| id.map(|id| self.id(&id)));
                format!("stale: {ids:?}")
            }
            Err(DeployError::NoFolder { commit, .. }) => format!("no folder at {}", self.id(&commit)),
            Err(error) => {
                let problems = error.into_problems();
                problems.iter().map(|problem| problem.to_string().replace('\n', " ")).collect::<String>()
            }
        };
        self.told.push(format!("{what}: {said}"));
    }

    async fn history(&mut self, all: &dyn DeployRepositories, key: &EnvironmentKey) -> Vec<CommitId> {
        let history = all.history(key).await.unwrap();
        for one in &history {
            let id = self.id(&one.commit);
            let render = one.render.is_some();
            let spec = all.read_spec(key, &one.commit).await.unwrap();
            let replicas = spec.map(|spec| spec.services[&"web".parse().unwrap()].replicas);
            self.told.push(format!(
                "  revision {} is {id}: present {} release {:?} configuration {} render {render} by naru {} \
                 `{}` by {}: {replicas:?}",
                one.number, one.present, one.release, one.configuration, one.by_naru, one.message, one.author
            ));
        }
        history.into_iter().map(|one| one.commit).collect()
    }
}

/// A render on top of what is there.
async fn commit(
    all: &dyn DeployRepositories,
    key: &EnvironmentKey,
    files: &Files,
    message: &Message,
) -> Result<Committed, DeployError> {
    let head = all.head(&key.project).await.unwrap();
    all.commit_render(key, files, message, head.as_ref()).await
}

/// Renders, a person's edit, a conflict, a rollback, a folder that is removed and comes back, another environment, a late
/// writer, a deletion.
async fn story(side: &Side) -> Vec<String> {
    let all = side.all();
    let mut teller = Teller::default();
    let key = EnvironmentKey { project: "shop".parse().unwrap(), environment: production() };
    let staging = EnvironmentKey { environment: "staging".parse().unwrap(), ..key.clone() };
    let preview = EnvironmentKey { environment: "preview".parse().unwrap(), ..key.clone() };
    let files = |release, level| render(&spec(release, level));
    let by_hand = |files: Files, from: &str, to: &str| -> Files {
        files.into_iter().map(|(name, text)| (name, text.replace(from, to))).collect()
    };
    let head = async || all.head(&key.project).await.unwrap();

    let late = head().await;
    for (what, release, level) in [("first", 1, "info"), ("same", 1, "info"), ("second", 2, "info")] {
        let made = commit(all, &key, &files(release, level), &message(release, false)).await;
        teller.committed(what, made);
    }
    let stale = all.commit_render(&key, &files(3, "info"), &message(3, false), late.as_ref()).await;
    teller.committed("late", stale);

    let edited = by_hand(files(2, "info"), "replicas: 2", "replicas: 3");
    side.push(&key, Some(edited), "Three").await;
    let merged = commit(all, &key, &files(3, "debug"), &message(3, false)).await;
    teller.committed("merged", merged);
    let revisions = teller.history(all, &key).await;
    let mut four = spec(4, "info");
    four.services.values_mut().for_each(|service| service.replicas = 4);
    let conflict = all.commit_render(&key, &render(&four), &message(4, false), head().await.as_ref()).await;
    teller.committed("conflict", conflict);

    for to in [0, 2, 2] {
        let back = all.rollback_to(&key, &revisions[to], &message(1, true), head().await.as_ref()).await;
        teller.committed("back", back);
    }
    // An intent is fulfilled once, also when a person pushed before it was asked again; another one is another commit.
    for (what, intent, level) in [("intent", 7, "warn"), ("again", 7, "info"), ("next intent", 8, "info")] {
        let asked = Message { intent: Some(intent), ..message(3, false) };
        let made = commit(all, &key, &files(3, level), &asked).await;
        teller.committed(what, made);
    }
    for level in ["info", "debug"] {
        let asked = Message { intent: Some(9), ..message(1, true) };
        let back = all.rollback_to(&key, &revisions[0], &asked, head().await.as_ref()).await;
        teller.committed("back for an intent", back);
        let theirs = by_hand(files(1, level), "production", "preview");
        side.push(&preview, Some(theirs), "Not of this environment").await;
    }
    let other =
        all.commit_render(&staging, &files(3, "info"), &message(3, false), head().await.as_ref()).await;
    teller.committed("staging", other);
    side.push(&key, None, "Down").await;
    for recreate in [false, true] {
        let made = commit(all, &key, &files(5, "info"), &message(5, recreate)).await;
        teller.committed("after removal", made);
    }
    let gone = all.rollback_to(&staging, &revisions[0], &message(1, true), head().await.as_ref()).await;
    teller.committed("not of staging", gone);
    teller.history(all, &key).await;
    teller.history(all, &staging).await;

    all.delete(&key.project).await.unwrap();
    all.delete(&key.project).await.unwrap();
    let deleted = all.commit_render(&key, &files(6, "info"), &message(6, true), None).await;
    teller.committed("deleted", deleted);
    teller.told
}

#[tokio::test]
async fn memory_tells_the_same_story_as_git() {
    let data = tempfile::tempdir().unwrap();
    let clock = Arc::new(Ticking::default());
    let git = InGit {
        data: data.path().to_owned(),
        instance: "0123456789ab".parse().unwrap(),
        clock: clock.clone(),
        effects: Arc::new(Unobserved),
    };
    let project = "shop".parse().unwrap();
    git.of(&project).create().await.unwrap();
    let memory = InMemory::new(clock);
    memory.create(&project);
    let of_git = story(&Side::Git(git, data)).await;
    assert!(of_git.len() > 20, "{of_git:#?}");
    let twice: Vec<_> = of_git.iter().filter(|line| line.starts_with("back for an intent")).collect();
    assert!(twice[0].ends_with("true") && twice[0] == twice[1], "{twice:?}");
    assert_eq!(story(&Side::Memory(memory)).await, of_git);
}
