//! Login providers, and the caller's logins there. Going there and coming back is a browser's: `pages/provider.rs`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{ExternalLogin, LoginProvider, Page};
use naru_model::name::ProviderName;
use serde::Deserialize;

use crate::Cx;
use crate::access::Caller;
use crate::border::InPath;
use crate::failure::Result;

/// `{provider}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneProvider {
    pub(crate) provider: ProviderName,
}

/// The login providers of this instance, by name.
#[utoipa::path(get, path = "/api/v1/login-providers", operation_id = "listLoginProviders", tag = "account",
    responses((status = 200, body = Page<LoginProvider>), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn list_providers(State(cx): State<Cx>) -> Json<Page<LoginProvider>> {
    Json(Page { items: cx.external.list(), next: None })
}

/// The logins at providers that are tied to the caller's account, by provider.
#[utoipa::path(get, path = "/api/v1/external-logins", operation_id = "listExternalLogins", tag = "account",
    responses((status = 200, body = Page<ExternalLogin>), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn list(State(cx): State<Cx>, Caller(caller): Caller) -> Result<Json<Page<ExternalLogin>>> {
    let rows = cx.external.logins(&caller.login).await?;
    let items = rows.into_iter().map(|row| ExternalLogin {
        provider: row.provider,
        name: row.name,
        tied_at: row.tied_at,
        last_used_at: row.last_used_at,
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// Unties a login from the caller's account. The roles that groups gave by it go with it.
#[utoipa::path(delete, path = "/api/v1/external-logins/{provider}", operation_id = "untieExternalLogin",
    tag = "account", params(("provider" = ProviderName, Path, description = "The provider's name")),
    responses((status = 204), (status = "default", body = naru_model::Problem)))]
pub(crate) async fn untie(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    InPath(path): InPath<OneProvider>,
) -> Result<StatusCode> {
    cx.external.untie(&caller, &path.provider).await?;
    Ok(StatusCode::NO_CONTENT)
}
