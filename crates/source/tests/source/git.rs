//! `Git` on its own: files, archives, references, limits.

use std::time::Duration;

use futures::StreamExt;
use naru_source::git::{EntryKind, GitError, ReferenceUpdate};

use crate::support::{bare, commit};

#[tokio::test]
async fn files_are_read_and_links_are_not_followed() {
    let (_folder, git) = bare().await;
    let id = commit(&git, &[("100644", "naru.yaml", "port: 1"), ("120000", "link", "/etc/passwd")]).await;
    assert_eq!(git.cat_file(&id, "naru.yaml", 100).await.unwrap().as_deref(), Some(b"port: 1".as_slice()));
    assert_eq!(git.cat_file(&id, "missing", 100).await.unwrap(), None);
    assert!(matches!(
        git.cat_file(&id, "naru.yaml", 3).await,
        Err(GitError::TooLarge { limit_bytes: 3, .. })
    ));
    assert!(matches!(
        git.cat_file(&id, "link", 100).await,
        Err(GitError::NotAFile { kind: EntryKind::Link, .. })
    ));
    assert!(matches!(git.cat_file(&id, "../config", 100).await, Err(GitError::Refused(_))));
    let listing = git.ls_tree(&id, None, true).await.unwrap();
    assert_eq!(listing.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["link", "naru.yaml"]);
    assert!(git.ls_tree(&id, Some("nowhere"), false).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_archive_holds_every_file_and_is_bounded() {
    let (_folder, git) = bare().await;
    let id =
        commit(&git, &[("100644", ".gitattributes", "secret export-ignore\n"), ("100644", "secret", "x")])
            .await;
    let mut tar = Vec::new();
    let mut archive = git.archive(&id, 1 << 20);
    while let Some(chunk) = archive.next().await {
        tar.extend_from_slice(&chunk.unwrap());
    }
    assert!(
        tar.windows(7).any(|window| window == b"secret\0"),
        "export-ignore must not hide files from a build"
    );

    let ended: Vec<_> = git.archive(&id, 100).collect().await;
    assert!(matches!(ended.last(), Some(Err(GitError::TooLarge { .. }))));
    let nothing = "1".repeat(40).parse().unwrap();
    let ended: Vec<_> = git.archive(&nothing, 100).collect().await;
    assert!(matches!(ended.last(), Some(Err(GitError::Failed { .. }))));
}

#[tokio::test]
async fn references_move_only_from_where_they_were_seen() {
    let (_folder, git) = bare().await;
    let first = commit(&git, &[("100644", "a", "1")]).await;
    let second = commit(&git, &[("100644", "a", "2")]).await;
    let to = |old, new| ReferenceUpdate { name: "refs/heads/main".into(), old, new };
    git.update_ref("git.test", to(None, Some(first.clone()))).await.unwrap();
    assert_eq!(git.rev_parse("refs/heads/main").await.unwrap(), Some(first.clone()));
    assert!(matches!(
        git.update_ref("git.test", to(None, Some(second.clone()))).await,
        Err(GitError::Moved { .. })
    ));
    git.update_ref("git.test", to(Some(first), Some(second.clone()))).await.unwrap();
    git.update_ref("git.test", to(Some(second), None)).await.unwrap();
    assert_eq!(git.rev_parse("refs/heads/main").await.unwrap(), None);
    assert!(matches!(git.rev_parse("--all").await, Err(GitError::Refused(_))));
    git.fsck().await.unwrap();
}

#[tokio::test]
async fn a_call_is_bounded_in_time_and_output() {
    let (_folder, git) = bare().await;
    let id = commit(&git, &[("100644", "big", &"x".repeat(10_000))]).await;
    let file = format!("{id}:big");
    let much = git.call(["cat-file", "blob", &file]).output_limit(100).read().await;
    assert!(matches!(much, Err(GitError::TooLarge { .. })));
    let slow =
        git.call(["-c", "alias.wait=!sleep 30", "wait"]).time_limit(Duration::from_millis(50)).read().await;
    assert!(matches!(slow, Err(GitError::TimedOut { .. })));
}
