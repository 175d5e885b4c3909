//! Naru's commits: a render merged with what people changed, and a rollback. Everything is decided and stored as
//! objects first; then one transaction moves the references, from where the caller saw the branch or not at all.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use naru_model::manifest::{self, Files};
use naru_model::workload::{EnvironmentSpec, Value};
use naru_model::{CommitId, ConfigurationVersion, EnvironmentName, ReleaseNumber, RevisionNumber};

use super::objects::{CommitText, NARU};
use super::read::read_render;
use super::{DeployError, DeployRepository, LEFT_AT, MAIN, Result, trailer};
use crate::git::{GitError, ReferenceUpdate};

/// What a commit says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub subject: String,
    /// Who asked for it; `None` for Naru itself.
    pub author: Option<String>,
    /// The release it was rendered from.
    pub release: Option<ReleaseNumber>,
    /// The configuration version it carries.
    pub configuration: ConfigurationVersion,
    /// Whether a folder that a person removed is made again.
    pub recreate: bool,
}

/// What became of a render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Where the branch is now.
    pub head: CommitId,
    /// Whether the environment's folder changed, and with it the revision.
    pub changed: bool,
}

/// What is about to be committed.
struct Next<'a> {
    environment: &'a EnvironmentName,
    head: Option<&'a CommitId>,
    files: &'a Files,
    render: &'a Files,
    spec: EnvironmentSpec,
    message: &'a Message,
}

impl DeployRepository {
    /// Commits a render, merged with what people changed since the last one. `expected` is where the caller saw the
    /// branch; [`DeployError::Stale`] when it has moved since.
    ///
    /// Nothing is committed when neither the render nor the folder would change, when fields conflict, or when the
    /// result is refused.
    pub async fn commit_render(
        &self,
        environment: &EnvironmentName,
        render: &Files,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed> {
        let head = self.expect_head(expected).await?;
        let head = head.as_ref();
        let (ours, base) = match head {
            Some(head) => {
                (self.read_environment(head, environment).await?, self.base(head, environment).await?)
            }
            None => (None, None),
        };
        if ours.is_none() && base.is_some() && !message.recreate {
            return Err(DeployError::Removed { environment: environment.clone() });
        }
        if let (Some(head), Some(_)) = (head, &ours)
            && ours.as_ref() == Some(render)
            && base.as_ref() == Some(render)
        {
            return Ok(Committed { head: head.clone(), changed: false });
        }
        let merged = match &ours {
            Some(ours) => {
                manifest::merge(&base.unwrap_or_default(), ours, render).map_err(DeployError::Conflict)?
            }
            None => render.clone(),
        };
        let spec = manifest::parse_of(&self.key(environment), &merged).map_err(DeployError::Refused)?;
        let changed = ours.as_ref() != Some(&merged);
        let next = Next { environment, head, files: &merged, render, spec, message };
        Ok(Committed { head: self.commit(next, changed).await?, changed })
    }

    /// Makes the environment's folder what it was at a revision's commit, people's edits of that time included, and
    /// its render base with it: a new commit.
    pub async fn rollback_to(
        &self,
        environment: &EnvironmentName,
        commit: &CommitId,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed> {
        let head = self.expect_head(expected).await?;
        let no_folder = || DeployError::NoFolder { environment: environment.clone(), commit: commit.clone() };
        let Some(head) = head.as_ref() else { return Err(no_folder()) };
        let revision = self.revision_at(head, environment, commit).await?;
        let files = self.read_environment(commit, environment).await?.ok_or_else(no_folder)?;
        let spec = manifest::parse_of(&self.key(environment), &files).map_err(DeployError::Refused)?;
        let render = self
            .render_of(commit, revision.render.as_ref(), environment)
            .await?
            .unwrap_or_else(|| files.clone());
        let ours = self.read_environment(head, environment).await;
        let changed = !matches!(ours, Ok(Some(ours)) if ours == files);
        if !changed && self.base(head, environment).await?.as_ref() == Some(&render) {
            return Ok(Committed { head: head.clone(), changed: false });
        }
        let next = Next { environment, head: Some(head), files: &files, render: &render, spec, message };
        Ok(Committed { head: self.commit(next, changed).await?, changed })
    }

    /// Where the branch is, if that is where the caller saw it and nobody rewrote it.
    async fn expect_head(&self, expected: Option<&CommitId>) -> Result<Option<CommitId>> {
        let head = self.head().await?;
        if let Some(known) = self.left_at().await? {
            self.check_contains(head.as_ref(), &known).await?;
        }
        if head.as_ref() != expected {
            return Err(DeployError::Stale { expected: expected.cloned(), found: head });
        }
        Ok(head)
    }

    /// What Naru rendered last, as the branch tells it; or else as its own reference does.
    async fn base(&self, head: &CommitId, environment: &EnvironmentName) -> Result<Option<Files>> {
        if let Some((commit, render)) = self.last_of_naru(head, environment).await? {
            return self.render_of(&commit, render.as_ref(), environment).await;
        }
        match self.reference(&Self::render_reference(environment)).await? {
            Some(kept) => read_render(&self.git, &kept.object, environment).await.map(Some),
            None => Ok(None),
        }
    }

    /// The render that a commit was merged from. In a repository that was restored from somebody's clone the renders
    /// are missing; then the commit's own folder is the best there is.
    async fn render_of(
        &self,
        commit: &CommitId,
        render: Option<&CommitId>,
        environment: &EnvironmentName,
    ) -> Result<Option<Files>> {
        if let Some(render) = render
            && self.git.rev_parse(render.as_str()).await?.is_some()
        {
            return read_render(&self.git, render, environment).await.map(Some);
        }
        self.read_environment(commit, environment).await
    }

    /// Stores everything, then moves the three references at once.
    async fn commit(&self, next: Next<'_>, changed: bool) -> Result<CommitId> {
        let environment = next.environment;
        let render_reference = Self::render_reference(environment);
        let render_before = self.reference(&render_reference).await?.map(|reference| reference.object);
        let left_before = self.left_at().await?;
        let objects = self.store(&[next.files, next.render]).await?;

        let tree = self.folder(next.render, &objects).await?;
        let text = CommitText { author: NARU, message: format!("Render {environment}\n") };
        let render = self.commit_object(&tree, render_before.as_ref(), text).await?;

        let revision = match next.head {
            Some(head) => self.count_revisions(head, environment).await?,
            None => 0,
        };
        let folder = self.folder(next.files, &objects).await?;
        let root = self.root_with(next.head, environment, &folder).await?;
        let author = next.message.author.as_deref().map_or(NARU.to_owned(), plain_name);
        let number = RevisionNumber(revision + u32::from(changed));
        let text = CommitText { author: &author, message: commit_message(&next, &render, number) };
        let commit = self.commit_object(&root, next.head, text).await?;

        let move_to = |name: &str, old: Option<CommitId>, new: &CommitId| ReferenceUpdate {
            name: name.to_owned(),
            old,
            new: Some(new.clone()),
        };
        let updates = [
            move_to(MAIN, next.head.cloned(), &commit),
            move_to(LEFT_AT, left_before, &commit),
            move_to(&render_reference, render_before, &render),
        ];
        match self.git.update_refs("git.deploy.commit", &updates).await {
            Ok(()) => Ok(commit),
            Err(GitError::Moved { .. }) => {
                Err(DeployError::Stale { expected: next.head.cloned(), found: self.head().await? })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn count_revisions(&self, head: &CommitId, environment: &EnvironmentName) -> Result<u32> {
        let arguments = ["rev-list", "--count", "--first-parent", head.as_str(), "--", environment.as_str()];
        let answer = self.git.read(&arguments).await?;
        Ok(String::from_utf8_lossy(&answer).trim().parse().unwrap_or_default())
    }
}

fn commit_message(next: &Next<'_>, render: &CommitId, revision: RevisionNumber) -> String {
    let subject: String = next.message.subject.chars().filter(|c| !c.is_control()).take(120).collect();
    let subject = if subject.trim().is_empty() { format!("Render {}", next.environment) } else { subject };
    let mut text = format!("{}\n\n", subject.trim());
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{key}: {value}");
    };
    line(trailer::ENVIRONMENT, next.environment);
    if let Some(release) = next.message.release {
        line(trailer::RELEASE, &release);
    }
    line(trailer::CONFIGURATION, &next.message.configuration);
    line(trailer::REVISION, &revision);
    line(trailer::RENDER, render);
    for (name, version) in secrets(&next.spec) {
        line(trailer::SECRET, &format!("{name} {version}"));
    }
    text
}

/// The secrets that a revision uses.
fn secrets(spec: &EnvironmentSpec) -> BTreeMap<&naru_model::SecretName, naru_model::SecretVersion> {
    let values = spec.services.values().flat_map(|service| service.template.variables.values());
    values
        .filter_map(|value| match value {
            Value::Secret(name, version) => Some((name, *version)),
            Value::Plain(_) => None,
        })
        .collect()
}

/// A login as a name that git accepts.
fn plain_name(login: &str) -> String {
    let name: String = login.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).take(60).collect();
    let name = name.trim().trim_matches(['.', ',', ':', ';', '"', '\'']).to_owned();
    if name.is_empty() { NARU.to_owned() } else { name }
}
