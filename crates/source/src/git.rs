//! One bare repository, read and changed through the system git.
//!
//! Owns how git is called: argument vectors, a clean environment, limits on time and output. What a repository means
//! (source or deploy), who may touch it, and which commits are worth making is decided elsewhere.

mod archive;
mod command;
mod object;
mod reference;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use naru_model::effect::Effects;
use naru_model::{BranchName, Problem};

pub use archive::Archive;
pub use command::{Call, Output, Variable};
pub(crate) use command::{Conversation, Running, read_tail};
pub use object::{Entry, EntryKind, Object};
pub use reference::{Reference, ReferenceUpdate};

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Git could not be started, most likely because it is not installed.
    #[error("git could not be started: {0}")]
    NotStarted(#[source] std::io::Error),
    /// It took longer than its time limit and was killed.
    #[error("git {command} took longer than {seconds} s")]
    TimedOut {
        /// Which command of git.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// A file or an answer is larger than the caller accepts.
    #[error("{what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// A path, or which command of git.
        what: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// It ended with an error.
    #[error("git {command} failed: {said}")]
    Failed {
        /// Which command of git.
        command: String,
        /// Its exit code; nothing when a signal ended it.
        code: Option<i32>,
        /// The end of what it printed to standard error.
        said: String,
    },
    /// A reference has moved since it was read.
    #[error("{reference} has moved")]
    Moved {
        /// Its full name.
        reference: String,
    },
    /// The path exists but is a folder, a submodule or a symbolic link.
    #[error("{path} is {kind}, not a file")]
    NotAFile {
        /// The path in the repository.
        path: String,
        /// What it is.
        kind: EntryKind,
    },
    /// A name or path that git must not be given.
    #[error("{0:?} is not usable as a path or name in a repository")]
    Refused(String),
    /// The conversation with the process broke.
    #[error("git stopped answering: {0}")]
    Io(#[from] std::io::Error),
}

impl From<GitError> for Problem {
    fn from(error: GitError) -> Self {
        let code = match &error {
            GitError::NotStarted(_) => "source.git-missing",
            GitError::TooLarge { .. } => "source.too-large",
            GitError::NotAFile { .. } => "source.not-a-file",
            GitError::Moved { .. } => "source.moved",
            GitError::Refused(_) => "source.refused-path",
            GitError::TimedOut { .. } | GitError::Failed { .. } | GitError::Io(_) => "source.git-failed",
        };
        let problem = Self::new(code, error.to_string());
        match error {
            GitError::NotStarted(_) => problem.hint("install git, then try again:").command("naru doctor"),
            _ => problem,
        }
    }
}

/// The result of every call here.
pub type Result<T, E = GitError> = std::result::Result<T, E>;

/// A bare repository in a folder. Cheap to clone. The first look at an object starts a process that answers later ones
/// too, and ends with the last clone: make one per operation, keep none.
#[derive(Clone)]
pub struct Git {
    folder: PathBuf,
    effects: Arc<dyn Effects>,
    variables: Vec<(Variable, OsString)>,
    objects: object::Reader,
}

impl Git {
    /// The repository in `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>, effects: Arc<dyn Effects>) -> Self {
        Self { folder: folder.into(), effects, variables: Vec::new(), objects: object::Reader::default() }
    }

    /// The same repository with a variable for every call, such as the quarantine of a push.
    pub fn with(mut self, variable: Variable, value: impl Into<OsString>) -> Self {
        self.variables.push((variable, value.into()));
        self.objects = object::Reader::default();
        self
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Prepares a call of git. The first argument is the command; put `--` or `--end-of-options` before operands.
    pub fn call<I, A>(&self, arguments: I) -> Call<'_>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        Call::new(self, arguments)
    }

    /// Runs a command that changes nothing and returns its standard output.
    pub async fn read<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Vec<u8>> {
        self.call(arguments).read().await
    }

    /// Runs a command that changes the repository. `name` is stable and dotted, such as `git.deploy.commit`.
    pub async fn effect<A: AsRef<OsStr>>(&self, name: &str, arguments: &[A]) -> Result<Vec<u8>> {
        self.call(arguments).effect(name).await
    }

    /// Makes an empty bare repository whose `HEAD` names `branch`. Doing it again changes nothing that was pushed.
    pub async fn init_bare(&self, branch: &BranchName) -> Result<()> {
        tokio::fs::create_dir_all(&self.folder).await?;
        let branch = format!("--initial-branch={branch}");
        self.effect(
            "git.init",
            &["init", "--bare", "--quiet", "--template=", "--object-format=sha1", &branch],
        )
        .await?;
        // A workspace must hold every file of the commit, as it was committed: no export rules from .gitattributes.
        let information = self.folder.join("info");
        tokio::fs::create_dir_all(&information).await?;
        tokio::fs::write(
            information.join("attributes"),
            "* -export-ignore -export-subst -text -ident -filter\n",
        )
        .await?;
        Ok(())
    }

    /// Whether the folder holds a repository.
    pub async fn exists(&self) -> bool {
        tokio::fs::try_exists(self.folder.join("HEAD")).await.unwrap_or(false)
    }

    /// Writes settings into the repository's `config`, each `(key, value)` replacing what was there.
    pub async fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        for (key, value) in settings {
            self.effect("git.configure", &["config", "--replace-all", key, value]).await?;
        }
        Ok(())
    }

    /// Checks that every object and reference is whole. Fails with what git found.
    pub async fn fsck(&self) -> Result<()> {
        self.read(&["fsck", "--full", "--strict", "--no-dangling", "--no-progress"]).await.map(drop)
    }
}
