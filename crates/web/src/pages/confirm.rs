//! Who wants to do what cannot be undone or gives rights proves once more to be who they are, when the last proof is old.
//! Afterwards the browser is back where it was; what was refused is not sent again, the person does it anew.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_identity::{IdentityError, Origin};
use naru_model::api::LoginProvider;
use naru_model::name::ProviderName;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, CameFrom};
use crate::border::InQuery;
use crate::failure::Result;

use super::answer::local;
use super::html::encode;
use super::language::words;
use super::shell::Shell;

/// What an address says when the person comes from here.
const MARK: &str = "confirmed=1";

words! {
    title: "Confirm that it is you", "본인 확인";
    what: "What you asked for cannot be undone or gives rights, and you last proved to be you more than 10 minutes ago.",
        "되돌릴 수 없거나 권한을 주는 일인데, 마지막으로 본인 확인을 한 지 10분이 넘었어요.";
    state: "Nothing was changed. After this you are back where you were, and do it once more.",
        "아무것도 바뀌지 않았어요. 확인하면 보던 곳으로 돌아가요. 거기서 다시 해 주세요.";
    password: "Password", "비밀번호";
    code: "Code", "코드";
    code_rule: "Of your authenticator, or a recovery code. Each is good once: one that you logged in with is used.",
        "인증 앱의 코드나 복구 코드예요. 한 번만 쓸 수 있어서, 로그인할 때 쓴 코드는 다시 쓸 수 없어요.";
    confirm: "Confirm", "확인";
    wrong: "The password is wrong.", "비밀번호가 맞지 않아요.";
    wrong_of_two: "The password or the code is wrong, or the code was used already.",
        "비밀번호나 코드가 맞지 않거나, 이미 쓴 코드예요.";
    too_many(seconds): "Too many attempts. Try again in {seconds} s.", "시도가 너무 많았어요. {seconds}초 뒤에 다시 해 보세요.";
    with(title): "Confirm with {title}", "{title}로 확인";
    no_way: "This account has no password and no login provider that answers here. Ask an instance administrator for a password link.",
        "이 계정에는 비밀번호도, 쓸 수 있는 로그인 제공자도 없어요. 인스턴스 관리자에게 비밀번호 링크를 요청해 보세요.";
    back: "Back without doing it", "그만두고 돌아가기";
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage<'a> {
    shell: &'a Shell,
    w: Words,
    login: &'a str,
    next: &'a str,
    has_password: bool,
    /// Whether there is a second factor, whose code is asked for beside the password.
    has_code: bool,
    /// The providers that the account is tied to.
    providers: Vec<LoginProvider>,
    /// The way back from them.
    next_encoded: String,
    error: Option<String>,
}

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Next {
    next: String,
}

/// What was typed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Proof {
    password: String,
    code: String,
    next: String,
}

/// The address of the page, for who was on their way to `next`.
pub(super) fn address(next: &str) -> String {
    format!("/confirm?next={}", encode(next))
}

/// Whether somebody comes from here, by the query of their address.
pub(super) fn came_from(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair == MARK))
}

/// `next` with the mark, if it is a place on this server.
fn marked(next: &str) -> String {
    let place = local(next);
    let place = place.split_once('#').map_or(place, |(place, _)| place);
    if came_from(place.split_once('?').map(|(_, query)| query)) {
        return place.to_owned();
    }
    let joint = if place.contains('?') { '&' } else { '?' };
    format!("{place}{joint}{MARK}")
}

/// The form; who need not confirm goes on at once.
pub(crate) async fn form(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    InQuery(next): InQuery<Next>,
) -> Result<Response> {
    if !cx.identity.must_confirm(&asking.known) {
        return Ok(Redirect::to(&marked(&next.next)).into_response());
    }
    show(&cx, &shell, &asking, &next.next, None).await
}

/// Takes the proof and goes back.
pub(crate) async fn confirm(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Form(proof): Form<Proof>,
) -> Result<Response> {
    let next = proof.next.clone();
    match prove(&cx, &asking, proof, &origin).await {
        Ok(()) => Ok(Redirect::to(&marked(&next)).into_response()),
        Err(
            error @ (IdentityError::WrongPassword
            | IdentityError::WrongCode
            | IdentityError::TooManyAttempts { .. }),
        ) => show(&cx, &shell, &asking, &next, Some(&error)).await,
        Err(error) => Err(error.into()),
    }
}

/// The one place where a proof is looked at.
async fn prove(cx: &Cx, asking: &Asking, proof: Proof, origin: &Origin) -> Result<(), IdentityError> {
    let code = (!proof.code.is_empty()).then(|| proof.code.into());
    let given = naru_identity::Proof { password: proof.password.into(), code };
    cx.identity.confirm(&asking.known, given, origin).await
}

async fn show(
    cx: &Cx,
    shell: &Shell,
    asking: &Asking,
    next: &str,
    error: Option<&IdentityError>,
) -> Result<Response> {
    let w = Words(shell.language);
    let login = &asking.known.principal.login;
    let factors = cx.identity.totp(login).await?;
    // Which of the two was wrong is for the audit log only.
    let wrong = if factors.on { w.wrong_of_two() } else { w.wrong() };
    let (status, code, error) = match error {
        None => (StatusCode::OK, "", None),
        Some(IdentityError::TooManyAttempts { retry_after }) => {
            let said = w.too_many(retry_after.as_secs().max(1));
            (StatusCode::TOO_MANY_REQUESTS, "identity.too-many-attempts", Some(said))
        }
        Some(IdentityError::WrongCode) => {
            (StatusCode::BAD_REQUEST, "identity.wrong-code", Some(wrong.to_owned()))
        }
        Some(_) => (StatusCode::BAD_REQUEST, "identity.wrong-password", Some(wrong.to_owned())),
    };
    let tied = cx.external.logins(login).await?;
    let tied: Vec<ProviderName> = tied.into_iter().map(|row| row.provider).collect();
    let shell = shell.clone().title(w.title());
    let page = ConfirmPage {
        shell: &shell,
        w,
        login,
        next: local(next),
        has_password: factors.has_password,
        has_code: factors.on,
        providers: cx.external.list().into_iter().filter(|it| tied.contains(&it.name)).collect(),
        next_encoded: encode(&marked(next)),
        error,
    };
    Ok(shell.refused(status, code, &page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_marked_once_and_never_leads_away() {
        assert_eq!(marked("/account"), "/account?confirmed=1");
        assert_eq!(marked("/account?after=7#x"), "/account?after=7&confirmed=1");
        assert_eq!(marked("/account?confirmed=1"), "/account?confirmed=1");
        assert_eq!(marked("//evil.example/"), "/?confirmed=1");
        assert!(came_from(Some("a=b&confirmed=1")) && !came_from(Some("a=confirmed=1")) && !came_from(None));
        assert_eq!(address("/a?b=c&d"), "/confirm?next=%2Fa%3Fb%3Dc%26d");
    }
}
