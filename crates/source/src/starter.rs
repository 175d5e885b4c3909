//! The first commit of a source repository that begins from a template instead of a push.

use std::fmt::Write as _;

use naru_model::{BranchName, CommitId, ProjectName, Timestamp};

use crate::SourceRepositories;
use crate::git::{GitError, ReferenceUpdate, Result};

/// What `git fast-import` calls the branch it is told to build on; it is cleared before the end and never written.
const SCRATCH: &str = "refs/naru/scratch";

impl SourceRepositories {
    /// Commits files, path → content, as the first commit of a branch that does not exist yet. `author` is a login name.
    pub async fn begin(
        &self,
        project: &ProjectName,
        branch: &BranchName,
        files: &[(&str, &str)],
        (author, now): (&str, Timestamp),
    ) -> Result<CommitId> {
        let git = self.source(project);
        let mut conversation = git.converse("fast-import", &["--quiet", "--done"])?;
        conversation.say(script(files, author, now).as_bytes()).await?;
        let answer = conversation.line().await?;
        let commit: CommitId = answer.parse().map_err(|_| GitError::Failed {
            command: "fast-import".to_owned(),
            code: Some(0),
            said: format!("an answer that cannot be read: {answer:.200}"),
        })?;
        conversation.say(b"done\n").await?;
        conversation.end().await?;
        let update =
            ReferenceUpdate { name: format!("refs/heads/{branch}"), old: None, new: Some(commit.clone()) };
        git.update_ref("git.begin", update).await?;
        Ok(commit)
    }
}

/// Logins have no character that would end the line; paths are those of our own templates.
fn script(files: &[(&str, &str)], author: &str, now: Timestamp) -> String {
    let message = "Begin from a template\n";
    let date = format!("{} +0000", now.as_second());
    let mut script = String::new();
    // Writing to a String does not fail.
    let _ = write!(script, "reset {SCRATCH}\n\ncommit {SCRATCH}\nmark :1\n");
    let _ = writeln!(script, "author {author} <{author}@naru> {date}\ncommitter Naru <naru@naru> {date}");
    let _ = writeln!(script, "data {}\n{message}", message.len());
    for (path, content) in files {
        let _ = writeln!(script, "M 100644 inline {path}\ndata {}\n{content}", content.len());
    }
    let _ = write!(script, "\nreset {SCRATCH}\n\nget-mark :1\n");
    script
}
