//! How a page answers: the headers that every page carries, and failures as pages. Who is not logged in is led to the
//! login page and back.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::Problem;
use naru_model::authorise::{Authorise as _, Permission, Resource};

use crate::Cx;
use crate::access::credentials;
use crate::failure::{Failure, Shown, UNCONFIRMED};

use super::confirm;
use super::html::{Html, encode};
use super::language::words;
use super::problem;
use super::shell::Shell;

/// Nothing is loaded from elsewhere, nothing is written into the page that runs, and no other site may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

words! {
    missing: "There is no such page", "없는 페이지예요";
    refused: "That was refused", "요청을 처리할 수 없어요";
    trouble: "Something here does not answer", "지금은 답할 수 없어요";
    back: "Back to home", "홈으로";
}

/// The layer around every page route: who is not logged in is led to the login, and who has to confirm an act to the page
/// for that. A form is not sent again from there; the person does.
pub(crate) async fn finish(State(cx): State<Cx>, request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let response = next.run(request).await;
    dressed(&cx, &asked, response).await
}

/// What an answer depends on besides itself.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        }
    }
}

/// The answer to an address that there is not.
pub(crate) async fn nowhere(State(cx): State<Cx>, request: Request) -> Response {
    let asked = Asked::of(&request);
    drop(request);
    let problem = Problem::new("api.no-route", "there is nothing at this address")
        .hint("the API is described in /api/v1/openapi.json; pages begin at /");
    failed(&cx, asked, Failure::new(StatusCode::NOT_FOUND, problem)).await
}

/// The answer to a method that an address does not have.
pub(crate) async fn not_so(State(cx): State<Cx>, request: Request) -> Response {
    let asked = Asked::of(&request);
    drop(request);
    let summary = format!("{} is not answered at this address", asked.method);
    let problem = Problem::new("api.method", summary)
        .state("nothing was changed")
        .hint("the API is described in /api/v1/openapi.json; pages begin at /");
    failed(&cx, asked, Failure::new(StatusCode::METHOD_NOT_ALLOWED, problem)).await
}

/// A page for browsers, the five fields for programs.
async fn failed(cx: &Cx, asked: Asked, failure: Failure) -> Response {
    let response = failure.into_response();
    if asked.uri.path().starts_with("/api/") {
        return response;
    }
    dressed(cx, &asked, response).await
}

async fn dressed(cx: &Cx, asked: &Asked, mut response: Response) -> Response {
    let Asked { method, uri, headers } = asked;
    if let Some(Shown(problem)) = response.extensions().get::<Shown>().cloned() {
        let shown = if response.status() == StatusCode::UNAUTHORIZED {
            to_login(method, uri)
        } else if problem.code == UNCONFIRMED {
            Redirect::to(&confirm::address(&super::page_of_form(headers, uri.path()))).into_response()
        } else {
            error_page(cx, headers, uri, response.status(), &problem).await
        };
        let retry = response.headers().get(header::RETRY_AFTER).cloned();
        let cookies: Vec<_> = response.headers().get_all(header::SET_COOKIE).iter().cloned().collect();
        response = shown;
        for cookie in cookies {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        if let Some(retry) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, retry);
        }
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language, cookie"));
    response
}

/// To the login page, and afterwards back to what was asked for.
fn to_login(method: &Method, uri: &Uri) -> Response {
    let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    if matches!(*method, Method::GET | Method::HEAD) && wanted != "/" {
        return Redirect::to(&format!("/login?next={}", encode(wanted))).into_response();
    }
    Redirect::to("/login").into_response()
}

/// A place on this server to go to, or home: never another site.
pub(crate) fn local(place: &str) -> &str {
    let is_local = place.starts_with('/')
        && !place.starts_with("//")
        && !place.contains('\\')
        && !place.chars().any(char::is_control);
    if is_local { place } else { "/" }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    shell: &'a Shell,
    w: Words,
    problem: Html,
}

async fn error_page(
    cx: &Cx,
    headers: &HeaderMap,
    uri: &Uri,
    status: StatusCode,
    problem: &Problem,
) -> Response {
    let credentials = credentials(&cx.address, headers);
    let asked = cx.identity.authorise(&credentials, Permission::OwnTokens, &Resource::Instance).await;
    let login = asked.ok().map(|principal| principal.login);
    let shell = Shell::of(cx, headers, uri, login);
    let w = Words(shell.language);
    let heading = match status {
        StatusCode::NOT_FOUND => w.missing(),
        _ if status.is_server_error() => w.trouble(),
        _ => w.refused(),
    };
    let shell = shell.title(heading);
    shell.page_with(status, &ErrorPage { shell: &shell, w, problem: problem::show(shell.language, problem) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_never_leads_to_another_site() {
        for good in ["/", "/projects/shop?x=1#a", "/new"] {
            assert_eq!(local(good), good);
        }
        for bad in ["", "//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/a\nb"]
        {
            assert_eq!(local(bad), "/", "{bad}");
        }
    }
}
