//! The second factor of one's own account: set up with a picture, confirmed with a code, turned off with the password.

use std::fmt::Write as _;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_identity::{IdentityError, NewTotp, TotpState};
use naru_model::Problem;
use naru_model::api::TotpCode;
use qrcode::{Color, QrCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, CameFrom};
use crate::failure::Result;
use crate::routes::totp::{confirmed, issuer};

use super::html::{Html, escape};
use super::language::words;
use super::shell::{SettingsTab, Shell};

/// Light modules around a QR code (ISO/IEC 18004, 9.1).
const QUIET_ZONE: usize = 4;

words! {
    title: "Second factor", "2단계 인증";
    what: "With a second factor, whoever knows your password still needs a code from your authenticator to log in.",
        "2단계 인증을 켜면 비밀번호를 알아내도 인증 앱의 코드 없이는 로그인할 수 없어요.";
    is_on: "The second factor is on.", "2단계 인증이 켜져 있어요.";
    is_off: "The second factor is off.", "2단계 인증이 꺼져 있어요.";
    codes_left(count): "{count} recovery codes are left.", "복구 코드가 {count}개 남았어요.";
    provider: "You log in by a login provider, which asks for its own second factor. There is none to set up here.",
        "로그인 제공자로 로그인하므로 2단계 인증도 제공자가 물어봐요. 여기서 켤 것은 없어요.";
    password: "Your password", "내 비밀번호";
    begin: "Set it up", "설정하기";
    again: "Begin again with a new secret", "새 비밀 값으로 다시 시작";
    scan: "Take a picture of this with your authenticator, or type the secret into it.",
        "인증 앱으로 이 그림을 찍거나 비밀 값을 직접 입력해 주세요.";
    picture: "QR code of the second factor", "2단계 인증 QR 코드";
    secret: "Secret", "비밀 값";
    open_link: "Open it in an authenticator on this device", "이 기기의 인증 앱에서 열기";
    code: "Code that it shows now", "지금 보이는 코드";
    code_rule: "Six digits. The second factor counts once the code is right; your other browsers are then logged out.",
        "숫자 여섯 자리예요. 코드가 맞으면 2단계 인증이 켜지고 다른 브라우저는 로그아웃돼요.";
    confirm: "Turn it on", "켜기";
    off: "Turn it off", "끄기";
    off_what: "Logging in then takes the password only, and the recovery codes are gone.",
        "끄면 비밀번호만으로 로그인하고 복구 코드는 없어져요.";
    wrong_password: "The password is wrong", "비밀번호가 맞지 않아요";
    wrong_code: "The code is wrong. Look at the authenticator's clock, and type the next one.",
        "코드가 맞지 않아요. 인증 앱의 시계를 확인하고 다음 코드를 입력해 주세요.";
    too_many: "Too many attempts. Try again in a minute.", "시도가 너무 많았어요. 1분 뒤에 다시 해 보세요.";
    ready: "The second factor is on", "2단계 인증을 켰어요";
    keep: "Recovery codes", "복구 코드";
    keep_what: "Each of them logs in once when the authenticator is lost. They are shown only now: keep them where your password is not.",
        "인증 앱을 잃어버렸을 때 하나씩 한 번만 쓸 수 있어요. 지금만 보여 드리니 비밀번호와 다른 곳에 보관해 주세요.";
    done: "I have kept them", "보관했어요";
}

#[derive(Template)]
#[template(path = "totp.html")]
struct TotpPage<'a> {
    shell: &'a Shell,
    w: Words,
    state: TotpState,
    /// What is being set up: the picture, the secret in groups, the link.
    begun: Option<(Html, String, String)>,
    /// Shown this once.
    codes: Vec<String>,
    wrong: Option<&'static str>,
}

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell, asking: Asking) -> Result<Response> {
    page(&cx, shell, &asking, None).await
}

async fn page(cx: &Cx, shell: Shell, asking: &Asking, wrong: Option<&IdentityError>) -> Result<Response> {
    let login = &asking.known.principal.login;
    let w = Words(shell.language);
    let shell = shell.in_settings(cx, SettingsTab::Security).await;
    let shell = shell.crumb("/account/totp", w.title()).title(w.title());
    let begun = cx.identity.begun_totp(login, &issuer(cx)).await?.map(|new| drawn(w, &new));
    let state = cx.identity.totp(login).await?;
    let refused = wrong.map(|error| refusal(w, error));
    let said = refused.map(|(_, _, said)| said);
    let page = TotpPage { shell: &shell, w, state, begun, codes: Vec::new(), wrong: said };
    Ok(match refused {
        Some((status, code, _)) => shell.refused(status, code, &page),
        None => shell.page(&page),
    })
}

/// Status, code and words of what a person can mend.
fn refusal(w: Words, error: &IdentityError) -> (StatusCode, &'static str, &'static str) {
    match error {
        IdentityError::WrongCode => (StatusCode::BAD_REQUEST, "identity.wrong-code", w.wrong_code()),
        IdentityError::TooManyAttempts { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "identity.too-many-attempts", w.too_many())
        }
        _ => (StatusCode::BAD_REQUEST, "identity.wrong-password", w.wrong_password()),
    }
}

fn drawn(w: Words, new: &NewTotp) -> (Html, String, String) {
    let link = new.link.expose_secret();
    let secret = new.secret.expose_secret();
    let groups: Vec<&str> =
        secret.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    (picture(w.picture(), link), groups.join(" "), link.to_owned())
}

/// A QR code, dark on light in either theme: that is what cameras look for.
fn picture(name: &str, text: &str) -> Html {
    let Ok(code) = QrCode::new(text) else { return Html::default() };
    let width = code.width();
    let mut path = String::new();
    for (index, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = (index % width + QUIET_ZONE, index / width + QUIET_ZONE);
            let _ = write!(path, "M{x} {y}h1v1h-1z"); // writing to a String does not fail
        }
    }
    let side = width + 2 * QUIET_ZONE;
    Html(format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>",
        escape(name)
    ))
}

/// The password once more.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Password {
    password: String,
}

/// Begins, or begins again.
pub(crate) async fn begin(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Form(given): Form<Password>,
) -> Result<Response> {
    match cx.identity.begin_totp(&asking.known, given.password.into(), &issuer(&cx), &origin).await {
        Ok(_) => Ok(back()),
        Err(error) => again(&cx, shell, &asking, error).await,
    }
}

/// A code of the authenticator.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Code {
    code: String,
}

/// Turns it on, and shows the recovery codes, this once.
pub(crate) async fn confirm(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Form(given): Form<Code>,
) -> Result<Response> {
    match confirmed(&cx, &asking, TotpCode { code: given.code }, &origin).await {
        Ok(made) => {
            let w = Words(shell.language);
            let shell = shell.in_settings(&cx, SettingsTab::Security).await;
            let shell = shell.crumb("/account/totp", w.title()).title(w.ready());
            let state = cx.identity.totp(&asking.known.principal.login).await?;
            let page = TotpPage { shell: &shell, w, state, begun: None, codes: made.codes, wrong: None };
            Ok(shell.page(&page))
        }
        Err(error) => again(&cx, shell, &asking, error).await,
    }
}

/// Turns it off.
pub(crate) async fn turn_off(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Form(given): Form<Password>,
) -> Result<Response> {
    match cx.identity.turn_totp_off(&asking.known, given.password.into(), &origin).await {
        Ok(()) => Ok(back()),
        Err(error) => again(&cx, shell, &asking, error).await,
    }
}

/// The page again with what was wrong; other failures are a page of their own.
async fn again(cx: &Cx, shell: Shell, asking: &Asking, error: IdentityError) -> Result<Response> {
    match error {
        IdentityError::WrongPassword | IdentityError::WrongCode | IdentityError::TooManyAttempts { .. } => {
            page(cx, shell, asking, Some(&error)).await
        }
        // Somebody else was quicker, on another page.
        IdentityError::HasTotp | IdentityError::NoTotp => {
            let code = Problem::from(error).code;
            tracing::debug!(%code, "the second factor is not in the state that a page took it to be in");
            Ok(back())
        }
        error => Err(error.into()),
    }
}

fn back() -> Response {
    Redirect::to("/account/totp").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_markup_of_our_own() {
        let Html(svg) = picture("a \"name\"", "otpauth://totp/Naru:minji?secret=AAAA");
        assert!(svg.contains("aria-label=\"a &quot;name&quot;\"") && !svg.contains("AAAA"), "{svg}");
        assert!(!svg.contains("style=") && svg.matches("<path").count() == 1);
    }
}
