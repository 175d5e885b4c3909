//! What a person pushes: commits made once, with the packs and images that belong to them.

use std::sync::Arc;

use naru_model::effect::Unobserved;
use naru_model::{CommitId, Digest};
use naru_source::git::{Git, Variable};
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A commit on its way.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// What it builds on.
    pub parent: Option<CommitId>,
    /// Everything that its parent does not have, as git sends it.
    pub pack: Vec<u8>,
}

/// Commits one after the other, each with its files `(path without folders, content)`.
pub async fn commits(of: &[&[(&str, &str)]]) -> Vec<Commit> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let git = Git::new(folder.path().join("person.git"), Arc::new(Unobserved));
    git.init_bare(&"main".parse().expect("a branch name")).await.expect("a new repository");
    let mut commits: Vec<Commit> = Vec::new();
    for files in of {
        let parent = commits.last().map(|commit| commit.id.clone());
        let id = commit(&git, files, parent.as_ref()).await;
        let without = parent.as_ref().map(|parent| format!("^{parent}\n")).unwrap_or_default();
        let pack = git.call(["pack-objects", "--quiet", "--revs", "--stdout"]);
        let pack = pack.stdin(format!("{id}\n{without}").into_bytes()).read().await.expect("a pack");
        commits.push(Commit { id, parent, pack });
    }
    commits
}

async fn commit(git: &Git, files: &[(&str, &str)], parent: Option<&CommitId>) -> CommitId {
    let mut tree = Vec::new();
    for (path, content) in files {
        let call = git.call(["hash-object", "-w", "--stdin"]).stdin(content.as_bytes().to_vec());
        let object = line(call.read().await.expect("a new object"));
        tree.extend_from_slice(format!("100644 blob {object}\t{path}\0").as_bytes());
    }
    let tree = line(git.call(["mktree", "-z"]).stdin(tree).read().await.expect("a new tree"));
    let mut arguments = vec!["commit-tree".to_owned(), "-m".into(), "A commit".into()];
    arguments.extend(parent.into_iter().flat_map(|parent| ["-p".to_owned(), parent.to_string()]));
    arguments.push(tree);
    let made = git
        .call(arguments)
        .variable(Variable::AuthorName, "Mina")
        .variable(Variable::AuthorEmail, "mina@example.com")
        .variable(Variable::CommitterName, "Mina")
        .variable(Variable::CommitterEmail, "mina@example.com");
    line(made.read().await.expect("a new commit")).parse().expect("a commit id")
}

fn line(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text").trim().to_owned()
}

/// What a build of a commit leaves: one layer and an empty configuration.
pub struct Image {
    /// The blobs, configuration first.
    pub blobs: [Vec<u8>; 2],
    manifest: Value,
}

impl Image {
    /// The same for the same commit, as it should be with a cache.
    pub fn of(commit: &CommitId) -> Self {
        let blobs = [b"{}".to_vec(), format!("what was built of {commit}").into_bytes()];
        let descriptor = |media_type: &str, content: &[u8]| json!({ "mediaType": media_type, "digest": Digest::of(content).as_str(), "size": content.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &blobs[0]),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &blobs[1])],
        });
        Self { blobs, manifest }
    }

    /// The manifest as it is sent, and its media type.
    pub fn manifest(&self) -> (String, &'static str) {
        (self.manifest.to_string(), MANIFEST)
    }

    /// What the image is called by.
    pub fn digest(&self) -> Digest {
        Digest::of(self.manifest().0.as_bytes())
    }
}
