//! Organisations and who belongs to them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use naru_model::api::{Member, NewOrganisation, Organisation, OrganisationChange, Page};
use naru_model::authorise::{Permission, Resource};
use naru_model::{OrganisationName, Problem};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, AuditDetail, ChosenOrganisation};
use crate::border::{Body, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;
use crate::routes::people::is_label;

pub(crate) fn view(row: naru_store::organisation::Organisation) -> Organisation {
    Organisation { name: row.name, display_name: row.display_name, created_at: row.created_at }
}

fn member(row: naru_store::organisation::Member) -> Member {
    Member {
        login: row.login,
        display_name: row.display_name,
        role: row.role,
        added_at: row.added_at,
        disabled: row.disabled,
        by_group: row.by_group,
    }
}

/// Which organisations.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// All of the instance, for its administrators.
    #[serde(default)]
    all: bool,
}

/// The organisations that the caller belongs to, by name.
#[utoipa::path(get, path = "/api/v1/organisations", operation_id = "listOrganisations", tag = "organisation",
    params(Which, Paging), responses((status = 200, body = Page<Organisation>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    asking: Asking,
    InQuery(which): InQuery<Which>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Organisation>>> {
    if !which.all {
        let rows = cx.store.organisations_of(&asking.known.principal.login).await?;
        let items = rows.into_iter().map(|(row, _)| view(row)).collect();
        return Ok(Json(Page { items, next: None }));
    }
    asking.require(&cx, Permission::ReadInstance, &Resource::Instance).await?;
    let after = paging.after.as_deref().unwrap_or_default();
    let rows = cx.store.organisations_page(after, paging.probe()).await?;
    let items = rows.into_iter().map(view).collect();
    Ok(Json(paging.page(items, |organisation: &Organisation| organisation.name.to_string())))
}

fn check_title(title: &str) -> Result<()> {
    if is_label(title) {
        return Ok(());
    }
    let problem = Problem::new("api.bad-title", "this cannot be the title of an organisation")
        .cause("a title has at most 80 characters and no control characters")
        .state("nothing was changed");
    Err(Failure::refused(problem))
}

/// Makes an organisation with its first owner.
#[utoipa::path(post, path = "/api/v1/organisations", operation_id = "createOrganisation", tag = "organisation",
    request_body = NewOrganisation,
    responses((status = 201, body = Organisation), (status = "default", body = Problem)))]
pub(crate) async fn create(
    State(cx): State<Cx>,
    asking: Asking,
    Body(new): Body<NewOrganisation>,
) -> Result<(StatusCode, Extension<AuditDetail>, Json<Organisation>)> {
    let (detail, made) = made(&cx, &asking, new).await?;
    Ok((StatusCode::CREATED, Extension(detail), Json(made)))
}

/// Makes an organisation with its first owner.
pub(crate) async fn made(
    cx: &Cx,
    asking: &Asking,
    new: NewOrganisation,
) -> Result<(AuditDetail, Organisation)> {
    check_title(&new.display_name)?;
    let owner = new.owner.unwrap_or_else(|| asking.known.principal.login.clone());
    if cx.store.account(&owner).await?.is_none() {
        return Err(Failure::missing(format!("account {owner:.40}"), "naru account list"));
    }
    let row = cx.store.create_organisation(&new.name, new.display_name.trim(), &owner).await?;
    Ok((AuditDetail(format!("{} for {owner}", row.name)), view(row)))
}

/// Changes what people call an organisation.
#[utoipa::path(put, path = "/api/v1/organisations/{organisation}", operation_id = "changeOrganisation",
    tag = "organisation", request_body = OrganisationChange, params(("organisation" = OrganisationName, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn change(
    State(cx): State<Cx>,
    ChosenOrganisation(row): ChosenOrganisation,
    Body(change): Body<OrganisationChange>,
) -> Result<StatusCode> {
    renamed(&cx, &row.name, &change.display_name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes what people call an organisation.
pub(crate) async fn renamed(cx: &Cx, name: &OrganisationName, title: &str) -> Result<()> {
    check_title(title)?;
    Ok(cx.store.rename_organisation(name, title.trim()).await?)
}

/// Removes an organisation that has no projects.
#[utoipa::path(delete, path = "/api/v1/organisations/{organisation}", operation_id = "deleteOrganisation",
    tag = "organisation", params(("organisation" = OrganisationName, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn delete(
    State(cx): State<Cx>,
    ChosenOrganisation(row): ChosenOrganisation,
) -> Result<StatusCode> {
    cx.store.delete_organisation(&row.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One organisation.
#[utoipa::path(get, path = "/api/v1/organisations/{organisation}", operation_id = "showOrganisation",
    tag = "organisation", params(("organisation" = OrganisationName, Path)),
    responses((status = 200, body = Organisation), (status = "default", body = Problem)))]
pub(crate) async fn show(ChosenOrganisation(row): ChosenOrganisation) -> Json<Organisation> {
    Json(view(row))
}

/// Who belongs to an organisation, by login.
#[utoipa::path(get, path = "/api/v1/organisations/{organisation}/members", operation_id = "listMembers",
    tag = "organisation", params(("organisation" = OrganisationName, Path), Paging),
    responses((status = 200, body = Page<Member>), (status = "default", body = Problem)))]
pub(crate) async fn list_members(
    State(cx): State<Cx>,
    ChosenOrganisation(organisation): ChosenOrganisation,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Member>>> {
    Ok(Json(members(&cx, &organisation.name, &paging).await?))
}

/// A page of the members of an organisation.
pub(crate) async fn members(
    cx: &Cx,
    organisation: &OrganisationName,
    paging: &Paging,
) -> Result<Page<Member>> {
    let after = paging.after.as_deref().unwrap_or_default();
    let rows = cx.store.members(organisation, after, paging.probe()).await?;
    let items = rows.into_iter().map(member).collect();
    Ok(paging.page(items, |member: &Member| member.login.clone()))
}
