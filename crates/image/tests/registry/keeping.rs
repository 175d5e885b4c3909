//! Retention and garbage collection, also while somebody pushes.

use std::sync::Arc;
use std::time::Duration;

use naru_image::collect::{Collected, collect};
use naru_image::registry::Limits;
use naru_model::Digest;
use reqwest::Method;

use crate::host::{Host, image};

/// What was said is forgotten at once; how long rows are kept is up to the hand-set clock.
async fn host() -> Host {
    let host = Host::start_with(Limits { grace: Duration::ZERO, ..Limits::default() }).await;
    host.clock.pass(Duration::from_secs(1));
    host
}

fn files(host: &Host) -> usize {
    let folders = std::fs::read_dir(host.folder.path().join("blobs/sha256")).unwrap();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

async fn status(host: &Host, path: &str) -> u16 {
    host.get(path).await.status().as_u16()
}

#[tokio::test]
async fn old_images_go_with_their_blobs_and_needed_ones_stay() {
    let host = host().await;
    let mut digests = Vec::new();
    for run in 1..=4_u8 {
        digests.push(host.push_image("shop/web", &format!("run-{run}"), &[run; 50]).await);
        host.clock.pass(Duration::from_secs(10));
    }
    host.needs.0.lock().unwrap().insert(digests[0].clone());
    let collected = collect(&host.registry, 1).await.unwrap();
    assert_eq!(collected, Collected { images: 2, blobs: 2, uploads: 0 });
    for (digest, expected) in digests.iter().zip([200, 404, 404, 200]) {
        assert_eq!(status(&host, &format!("/v2/shop/web/manifests/{digest}")).await, expected);
    }
    assert_eq!(status(&host, &format!("/v2/shop/web/blobs/{}", Digest::of(&[1; 50]))).await, 200);
    assert_eq!(status(&host, &format!("/v2/shop/web/blobs/{}", Digest::of(&[2; 50]))).await, 404);
    assert_eq!(files(&host), 3, "two layers and the configuration that they share");
    assert_eq!(collect(&host.registry, 1).await.unwrap(), Collected::default());
}

#[tokio::test]
async fn a_blob_stays_as_long_as_any_repository_needs_it() {
    let host = host().await;
    let shop = host.push_image("shop/web", "run-1", b"shared").await;
    host.push_image("other/web", "v1", b"shared").await;
    host.clock.pass(Duration::from_secs(10));
    assert_eq!(collect(&host.registry, 0).await.unwrap(), Collected { images: 1, blobs: 0, uploads: 0 });
    assert_eq!(status(&host, &format!("/v2/shop/web/manifests/{shop}")).await, 404);
    let layer = Digest::of(b"shared");
    assert_eq!(status(&host, &format!("/v2/shop/web/blobs/{layer}")).await, 404);
    assert_eq!(status(&host, &format!("/v2/other/web/blobs/{layer}")).await, 200);
    host.store.forget_project(&"other".parse().unwrap()).await.unwrap();
    assert_eq!(collect(&host.registry, 0).await.unwrap().blobs, 2);
    assert_eq!(files(&host), 0);
}

#[tokio::test]
async fn what_is_young_is_left_alone() {
    let hour = Duration::from_hours(1);
    let host = Host::start_with(Limits { grace: hour, ..Limits::default() }).await;
    host.push_blob("shop/web", b"layer of a push in progress").await;
    let at = host.begin("shop/web").await;
    assert_eq!(collect(&host.registry, 0).await.unwrap(), Collected::default());
    host.clock.pass(hour * 2);
    // The registry was just started: what clients were told before is not known, so only uploads end.
    assert_eq!(collect(&host.registry, 0).await.unwrap(), Collected { images: 0, blobs: 0, uploads: 1 });
    assert_eq!(status(&host, &at).await, 404);
    assert_eq!(files(&host), 1);
}

#[tokio::test]
async fn strangers_in_the_folder_are_left_alone() {
    let host = host().await;
    let folder = host.folder.path().join("blobs");
    std::fs::create_dir_all(folder.join("sha256/zz")).unwrap();
    let strangers = [folder.join("uploads/notes.txt"), folder.join("sha256/zz/notes.txt")];
    for stranger in &strangers {
        std::fs::write(stranger, "not ours").unwrap();
    }
    let digest = Digest::of(b"a crash came before its row");
    let stray = folder.join("sha256").join(&digest.hex()[..2]).join(digest.hex());
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, "a crash came before its row").unwrap();
    host.clock.pass(Duration::from_mins(1));
    assert_eq!(collect(&host.registry, 0).await.unwrap().blobs, 1);
    assert!(!stray.exists() && strangers.iter().all(|stranger| stranger.exists()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_go_on_while_garbage_is_collected() {
    let host = Arc::new(host().await);
    let pushing: Vec<_> = (0..4_u8)
        .map(|worker| {
            let host = Arc::clone(&host);
            tokio::spawn(async move {
                for round in 0..8_u8 {
                    push_until_accepted(
                        &host,
                        &format!("shop/w{worker}"),
                        &format!("v{round}"),
                        &[round; 90],
                    )
                    .await;
                }
            })
        })
        .collect();
    let collecting = tokio::spawn({
        let host = Arc::clone(&host);
        async move {
            loop {
                host.clock.pass(Duration::from_millis(1));
                collect(&host.registry, 0).await.unwrap();
            }
        }
    });
    for worker in pushing {
        worker.await.unwrap();
    }
    collecting.abort();
    let _ = collecting.await;
    for (worker, round) in (0..4_u8).flat_map(|worker| (0..8_u8).map(move |round| (worker, round))) {
        assert_eq!(status(&host, &format!("/v2/shop/w{worker}/manifests/v{round}")).await, 200);
        for content in [&b"{}"[..], &[round; 90]] {
            let blob = host.get(&format!("/v2/shop/w{worker}/blobs/{}", Digest::of(content))).await;
            assert_eq!(blob.status(), 200);
            assert_eq!(&blob.bytes().await.unwrap()[..], content);
        }
    }
}

/// Without a grace period a blob may go before its manifest comes; then the manifest is refused, never accepted broken.
async fn push_until_accepted(host: &Host, repository: &str, tag: &str, layer: &[u8]) {
    for _ in 0..500 {
        host.push_blob(repository, b"{}").await;
        host.push_blob(repository, layer).await;
        let response = host.put_manifest(repository, tag, &image(layer)).await;
        match response.status().as_u16() {
            201 => return,
            404 => {}
            other => panic!("{other}: {}", response.text().await.unwrap()),
        }
    }
    panic!("{repository}:{tag} was never accepted");
}

#[tokio::test]
async fn what_a_client_was_told_is_there_stays_for_its_manifest() {
    let host = Host::start_with(Limits { grace: Duration::from_secs(2), ..Limits::default() }).await;
    host.push_blob("shop/web", b"{}").await;
    let layer = host.push_blob("shop/web", b"layer").await;
    host.clock.pass(Duration::from_mins(1));
    let path = format!("/v2/shop/web/blobs/{layer}");
    let collected = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let told = host.request(Method::HEAD, &path).send().await.unwrap();
            assert_eq!(told.status(), 200, "it was said to be there a moment ago");
            let collected = collect(&host.registry, 0).await.unwrap();
            if collected.blobs > 0 {
                return collected;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(collected.blobs, 1, "only the blob that nobody asked for");
    assert_eq!(status(&host, &path).await, 200);
}
