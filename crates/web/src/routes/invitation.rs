//! Invitations into an organisation, and links to a new password. The text of a link is shown once.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use naru_identity::Issued;
use naru_model::api::{
    Acceptance, Invitation, InvitationToken, IssuedLink, IssuedToken, NewInvitation, Page, PasswordReset,
};
use naru_model::{OrganisationName, Problem};
use naru_store::invitation::InvitationRow;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, AuditDetail, CameFrom, ChosenOrganisation};
use crate::border::{Body, InPath};
use crate::failure::{Failure, Result};
use crate::routes::member::OneLogin;

fn view(row: InvitationRow) -> Invitation {
    Invitation {
        id: row.id,
        organisation: row.organisation,
        role: row.role,
        address: row.address,
        invited_by: row.invited_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
        used_at: row.used_at,
        used_by: row.used_by,
    }
}

/// A link for a browser.
fn link(cx: &Cx, page: &str, issued: &Issued) -> IssuedLink {
    let token = issued.plain.expose_secret().to_owned();
    IssuedLink {
        id: issued.id.clone(),
        link: format!("{}/{page}?token={token}", cx.address.base_url),
        token,
        expires_at: issued.expires_at,
    }
}

/// The newest invitations of an organisation, used ones included.
#[utoipa::path(get, path = "/api/v1/organisations/{organisation}/invitations", operation_id = "listInvitations",
    tag = "organisation", params(("organisation" = OrganisationName, Path)),
    responses((status = 200, body = Page<Invitation>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    ChosenOrganisation(organisation): ChosenOrganisation,
) -> Result<Json<Page<Invitation>>> {
    Ok(Json(listed(&cx, &organisation.name).await?))
}

/// The newest invitations of an organisation.
pub(crate) async fn listed(cx: &Cx, organisation: &OrganisationName) -> Result<Page<Invitation>> {
    let items = cx.store.invitations(organisation).await?.into_iter().map(view).collect();
    Ok(Page { items, next: None })
}

/// Makes a one-time link into an organisation.
#[utoipa::path(post, path = "/api/v1/organisations/{organisation}/invitations", operation_id = "invite",
    tag = "organisation", request_body = NewInvitation, params(("organisation" = OrganisationName, Path)),
    responses((status = 201, body = IssuedLink), (status = "default", body = Problem)))]
pub(crate) async fn create(
    State(cx): State<Cx>,
    asking: Asking,
    ChosenOrganisation(organisation): ChosenOrganisation,
    Body(new): Body<NewInvitation>,
) -> Result<(StatusCode, Extension<AuditDetail>, Json<IssuedLink>)> {
    let link = made(&cx, &asking, organisation.name, new).await?;
    Ok((StatusCode::CREATED, Extension(AuditDetail(format!("invitation {}", link.id))), Json(link)))
}

/// Makes a one-time link into an organisation.
pub(crate) async fn made(
    cx: &Cx,
    asking: &Asking,
    organisation: OrganisationName,
    new: NewInvitation,
) -> Result<IssuedLink> {
    let new = naru_identity::NewInvitation {
        organisation,
        role: new.role,
        address: new.address,
        lasts: new.lasts_seconds.map(Duration::from_secs),
    };
    let issued = cx.identity.invite(&asking.known.principal, new).await?;
    Ok(link(cx, "join", &issued))
}

/// `{id}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneInvitation {
    id: String,
}

/// Takes an invitation back that was not used yet.
#[utoipa::path(delete, path = "/api/v1/organisations/{organisation}/invitations/{id}",
    operation_id = "revokeInvitation", tag = "organisation",
    params(("organisation" = OrganisationName, Path), ("id" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn revoke(
    State(cx): State<Cx>,
    ChosenOrganisation(organisation): ChosenOrganisation,
    InPath(path): InPath<OneInvitation>,
) -> Result<StatusCode> {
    cx.store.revoke_invitation(&organisation.name, &path.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an invitation is for, to whoever has its link.
#[utoipa::path(post, path = "/api/v1/invitations/look", operation_id = "lookAtInvitation", tag = "organisation",
    request_body = InvitationToken,
    responses((status = 200, body = Invitation), (status = "default", body = Problem)))]
pub(crate) async fn look(
    State(cx): State<Cx>,
    Body(token): Body<InvitationToken>,
) -> Result<Json<Invitation>> {
    let row = cx.identity.invitation(&token.invitation.into()).await?;
    // The note is for those who manage members.
    Ok(Json(Invitation { address: String::new(), ..view(row) }))
}

/// Accepts an invitation with a new account.
#[utoipa::path(post, path = "/api/v1/invitations/accept", operation_id = "acceptInvitation", tag = "organisation",
    request_body = Acceptance,
    responses((status = 201, body = IssuedToken), (status = "default", body = Problem)))]
pub(crate) async fn accept(
    State(cx): State<Cx>,
    CameFrom(origin): CameFrom,
    Body(with): Body<Acceptance>,
) -> Result<(StatusCode, Json<IssuedToken>)> {
    let (link, password) = (with.invitation.into(), with.password.into());
    let principal = cx.identity.accept_as_new(&link, &with.login, password, &origin).await?;
    let new =
        naru_identity::NewToken { label: "invitation".to_owned(), ..naru_identity::NewToken::default() };
    let token = cx.identity.create_token(&principal, new).await?;
    Ok((StatusCode::CREATED, Json(crate::routes::account::issued(principal.login, &token))))
}

/// Accepts an invitation with the account that the caller is logged in to.
#[utoipa::path(post, path = "/api/v1/invitations/join", operation_id = "joinOrganisation", tag = "organisation",
    request_body = InvitationToken,
    responses((status = 200, body = Invitation), (status = "default", body = Problem)))]
pub(crate) async fn join(
    State(cx): State<Cx>,
    asking: Asking,
    CameFrom(origin): CameFrom,
    Body(token): Body<InvitationToken>,
) -> Result<Json<Invitation>> {
    let row = cx.identity.accept(&token.invitation.into(), &asking.known.principal, &origin).await?;
    Ok(Json(Invitation { address: String::new(), ..view(row) }))
}

/// Makes a one-time link that sets a new password for a member. Only for who belongs to no other organisation and is no
/// instance administrator: the link opens all that the account may.
#[utoipa::path(post, path = "/api/v1/organisations/{organisation}/members/{login}/password-link",
    operation_id = "makeMemberPasswordLink", tag = "organisation",
    params(("organisation" = OrganisationName, Path), ("login" = String, Path)),
    responses((status = 201, body = IssuedLink), (status = "default", body = Problem)))]
pub(crate) async fn member_password_link(
    State(cx): State<Cx>,
    asking: Asking,
    ChosenOrganisation(organisation): ChosenOrganisation,
    InPath(path): InPath<OneLogin>,
) -> Result<(StatusCode, Json<IssuedLink>)> {
    let link = member_link(&cx, &asking, &organisation.name, &path.login).await?;
    Ok((StatusCode::CREATED, Json(link)))
}

/// Makes a link that sets a new password for a member who is this organisation's alone.
pub(crate) async fn member_link(
    cx: &Cx,
    asking: &Asking,
    organisation: &OrganisationName,
    login: &str,
) -> Result<IssuedLink> {
    if cx.store.role_in(login, organisation).await?.is_none() {
        return Err(Failure::missing(format!("member {login:.40}"), "naru member list"));
    }
    let owner = &asking.known.principal;
    if !cx.identity.is_theirs_alone(&owner.login, login).await? {
        let problem =
            Problem::new("identity.not-yours-alone", "an instance administrator must make this link")
                .cause("the account can do things that are not this organisation's")
                .state("nothing was changed");
        return Err(Failure::new(StatusCode::FORBIDDEN, problem));
    }
    let issued = cx.identity.password_link(owner, login).await?;
    Ok(link(cx, "password", &issued))
}

/// Makes a one-time link that sets a new password for an account.
#[utoipa::path(post, path = "/api/v1/accounts/{login}/password-link", operation_id = "makePasswordLink",
    tag = "account", params(("login" = String, Path)),
    responses((status = 201, body = IssuedLink), (status = "default", body = Problem)))]
pub(crate) async fn password_link(
    State(cx): State<Cx>,
    asking: Asking,
    InPath(path): InPath<OneLogin>,
) -> Result<(StatusCode, Json<IssuedLink>)> {
    Ok((StatusCode::CREATED, Json(account_link(&cx, &asking, &path.login).await?)))
}

/// Makes a link that sets a new password for any account.
pub(crate) async fn account_link(cx: &Cx, asking: &Asking, login: &str) -> Result<IssuedLink> {
    let issued = cx.identity.password_link(&asking.known.principal, login).await?;
    Ok(link(cx, "password", &issued))
}

/// Sets the password that a one-time link is for. Ends every session of the account.
#[utoipa::path(post, path = "/api/v1/password-reset", operation_id = "resetPassword", tag = "account",
    request_body = PasswordReset,
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn reset(
    State(cx): State<Cx>,
    CameFrom(origin): CameFrom,
    Body(with): Body<PasswordReset>,
) -> Result<StatusCode> {
    cx.identity.use_password_link(&with.link.into(), with.password.into(), &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}
