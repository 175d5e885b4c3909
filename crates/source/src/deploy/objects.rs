//! Making git objects without a work tree: blobs, folders, commits. Objects that no reference leads to are seen by
//! nobody, so making them is no effect; moving the references is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use naru_model::manifest::Files;
use naru_model::{CommitId, EnvironmentName};

use super::{DeployRepository, Result};
use crate::git::{GitError, Variable};

/// Who and what of a commit.
pub(super) struct CommitText<'a> {
    pub(super) author: &'a str,
    pub(super) message: String,
}

impl DeployRepository {
    /// Stores the contents of files and returns the object of each content.
    pub(super) async fn store<'a>(&self, folders: &[&'a Files]) -> Result<BTreeMap<&'a str, String>> {
        let contents: BTreeSet<&str> =
            folders.iter().flat_map(|files| files.values()).map(String::as_str).collect();
        let mut script = Vec::new();
        for (index, content) in contents.iter().enumerate() {
            script
                .extend_from_slice(format!("blob\nmark :{}\ndata {}\n", index + 1, content.len()).as_bytes());
            script.extend_from_slice(content.as_bytes());
            script.push(b'\n');
        }
        for index in 1..=contents.len() {
            script.extend_from_slice(format!("get-mark :{index}\n").as_bytes());
        }
        let answer = self.git.call(["fast-import", "--quiet"]).stdin(script).read().await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let objects: Vec<String> = answer.lines().map(ToOwned::to_owned).collect();
        if objects.len() != contents.len() {
            return Err(unexpected("fast-import", &answer).into());
        }
        Ok(contents.into_iter().zip(objects).collect())
    }

    /// Makes a folder of files whose contents are stored.
    pub(super) async fn folder(&self, files: &Files, objects: &BTreeMap<&str, String>) -> Result<String> {
        let mut listing = String::new();
        for (name, content) in files {
            let _ = write!(listing, "100644 blob {}\t{name}\0", objects[content.as_str()]);
        }
        self.tree(listing.into_bytes()).await
    }

    /// The root of `head` with the environment's folder replaced; all other entries stay byte for byte.
    pub(super) async fn root_with(
        &self,
        head: Option<&CommitId>,
        environment: &EnvironmentName,
        folder: &str,
    ) -> Result<String> {
        let mut listing = match head {
            Some(head) => self.git.read(&["ls-tree", "-z", "--full-tree", head.as_str()]).await?,
            None => Vec::new(),
        };
        let own = format!("\t{environment}");
        let others = listing
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty() && !entry.ends_with(own.as_bytes()));
        let mut root = Vec::new();
        for entry in others {
            root.extend_from_slice(entry);
            root.push(0);
        }
        root.extend_from_slice(format!("040000 tree {folder}\t{environment}\0").as_bytes());
        listing.clear();
        self.tree(root).await
    }

    /// Makes a folder from a listing as `git ls-tree -z` prints it.
    async fn tree(&self, listing: Vec<u8>) -> Result<String> {
        let answer = self.git.call(["mktree", "-z"]).stdin(listing).read().await?;
        Ok(object_id("mktree", &answer)?.to_string())
    }

    /// Makes a commit that no reference leads to yet.
    pub(super) async fn commit_object(
        &self,
        tree: &str,
        parent: Option<&CommitId>,
        text: CommitText<'_>,
    ) -> Result<CommitId> {
        let mut arguments = vec!["commit-tree", "-F", "-"];
        if let Some(parent) = parent {
            arguments.extend(["-p", parent.as_str()]);
        }
        arguments.push(tree);
        let mail = format!("naru@{}", self.instance);
        let date = format!("{} +0000", self.clock.now().as_second());
        let author_mail =
            if text.author == NARU { mail.clone() } else { format!("{}@{}", text.author, self.instance) };
        let answer = self
            .git
            .call(arguments)
            .variable(Variable::AuthorName, text.author)
            .variable(Variable::AuthorEmail, author_mail)
            .variable(Variable::AuthorDate, &date)
            .variable(Variable::CommitterName, NARU)
            .variable(Variable::CommitterEmail, mail)
            .variable(Variable::CommitterDate, &date)
            .stdin(text.message)
            .read()
            .await?;
        Ok(object_id("commit-tree", &answer)?)
    }
}

/// The name on Naru's own commits.
pub(super) const NARU: &str = "Naru";

fn object_id(command: &str, answer: &[u8]) -> Result<CommitId, GitError> {
    let text = String::from_utf8_lossy(answer);
    text.trim().parse().map_err(|_| unexpected(command, &text))
}

/// An answer of git that is not what its documentation says.
pub(super) fn unexpected(command: &str, answer: &str) -> GitError {
    let said = format!("an answer that cannot be read: {:?}", answer.chars().take(200).collect::<String>());
    GitError::Failed { command: command.to_owned(), code: Some(0), said }
}
