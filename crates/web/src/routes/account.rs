//! Setup, login, tokens and the audit log.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{AuditLine, IssuedToken, Login, NewToken, Page, Setup, Token, Whoami};
use naru_store::identity::{AuditRow, TokenKind, TokenRow};
use secrecy::ExposeSecret as _;

use crate::Cx;
use crate::access::Caller;
use crate::border::{Body, InPath, InQuery};
use crate::failure::Result;
use crate::paging::Paging;

const LOGIN_LABEL: &str = "login";

fn issued(login: String, issued: &naru_identity::Issued) -> IssuedToken {
    IssuedToken {
        id: issued.id.clone(),
        token: issued.plain.expose_secret().to_owned(),
        login,
        expires_at: issued.expires_at,
    }
}

/// Makes the first administrator with the one-time setup link.
#[utoipa::path(post, path = "/api/v1/setup", operation_id = "setup", tag = "account", request_body = Setup,
    responses((status = 201, body = IssuedToken), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn setup(
    State(cx): State<Cx>,
    Body(setup): Body<Setup>,
) -> Result<(StatusCode, Json<IssuedToken>)> {
    let principal = cx.identity.setup(&setup.setup_token.into(), &setup.login, setup.password.into()).await?;
    let new = naru_identity::NewToken { label: "setup".to_owned(), ..naru_identity::NewToken::default() };
    let token = cx.identity.create_token(&principal, new).await?;
    Ok((StatusCode::CREATED, Json(issued(principal.login, &token))))
}

/// Exchanges a password for a token.
#[utoipa::path(post, path = "/api/v1/login", operation_id = "login", tag = "account", request_body = Login,
    responses((status = 201, body = IssuedToken), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn login(
    State(cx): State<Cx>,
    Body(login): Body<Login>,
) -> Result<(StatusCode, Json<IssuedToken>)> {
    let principal = cx.identity.check_password(&login.login, login.password.into()).await?;
    let label = login.label.unwrap_or_else(|| LOGIN_LABEL.to_owned());
    let new = naru_identity::NewToken { label, ..naru_identity::NewToken::default() };
    let token = cx.identity.create_token(&principal, new).await?;
    Ok((StatusCode::CREATED, Json(issued(principal.login, &token))))
}

/// Ends the token or session that this request came with.
#[utoipa::path(post, path = "/api/v1/logout", operation_id = "logout", tag = "account",
    responses((status = 204), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn logout(State(cx): State<Cx>, Caller(caller): Caller) -> Result<StatusCode> {
    cx.identity.log_out(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says who the caller is.
#[utoipa::path(get, path = "/api/v1/whoami", operation_id = "whoami", tag = "account",
    responses((status = 200, body = Whoami), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn whoami(Caller(caller): Caller) -> Json<Whoami> {
    Json(Whoami { login: caller.login })
}

/// The caller's tokens, newest first.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "account", params(Paging),
    responses((status = 200, body = Page<Token>), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn list_tokens(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Token>>> {
    let rows = cx.identity.tokens(&caller.login, paging.after.as_deref(), paging.probe()).await?;
    let tokens = rows.into_iter().map(token).collect();
    Ok(Json(paging.page(tokens, |token: &Token| token.id.clone())))
}

fn token(row: TokenRow) -> Token {
    let listed = row.kind != TokenKind::Account;
    Token {
        id: row.id,
        label: row.label,
        project: row.project,
        permissions: if listed { row.permissions } else { Vec::new() },
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        last_used_at: row.last_used_at,
    }
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "createToken", tag = "account",
    request_body = NewToken,
    responses((status = 201, body = IssuedToken), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn create_token(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<IssuedToken>)> {
    let new = naru_identity::NewToken {
        label: new.label,
        project: new.project,
        permissions: new.permissions,
        lasts: new.lasts_seconds.map(Duration::from_secs),
    };
    if let Some(name) = &new.project
        && cx.store.project(name).await?.is_none()
    {
        return Err(crate::failure::Failure::no_project(name));
    }
    let token = cx.identity.create_token(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(issued(caller.login, &token))))
}

/// Revokes a token. Repeating it changes nothing.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "revokeToken", tag = "account",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 204), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn revoke_token(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    InPath(id): InPath<String>,
) -> Result<StatusCode> {
    cx.identity.revoke_token(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who changed what, newest first.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "audit", tag = "account", params(Paging),
    responses((status = 200, body = Page<AuditLine>), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn audit(
    State(cx): State<Cx>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<AuditLine>>> {
    let rows = cx.identity.audit(paging.after_number(), paging.probe()).await?;
    let lines = rows.into_iter().map(audit_line).collect();
    Ok(Json(paging.page(lines, |line: &AuditLine| line.id.to_string())))
}

fn audit_line(row: AuditRow) -> AuditLine {
    AuditLine {
        id: row.id,
        at: row.at,
        login: row.login,
        action: row.action,
        project: row.project,
        target: row.target,
        result: row.result,
    }
}
