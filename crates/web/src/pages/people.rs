//! Who has which role in a project and in each of its environments, and why; roles of their own there, and which
//! environments are protected.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{Member, OwnRole, Page};
use naru_model::authorise::{Permission, Resource};
use naru_model::role::{LocalRole, Role, that_counts};
use naru_model::{EnvironmentKey, EnvironmentName, OrganisationName};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, AuditDetail, Chosen};
use crate::border::{InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;
use crate::routes::member::roles;
use crate::routes::organisation::members;
use crate::routes::{self, InEnvironment};

use super::language::words;
use super::refusal::{self, Refusal};
use super::role::{self, Choice};
use super::shell::{ProjectTab, Shell};

words! {
    what: "Who belongs to the organisation has its role here. A role of the project replaces it, and a role of an environment replaces that one there.",
        "조직에 속한 사람은 조직의 역할을 가져요. 프로젝트의 역할이 그것을 대신하고, 환경의 역할은 그 환경에서 다시 대신해요.";
    organisation: "Organisation", "조직";
    who: "Who", "누가";
    in_organisation: "In the organisation", "조직에서";
    in_project: "In the project", "프로젝트에서";
    inherited: "from the organisation", "조직에서 물려받음";
    from_project: "from the project", "프로젝트에서 물려받음";
    own: "set here", "여기서 정함";
    disabled: "disabled", "사용 중지됨";
    more: "More members", "구성원 더 보기";
    whole: "Roles in the whole project", "프로젝트 전체의 역할";
    in_environment(name): "Environment {name}", "{name} 환경";
    no_own: "No role is set here: what is inherited counts.", "여기서 정한 역할이 없어요. 물려받은 역할이 적용돼요.";
    role: "Role", "역할";
    take_back: "Take back", "되돌리기";
    take_back_what: "A role that is taken back leaves the inherited one, at once.", "되돌리면 물려받은 역할이 바로 적용돼요.";
    give: "Give a role here", "여기 역할 정하기";
    give_what: "Counts at once, in the pages, in git and in the registry.", "페이지, git, 레지스트리에 바로 적용돼요.";
    no_access_what: "answers them as if it were missing", "없는 것처럼 보여요";
    protected: "Protected: to deploy here takes a maintainer, and releases wait for a person.",
        "보호됨: 배포하려면 메인테이너여야 하고, 릴리스는 사람을 기다려요.";
    open: "Not protected: developers may deploy here, and releases of its branch go out by themselves.",
        "보호되지 않음: 개발자가 배포할 수 있고, 브랜치의 릴리스가 저절로 나가요.";
    protect: "Protect it", "보호하기";
    unprotect: "Stop protecting it", "보호 풀기";
}

/// Somebody's role at one place, and where it comes from.
struct Effective {
    /// The heading of its column.
    place: String,
    word: &'static str,
    why: &'static str,
    is_own: bool,
}

/// A member with what they are everywhere.
struct Row {
    member: Member,
    organisation: &'static str,
    places: Vec<Effective>,
}

/// The whole project, or one environment, with the roles that are set there.
struct Place {
    title: String,
    /// Where its forms go.
    base: String,
    /// Names its form's field.
    id: String,
    own: Vec<(String, &'static str)>,
    may_manage: bool,
    /// Whether it is protected; nothing for the whole project.
    protected: Option<bool>,
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage<'a> {
    shell: &'a Shell,
    w: Words,
    base: String,
    organisation: &'a OrganisationName,
    headings: Vec<String>,
    rows: Vec<Row>,
    next: Option<String>,
    places: Vec<Place>,
    choices: Vec<Choice>,
    no_access: &'static str,
    refusal: Option<Refusal>,
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    page(&cx, shell, &asking, &chosen, &paging, None).await
}

async fn page(
    cx: &Cx,
    shell: Shell,
    asking: &Asking,
    chosen: &Chosen,
    paging: &Paging,
    refusal: Option<Refusal>,
) -> Result<Response> {
    let project = &chosen.0;
    let shell = shell.in_project(cx, chosen, ProjectTab::People).await?;
    let w = Words(shell.language);
    let own = roles(cx, &project.name).await?.items;
    let environments = environments(cx, asking, chosen).await?;
    let names: Vec<&EnvironmentName> = environments.iter().map(|row| &row.key.environment).collect();
    let Page { items, next } = members(cx, &project.organisation, paging).await?;
    let rows = items.into_iter().map(|member| effective(&shell, w, member, &own, &names)).collect();
    let page = PeoplePage {
        w,
        base: format!("/projects/{}/people", project.name),
        organisation: &project.organisation,
        headings: names.iter().map(ToString::to_string).collect(),
        rows,
        next,
        places: places(cx, &shell, asking, chosen, (&own, &environments)).await?,
        choices: role::choices(shell.language),
        no_access: role::local_word(shell.language, LocalRole::None),
        refusal,
        shell: &shell,
    };
    Ok(match &page.refusal {
        Some(refusal) => shell.refused(refusal.status, &refusal.code, &page),
        None => shell.page(&page),
    })
}

/// The environments that the person may read.
async fn environments(
    cx: &Cx,
    asking: &Asking,
    chosen: &Chosen,
) -> Result<Vec<naru_store::environment::Environment>> {
    let mut found = Vec::new();
    for row in cx.store.environments_of(&chosen.0.name).await? {
        if asking.may(cx, Permission::Read, &Resource::Environment(row.key.clone())).await? {
            found.push(row);
        }
    }
    Ok(found)
}

/// What a member is in the project and in each environment, by the rule that the authorisation follows.
fn effective(shell: &Shell, w: Words, member: Member, own: &[OwnRole], names: &[&EnvironmentName]) -> Row {
    let set = |environment: Option<&EnvironmentName>| {
        let is = |row: &&OwnRole| row.login == member.login && row.environment.as_ref() == environment;
        own.iter().find(is).map(|row| row.role)
    };
    let word = |role: Option<Role>| {
        role.map_or(role::local_word(shell.language, LocalRole::None), |role| {
            role::word(shell.language, role)
        })
    };
    let in_project = set(None);
    let why = if in_project.is_some() { w.own() } else { w.inherited() };
    let whole = Effective {
        place: w.in_project().to_owned(),
        word: word(that_counts(Some(member.role), in_project, None)),
        why,
        is_own: in_project.is_some(),
    };
    let mut places = vec![whole];
    for name in names {
        let here = set(Some(name));
        // A project that was taken away takes its environments with it, whatever is set there.
        let is_own = here.is_some() && in_project != Some(LocalRole::None);
        let inherited = if in_project.is_some() { w.from_project() } else { w.inherited() };
        places.push(Effective {
            place: name.to_string(),
            word: word(that_counts(Some(member.role), in_project, here)),
            why: if is_own { w.own() } else { inherited },
            is_own,
        });
    }
    Row { organisation: role::word(shell.language, member.role), places, member }
}

async fn places(
    cx: &Cx,
    shell: &Shell,
    asking: &Asking,
    chosen: &Chosen,
    (own, environments): (&[OwnRole], &[naru_store::environment::Environment]),
) -> Result<Vec<Place>> {
    let (w, name) = (Words(shell.language), &chosen.0.name);
    let set = |environment: Option<&EnvironmentName>| {
        let here = own.iter().filter(|row| row.environment.as_ref() == environment);
        here.map(|row| (row.login.clone(), role::local_word(shell.language, row.role))).collect()
    };
    let project = Resource::Project(name.clone());
    let mut places = vec![Place {
        title: w.whole().to_owned(),
        base: format!("/projects/{name}/people"),
        id: "project".to_owned(),
        own: set(None),
        may_manage: asking.may(cx, Permission::ManageMembers, &project).await?,
        protected: None,
    }];
    for row in environments {
        let environment = &row.key.environment;
        let resource = Resource::Environment(row.key.clone());
        places.push(Place {
            title: w.in_environment(environment),
            base: format!("{}/people", super::shell::environment_path(name, environment.as_str())),
            id: format!("environment-{environment}"),
            own: set(Some(environment)),
            may_manage: asking.may(cx, Permission::ManageMembers, &resource).await?,
            protected: Some(row.protected),
        });
    }
    Ok(places)
}

/// What every act here ends with: back to the page, or the page with why it was refused.
async fn answer(
    cx: &Cx,
    shell: Shell,
    asking: &Asking,
    chosen: &Chosen,
    result: Result<String>,
) -> Result<Response> {
    match result {
        Ok(detail) => {
            let mut response = Redirect::to(&format!("/projects/{}/people", chosen.0.name)).into_response();
            response.extensions_mut().insert(AuditDetail(detail));
            Ok(response)
        }
        Err(failure) => {
            let refusal = refusal::of(shell.language, failure)?;
            page(cx, shell, asking, chosen, &Paging::default(), Some(refusal)).await
        }
    }
}

/// A form that names somebody, and perhaps a role.
#[derive(Deserialize)]
pub(crate) struct Wish {
    #[serde(default)]
    login: String,
    #[serde(default)]
    role: String,
}

impl Wish {
    fn role(&self) -> Result<LocalRole> {
        self.role.parse().map_err(Failure::from)
    }
}

/// Gives somebody a role in the whole project.
pub(crate) async fn set(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let result = async {
        let role = wish.role()?;
        cx.store.set_project_role(&chosen.0.name, wish.login.trim(), Some(role)).await?;
        Ok(format!("{:.40} to {role}", wish.login))
    };
    let result = result.await;
    answer(&cx, shell, &asking, &chosen, result).await
}

/// Takes a role in the whole project back.
pub(crate) async fn unset(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let unset = cx.store.set_project_role(&chosen.0.name, &wish.login, None).await;
    let result = unset.map(|()| format!("{:.40}", wish.login)).map_err(Failure::from);
    answer(&cx, shell, &asking, &chosen, result).await
}

/// Gives somebody a role in one environment.
pub(crate) async fn set_in_environment(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment).await?;
    let result = async {
        let role = wish.role()?;
        cx.store.set_environment_role(&row.key, wish.login.trim(), Some(role)).await?;
        Ok(format!("{:.40} to {role}", wish.login))
    };
    let result = result.await;
    answer(&cx, shell, &asking, &chosen, result).await
}

/// Takes a role in one environment back.
pub(crate) async fn unset_in_environment(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let key = EnvironmentKey { project: chosen.0.name.clone(), environment: path.environment };
    let unset = cx.store.set_environment_role(&key, &wish.login, None).await;
    let result = unset.map(|()| format!("{:.40}", wish.login)).map_err(Failure::from);
    answer(&cx, shell, &asking, &chosen, result).await
}

/// Whether the environment shall be protected.
#[derive(Deserialize)]
pub(crate) struct Protection {
    protected: bool,
}

/// Protects an environment, or no longer.
pub(crate) async fn protect(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    Form(wish): Form<Protection>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment).await?;
    let done = cx.store.protect_environment(&row.key, wish.protected).await;
    let word = if wish.protected { "protected" } else { "not protected" };
    let result = done.map(|()| word.to_owned()).map_err(Failure::from);
    answer(&cx, shell, &asking, &chosen, result).await
}
