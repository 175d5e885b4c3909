//! The smallest registry that Podman can push to and pull from: everything in memory, one password.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use naru_engine::StepError;
use naru_engine::docker::{RegistryAccess, RegistryLogin};
use naru_model::Digest;
use secrecy::SecretString;

#[derive(Default)]
struct Shelves {
    blobs: HashMap<String, Bytes>,
    uploads: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Bytes)>,
    refused: usize,
}

struct Login;

#[async_trait]
impl RegistryLogin for Login {
    async fn login(&self, repository: &str) -> Result<(String, SecretString), StepError> {
        assert_eq!(repository, "shop/web");
        Ok(("engine".to_owned(), "secret-token".into()))
    }
}

/// Serves on loopback until the test ends.
pub(crate) async fn start() -> RegistryAccess {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let shelves = Arc::new(Mutex::new(Shelves::default()));
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let shelves = shelves.clone();
            let service = service_fn(move |request| serve(shelves.clone(), request));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service),
            );
        }
    });
    RegistryAccess { host, login: Arc::new(Login) }
}

async fn serve(
    shelves: Arc<Mutex<Shelves>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Ok(answer(&mut shelves.lock().unwrap(), &head, body))
}

fn answer(shelves: &mut Shelves, head: &http::request::Parts, body: Bytes) -> Response<Full<Bytes>> {
    // engine:secret-token
    let login = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    if login != Some("Basic ZW5naW5lOnNlY3JldC10b2tlbg==") {
        shelves.refused += 1;
        return respond(
            StatusCode::UNAUTHORIZED,
            &[("www-authenticate", "Basic realm=\"test\"")],
            Bytes::new(),
        );
    }
    let path = head.uri.path();
    let Some((_, rest)) = path.split_once("/shop/web/") else {
        let status = if path == "/v2/" { StatusCode::OK } else { StatusCode::NOT_FOUND };
        return respond(status, &[], Bytes::new());
    };
    let (kind, name) = rest.split_once('/').unwrap();
    match (&head.method, kind) {
        (&Method::GET | &Method::HEAD, "manifests") => match shelves.manifests.get(name) {
            Some((media_type, text)) => {
                let digest = Digest::of(text).to_string();
                let headers = [("content-type", media_type.as_str()), ("docker-content-digest", &digest)];
                respond(StatusCode::OK, &headers, text.clone())
            }
            None => respond(StatusCode::NOT_FOUND, &[], Bytes::new()),
        },
        (&Method::PUT, "manifests") => {
            let media_type = head.headers["content-type"].to_str().unwrap().to_owned();
            let digest = Digest::of(&body).to_string();
            shelves.manifests.insert(name.to_owned(), (media_type.clone(), body.clone()));
            shelves.manifests.insert(digest.clone(), (media_type, body));
            respond(StatusCode::CREATED, &[("docker-content-digest", &digest)], Bytes::new())
        }
        (&Method::GET | &Method::HEAD, "blobs") => match shelves.blobs.get(name) {
            Some(blob) => respond(StatusCode::OK, &[("docker-content-digest", name)], blob.clone()),
            None => respond(StatusCode::NOT_FOUND, &[], Bytes::new()),
        },
        (&Method::POST, "blobs") => {
            let id = shelves.uploads.len().to_string();
            shelves.uploads.insert(id.clone(), Vec::new());
            respond(
                StatusCode::ACCEPTED,
                &[("location", &format!("/v2/shop/web/blobs/uploads/{id}"))],
                Bytes::new(),
            )
        }
        (method @ (&Method::PATCH | &Method::PUT), "blobs") => {
            let upload = shelves.uploads.get_mut(name.strip_prefix("uploads/").unwrap()).unwrap();
            upload.extend_from_slice(&body);
            if method == Method::PATCH {
                let range = format!("0-{}", upload.len() - 1);
                return respond(StatusCode::ACCEPTED, &[("location", path), ("range", &range)], Bytes::new());
            }
            let blob = Bytes::from(std::mem::take(upload));
            shelves.blobs.insert(Digest::of(&blob).to_string(), blob);
            respond(StatusCode::CREATED, &[("location", path)], Bytes::new())
        }
        _ => respond(StatusCode::METHOD_NOT_ALLOWED, &[], Bytes::new()),
    }
}

fn respond(status: StatusCode, headers: &[(&str, &str)], body: Bytes) -> Response<Full<Bytes>> {
    let mut response =
        Response::builder().status(status).header("docker-distribution-api-version", "registry/2.0");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body)).unwrap()
}
