//! Deploy repositories in memory, for tests that need thousands of commits: what is committed, merged, numbered and
//! refused is the same as in git, which a test tells with one story for both. Damage behind Naru's back (a branch that
//! was rewritten or deleted) is not played here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use naru_model::effect::{Effects, Unobserved, observed};
use naru_model::manifest::{self, Files};
use naru_model::workload::EnvironmentSpec;
use naru_model::{
    Clock, CommitId, Digest, EnvironmentKey, EnvironmentName, ProjectName, ReleaseNumber, RevisionNumber,
    Timestamp,
};

use super::objects::NARU;
use super::{Committed, DeployError, DeployRepositories, Message, Result, RevisionCommit};
use crate::git::GitError;

/// The repositories of an instance. Clones share them, as processes share a disk.
#[derive(Clone)]
pub struct InMemory {
    repositories: Arc<Mutex<BTreeMap<ProjectName, Vec<Commit>>>>,
    read: Arc<Mutex<Readings>>,
    clock: Arc<dyn Clock>,
    effects: Arc<dyn Effects>,
}

/// What was read once: simulations read the same manifests again and again.
type Readings = BTreeMap<(EnvironmentKey, Files), EnvironmentSpec>;

/// One commit of branch `main`, with everything at it.
#[derive(Clone)]
struct Commit {
    id: CommitId,
    folders: BTreeMap<EnvironmentName, Files>,
    /// What Naru says about its own commit.
    naru: Option<OfNaru>,
    author: String,
    subject: String,
    at: Timestamp,
}

#[derive(Clone)]
struct OfNaru {
    environment: EnvironmentName,
    release: Option<ReleaseNumber>,
    configuration: naru_model::ConfigurationVersion,
    render: Files,
    /// Names `render`, as a commit of its own does in git.
    render_id: CommitId,
    intent: Option<i64>,
}

impl InMemory {
    /// No repositories yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { repositories: Arc::default(), read: Arc::default(), clock, effects: Arc::new(Unobserved) }
    }

    /// The same repositories as another process sees them.
    #[must_use]
    pub fn seen_by(&self, clock: Arc<dyn Clock>, effects: Arc<dyn Effects>) -> Self {
        Self { repositories: self.repositories.clone(), read: self.read.clone(), clock, effects }
    }

    /// Makes a project's repository, empty. Doing it again changes nothing that was pushed.
    pub fn create(&self, project: &ProjectName) {
        self.lock().entry(project.clone()).or_default();
    }

    /// Whether a project has a repository.
    pub fn exists(&self, project: &ProjectName) -> bool {
        self.lock().contains_key(project)
    }

    /// An environment's files now; `None` when it has no folder.
    pub fn files(&self, key: &EnvironmentKey) -> Option<Files> {
        self.lock().get(&key.project)?.last()?.folders.get(&key.environment).cloned()
    }

    /// A person's push of one commit that makes an environment's folder `files`, or takes it away. Refused as the
    /// receive hook would: what cannot be read changes nothing.
    pub fn push(
        &self,
        key: &EnvironmentKey,
        files: Option<Files>,
        author: &str,
        subject: &str,
    ) -> Result<CommitId> {
        if let Some(files) = &files {
            manifest::parse_of(key, files).map_err(DeployError::Refused)?;
        }
        let now = self.clock.now();
        let mut repositories = self.lock();
        let commits = commits(&mut repositories, &key.project)?;
        let mut folders = commits.last().map(|head| head.folders.clone()).unwrap_or_default();
        match files {
            Some(files) => folders.insert(key.environment.clone(), files),
            None => folders.remove(&key.environment),
        };
        Ok(append(commits, folders, None, author, subject, now))
    }

    fn parse(&self, key: &EnvironmentKey, files: Files) -> Result<EnvironmentSpec> {
        let name = (key.clone(), files);
        let mut read = self.read.lock().expect("nothing panics while it holds what was read");
        if let Some(spec) = read.get(&name) {
            return Ok(spec.clone());
        }
        let spec = manifest::parse_of(key, &name.1).map_err(DeployError::Refused)?;
        read.insert(name, spec.clone());
        Ok(spec)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProjectName, Vec<Commit>>> {
        self.repositories.lock().expect("nothing panics while it holds the repositories")
    }

    /// Makes a commit, unless a full disk is being played.
    async fn unless_refused(&self, commit: impl Future<Output = Result<Committed>>) -> Result<Committed> {
        let commit = async {
            match self.effects.refusal("git.deploy.commit") {
                Some(why) => Err(GitError::Io(std::io::Error::other(why)).into()),
                None => commit.await,
            }
        };
        observed(&self.effects, "git.deploy.commit", commit).await
    }

    fn render_now(
        &self,
        key: &EnvironmentKey,
        render: &Files,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed> {
        let now = self.clock.now();
        let mut repositories = self.lock();
        let commits = commits(&mut repositories, &key.project)?;
        expect_head(commits, expected)?;
        if let Some(done) = done_before(commits, &key.environment, message) {
            return Ok(done);
        }
        let ours = commits.last().and_then(|head| head.folders.get(&key.environment).cloned());
        let base = base(commits, &key.environment);
        if ours.is_none() && base.is_some() && !message.recreate {
            return Err(DeployError::Removed { environment: key.environment.clone() });
        }
        if let Some(head) = commits.last()
            && ours.as_ref() == Some(render)
            && base.as_ref() == Some(render)
        {
            return Ok(Committed { head: head.id.clone(), changed: false });
        }
        let merged = match &ours {
            Some(ours) => {
                manifest::merge(&base.unwrap_or_default(), ours, render).map_err(DeployError::Conflict)?
            }
            None => render.clone(),
        };
        self.parse(key, merged.clone())?;
        let changed = ours.as_ref() != Some(&merged);
        let head = commit(commits, key, (merged, render.clone()), message, now);
        Ok(Committed { head, changed })
    }

    fn return_now(
        &self,
        key: &EnvironmentKey,
        to: &CommitId,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed> {
        let environment = &key.environment;
        let now = self.clock.now();
        let mut repositories = self.lock();
        let commits = commits(&mut repositories, &key.project)?;
        expect_head(commits, expected)?;
        if let Some(done) = done_before(commits, environment, message) {
            return Ok(done);
        }
        let no_folder = || DeployError::NoFolder { environment: environment.clone(), commit: to.clone() };
        let revision = revisions(commits, environment).into_iter().find(|one| one.commit == *to);
        let revision = revision.ok_or_else(no_folder)?;
        let files = folder_at(commits, to, environment).ok_or_else(no_folder)?;
        self.parse(key, files.clone())?;
        let renders = || commits.iter().filter_map(|commit| commit.naru.as_ref());
        let render = renders()
            .find(|naru| Some(&naru.render_id) == revision.render.as_ref())
            .map_or_else(|| files.clone(), |naru| naru.render.clone());
        let head = commits.last().expect("a revision was found");
        let changed = head.folders.get(environment) != Some(&files);
        if !changed && base(commits, environment).as_ref() == Some(&render) {
            return Ok(Committed { head: head.id.clone(), changed: false });
        }
        let head = commit(commits, key, (files, render), message, now);
        Ok(Committed { head, changed })
    }
}

fn commits<'a>(
    repositories: &'a mut BTreeMap<ProjectName, Vec<Commit>>,
    project: &ProjectName,
) -> Result<&'a mut Vec<Commit>> {
    repositories.get_mut(project).ok_or_else(|| DeployError::Missing { project: project.clone() })
}

fn expect_head(commits: &[Commit], expected: Option<&CommitId>) -> Result<()> {
    let found = commits.last().map(|head| &head.id);
    if found == expected {
        return Ok(());
    }
    Err(DeployError::Stale { expected: expected.cloned(), found: found.cloned() })
}

/// The commit that fulfilled the same intent before.
fn done_before(commits: &[Commit], environment: &EnvironmentName, message: &Message) -> Option<Committed> {
    let is_naru =
        |commit: &&Commit| commit.naru.as_ref().is_some_and(|naru| naru.environment == *environment);
    let last = commits.iter().rev().find(is_naru)?;
    if message.intent.is_none() || last.naru.as_ref().is_none_or(|naru| naru.intent != message.intent) {
        return None;
    }
    let changed = revisions(commits, environment).iter().any(|one| one.commit == last.id);
    let head = if changed { last } else { commits.last()? };
    Some(Committed { head: head.id.clone(), changed })
}

/// What Naru rendered last for the environment.
fn base(commits: &[Commit], environment: &EnvironmentName) -> Option<Files> {
    let mut renders = commits.iter().rev().filter_map(|commit| commit.naru.as_ref());
    renders.find(|naru| naru.environment == *environment).map(|naru| naru.render.clone())
}

fn folder_at(commits: &[Commit], id: &CommitId, environment: &EnvironmentName) -> Option<Files> {
    commits.iter().find(|commit| commit.id == *id)?.folders.get(environment).cloned()
}

/// Naru's commit of a folder and the render it was merged from.
fn commit(
    commits: &mut Vec<Commit>,
    key: &EnvironmentKey,
    (files, render): (Files, Files),
    message: &Message,
    now: Timestamp,
) -> CommitId {
    let mut folders = commits.last().map(|head| head.folders.clone()).unwrap_or_default();
    folders.insert(key.environment.clone(), files);
    let naru = OfNaru {
        environment: key.environment.clone(),
        release: message.release,
        configuration: message.configuration,
        render_id: id_of(&format!("render {key} {}", commits.len())),
        intent: message.intent,
        render,
    };
    append(commits, folders, Some(naru), message.author.as_deref().unwrap_or(NARU), &message.subject, now)
}

fn append(
    commits: &mut Vec<Commit>,
    folders: BTreeMap<EnvironmentName, Files>,
    naru: Option<OfNaru>,
    author: &str,
    subject: &str,
    now: Timestamp,
) -> CommitId {
    let parent = commits.last().map_or("", |head| head.id.as_str());
    let id = id_of(&format!("commit {parent} {author} {subject} {now} {folders:?}"));
    // Git keeps whole seconds.
    let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let (author, subject) = (author.to_owned(), subject.to_owned());
    commits.push(Commit { id: id.clone(), folders, naru, author, subject, at });
    id
}

fn id_of(text: &str) -> CommitId {
    CommitId::try_from(Digest::of(text.as_bytes()).hex()[..40].to_owned()).expect("40 hexadecimal characters")
}

/// Every commit that changed the environment's folder, numbered from 1.
fn revisions(commits: &[Commit], environment: &EnvironmentName) -> Vec<RevisionCommit> {
    let mut revisions: Vec<RevisionCommit> = Vec::new();
    let mut before: Option<&Files> = None;
    for commit in commits {
        let folder = commit.folders.get(environment);
        if folder == before {
            continue;
        }
        before = folder;
        let naru = commit.naru.as_ref().filter(|naru| naru.environment == *environment);
        let last = revisions.last();
        let (release, configuration, render) = match (naru, last) {
            (Some(naru), _) => (naru.release, naru.configuration, Some(naru.render_id.clone())),
            (None, Some(last)) => (last.release, last.configuration, last.render.clone()),
            (None, None) => Default::default(),
        };
        revisions.push(RevisionCommit {
            number: last.map_or(RevisionNumber(1), |last| last.number.next()),
            commit: commit.id.clone(),
            present: folder.is_some(),
            release,
            configuration,
            render,
            by_naru: naru.is_some(),
            author: commit.author.clone(),
            message: commit.subject.clone(),
            at: commit.at,
        });
    }
    revisions
}

#[async_trait]
impl DeployRepositories for InMemory {
    async fn head(&self, project: &ProjectName) -> Result<Option<CommitId>> {
        Ok(commits(&mut self.lock(), project)?.last().map(|head| head.id.clone()))
    }

    async fn read_spec(&self, key: &EnvironmentKey, commit: &CommitId) -> Result<Option<EnvironmentSpec>> {
        let files = folder_at(commits(&mut self.lock(), &key.project)?, commit, &key.environment);
        files.map(|files| self.parse(key, files)).transpose()
    }

    async fn commit_render(
        &self,
        key: &EnvironmentKey,
        render: &Files,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed> {
        self.unless_refused(async { self.render_now(key, render, message, expected) }).await
    }

    async fn rollback_to(
        &self,
        key: &EnvironmentKey,
        commit: &CommitId,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed> {
        self.unless_refused(async { self.return_now(key, commit, message, expected) }).await
    }

    async fn history(&self, key: &EnvironmentKey) -> Result<Vec<RevisionCommit>> {
        Ok(revisions(commits(&mut self.lock(), &key.project)?, &key.environment))
    }

    async fn delete(&self, project: &ProjectName) -> Result<(), GitError> {
        let gone = async { drop(self.lock().remove(project)) };
        observed(&self.effects, "git.delete", gone).await;
        Ok(())
    }
}
