//! The revisions of an environment, from commits alone: every commit along the first parents of `main` that changed
//! its folder, numbered from 1.

use naru_model::{CommitId, ConfigurationVersion, EnvironmentName, ReleaseNumber, RevisionNumber, Timestamp};

use super::objects::unexpected;
use super::write::LastOfNaru;
use super::{DeployError, DeployRepository, Result, trailer};
use crate::git::{Git, GitError};

/// One revision as the deploy repository tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionCommit {
    /// Counts from 1 within the environment.
    pub number: RevisionNumber,
    /// The commit.
    pub commit: CommitId,
    /// Whether the folder is there at this commit; `false` when this commit took it away.
    pub present: bool,
    /// The release it was rendered from; a person's commit has that of the revision before it.
    pub release: Option<ReleaseNumber>,
    /// The configuration version; a person's commit has that of the revision before it.
    pub configuration: ConfigurationVersion,
    /// The render that the next merge starts from; a person's commit has that of the revision before it.
    pub render: Option<CommitId>,
    /// Whether Naru made the commit.
    pub by_naru: bool,
    /// Whose name is on it.
    pub author: String,
    /// The first line of its message.
    pub message: String,
    /// When it was committed.
    pub at: Timestamp,
}

/// The fields of one commit, each ended by NUL.
const FORMAT: [&str; 8] = [
    "%H",
    "%an",
    "%ct",
    "%s",
    "%(trailers:key=Naru-Environment,valueonly,separator=%x2C)",
    "%(trailers:key=Naru-Release,valueonly,separator=%x2C)",
    "%(trailers:key=Naru-Configuration,valueonly,separator=%x2C)",
    "%(trailers:key=Naru-Render,valueonly,separator=%x2C)",
];

const INTENT: &str = "%(trailers:key=Naru-Intent,valueonly,separator=%x2C)";

impl DeployRepository {
    /// Every revision of an environment, oldest first. Empty when its folder was never there.
    ///
    /// When the branch no longer contains what Naru left on it, this is [`DeployError::Rewritten`]: numbers would
    /// change their meaning.
    pub async fn history(&self, environment: &EnvironmentName) -> Result<Vec<RevisionCommit>> {
        let references = self.references().await?;
        self.check_kept(&references).await?;
        match references.main {
            Some(head) => revisions(&self.git, &head, environment).await,
            None => Ok(Vec::new()),
        }
    }

    /// The revision that a commit is, at or before `head`.
    pub(super) async fn revision_at(
        &self,
        head: &CommitId,
        environment: &EnvironmentName,
        commit: &CommitId,
    ) -> Result<RevisionCommit> {
        let found =
            revisions(&self.git, head, environment).await?.into_iter().find(|one| one.commit == *commit);
        found
            .ok_or_else(|| DeployError::NoFolder { environment: environment.clone(), commit: commit.clone() })
    }

    /// Naru's last commit for the environment on the line that leads to `head`, with the render and the intent it names.
    pub(super) async fn last_of_naru(
        &self,
        head: Option<&CommitId>,
        environment: &EnvironmentName,
    ) -> Result<Option<LastOfNaru>> {
        let Some(head) = head else { return Ok(None) };
        let naru = format!("--grep=^{}: {environment}$", trailer::ENVIRONMENT);
        let format = format!("--format=%H,{},{INTENT}", FORMAT[7]);
        let arguments = ["log", "--first-parent", "--max-count=1", &naru, &format, head.as_str(), "--"];
        let answer = self.git.read(&arguments).await?;
        let answer = String::from_utf8_lossy(&answer);
        let fields: Vec<&str> = answer.trim_end_matches('\n').split(',').collect();
        let [commit, render, intent] = fields[..] else { return Ok(None) };
        let commit = commit.parse().map_err(|_| unexpected("log", &answer))?;
        Ok(Some(LastOfNaru { commit, render: render.parse().ok(), intent: intent.parse().ok() }))
    }
}

async fn revisions(git: &Git, head: &CommitId, environment: &EnvironmentName) -> Result<Vec<RevisionCommit>> {
    let format = format!("--format={}", FORMAT.join("%x00"));
    let arguments =
        ["log", "-z", "--first-parent", "--reverse", &format, head.as_str(), "--", environment.as_str()];
    let answer = git.read(&arguments).await?;
    let mut fields: Vec<&[u8]> = answer.split(|byte| *byte == 0).collect();
    fields.pop(); // what follows the last NUL
    if !fields.len().is_multiple_of(FORMAT.len()) {
        return Err(unexpected("log", &String::from_utf8_lossy(&answer)).into());
    }
    let present = present(git, environment, fields.chunks(FORMAT.len()).map(|commit| commit[0])).await?;
    let mut revisions: Vec<RevisionCommit> = Vec::new();
    for (commit, present) in fields.chunks(FORMAT.len()).zip(present) {
        let fields: Vec<_> = commit.iter().map(|field| String::from_utf8_lossy(field)).collect();
        let read = read_commit(&fields, environment, present, revisions.last());
        revisions.push(read.ok_or_else(|| unexpected("log", &fields.join(" ")))?);
    }
    Ok(revisions)
}

fn read_commit(
    fields: &[std::borrow::Cow<'_, str>],
    environment: &EnvironmentName,
    present: bool,
    before: Option<&RevisionCommit>,
) -> Option<RevisionCommit> {
    let [commit, author, at, message, of, release, configuration, render] = fields else { return None };
    let by_naru = of == environment.as_str();
    let (release, configuration, render) = if by_naru {
        (release.parse().ok(), configuration.parse().unwrap_or_default(), render.parse().ok())
    } else {
        before.map(|b| (b.release, b.configuration, b.render.clone())).unwrap_or_default()
    };
    Some(RevisionCommit {
        number: before.map_or(RevisionNumber(1), |before| before.number.next()),
        commit: commit.parse().ok()?,
        present,
        release,
        configuration,
        render,
        by_naru,
        author: author.chars().take(100).collect(),
        message: message.chars().take(200).collect(),
        at: Timestamp::from_second(at.parse().ok()?).ok()?,
    })
}

/// Whether each commit has the folder.
async fn present<'a>(
    git: &Git,
    environment: &EnvironmentName,
    commits: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<bool>, GitError> {
    let mut asked = Vec::new();
    for commit in commits {
        asked.extend_from_slice(commit);
        asked.extend_from_slice(format!(":{environment}\n").as_bytes());
    }
    let answer = git.call(["cat-file", "--batch-check=%(objecttype)"]).stdin(asked).read().await?;
    Ok(String::from_utf8_lossy(&answer).lines().map(|line| !line.ends_with(" missing")).collect())
}
