//! Source repositories in memory read as those in git do: one story told to both.

use std::sync::Arc;

use naru_model::effect::Unobserved;
use naru_model::{CommitId, ProjectName};
use naru_source::commits::memory::{Files, InMemory};
use naru_source::commits::{Commits, Sources};
use naru_source::git::GitError;
use naru_testkit::person::commits;
use naru_testkit::rig::{Rig, World};

const FILES: &[(&str, &str)] = &[("Dockerfile", "FROM scratch"), ("naru.yaml", "services: {}")];

/// What a reader shows of a commit.
async fn story(reader: &dyn Commits, commit: &CommitId) -> Vec<String> {
    let missing: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    let mut story =
        vec![format!("{} {}", reader.has(commit).await.unwrap(), reader.has(&missing).await.unwrap())];
    for path in ["naru.yaml", "Dockerfile", "index.html"] {
        let read = reader.file(commit, path, 100).await.unwrap();
        story.push(format!("{path}: {:?}", read.map(|bytes| String::from_utf8(bytes).unwrap())));
    }
    let too_large = reader.file(commit, "naru.yaml", 3).await;
    story.push(format!("{}", matches!(too_large, Err(GitError::TooLarge { limit_bytes: 3, .. }))));
    for folder in [None, Some("public")] {
        let listed = reader.list(commit, folder).await.unwrap();
        story.extend(listed.iter().map(|entry| format!("{} is {}", entry.path, entry.kind)));
    }
    story
}

#[tokio::test]
async fn commits_in_memory_are_read_as_from_git() {
    let rig = Rig::start(&World::default(), Arc::new(Unobserved)).await;
    let project: ProjectName = rig.create_project("shop").await;
    let pushed = commits(&[FILES]).await.remove(0);
    rig.front.push(&project, &pushed).await;

    let memory = InMemory::default();
    let files: Files =
        FILES.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    let kept = memory.commit(&project, None, files);
    assert_ne!(memory.commit(&project, Some(&kept), Files::new()), kept);

    let in_git = story(&*Sources::of(&rig.front.sources, &project), &pushed.id).await;
    let in_memory = story(&*memory.of(&project), &kept).await;
    assert_eq!(in_memory, in_git);
    assert!(in_git[0].starts_with("true false") && in_git[1].contains("services"), "{in_git:?}");

    memory.move_branch(&project, "refs/heads/main", &kept);
    assert_eq!(memory.heads(&project).get("refs/heads/main"), Some(&kept));
    memory.delete(&project);
    assert!(!memory.of(&project).has(&kept).await.unwrap());
}
