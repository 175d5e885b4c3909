//! References: reading them all, and moving them only from where the caller saw them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use naru_model::CommitId;

use super::{Git, GitError, Result};

const ABSENT: &str = "0000000000000000000000000000000000000000";

/// One reference and where it points. For an annotated tag this is the tag object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its full name, such as `refs/heads/main`.
    pub name: String,
    /// The object it names.
    pub object: CommitId,
}

/// A move of one reference, valid only from `old`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceUpdate {
    /// The full name, such as `refs/heads/main`.
    pub name: String,
    /// Where it must be now; `None`: it must not exist.
    pub old: Option<CommitId>,
    /// Where it goes; `None` deletes it.
    pub new: Option<CommitId>,
}

impl Git {
    /// Every reference below `prefix`, such as `refs/heads/`.
    pub async fn references(&self, prefix: &str) -> Result<Vec<Reference>> {
        check_reference(prefix.trim_end_matches('/'))?;
        let listing = self.read(&["for-each-ref", "--format=%(objectname) %(refname)", "--", prefix]).await?;
        let listing = String::from_utf8_lossy(&listing);
        let parsed = listing.lines().filter_map(|line| {
            let (object, name) = line.split_once(' ')?;
            Some(Reference { name: name.to_owned(), object: object.parse().ok()? })
        });
        Ok(parsed.collect())
    }

    /// Moves one reference. Fails with [`GitError::Moved`] when it is no longer where the caller saw it.
    pub async fn update_ref(&self, effect: &str, update: ReferenceUpdate) -> Result<()> {
        self.update_refs(effect, &[update]).await
    }

    /// Moves references, all or none. Fails with [`GitError::Moved`] when one of them is no longer where the caller
    /// saw it.
    pub async fn update_refs(&self, effect: &str, updates: &[ReferenceUpdate]) -> Result<()> {
        let mut script = String::from("start\0");
        for update in updates {
            check_reference(&update.name)?;
            let old = update.old.as_ref().map_or(ABSENT, CommitId::as_str);
            let new = update.new.as_ref().map_or(ABSENT, CommitId::as_str);
            let _ = write!(script, "update {}\0{new}\0{old}\0", update.name);
        }
        script.push_str("prepare\0commit\0");
        let failed = match self.call(["update-ref", "-z", "--stdin"]).stdin(script).effect(effect).await {
            Ok(_) => return Ok(()),
            Err(error @ GitError::Failed { .. }) => error,
            Err(error) => return Err(error),
        };
        // Git's words for a lost race vary by version; the references themselves tell.
        let now: BTreeMap<_, _> =
            self.references("refs/").await?.into_iter().map(|seen| (seen.name, seen.object)).collect();
        match updates.iter().find(|update| now.get(&update.name) != update.old.as_ref()) {
            Some(update) => Err(GitError::Moved { reference: update.name.clone() }),
            None => Err(failed),
        }
    }
}

/// Accepts full names of printable characters; the rest is git's own check.
fn check_reference(name: &str) -> Result<()> {
    let clean = (name == "refs" || name.starts_with("refs/"))
        && name.len() <= 300
        && !name.contains("..")
        && !name.contains(|c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c));
    if clean { Ok(()) } else { Err(GitError::Refused(name.chars().take(200).collect())) }
}
