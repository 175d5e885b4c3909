//! Organisations and who belongs to them.

use axum::Json;
use axum::extract::State;
use naru_model::api::{Member, Organisation, Page};
use naru_model::{OrganisationName, Problem};

use crate::Cx;
use crate::access::{Caller, ChosenOrganisation};
use crate::border::InQuery;
use crate::failure::Result;
use crate::paging::Paging;

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
    }
}

/// The organisations that the caller belongs to, by name.
#[utoipa::path(get, path = "/api/v1/organisations", operation_id = "listOrganisations", tag = "organisation",
    responses((status = 200, body = Page<Organisation>), (status = "default", body = Problem)))]
pub(crate) async fn list(State(cx): State<Cx>, Caller(caller): Caller) -> Result<Json<Page<Organisation>>> {
    let rows = cx.store.organisations_of(&caller.login).await?;
    let items = rows.into_iter().map(|(row, _)| view(row)).collect();
    Ok(Json(Page { items, next: None }))
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
