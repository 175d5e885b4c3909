//! Naru's commits: a render merged with what people changed, and a rollback. Everything is decided and stored as
//! objects first; then one transaction moves the references, from where the caller saw the branch or not at all.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use naru_model::manifest::{self, Files};
use naru_model::workload::{EnvironmentSpec, Value};
use naru_model::{CommitId, ConfigurationVersion, EnvironmentName, ReleaseNumber, RevisionNumber};

use super::objects::{Import, NARU, NewCommit};
use super::read::read_render;
use super::{DeployError, DeployRepository, LEFT_AT, MAIN, References, Result, trailer};
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
    /// The intent that it fulfils: while Naru's last commit names it, it is not made again.
    pub intent: Option<i64>,
}

/// What became of a render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Where the branch is now; the commit itself when the intent was fulfilled before.
    pub head: CommitId,
    /// Whether the environment's folder changed, and with it the revision.
    pub changed: bool,
}

/// What Naru's last commit for an environment says.
pub(super) struct LastOfNaru {
    pub(super) commit: CommitId,
    pub(super) render: Option<CommitId>,
    pub(super) intent: Option<i64>,
}

/// What is about to be committed.
struct Next<'a> {
    environment: &'a EnvironmentName,
    from: &'a References,
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
        let from = self.expect_head(expected).await?;
        let last = self.last_of_naru(from.main.as_ref(), environment).await?;
        if let Some(done) = self.done_before(&from, last.as_ref(), message, environment).await? {
            return Ok(done);
        }
        let (ours, base) = match &from.main {
            Some(head) => tokio::try_join!(
                self.read_environment(head, environment),
                self.base(&from, last.as_ref(), environment)
            )?,
            None => (None, None),
        };
        if ours.is_none() && base.is_some() && !message.recreate {
            return Err(DeployError::Removed { environment: environment.clone() });
        }
        if let Some(head) = &from.main
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
        let next = Next { environment, from: &from, files: &merged, render, spec, message };
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
        let from = self.expect_head(expected).await?;
        let no_folder = || DeployError::NoFolder { environment: environment.clone(), commit: commit.clone() };
        let Some(head) = &from.main else { return Err(no_folder()) };
        let last = self.last_of_naru(Some(head), environment).await?;
        if let Some(done) = self.done_before(&from, last.as_ref(), message, environment).await? {
            return Ok(done);
        }
        let revision = self.revision_at(head, environment, commit).await?;
        let files = self.read_environment(commit, environment).await?.ok_or_else(no_folder)?;
        let spec = manifest::parse_of(&self.key(environment), &files).map_err(DeployError::Refused)?;
        let render = self
            .render_of(commit, revision.render.as_ref(), environment)
            .await?
            .unwrap_or_else(|| files.clone());
        let ours = self.read_environment(head, environment).await;
        let changed = !matches!(ours, Ok(Some(ours)) if ours == files);
        if !changed && self.base(&from, last.as_ref(), environment).await?.as_ref() == Some(&render) {
            return Ok(Committed { head: head.clone(), changed: false });
        }
        let next = Next { environment, from: &from, files: &files, render: &render, spec, message };
        Ok(Committed { head: self.commit(next, changed).await?, changed })
    }

    /// Where the references are, if the branch is where the caller saw it and nobody rewrote it.
    async fn expect_head(&self, expected: Option<&CommitId>) -> Result<References> {
        let references = self.references().await?;
        self.check_kept(&references).await?;
        if references.main.as_ref() != expected {
            return Err(DeployError::Stale { expected: expected.cloned(), found: references.main });
        }
        Ok(references)
    }

    /// The commit that fulfilled the same intent before a crash hid it from the caller.
    async fn done_before(
        &self,
        from: &References,
        last: Option<&LastOfNaru>,
        message: &Message,
        environment: &EnvironmentName,
    ) -> Result<Option<Committed>> {
        let (Some(head), Some(last)) = (&from.main, last) else { return Ok(None) };
        if message.intent.is_none() || message.intent != last.intent {
            return Ok(None);
        }
        match self.revision_at(head, environment, &last.commit).await {
            Ok(revision) => Ok(Some(Committed { head: revision.commit, changed: true })),
            // It changed the render alone.
            Err(DeployError::NoFolder { .. }) => Ok(Some(Committed { head: head.clone(), changed: false })),
            Err(error) => Err(error),
        }
    }

    /// What Naru rendered last, as the branch tells it; or else as its own reference does.
    async fn base(
        &self,
        from: &References,
        last: Option<&LastOfNaru>,
        environment: &EnvironmentName,
    ) -> Result<Option<Files>> {
        if let Some(last) = last {
            return self.render_of(&last.commit, last.render.as_ref(), environment).await;
        }
        match from.render(environment) {
            Some(kept) => read_render(&self.git, kept, environment).await.map(Some),
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
        let (head, render_before) = (next.from.main.as_ref(), next.from.render(environment));
        let mut import = Import::begin(&self.git, &self.instance, self.clock.now())?;
        let render = NewCommit {
            parent: render_before,
            folder: None,
            files: next.render,
            author: NARU.to_owned(),
            message: format!("Render {environment}\n"),
        };
        let (render, before) =
            tokio::try_join!(import.commit(render), self.count_revisions(head, environment))?;
        let number = RevisionNumber(before + u32::from(changed));
        let commit = NewCommit {
            parent: head,
            folder: Some(environment),
            files: next.files,
            author: next.message.author.as_deref().map_or(NARU.to_owned(), plain_name),
            message: commit_message(&next, &render, number),
        };
        let commit = import.commit(commit).await?;
        import.end().await?;

        let move_to = |name: &str, old: Option<&CommitId>, new: &CommitId| ReferenceUpdate {
            name: name.to_owned(),
            old: old.cloned(),
            new: Some(new.clone()),
        };
        let updates = [
            move_to(MAIN, head, &commit),
            move_to(LEFT_AT, next.from.left_at.as_ref(), &commit),
            move_to(&Self::render_reference(environment), render_before, &render),
        ];
        match self.git.update_refs("git.deploy.commit", &updates).await {
            Ok(()) => Ok(commit),
            Err(GitError::Moved { .. }) => {
                Err(DeployError::Stale { expected: head.cloned(), found: self.head().await? })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn count_revisions(&self, head: Option<&CommitId>, environment: &EnvironmentName) -> Result<u32> {
        let Some(head) = head else { return Ok(0) };
        let arguments = ["rev-list", "--count", "--first-parent", head.as_str(), "--", environment.as_str()];
        let answer = self.git.read(&arguments).await?;
        Ok(String::from_utf8_lossy(&answer).trim().parse().unwrap_or_default())
    }
}

fn commit_message(next: &Next<'_>, render: &CommitId, revision: RevisionNumber) -> String {
    let subject: String = next.message.subject.chars().filter(|c| !c.is_control()).take(120).collect();
    // The subject must not look like a trailer.
    let subject = subject.trim().trim_start_matches("Naru-");
    let mut text = match subject {
        "" => format!("Render {}\n\n", next.environment),
        subject => format!("{subject}\n\n"),
    };
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
    if let Some(intent) = next.message.intent {
        line(trailer::INTENT, &intent);
    }
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
