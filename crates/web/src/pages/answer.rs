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
use crate::failure::{Shown, UNCONFIRMED};

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
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let mut response = next.run(request).await;
    if let Some(Shown(problem)) = response.extensions().get::<Shown>().cloned() {
        let shown = if response.status() == StatusCode::UNAUTHORIZED {
            to_login(&method, &uri)
        } else if problem.code == UNCONFIRMED {
            Redirect::to(&confirm::address(&super::page_of_form(&headers, uri.path()))).into_response()
        } else {
            error_page(&cx, &headers, &uri, response.status(), &problem).await
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
    let asked =
        cx.identity.authorise(&credentials(headers), Permission::OwnTokens, &Resource::Instance).await;
    let login = asked.ok().map(|principal| principal.login);
    let shell = Shell::of(headers, uri, cx.store.now(), login);
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
