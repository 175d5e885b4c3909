//! Who gets in, and what is invisible to whom.

use naru_model::Digest;
use reqwest::Method;

use crate::host::{Host, code, header};

#[tokio::test]
async fn every_route_asks_who_is_calling() {
    let host = Host::start().await;
    let digest = host.push_image("shop/web", "run-1", b"layer").await;
    let at = host.begin("shop/web").await;
    let routes = [
        (Method::GET, "/v2/".to_owned()),
        (Method::GET, "/v2".to_owned()),
        (Method::GET, "/v2/_catalog".to_owned()),
        (Method::HEAD, format!("/v2/shop/web/blobs/{digest}")),
        (Method::GET, format!("/v2/shop/web/blobs/{digest}")),
        (Method::DELETE, format!("/v2/shop/web/blobs/{digest}")),
        (Method::POST, "/v2/shop/web/blobs/uploads/".to_owned()),
        (Method::GET, at.clone()),
        (Method::PATCH, at.clone()),
        (Method::PUT, at.clone()),
        (Method::DELETE, at.clone()),
        (Method::GET, "/v2/shop/web/manifests/run-1".to_owned()),
        (Method::PUT, "/v2/shop/web/manifests/run-1".to_owned()),
        (Method::DELETE, "/v2/shop/web/manifests/run-1".to_owned()),
        (Method::GET, "/v2/shop/web/tags/list".to_owned()),
        (Method::GET, format!("/v2/shop/web/referrers/{digest}")),
        (Method::GET, "/v2/nowhere/web/tags/list".to_owned()),
    ];
    for (method, path) in &routes {
        for request in [host.anonymous(method.clone(), path), host.request_as("forged", method.clone(), path)]
        {
            let refused = request.send().await.unwrap();
            assert_eq!(refused.status(), 401, "{method} {path}");
            assert_eq!(header(&refused, "www-authenticate"), "Basic realm=\"Naru\"");
        }
    }
    for token in ["owner", "reader", "stranger"] {
        assert_eq!(
            host.request_as(token, Method::GET, "/v2/").send().await.unwrap().status(),
            200,
            "{token}"
        );
    }
    let bearer = host.anonymous(Method::GET, "/v2/").bearer_auth("owner").send().await.unwrap();
    assert_eq!(bearer.status(), 200);
}

#[tokio::test]
async fn a_reader_pulls_and_does_not_push() {
    let host = Host::start().await;
    let digest = host.push_image("shop/web", "run-1", b"layer").await;
    let layer = Digest::of(b"layer");
    let reads = ["manifests/run-1".to_owned(), format!("manifests/{digest}"), format!("blobs/{layer}")];
    for path in reads {
        let response =
            host.request_as("reader", Method::GET, &format!("/v2/shop/web/{path}")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    let writes = [
        (Method::POST, "blobs/uploads/".to_owned()),
        (Method::PUT, "manifests/run-1".to_owned()),
        (Method::DELETE, "manifests/run-1".to_owned()),
        (Method::DELETE, format!("manifests/{digest}")),
        (Method::DELETE, format!("blobs/{layer}")),
    ];
    for (method, path) in writes {
        let refused =
            host.request_as("reader", method, &format!("/v2/shop/web/{path}")).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{path}");
        assert_eq!(code(refused).await, "DENIED");
    }
}

#[tokio::test]
async fn another_projects_things_answer_like_missing_ones() {
    let host = Host::start().await;
    let digest = host.push_image("shop/web", "run-1", b"secret layer").await;
    let layer = Digest::of(b"secret layer");
    for path in ["manifests/run-1".to_owned(), format!("manifests/{digest}"), format!("blobs/{layer}")] {
        let theirs =
            host.request_as("stranger", Method::GET, &format!("/v2/shop/web/{path}")).send().await.unwrap();
        let missing = host
            .request_as("stranger", Method::GET, &format!("/v2/nowhere/web/{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!((theirs.status().as_u16(), missing.status().as_u16()), (404, 404));
        assert_eq!(
            theirs.text().await.unwrap().replace("shop", "nowhere"),
            missing.text().await.unwrap(),
            "{path}"
        );
    }
    // The digest is known, the content is not: neither a pull nor a manifest nor a mount gives it away.
    let own = format!("/v2/other/web/blobs/{layer}");
    assert_eq!(host.request_as("stranger", Method::GET, &own).send().await.unwrap().status(), 404);
    assert_eq!(host.request(Method::GET, &own).send().await.unwrap().status(), 404);
    let path = format!("/v2/other/web/blobs/uploads/?mount={layer}&from=shop/web");
    let mount = host.request_as("stranger", Method::POST, &path).send().await.unwrap();
    assert_eq!(mount.status(), 202);
    assert_eq!(host.request_as("stranger", Method::GET, &own).send().await.unwrap().status(), 404);
    host.push_blob("other/web", b"{}").await;
    let refused = host.put_manifest("other/web", "run-1", &crate::host::image(b"secret layer")).await;
    assert_eq!(code(refused).await, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn who_may_read_the_source_may_mount() {
    let host = Host::start().await;
    let digest = host.push_blob("shop/web", b"layer").await;
    let path = format!("/v2/other/web/blobs/uploads/?mount={digest}&from=shop/web");
    let mount = host.request(Method::POST, &path).send().await.unwrap();
    assert_eq!(mount.status(), 201);
    assert_eq!(header(&mount, "location"), format!("/v2/other/web/blobs/{digest}"));
    assert_eq!(host.get(&format!("/v2/other/web/blobs/{digest}")).await.text().await.unwrap(), "layer");
    let nothing = Digest::of(b"nothing");
    for query in [
        format!("mount={nothing}&from=shop/web"),
        format!("mount={digest}"),
        format!("mount={digest}&from=shop/none"),
        format!("mount={digest}&from=../shop/web"),
    ] {
        let started =
            host.request(Method::POST, &format!("/v2/other/web/blobs/uploads/?{query}")).send().await;
        assert_eq!(started.unwrap().status(), 202, "{query}");
    }
}

#[tokio::test]
async fn an_upload_belongs_to_its_repository() {
    let host = Host::start().await;
    let at = host.begin("shop/web").await;
    let id = at.rsplit('/').next().unwrap();
    let elsewhere = format!("/v2/other/web/blobs/uploads/{id}");
    let refused = host.request_as("stranger", Method::PATCH, &elsewhere).body("x").send().await.unwrap();
    assert_eq!(refused.status(), 404);
    assert_eq!(host.get("/v2/shop/web/blobs/uploads/..%2f..%2fx").await.status(), 404);
    assert_eq!(header(&host.get(&at).await, "range"), "0-0");
}

/// Sends a request line as it is: an HTTP library would tidy the path up.
async fn raw(host: &Host, target: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(&host.address).await.unwrap();
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer owner\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn names_that_would_leave_the_folder_are_refused() {
    let host = Host::start().await;
    let digest = host.push_blob("shop/web", b"layer").await;
    let long = "a".repeat(300);
    for name in [
        "../web",
        "shop/..",
        "%2e%2e/web",
        "shop/%2e%2e",
        "shop/..%2fweb",
        "shop/web/deep",
        "web",
        "SHOP/web",
        "shop/-web",
        "shop/we%00b",
        "shop/we%0ab",
        "shop/$(id)",
        "shop/a;b",
        "shop/a~b",
        "shop/%ff",
        long.as_str(),
        "shop/.",
        "shop//web",
        "_catalog",
    ] {
        let answer = raw(&host, &format!("/v2/{name}/blobs/{digest}")).await;
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(status == 400 || status == 404, "{name}: {answer}");
        assert!(!answer.ends_with("layer"), "{name}");
    }
    for reference in ["..", "%2e%2e", "a%2fb", "-x", "sha256:..", &"x".repeat(129)] {
        let answer = raw(&host, &format!("/v2/shop/web/manifests/{reference}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 404"),
            "{reference}: {answer}"
        );
    }
    assert!(raw(&host, &format!("/v2/shop/web/blobs/{digest}")).await.ends_with("layer"));
}

#[tokio::test]
async fn a_project_that_is_taken_down_is_not_pushed_to() {
    let host = Host::start().await;
    host.push_image("shop/web", "run-1", b"layer").await;
    host.store.delete_project(&"shop".parse().unwrap()).await.unwrap();
    assert_eq!(host.get("/v2/shop/web/manifests/run-1").await.status(), 200);
    let refused = host.request(Method::POST, "/v2/shop/web/blobs/uploads/").send().await.unwrap();
    assert_eq!(code(refused).await, "NAME_UNKNOWN");
    host.store.forget_project(&"shop".parse().unwrap()).await.unwrap();
    assert_eq!(host.get("/v2/shop/web/manifests/run-1").await.status(), 404);
}
