//! One organisation: who belongs to it and in which role, who is invited, its projects, and its end.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{Invitation, IssuedLink, Member, NewInvitation, Page};
use naru_model::authorise::{Permission, Resource};
use naru_model::role::Role;
use naru_model::{OrganisationName, Problem};
use naru_store::listing::{ProjectLine, ProjectQuery};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, AuditDetail, ChosenOrganisation};
use crate::border::InQuery;
use crate::failure::{Failure, Result};
use crate::paging::Paging;
use crate::routes::member::kept;
use crate::routes::{invitation, organisation};

use super::language::words;
use super::projects::condition;
use super::refusal::{self, Refusal};
use super::role::{self, Choice};
use super::shell::{SettingsTab, Shell};

/// Projects that are listed here; the list of projects has them all.
const LISTED: u32 = 20;

words! {
    members: "Members", "구성원";
    login: "Login", "로그인 이름";
    role: "Role", "역할";
    since: "Since", "시작";
    disabled: "disabled", "사용 중지됨";
    by_group: "by a group at the login provider, which decides the role at each login",
        "로그인 제공자의 그룹으로 속해 있어요. 역할은 로그인할 때마다 거기서 정해져요";
    you: "you", "나";
    manage: "Change", "바꾸기";
    change_role: "Change the role", "역할 바꾸기";
    change_role_what: "Counts at once, in every project that has no role of its own for them.",
        "따로 정한 역할이 없는 모든 프로젝트에 바로 적용돼요.";
    remove: "Remove from the organisation", "조직에서 내보내기";
    remove_what(login): "{login} loses all projects here at once, with the roles set for single projects and environments. Their account and what they did stay. An invitation brings them back, without those roles.",
        "{login}은(는) 이 조직의 모든 프로젝트와 프로젝트·환경별 역할을 바로 잃어요. 계정과 기록은 남아요. 다시 초대할 수 있지만 따로 정한 역할은 돌아오지 않아요.";
    password_link: "Make a password link", "비밀번호 링크 만들기";
    password_link_what: "A one-time link that sets a new password and ends all their sessions. For who belongs to no other organisation.",
        "새 비밀번호를 정하는 일회용 링크예요. 쓰면 모든 세션이 끝나요. 다른 조직에 속하지 않은 사람에게만 만들 수 있어요.";
    older: "More members", "구성원 더 보기";
    roles: "What each role may do", "역할별로 할 수 있는 일";
    invitations: "Open invitations", "열린 초대";
    no_invitations: "Nobody is invited at the moment.", "지금 초대한 사람이 없어요.";
    address: "For whom", "받을 사람";
    invited_by: "Invited by", "초대한 사람";
    until: "Until", "기한";
    take_back: "Take back", "취소";
    invite: "Invite somebody", "초대하기";
    invite_what: "Makes a link that works once, for a new account or one that is there. Send it yourself: Naru sends nothing.",
        "한 번만 쓸 수 있는 링크를 만들어요. 새 계정이나 이미 있는 계정으로 들어올 수 있어요. 링크는 직접 보내 주세요.";
    address_rule: "A note to tell invitations apart; only owners see it (optional)", "초대를 구별할 메모. 소유자만 볼 수 있어요 (선택)";
    lasts: "Lasts", "기간";
    days(count): "{count} days", "{count}일";
    make_link: "Make the link", "링크 만들기";
    link_once: "Copy the link now: it is shown only this once.", "링크를 지금 복사해 두세요. 다시 보여 드리지 않아요.";
    projects: "Projects", "프로젝트";
    no_projects: "It has no project that you may see.", "볼 수 있는 프로젝트가 없어요.";
    all_projects(count): "All {count} projects", "프로젝트 {count}개 모두 보기";
    new_project: "New project", "새 프로젝트";
    title: "Title", "제목";
    save: "Save", "저장";
    leave: "Leave the organisation", "조직 나가기";
    leave_what: "You lose all projects here at once, with the roles set for you. An owner can invite you again.",
        "이 조직의 모든 프로젝트와 따로 정한 역할을 바로 잃어요. 소유자가 다시 초대할 수 있어요.";
    end: "Delete the organisation", "조직 삭제";
    end_what: "Only one without projects can be deleted. Its members keep their accounts; its open invitations stop working.",
        "프로젝트가 없는 조직만 삭제할 수 있어요. 구성원의 계정은 남고 열린 초대는 쓸 수 없게 돼요.";
    confirm(name): "Type {name} to confirm", "확인을 위해 {name}을(를) 적어 주세요";
    not_confirmed(name): "The name is {name}; nothing was deleted.", "이름은 {name}이에요. 아무것도 지우지 않았어요.";
}

#[derive(Template)]
#[template(path = "organisation.html")]
struct OrganisationPage<'a> {
    shell: &'a Shell,
    w: Words,
    base: String,
    name: &'a OrganisationName,
    title: &'a str,
    me: &'a str,
    members: Page<Member>,
    roles: Vec<Choice>,
    invitations: Vec<Invitation>,
    projects: Vec<ProjectLine>,
    projects_count: u32,
    may_manage: bool,
    may_create: bool,
    /// The link that was just made.
    link: Option<IssuedLink>,
    refusal: Option<Refusal>,
}

impl OrganisationPage<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn role(&self, role: &Role) -> &'static str {
        role::word(self.shell.language, *role)
    }

    fn has_more(&self) -> bool {
        self.projects_count > LISTED
    }

    fn sign(&self, line: &ProjectLine) -> super::html::Html {
        self.shell.sign(&condition(line.severity))
    }
}

/// What happened before the page is shown.
enum Before {
    Nothing,
    Link(IssuedLink),
    Refused(Refusal),
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    page(&cx, shell, &asking, &row, &paging, Before::Nothing).await
}

async fn page(
    cx: &Cx,
    shell: Shell,
    asking: &Asking,
    row: &naru_store::organisation::Organisation,
    paging: &Paging,
    before: Before,
) -> Result<Response> {
    let name = &row.name;
    let base = format!("/organisations/{name}");
    let shell = shell
        .in_settings(cx, SettingsTab::Organisations)
        .await
        .crumb(&base, name.as_str())
        .title(name.as_str());
    let resource = Resource::Organisation(name.clone());
    let may_manage = asking.may(cx, Permission::ManageMembers, &resource).await?;
    let me = &asking.known.principal.login;
    let query =
        ProjectQuery { account: me, organisation: name.as_str(), limit: LISTED, ..ProjectQuery::default() };
    let projects = cx.store.list_projects(&query).await?;
    let projects_count = cx.store.count_projects(&query).await?;
    let invitations = if may_manage { open_invitations(cx, name).await? } else { Vec::new() };
    let (link, refusal) = match before {
        Before::Nothing => (None, None),
        Before::Link(link) => (Some(link), None),
        Before::Refused(refusal) => (None, Some(refusal)),
    };
    let page = OrganisationPage {
        shell: &shell,
        w: Words(shell.language),
        base,
        name,
        title: &row.display_name,
        me,
        members: organisation::members(cx, name, paging).await?,
        roles: role::choices(shell.language),
        invitations,
        projects,
        projects_count,
        may_manage,
        may_create: asking.may(cx, Permission::CreateProject, &resource).await?,
        link,
        refusal,
    };
    Ok(match (&page.refusal, &page.link) {
        (Some(refusal), _) => shell.refused(refusal.status, &refusal.code, &page),
        (None, Some(_)) => shell.page_with(StatusCode::CREATED, &page),
        (None, None) => shell.page(&page),
    })
}

/// Those that can still be used.
async fn open_invitations(cx: &Cx, name: &OrganisationName) -> Result<Vec<Invitation>> {
    let now = cx.store.now();
    let all = invitation::listed(cx, name).await?.items;
    Ok(all.into_iter().filter(|it| it.used_at.is_none() && it.expires_at > now).collect())
}

/// What every act here ends with: the page again, with what was made or why it was refused.
struct Act {
    cx: Cx,
    shell: Shell,
    asking: Asking,
    row: naru_store::organisation::Organisation,
}

impl Act {
    /// Back to the page, and what the audit line says.
    async fn done(self, result: Result<String>) -> Result<Response> {
        match result {
            Ok(detail) => {
                let to = format!("/organisations/{}", self.row.name);
                let mut response = Redirect::to(&to).into_response();
                response.extensions_mut().insert(AuditDetail(detail));
                Ok(response)
            }
            Err(failure) => self.refused(failure).await,
        }
    }

    /// The page with a link that is shown this once.
    async fn linked(
        self,
        result: Result<IssuedLink>,
        detail: impl FnOnce(&IssuedLink) -> String,
    ) -> Result<Response> {
        match result {
            Ok(link) => {
                let detail = AuditDetail(detail(&link));
                let Self { cx, shell, asking, row } = self;
                let mut response =
                    page(&cx, shell, &asking, &row, &Paging::default(), Before::Link(link)).await?;
                response.extensions_mut().insert(detail);
                Ok(response)
            }
            Err(failure) => self.refused(failure).await,
        }
    }

    async fn refused(self, failure: Failure) -> Result<Response> {
        let Self { cx, shell, asking, row } = self;
        let refusal = refusal::of(shell.language, failure)?;
        page(&cx, shell, &asking, &row, &Paging::default(), Before::Refused(refusal)).await
    }
}

/// A form that names a member, and perhaps a role.
#[derive(Deserialize)]
pub(crate) struct OfMember {
    login: String,
    #[serde(default)]
    role: String,
}

/// Gives a member another role.
pub(crate) async fn set_role(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
    Form(of): Form<OfMember>,
) -> Result<Response> {
    let result = async {
        let role: Role = of.role.parse()?;
        cx.store.set_member_role(&row.name, &of.login, role).await.map_err(kept)?;
        Ok(format!("{:.40} to {role}", of.login))
    };
    let result = result.await;
    Act { cx, shell, asking, row }.done(result).await
}

/// Takes a member out.
pub(crate) async fn remove(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
    Form(of): Form<OfMember>,
) -> Result<Response> {
    let removed = cx.store.remove_member(&row.name, &of.login).await.map_err(kept);
    let result = removed.map(|()| format!("{:.40}", of.login));
    Act { cx, shell, asking, row }.done(result).await
}

/// Makes a link with which a member sets a new password.
pub(crate) async fn password_link(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
    Form(of): Form<OfMember>,
) -> Result<Response> {
    let result = invitation::member_link(&cx, &asking, &row.name, &of.login).await;
    Act { cx, shell, asking, row }.linked(result, |_| format!("for {:.40}", of.login)).await
}

/// Leaves the organisation.
pub(crate) async fn leave(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
) -> Result<Response> {
    match cx.store.remove_member(&row.name, &asking.known.principal.login).await.map_err(kept) {
        Ok(()) => Ok(Redirect::to("/organisations").into_response()),
        Err(failure) => Act { cx, shell, asking, row }.refused(failure).await,
    }
}

/// What an invitation shall be.
#[derive(Deserialize)]
pub(crate) struct Wish {
    role: String,
    #[serde(default)]
    address: String,
    days: Option<u64>,
}

/// Makes a one-time link into the organisation.
pub(crate) async fn invite(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let result = async {
        let role: Role = wish.role.parse()?;
        let lasts_seconds = wish.days.map(|days| days.clamp(1, 30) * 86_400);
        let new = NewInvitation { role, address: wish.address, lasts_seconds };
        invitation::made(&cx, &asking, row.name.clone(), new).await
    };
    let result = result.await;
    Act { cx, shell, asking, row }.linked(result, |link| format!("invitation {}", link.id)).await
}

/// A form that names an invitation.
#[derive(Deserialize)]
pub(crate) struct OfInvitation {
    id: String,
}

/// Takes an invitation back.
pub(crate) async fn take_back(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
    Form(of): Form<OfInvitation>,
) -> Result<Response> {
    let revoked = cx.store.revoke_invitation(&row.name, &of.id).await.map_err(Failure::from);
    let result = revoked.map(|()| format!("invitation {:.40}", of.id));
    Act { cx, shell, asking, row }.done(result).await
}

/// A form with the organisation's title, or its name once more.
#[derive(Deserialize)]
pub(crate) struct Named {
    #[serde(default)]
    name: String,
}

/// Changes what people call it.
pub(crate) async fn rename(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
    Form(named): Form<Named>,
) -> Result<Response> {
    let result = organisation::renamed(&cx, &row.name, &named.name).await.map(|()| String::new());
    Act { cx, shell, asking, row }.done(result).await
}

/// Deletes it, when its name was typed once more.
pub(crate) async fn delete(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    ChosenOrganisation(row): ChosenOrganisation,
    Form(named): Form<Named>,
) -> Result<Response> {
    if named.name.trim() != row.name.as_str() {
        let said = Words(shell.language).not_confirmed(&row.name);
        let failure = Failure::refused(Problem::new("api.not-confirmed", said));
        return Act { cx, shell, asking, row }.refused(failure).await;
    }
    match cx.store.delete_organisation(&row.name).await {
        Ok(()) => Ok(Redirect::to("/organisations").into_response()),
        Err(error) => Act { cx, shell, asking, row }.refused(error.into()).await,
    }
}
