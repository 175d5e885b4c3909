//! The second factor of one's own account.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_identity::{IdentityError, Origin};
use naru_model::Problem;
use naru_model::api::{Confirmation, NewTotp, RecoveryCodes, Totp, TotpCode};
use secrecy::ExposeSecret as _;

use crate::Cx;
use crate::access::{Asking, CameFrom};
use crate::border::{Body, InPath};
use crate::failure::Result;
use crate::routes::member::OneLogin;
use crate::routes::people::typed_wrong;

/// What authenticators show beside the login.
pub(crate) fn issuer(cx: &Cx) -> String {
    let host = cx.address.base_url.split_once("://").map_or("", |(_, rest)| rest);
    format!("Naru {host}")
}

/// How the second factor of the caller's account stands.
#[utoipa::path(get, path = "/api/v1/account/totp", operation_id = "showTotp", tag = "account",
    responses((status = 200, body = Totp), (status = "default", body = Problem)))]
pub(crate) async fn show(State(cx): State<Cx>, asking: Asking) -> Result<Json<Totp>> {
    let state = cx.identity.totp(&asking.known.principal.login).await?;
    Ok(Json(Totp { on: state.on, begun: state.begun, recovery_codes: state.recovery_codes }))
}

/// Begins a second factor: makes its secret, which counts once a code was given for it.
#[utoipa::path(post, path = "/api/v1/account/totp/begin", operation_id = "beginTotp", tag = "account",
    request_body = Confirmation,
    responses((status = 201, body = NewTotp), (status = "default", body = Problem)))]
pub(crate) async fn begin(
    State(cx): State<Cx>,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Body(given): Body<Confirmation>,
) -> Result<(StatusCode, Json<NewTotp>)> {
    let begun = cx.identity.begin_totp(&asking.known, given.password.into(), &issuer(&cx), &origin).await;
    let new = begun.map_err(typed_wrong)?;
    let view =
        NewTotp { secret: new.secret.expose_secret().to_owned(), link: new.link.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Makes the second factor count with a code of it. Ends every other session of the account. The recovery codes of the
/// answer are never shown again.
#[utoipa::path(post, path = "/api/v1/account/totp/confirm", operation_id = "confirmTotp", tag = "account",
    request_body = TotpCode,
    responses((status = 200, body = RecoveryCodes), (status = "default", body = Problem)))]
pub(crate) async fn confirm(
    State(cx): State<Cx>,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Body(given): Body<TotpCode>,
) -> Result<Json<RecoveryCodes>> {
    Ok(Json(confirmed(&cx, &asking, given, &origin).await?))
}

/// Makes the second factor count, and returns the recovery codes.
pub(crate) async fn confirmed(
    cx: &Cx,
    asking: &Asking,
    given: TotpCode,
    origin: &Origin,
) -> Result<RecoveryCodes, IdentityError> {
    let codes = cx.identity.confirm_totp(&asking.known, &given.code.into(), origin).await?;
    Ok(RecoveryCodes { codes: codes.iter().map(|code| code.expose_secret().to_owned()).collect() })
}

/// Turns the second factor off, with its recovery codes.
#[utoipa::path(post, path = "/api/v1/account/totp/off", operation_id = "turnTotpOff", tag = "account",
    request_body = Confirmation, responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn turn_off(
    State(cx): State<Cx>,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Body(given): Body<Confirmation>,
) -> Result<StatusCode> {
    cx.identity.turn_totp_off(&asking.known, given.password.into(), &origin).await.map_err(typed_wrong)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the second factor off an account whose owner lost it. The password still stands before it.
#[utoipa::path(delete, path = "/api/v1/accounts/{login}/totp", operation_id = "resetTotp", tag = "account",
    params(("login" = String, Path)), responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn reset(State(cx): State<Cx>, InPath(path): InPath<OneLogin>) -> Result<StatusCode> {
    cx.identity.reset_totp(&path.login).await?;
    Ok(StatusCode::NO_CONTENT)
}
