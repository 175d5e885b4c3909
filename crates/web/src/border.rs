//! What is checked before anything else is looked at: that the request names this server, that a change does not come
//! from a stranger's page, and that bodies are JSON. Also the extractors that parse bodies, paths and queries.

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, map_response};
use axum::response::{IntoResponse as _, Response};
use naru_model::Problem;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Result};
use crate::{Address, Cx, access};

/// Hosts that always mean this machine.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The first layer.
pub(crate) async fn check(State(cx): State<Cx>, mut request: Request, next: Next) -> Response {
    // Probes come by address, under any name, and are told nothing.
    let is_probe = matches!(request.uri().path(), "/healthz" | "/readyz");
    if !is_probe && let Err(failure) = check_request(&cx.address.hosts, &request) {
        return failure.into_response();
    }
    let origin = access::origin(&request, &cx.address.proxies);
    request.extensions_mut().insert(origin);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Of what is no page: nothing in it runs or loads anything, and nobody frames it.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// For a year, browsers use nothing but TLS. Hosts below may be services, which decide for themselves.
const ONLY_TLS: &str = "max-age=31536000";

/// Puts around everything that one port serves what no answer may lack: no guessing of types, a content policy, and the
/// word to come with TLS only where that is how people come.
pub fn guarded(router: Router, address: &Address) -> Router {
    let has_tls = address.has_tls();
    router.layer(map_response(move |mut response: Response| {
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
        if has_tls {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ONLY_TLS));
        }
        std::future::ready(response)
    }))
}

fn check_request(hosts: &[String], request: &Request) -> Result<()> {
    let headers = request.headers();
    let host = host_of(headers, request.uri());
    let known =
        |name: &str| LOOPBACK.contains(&name) || hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
    if !host.as_deref().is_some_and(|host| known(without_port(host))) {
        return Err(Failure::new(
            StatusCode::MISDIRECTED_REQUEST,
            Problem::new("api.unknown-host", "this server is not known under that name")
                .hint("start it with the name among its hosts, or use the address it listens on"),
        ));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    check_origin(headers, host.as_deref().unwrap_or_default())?;
    if request.uri().path().starts_with("/api/") { check_content_type(headers) } else { Ok(()) }
}

/// A browser says which page a change comes from; other clients say nothing.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<()> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let foreign_site = matches!(text("sec-fetch-site"), Some("cross-site" | "same-site"));
    let foreign_origin = text("origin").is_some_and(|origin| {
        origin.split_once("://").is_none_or(|(_, origin)| !origin.eq_ignore_ascii_case(host))
    });
    if foreign_site || foreign_origin {
        let problem = Problem::new("api.foreign-page", "changes are not accepted from another site's page");
        return Err(Failure::new(StatusCode::FORBIDDEN, problem));
    }
    Ok(())
}

/// A form cannot send this content type without asking first.
fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let problem = Problem::new("api.content-type", "the body must be JSON")
        .cause("expected the header `Content-Type: application/json`");
    Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem))
}

fn host_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let header = headers.get(header::HOST).and_then(|value| value.to_str().ok()).map(str::to_owned);
    header.or_else(|| uri.authority().map(ToString::to_string))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, state: &S) -> Result<Self> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(refuse_body(&rejection)),
        }
    }
}

fn refuse_body(rejection: &JsonRejection) -> Failure {
    let status = rejection.status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let problem = Problem::new("api.too-large", "the body is too large")
            .cause(format!("at most {} KiB are read", crate::BODY_LIMIT_BYTES >> 10));
        return Failure::new(status, problem);
    }
    let problem =
        Problem::new("api.bad-request", "the body cannot be understood").cause(source_of(rejection));
    Failure::refused(problem)
}

/// The innermost reason, without the names of our types.
fn source_of(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Parameters of the path; a name that cannot be is refused with what would be accepted.
pub(crate) struct InPath<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Failure::refused(
                Problem::new("api.bad-name", "the address names something that cannot be")
                    .cause(rejection.body_text().trim_start_matches("Invalid URL: ").to_owned()),
            )),
        }
    }
}

/// Parameters after the question mark.
pub(crate) struct InQuery<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Failure::refused(
                Problem::new("api.bad-request", "a parameter cannot be understood")
                    .cause(source_of(&rejection)),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(axum::body::Body::empty()).unwrap()
    }

    fn answer(method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let hosts = ["naru.example.com".to_owned()];
        match check_request(&hosts, &request(method, path, headers)) {
            Ok(()) => 200,
            Err(failure) => failure.status.as_u16(),
        }
    }

    #[test]
    fn only_known_hosts_are_served() {
        for good in ["127.0.0.1:7070", "localhost", "[::1]:7070", "naru.example.com", "NARU.example.com:443"]
        {
            assert_eq!(answer("GET", "/", &[("host", good)]), 200, "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example:7070", "", "localhost.evil:80", ":7070"] {
            assert_eq!(answer("GET", "/", &[("host", bad)]), 421, "{bad}");
        }
        assert_eq!(answer("GET", "/", &[]), 421);
    }

    #[test]
    fn a_change_from_a_strangers_page_is_refused() {
        let json = ("content-type", "application/json");
        let host = ("host", "127.0.0.1:7070");
        assert_eq!(answer("POST", "/api/v1/x", &[host, json]), 200);
        assert_eq!(answer("POST", "/api/v1/x", &[host, json, ("origin", "http://127.0.0.1:7070")]), 200);
        assert_eq!(answer("POST", "/api/v1/x", &[host, json, ("origin", "http://127.0.0.1:8080")]), 403);
        assert_eq!(answer("POST", "/api/v1/x", &[host, json, ("origin", "null")]), 403);
        assert_eq!(answer("POST", "/setup", &[host, ("sec-fetch-site", "cross-site")]), 403);
    }

    #[test]
    fn changes_must_be_json() {
        let host = ("host", "127.0.0.1:7070");
        for bad in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
            assert_eq!(answer("POST", "/api/v1/x", &[host, ("content-type", bad)]), 415, "{bad}");
        }
        assert_eq!(answer("DELETE", "/api/v1/x", &[host]), 415);
        assert_eq!(
            answer("POST", "/api/v1/x", &[host, ("content-type", "application/json; charset=utf-8")]),
            200
        );
    }
}
