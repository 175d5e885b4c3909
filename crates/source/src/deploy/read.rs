//! Reading an environment's folder at a commit, and saying how the branch stands.

use naru_model::manifest::{self, Files, limit};
use naru_model::workload::EnvironmentSpec;
use naru_model::{CommitId, EnvironmentName, Problem};

use super::objects::unexpected;
use super::{DeployError, DeployRepository, References, Result, RevisionCommit};
use crate::git::{Entry, EntryKind, Git, Object};

/// How an environment stands in the deploy repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Its folder was never there.
    Never,
    /// Its folder is there; this is the newest revision.
    Present(RevisionCommit),
    /// The newest revision is a commit that took the folder away: somebody wants nothing of it to run.
    Removed(RevisionCommit),
}

impl DeployRepository {
    /// How an environment stands. A branch that was rewritten, emptied or deleted behind Naru's back is
    /// [`DeployError::Rewritten`] and never looks like a folder that somebody removed.
    pub async fn observe(&self, environment: &EnvironmentName) -> Result<Observed> {
        let Some(newest) = self.history(environment).await?.pop() else { return Ok(Observed::Never) };
        Ok(if newest.present { Observed::Present(newest) } else { Observed::Removed(newest) })
    }

    /// The environment's files at a commit; `None` when the commit has no such folder. A folder that is there but
    /// cannot be read (links, submodules, too large, no text) is [`DeployError::Refused`].
    pub async fn read_environment(
        &self,
        commit: &CommitId,
        environment: &EnvironmentName,
    ) -> Result<Option<Files>> {
        read_folder(&self.git, commit, environment).await
    }

    /// What the environment's manifests ask for at a commit; `None` when the commit has no such folder. Manifests that
    /// are not honoured are [`DeployError::Refused`].
    pub async fn read_spec(
        &self,
        commit: &CommitId,
        environment: &EnvironmentName,
    ) -> Result<Option<EnvironmentSpec>> {
        let Some(files) = self.read_environment(commit, environment).await? else { return Ok(None) };
        manifest::parse_of(&self.key(environment), &files).map(Some).map_err(DeployError::Refused)
    }

    /// What changed in an environment between two commits, field by field. A missing folder has no fields.
    pub async fn diff(
        &self,
        environment: &EnvironmentName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Vec<manifest::FieldChange>> {
        let from = self.read_environment(from, environment).await?.unwrap_or_default();
        let to = self.read_environment(to, environment).await?.unwrap_or_default();
        Ok(manifest::diff(&from, &to))
    }

    /// Fails with [`DeployError::Rewritten`] unless the branch still contains what Naru left on it, along first
    /// parents.
    pub(super) async fn check_kept(&self, references: &References) -> Result<()> {
        let Some(known) = &references.left_at else { return Ok(()) };
        let kept = match &references.main {
            Some(head) => head == known || first_parents(&self.git, known, head).await?.is_some(),
            None => false,
        };
        let rewritten = || DeployError::Rewritten { missing: known.clone(), head: references.main.clone() };
        kept.then_some(()).ok_or_else(rewritten)
    }
}

/// The commits after `old` up to `new` along first parents, oldest first; `None` when `old` is not on that line.
pub(super) async fn first_parents(
    git: &Git,
    old: &CommitId,
    new: &CommitId,
) -> Result<Option<Vec<CommitId>>> {
    if git.rev_parse(old.as_str()).await?.is_none() {
        return Ok(None);
    }
    let without = format!("^{old}");
    let arguments = ["log", "--first-parent", "--reverse", "--format=%H %P", new.as_str(), &without, "--"];
    let answer = git.read(&arguments).await?;
    let answer = String::from_utf8_lossy(&answer);
    let mut commits = Vec::new();
    let mut parent = old.as_str();
    for line in answer.lines() {
        let mut ids = line.split(' ');
        let id = ids.next().unwrap_or_default();
        if ids.next() != Some(parent) {
            return Ok(None);
        }
        commits.push(id.parse().map_err(|_| unexpected("log", line))?);
        parent = id;
    }
    Ok((parent == new.as_str()).then_some(commits))
}

/// The files of a folder at the root of a commit.
pub(super) async fn read_folder(
    git: &Git,
    commit: &CommitId,
    environment: &EnvironmentName,
) -> Result<Option<Files>> {
    let root = git.ls_tree(commit, None, false).await?;
    let Some(folder) = root.iter().find(|entry| entry.path == environment.as_str()) else { return Ok(None) };
    if folder.kind != EntryKind::Folder {
        let what = format!("`{environment}` is {}, not a folder", folder.kind);
        return Err(DeployError::Refused(vec![refusal(environment.as_str(), what)]));
    }
    let entries = git.ls_tree(commit, Some(environment.as_str()), true).await?;
    check_entries(environment, &entries).map_err(DeployError::Refused)?;
    read_blobs(git, environment, &entries).await.map(Some)
}

/// The files at the root of a commit of `refs/naru/render/…`, which Naru made itself.
pub(super) async fn read_render(
    git: &Git,
    commit: &CommitId,
    environment: &EnvironmentName,
) -> Result<Files> {
    let entries = git.ls_tree(commit, None, true).await?;
    check_entries(environment, &entries).map_err(DeployError::Refused)?;
    read_blobs(git, environment, &entries).await
}

/// Refuses what is no plain file or too many, before any of it is read.
fn check_entries(environment: &EnvironmentName, entries: &[Entry]) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for entry in entries {
        let path = entry.path.as_str();
        match entry.kind {
            EntryKind::File | EntryKind::Executable => {}
            kind => problems.push(refusal(path, format!("it is {kind}; only plain files are read"))),
        }
        if is_git_like(path) {
            problems.push(refusal(path, "names like .git are not accepted"));
        }
        if path.contains(char::REPLACEMENT_CHARACTER) || path.contains(char::is_control) {
            problems.push(refusal(path, "its name is not plain text"));
        }
    }
    if entries.len() > limit::FILES {
        let why = format!("it has {} files; at most {} are read", entries.len(), limit::FILES);
        problems.push(refusal(environment.as_str(), why));
    }
    problems.truncate(50);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Whether a path has a component that git or a tool could take for its own.
pub(super) fn is_git_like(path: &str) -> bool {
    path.split('/').any(|part| {
        let part = part.to_ascii_lowercase();
        part.starts_with(".git") || part.starts_with("git~") || part == "." || part == ".."
    })
}

/// A refusal by path within the repository.
pub(super) fn refusal(path: &str, why: impl Into<String>) -> Problem {
    let shown: String = path.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    Problem::new("manifest.refused", format!("`{shown}` cannot be honoured"))
        .cause(why)
        .state("nothing that runs was changed")
        .hint("change it, then commit and push again; docs/reference/manifests.md lists what is read")
}

/// Reads all files, as long as they are text and not too much.
async fn read_blobs(git: &Git, environment: &EnvironmentName, entries: &[Entry]) -> Result<Files> {
    let own = format!("{environment}/");
    let mut files = Files::new();
    let mut problems = Vec::new();
    let mut total = 0;
    for entry in entries {
        let content = match git.object(&entry.object, limit::FILE_BYTES as u64).await? {
            Object::Whole { content, .. } => content,
            Object::Missing => return Err(unexpected("cat-file", &entry.object).into()),
            Object::TooLarge(size) => {
                let why = format!("it has {size} bytes; at most {} are read", limit::FILE_BYTES);
                problems.push(refusal(&entry.path, why));
                continue;
            }
        };
        total += content.len();
        if total > limit::FOLDER_BYTES {
            let why = format!("it has more than {} bytes", limit::FOLDER_BYTES);
            problems.push(refusal(environment.as_str(), why));
            break;
        }
        let name = entry.path.strip_prefix(&own).unwrap_or(&entry.path).to_owned();
        match String::from_utf8(content) {
            Ok(text) => {
                files.insert(name, text);
            }
            Err(_) => problems.push(refusal(&entry.path, "it is not UTF-8 text")),
        }
    }
    problems.truncate(50);
    if problems.is_empty() { Ok(files) } else { Err(DeployError::Refused(problems)) }
}
