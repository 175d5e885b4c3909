//! Blobs in a folder.

use bytes::Bytes;
use futures::TryStreamExt as _;
use naru_store::StoreError;
use naru_store::blob::BlobStore;

#[tokio::test]
async fn blobs_are_put_read_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(&folder.path().join("blobs")).await.unwrap();
    blobs.put("a/b", Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(blobs.size("a/b").await.unwrap(), Some(5));
    assert_eq!(blobs.size("a/c").await.unwrap(), None);
    let pieces: Vec<Bytes> = blobs.get("a/b").await.unwrap().try_collect().await.unwrap();
    assert_eq!(pieces.concat(), b"hello");
    assert_eq!(blobs.get_range("a/b", 1..3).await.unwrap().as_ref(), b"el");
    assert_eq!(blobs.list("a").await.unwrap(), [("a/b".to_owned(), 5)]);
    blobs.delete("a/b").await.unwrap();
    blobs.delete("a/b").await.unwrap();
    assert!(matches!(blobs.get("a/b").await.err(), Some(StoreError::Missing(_))));
}

#[tokio::test]
async fn names_cannot_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(&folder.path().join("blobs")).await.unwrap();
    for bad in ["../x", "a/../../x", "a//b", "/../x", "a/./b"] {
        assert!(blobs.put(bad, Bytes::from_static(b"x")).await.is_err(), "{bad:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
