//! Setup, login and tokens.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use naru_model::EnvironmentKey;
use naru_model::api::{IssuedToken, Login, Membership, NewToken, Page, Setup, Token, Whoami};
use naru_model::authorise::{Permission, Resource};
use naru_store::identity::TokenRow;
use secrecy::ExposeSecret as _;

use crate::Cx;
use crate::access::{Asking, AuditDetail, Caller, CameFrom};
use crate::border::{Body, InPath, InQuery};
use crate::failure::Result;
use crate::paging::Paging;

const LOGIN_LABEL: &str = "login";

pub(crate) fn issued(login: String, issued: &naru_identity::Issued) -> IssuedToken {
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
    CameFrom(origin): CameFrom,
    Body(setup): Body<Setup>,
) -> Result<(StatusCode, Json<IssuedToken>)> {
    let (token, password) = (setup.setup_token.into(), setup.password.into());
    let principal = cx.identity.setup(&token, &setup.login, password, &origin).await?;
    let new = naru_identity::NewToken { label: "setup".to_owned(), ..naru_identity::NewToken::default() };
    let token = cx.identity.create_token(&principal, new).await?;
    Ok((StatusCode::CREATED, Json(issued(principal.login, &token))))
}

/// Exchanges a password for a token.
#[utoipa::path(post, path = "/api/v1/login", operation_id = "login", tag = "account", request_body = Login,
    responses((status = 201, body = IssuedToken), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn login(
    State(cx): State<Cx>,
    CameFrom(origin): CameFrom,
    Body(login): Body<Login>,
) -> Result<(StatusCode, Json<IssuedToken>)> {
    let with = naru_identity::Login {
        login: login.login,
        password: login.password.into(),
        code: login.code.map(Into::into),
    };
    let principal = cx.identity.log_in(with, &origin).await?;
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
pub(crate) async fn whoami(State(cx): State<Cx>, asking: Asking) -> Result<Json<Whoami>> {
    Ok(Json(who(&cx, &asking).await?))
}

/// Who somebody is, and where they belong.
pub(crate) async fn who(cx: &Cx, asking: &Asking) -> Result<Whoami> {
    let login = asking.known.principal.login.clone();
    let account = cx.store.account(&login).await?;
    let memberships = cx.store.organisations_of(&login).await?.into_iter().map(|(organisation, role)| {
        let (organisation, display_name) = (organisation.name, organisation.display_name);
        Membership { organisation, display_name, role }
    });
    Ok(Whoami {
        login,
        display_name: account.as_ref().map(|account| account.display_name.clone()).unwrap_or_default(),
        language: account.as_ref().and_then(|account| account.language.clone()),
        zone: account.and_then(|account| account.zone),
        administrator: asking.known.administrator,
        organisations: memberships.collect(),
    })
}

/// The caller's tokens, newest first.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "account", params(Paging),
    responses((status = 200, body = Page<Token>), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn list_tokens(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Token>>> {
    Ok(Json(tokens(&cx, &caller.login, &paging).await?))
}

/// A page of somebody's tokens, newest first.
pub(crate) async fn tokens(cx: &Cx, login: &str, paging: &Paging) -> Result<Page<Token>> {
    let rows = cx.identity.tokens(login, paging.after.as_deref(), paging.probe()).await?;
    let tokens = rows.into_iter().map(token).collect();
    Ok(paging.page(tokens, |token: &Token| token.id.clone()))
}

fn token(row: TokenRow) -> Token {
    Token {
        id: row.id,
        label: row.label,
        project: row.project,
        environment: row.environment,
        permissions: row.permissions,
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
    asking: Asking,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Extension<AuditDetail>, Json<IssuedToken>)> {
    let token = made(&cx, &asking, new).await?;
    Ok((StatusCode::CREATED, Extension(AuditDetail(format!("token {}", token.id))), Json(token)))
}

/// Makes a token for somebody, for what they may read.
pub(crate) async fn made(cx: &Cx, asking: &Asking, new: NewToken) -> Result<IssuedToken> {
    let new = naru_identity::NewToken {
        label: new.label,
        project: new.project,
        environment: new.environment,
        permissions: new.permissions,
        lasts: new.lasts_seconds.map(Duration::from_secs),
    };
    match (new.project.clone(), new.environment.clone()) {
        (Some(project), Some(environment)) => {
            let key = EnvironmentKey { project, environment };
            asking.require(cx, Permission::Read, &Resource::Environment(key.clone())).await?;
            if cx.store.environment(&key).await?.is_none() {
                return Err(crate::routes::no_environment(&key));
            }
        }
        (Some(project), None) => asking.require(cx, Permission::Read, &Resource::Project(project)).await?,
        (None, _) => {}
    }
    let principal = &asking.known.principal;
    let token = cx.identity.create_token(principal, new).await?;
    Ok(issued(principal.login.clone(), &token))
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
