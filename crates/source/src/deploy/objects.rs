//! Making git objects without a work tree, all in one process: files, folders, commits. Objects that no reference leads
//! to are seen by nobody, so making them is no effect; moving the references is.

use std::fmt::Write as _;

use naru_model::manifest::Files;
use naru_model::{CommitId, EnvironmentName, InstanceId, Timestamp};

use super::Result;
use crate::git::{Conversation, Git, GitError};

/// The name on Naru's own commits.
pub(super) const NARU: &str = "Naru";
/// What `git fast-import` calls the branch it is told to build on; it is cleared before the end and never written.
const SCRATCH: &str = "refs/naru/scratch";

/// A commit to be made.
pub(super) struct NewCommit<'a> {
    /// What it comes after.
    pub(super) parent: Option<&'a CommitId>,
    /// The folder that is replaced by `files`, all other entries staying byte for byte; or the whole of it.
    pub(super) folder: Option<&'a EnvironmentName>,
    /// Name → content.
    pub(super) files: &'a Files,
    /// Whose name is on it.
    pub(super) author: String,
    /// All of its text.
    pub(super) message: String,
}

/// Commits in the making.
pub(super) struct Import<'a> {
    conversation: Conversation,
    instance: &'a InstanceId,
    date: String,
    marks: u32,
}

impl<'a> Import<'a> {
    pub(super) fn begin(git: &Git, instance: &'a InstanceId, now: Timestamp) -> Result<Self> {
        let conversation = git.converse("fast-import", &["--quiet", "--done"])?;
        Ok(Self { conversation, instance, date: format!("{} +0000", now.as_second()), marks: 0 })
    }

    /// Makes a commit that no reference leads to yet.
    pub(super) async fn commit(&mut self, new: NewCommit<'_>) -> Result<CommitId> {
        self.marks += 1;
        let script = self.script(&new);
        self.conversation.say(&script).await?;
        let answer = self.conversation.line().await?;
        answer.parse().map_err(|_| unexpected("fast-import", &answer).into())
    }

    /// Waits until everything is stored.
    pub(super) async fn end(mut self) -> Result<()> {
        self.conversation.say(b"done\n").await?;
        Ok(self.conversation.end().await?)
    }

    fn script(&self, new: &NewCommit<'_>) -> Vec<u8> {
        let NewCommit { parent, folder, files, author, message } = new;
        let Self { instance, date, marks: mark, .. } = self;
        let mail = if author == NARU { "naru" } else { author };
        let mut script = String::new();
        // Writing to a String does not fail.
        let _ = write!(script, "reset {SCRATCH}\n\ncommit {SCRATCH}\nmark :{mark}\n");
        let _ = writeln!(script, "author {author} <{mail}@{instance}> {date}");
        let _ = writeln!(script, "committer {NARU} <naru@{instance}> {date}");
        let _ = writeln!(script, "data {}\n{message}", message.len());
        if let Some(parent) = parent {
            let _ = writeln!(script, "from {parent}");
        }
        let prefix = if let Some(folder) = folder {
            let _ = writeln!(script, "D {folder}");
            format!("{folder}/")
        } else {
            script.push_str("deleteall\n");
            String::new()
        };
        for (name, content) in *files {
            let path = quoted(&format!("{prefix}{name}"));
            let _ = writeln!(script, "M 100644 inline {path}\ndata {}\n{content}", content.len());
        }
        let _ = write!(script, "\nreset {SCRATCH}\n\nget-mark :{mark}\n");
        script.into_bytes()
    }
}

/// A path as `git fast-import` reads it, whatever it contains.
fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// An answer of git that is not what its documentation says.
pub(super) fn unexpected(command: &str, answer: &str) -> GitError {
    let said = format!("an answer that cannot be read: {:?}", answer.chars().take(200).collect::<String>());
    GitError::Failed { command: command.to_owned(), code: Some(0), said }
}
