//! Manifests, tags, referrers.

use naru_model::Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::host::{Host, INDEX, MANIFEST, code, descriptor, header, image};

#[tokio::test]
async fn a_manifest_comes_back_as_it_was_pushed() {
    let host = Host::start().await;
    let digest = host.push_image("shop/web", "run-1", b"layer").await;
    let pushed = image(b"layer").to_string();
    assert_eq!(digest, Digest::of(pushed.as_bytes()));
    for name in ["run-1", digest.as_str()] {
        let path = format!("/v2/shop/web/manifests/{name}");
        let head = host.request(Method::HEAD, &path).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), pushed.len().to_string());
        let got = host.get(&path).await;
        assert_eq!(
            (header(&got, "content-type"), header(&got, "docker-content-digest")),
            (MANIFEST.into(), digest.to_string())
        );
        assert_eq!(got.text().await.unwrap(), pushed);
    }
    assert_eq!(code(host.get("/v2/shop/web/manifests/none").await).await, "MANIFEST_UNKNOWN");
    assert_eq!(host.get("/v2/shop/api/manifests/run-1").await.status(), 404);
}

#[tokio::test]
async fn a_tag_moves_and_a_digest_stays() {
    let host = Host::start().await;
    let first = host.push_image("shop/web", "latest", b"one").await;
    let second = host.push_image("shop/web", "latest", b"two").await;
    let latest = host.get("/v2/shop/web/manifests/latest").await;
    assert_eq!(header(&latest, "docker-content-digest"), second.as_str());
    assert_eq!(host.get(&format!("/v2/shop/web/manifests/{first}")).await.status(), 200);
    assert_eq!(
        host.request(Method::DELETE, "/v2/shop/web/manifests/latest").send().await.unwrap().status(),
        202
    );
    assert_eq!(host.get("/v2/shop/web/manifests/latest").await.status(), 404);
    assert_eq!(host.get(&format!("/v2/shop/web/manifests/{second}")).await.status(), 200);
}

#[tokio::test]
async fn a_manifest_needs_everything_it_is_made_of() {
    let host = Host::start().await;
    let nothing = host.put_manifest("shop/web", "run-1", &image(b"layer")).await;
    assert_eq!(nothing.status(), 404);
    let body: Value = serde_json::from_str(&nothing.text().await.unwrap()).unwrap();
    assert_eq!(body["errors"].as_array().unwrap().len(), 2);
    assert_eq!(body["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
    host.push_blob("shop/web", b"{}").await;
    host.push_blob("shop/api", b"layer").await;
    assert_eq!(host.put_manifest("shop/web", "run-1", &image(b"layer")).await.status(), 404);
    host.push_blob("shop/web", b"layer").await;
    let mut lie = image(b"layer");
    lie["layers"][0]["size"] = json!(4);
    assert_eq!(code(host.put_manifest("shop/web", "run-1", &lie).await).await, "MANIFEST_INVALID");
    assert_eq!(host.put_manifest("shop/web", "run-1", &image(b"layer")).await.status(), 201);
}

#[tokio::test]
async fn what_is_not_a_manifest_is_refused() {
    let host = Host::start().await;
    host.push_image("shop/web", "run-1", b"layer").await;
    let wrong = format!("sha256:{}", "0".repeat(64));
    let by_wrong_digest = host.put_manifest("shop/web", &wrong, &image(b"layer")).await;
    assert_eq!(code(by_wrong_digest).await, "DIGEST_INVALID");
    let put = |content_type: &'static str, body: Vec<u8>| {
        host.request(Method::PUT, "/v2/shop/web/manifests/x")
            .header("content-type", content_type)
            .body(body)
            .send()
    };
    for (content_type, body) in [
        (MANIFEST, b"not json".to_vec()),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", br#"{"schemaVersion":1}"#.to_vec()),
        ("application/json", image(b"layer").to_string().into_bytes()),
        (INDEX, image(b"layer").to_string().into_bytes()),
    ] {
        let refused = put(content_type, body).await.unwrap();
        assert_eq!(refused.status(), 400, "{content_type}");
        assert_eq!(code(refused).await, "MANIFEST_INVALID");
    }
    let large = put(MANIFEST, vec![b' '; (4 << 20) + 1]).await.unwrap();
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn an_index_lists_manifests_of_its_repository() {
    let host = Host::start().await;
    let listed = image(b"layer").to_string();
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(MANIFEST, listed.as_bytes())],
    });
    assert_eq!(code(host.put_manifest("shop/web", "all", &index).await).await, "MANIFEST_BLOB_UNKNOWN");
    host.push_image("shop/web", "run-1", b"layer").await;
    assert_eq!(host.put_manifest("shop/web", "all", &index).await.status(), 201);
    assert_eq!(header(&host.get("/v2/shop/web/manifests/all").await, "content-type"), INDEX);
}

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let host = Host::start().await;
    assert_eq!(code(host.get("/v2/shop/web/tags/list").await).await, "NAME_UNKNOWN");
    let digest = host.push_image("shop/web", "b", b"layer").await;
    for tag in ["a", "C", "d"] {
        host.put_manifest("shop/web", tag, &image(b"layer")).await;
    }
    let put = host
        .request(Method::PUT, &format!("/v2/shop/web/manifests/{digest}?tag=e&tag=f"))
        .header("content-type", MANIFEST)
        .body(image(b"layer").to_string());
    assert_eq!(put.send().await.unwrap().headers().get_all("oci-tag").iter().count(), 2);
    let list = |query: &'static str| {
        let host = &host;
        async move {
            let response = host.get(&format!("/v2/shop/web/tags/list{query}")).await;
            let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
            let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(body["name"], "shop/web");
            (body["tags"].clone(), link)
        }
    };
    assert_eq!(list("").await, (json!(["C", "a", "b", "d", "e", "f"]), None));
    let link = "</v2/shop/web/tags/list?n=2&last=a>; rel=\"next\"".to_owned();
    assert_eq!(list("?n=2").await, (json!(["C", "a"]), Some(link)));
    assert_eq!(list("?n=4&last=a").await, (json!(["b", "d", "e", "f"]), None));
    assert_eq!(list("?last=e").await, (json!(["f"]), None));
    assert_eq!(list("?n=0").await, (json!([]), None));
}

#[tokio::test]
async fn referrers_are_found_by_subject() {
    let host = Host::start().await;
    let subject = image(b"layer").to_string();
    let digest = Digest::of(subject.as_bytes());
    host.push_blob("shop/web", b"{}").await;
    host.push_blob("shop/web", b"signature").await;
    let mut signature = image(b"signature");
    signature["artifactType"] = json!("application/vnd.example.signature");
    signature["annotations"] = json!({ "by": "ann" });
    signature["subject"] = descriptor(MANIFEST, subject.as_bytes());
    let pushed = host.put_manifest("shop/web", "signature", &signature).await;
    assert_eq!(header(&pushed, "oci-subject"), digest.as_str());
    let path = format!("/v2/shop/web/referrers/{digest}");
    let response = host.get(&path).await;
    assert_eq!(header(&response, "content-type"), INDEX);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let mut expected = descriptor(MANIFEST, signature.to_string().as_bytes());
    expected["artifactType"] = json!("application/vnd.example.signature");
    expected["annotations"] = json!({ "by": "ann" });
    assert_eq!(body, json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [expected] }));
    let other = host.get(&format!("{path}?artifactType=application%2Fvnd.other")).await;
    assert_eq!(header(&other, "oci-filters-applied"), "artifactType");
    let body: Value = serde_json::from_str(&other.text().await.unwrap()).unwrap();
    assert_eq!(body["manifests"], json!([]));
    assert_eq!(host.get("/v2/shop/web/referrers/sha256:0").await.status(), 400);
    assert_eq!(host.get(&format!("/v2/shop/none/referrers/{digest}")).await.status(), 200);
}

#[tokio::test]
async fn a_blob_leaves_after_its_manifest() {
    let host = Host::start().await;
    let digest = host.push_image("shop/web", "run-1", b"layer").await;
    let layer = format!("/v2/shop/web/blobs/{}", Digest::of(b"layer"));
    assert_eq!(host.request(Method::DELETE, &layer).send().await.unwrap().status(), 405);
    let manifest = format!("/v2/shop/web/manifests/{digest}");
    assert_eq!(host.request(Method::DELETE, &manifest).send().await.unwrap().status(), 202);
    assert_eq!(host.request(Method::DELETE, &manifest).send().await.unwrap().status(), 404);
    assert_eq!(host.get("/v2/shop/web/manifests/run-1").await.status(), 404);
    assert_eq!(host.request(Method::DELETE, &layer).send().await.unwrap().status(), 202);
    assert_eq!(host.get(&layer).await.status(), 404);
    assert_eq!(host.request(Method::DELETE, &layer).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn an_image_that_a_revision_needs_is_not_deleted() {
    let host = Host::start().await;
    let digest = host.push_image("shop/web", "run-1", b"layer").await;
    host.needs.0.lock().unwrap().insert(digest.clone());
    let path = format!("/v2/shop/web/manifests/{digest}");
    let refused = host.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(refused.status(), 405);
    assert_eq!(code(refused).await, "DENIED");
    assert_eq!(host.get(&path).await.status(), 200);
}
