//! Blobs: in one piece, in chunks, wrong, interrupted, too large, with the disk full.

use naru_image::registry::Limits;
use naru_model::Digest;
use reqwest::{Method, Response};

use crate::host::{Host, code, header};

async fn patch(host: &Host, at: &str, range: Option<&str>, content: &'static [u8]) -> Response {
    let mut request = host.request(Method::PATCH, at).body(content);
    if let Some(range) = range {
        request = request.header("content-range", range);
    }
    request.send().await.unwrap()
}

async fn put(host: &Host, at: &str, digest: &Digest, content: &'static [u8]) -> Response {
    host.request(Method::PUT, &format!("{at}?digest={digest}")).body(content).send().await.unwrap()
}

#[tokio::test]
async fn chunks_become_a_blob() {
    let host = Host::start().await;
    let at = host.begin("shop/web").await;
    let first = patch(&host, &at, Some("0-4"), b"hello").await;
    assert_eq!((first.status().as_u16(), header(&first, "range")), (202, "0-4".to_owned()));
    let second = patch(&host, &header(&first, "location"), Some("5-6"), b", ").await;
    assert_eq!(header(&second, "range"), "0-6");
    let status = host.get(&at).await;
    assert_eq!((status.status().as_u16(), header(&status, "range")), (204, "0-6".to_owned()));

    let digest = Digest::of(b"hello, world");
    let last = host
        .request(Method::PUT, &format!("{at}?digest={digest}"))
        .header("content-range", "7-11")
        .body("world")
        .send()
        .await
        .unwrap();
    assert_eq!(last.status(), 201);
    assert_eq!(header(&last, "location"), format!("/v2/shop/web/blobs/{digest}"));
    assert_eq!(host.get(&header(&last, "location")).await.text().await.unwrap(), "hello, world");
    assert_eq!(host.get(&at).await.status(), 404);
}

#[tokio::test]
async fn chunks_that_overlap_or_leave_a_gap_are_refused_and_change_nothing() {
    let host = Host::start().await;
    let at = host.begin("shop/web").await;
    patch(&host, &at, Some("0-4"), b"hello").await;
    for range in ["0-4", "4-8", "6-10", "9-5", "bytes 5-9/10", "x"] {
        let refused = patch(&host, &at, Some(range), b"world").await;
        assert_eq!(refused.status(), 416, "{range}");
        assert_eq!((header(&refused, "location"), header(&refused, "range")), (at.clone(), "0-4".to_owned()));
        assert_eq!(code(refused).await, "BLOB_UPLOAD_INVALID");
    }
    let short = patch(&host, &at, Some("5-9"), b"wor").await;
    assert_eq!(short.status(), 400);
    assert_eq!(code(short).await, "SIZE_INVALID");
    patch(&host, &at, Some("5-9"), b"world").await;
    assert_eq!(put(&host, &at, &Digest::of(b"helloworld"), b"").await.status(), 201);
}

#[tokio::test]
async fn a_chunked_body_that_is_longer_than_announced_is_cut_off() {
    let host = Host::start().await;
    let at = host.begin("shop/web").await;
    let stream = futures::stream::iter([Ok::<_, std::io::Error>("hello"), Ok("too much")]);
    let refused = host
        .request(Method::PATCH, &at)
        .header("content-range", "0-4")
        .body(reqwest::Body::wrap_stream(stream))
        .send()
        .await
        .unwrap();
    assert_eq!(code(refused).await, "SIZE_INVALID");
    assert_eq!(patch(&host, &at, Some("0-4"), b"hello").await.status(), 202);
    assert_eq!(put(&host, &at, &Digest::of(b"hello"), b"").await.status(), 201);
}

#[tokio::test]
async fn a_wrong_digest_is_found_out() {
    let host = Host::start().await;
    let claimed = Digest::of(b"good");
    let path = format!("/v2/shop/web/blobs/uploads/?digest={claimed}");
    let at_once = host.request(Method::POST, &path).body("evil").send().await.unwrap();
    assert_eq!(at_once.status(), 400);
    assert_eq!(code(at_once).await, "DIGEST_INVALID");
    let at = host.begin("shop/web").await;
    assert_eq!(code(put(&host, &at, &claimed, b"evil").await).await, "DIGEST_INVALID");
    assert_eq!(host.get(&format!("/v2/shop/web/blobs/{claimed}")).await.status(), 404);
    for bad in ["sha256:00", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../../etc/passwd", ""] {
        let at = host.begin("shop/web").await;
        let refused = host.request(Method::PUT, &format!("{at}?digest={bad}")).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{bad}");
    }
    let left = std::fs::read_dir(host.folder.path().join("blobs/uploads")).unwrap().count();
    assert_eq!(left, 4, "only the uploads whose end was malformed are still open");
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let host = Host::start().await;
    let at = host.begin("shop/web").await;
    patch(&host, &at, None, b"before, ").await;
    let host = host.restart().await;
    assert_eq!(header(&host.get(&at).await, "range"), "0-7");
    patch(&host, &at, Some("8-12"), b"after").await;
    let digest = Digest::of(b"before, after");
    assert_eq!(put(&host, &at, &digest, b"").await.status(), 201);
    let host = host.restart().await;
    let blob = host.get(&format!("/v2/shop/web/blobs/{digest}")).await;
    assert_eq!(blob.text().await.unwrap(), "before, after");
}

#[tokio::test]
async fn what_arrived_before_a_sender_broke_off_is_kept() {
    let host = Host::start().await;
    let at = host.begin("shop/web").await;
    let parts = futures::stream::iter([Ok(vec![7_u8; 300_000]), Err(std::io::Error::other("unplugged"))]);
    let broken = host.request(Method::PATCH, &at).body(reqwest::Body::wrap_stream(parts)).send().await;
    assert!(broken.is_err() || broken.unwrap().status().is_client_error());
    let range = header(&host.get(&at).await, "range");
    let arrived: usize = range.strip_prefix("0-").unwrap().parse::<usize>().unwrap() + 1;
    assert!(arrived == 1 || arrived <= 300_000, "{range}");
    let rest = vec![7_u8; 400_000 - if arrived == 1 { 0 } else { arrived }];
    let response = host.request(Method::PATCH, &at).body(rest).send().await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(put(&host, &at, &Digest::of(&vec![7_u8; 400_000]), b"").await.status(), 201);
}

#[tokio::test]
async fn an_upload_can_be_cancelled() {
    let host = Host::start().await;
    let at = host.begin("shop/web").await;
    patch(&host, &at, None, b"half").await;
    assert_eq!(host.request(Method::DELETE, &at).send().await.unwrap().status(), 204);
    let gone = patch(&host, &at, None, b"more").await;
    assert_eq!(gone.status(), 404);
    assert_eq!(code(gone).await, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(std::fs::read_dir(host.folder.path().join("blobs/uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn parts_of_a_blob_can_be_pulled() {
    let host = Host::start().await;
    let content: Vec<u8> = (0..2_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let digest = host.push_blob("shop/web", &content).await;
    let path = format!("/v2/shop/web/blobs/{digest}");
    let whole = host.get(&path).await;
    assert_eq!(header(&whole, "docker-content-digest"), digest.as_str());
    assert_eq!(header(&whole, "content-length"), "2000000");
    assert_eq!(Digest::of(&whole.bytes().await.unwrap()), digest);
    for (range, from, to) in
        [("bytes=0-0", 0, 1), ("bytes=1000-", 1000, 2_000_000), ("bytes=-5", 1_999_995, 2_000_000)]
    {
        let part = host.request(Method::GET, &path).header("range", range).send().await.unwrap();
        assert_eq!(part.status(), 206);
        assert_eq!(header(&part, "content-range"), format!("bytes {from}-{}/2000000", to - 1));
        assert!(part.bytes().await.unwrap() == content[from..to], "{range}");
    }
    let outside = host.request(Method::GET, &path).header("range", "bytes=2000000-").send().await.unwrap();
    assert_eq!(
        (outside.status().as_u16(), header(&outside, "content-range")),
        (416, "bytes */2000000".into())
    );
    let head = host.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "2000000".to_owned()));
    let same = host.request(Method::GET, &path).header("if-none-match", format!("\"{digest}\"")).send().await;
    assert_eq!(same.unwrap().status(), 304);
}

#[tokio::test]
async fn a_blob_has_a_limit() {
    let host = Host::start_with(Limits { blob_bytes: 1000, ..Limits::default() }).await;
    let at = host.begin("shop/web").await;
    let refused = host.request(Method::PATCH, &at).body(vec![0; 1001]).send().await.unwrap();
    assert_eq!(refused.status(), 413);
    assert_eq!(host.get(&at).await.status(), 404, "what was too large is not kept");
    host.push_blob("shop/web", &[0; 1000]).await;
}

#[tokio::test]
async fn uploads_in_progress_have_a_limit() {
    let host = Host::start_with(Limits { uploads_per_project: 2, ..Limits::default() }).await;
    let first = host.begin("shop/web").await;
    host.begin("shop/api").await;
    let refused = host.request(Method::POST, "/v2/shop/web/blobs/uploads/").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(code(refused).await, "TOOMANYREQUESTS");
    host.begin("other/web").await;
    host.request(Method::DELETE, &first).send().await.unwrap();
    host.begin("shop/web").await;
}

/// A tmpfs of one megabyte, unmounted on drop.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"];
        let mounted = std::process::Command::new("mount").args(options).arg(folder.path()).status().unwrap();
        assert!(mounted.success(), "a tmpfs cannot be mounted");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing_broken() {
    let disk = SmallDisk::new();
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let host = Host::start_over(folder, disk.0.path(), Limits::default()).await;
    let kept = host.push_blob("shop/web", &vec![1; 300_000]).await;
    let large = vec![2_u8; 2_000_000];
    let digest = Digest::of(&large);
    let path = format!("/v2/shop/web/blobs/uploads/?digest={digest}");
    let refused = host.request(Method::POST, &path).body(large).send().await.unwrap();
    assert_eq!(refused.status(), 507);
    assert!(refused.text().await.unwrap().contains("disk is full"));
    assert_eq!(host.get(&format!("/v2/shop/web/blobs/{digest}")).await.status(), 404);
    let intact = host.get(&format!("/v2/shop/web/blobs/{kept}")).await.bytes().await.unwrap();
    assert_eq!(Digest::of(&intact), kept);
    host.push_blob("shop/web", &vec![3; 500_000]).await; // the room was given back
}
