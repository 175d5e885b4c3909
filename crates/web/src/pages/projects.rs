//! The list of projects: searched, filtered, sorted and paged on the server.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::api::Condition;
use naru_model::authorise::{Permission, Resource};
use naru_store::listing::{ProjectLine, ProjectQuery, ProjectSort, Severity};
use serde::Deserialize;

use crate::Cx;
use crate::access::Asking;
use crate::border::InQuery;
use crate::failure::Result;

use super::favourite;
use super::html::{Html, encode};
use super::language::words;
use super::shell::{Section, Shell};

/// Projects on a page.
const ON_A_PAGE: u32 = 50;

words! {
    new: "New project", "새 프로젝트";
    find: "Part of a name or summary", "이름이나 설명 일부";
    favourites: "Favourites", "즐겨찾기";
    state: "State", "상태";
    organisation: "Organisation", "조직";
    any_organisation: "Any organisation", "모든 조직";
    any_state: "Any state", "모든 상태";
    needs_somebody: "Needs somebody", "손볼 곳 있음";
    moving: "Moving", "진행 중";
    live: "Live", "운영 중";
    idle: "Idle", "대기";
    project: "Project", "프로젝트";
    environments: "Environments", "환경";
    active: "Last run", "마지막 런";
    created: "Created", "만든 때";
    deleting: "being taken down", "삭제 중";
    count(shown, all): "{shown} of {all}", "{all}개 중 {shown}개";
    show: "Show", "보기";
    nothing: "There is no project yet", "아직 프로젝트가 없어요";
    nothing_how: "Make one here, or from a terminal:", "여기서 만들거나 터미널에서 만들어 보세요.";
    none_found: "No project has this name and state.", "이 이름과 상태의 프로젝트가 없어요.";
    no_favourite: "No favourite is found: the star beside a project's name makes it one.",
        "찾는 즐겨찾기가 없어요. 프로젝트 이름 옆의 별을 누르면 즐겨찾기가 돼요.";
    earlier: "Previous page", "이전 쪽";
    later: "Next page", "다음 쪽";
    page(number): "page {number}", "{number}쪽";
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    q: String,
    state: String,
    /// Only projects of this organisation.
    organisation: String,
    /// Only favourites.
    favourites: bool,
    sort: String,
    /// Counts from 1.
    page: Option<u32>,
}

impl Asked {
    fn severity(&self) -> Option<(Severity, Severity)> {
        match self.state.as_str() {
            "trouble" => Some((Severity::Retrying, Severity::Blocked)),
            "moving" => Some((Severity::Moving, Severity::Moving)),
            "live" => Some((Severity::Live, Severity::Live)),
            "idle" => Some((Severity::Idle, Severity::Idle)),
            _ => None,
        }
    }

    fn sort(&self) -> ProjectSort {
        match self.sort.as_str() {
            "state" => ProjectSort::Severity,
            "active" => ProjectSort::Activity,
            _ => ProjectSort::Name,
        }
    }

    /// The same list in another order or at another page.
    fn address(&self, sort: &str, page: u32) -> String {
        let Self { q, state, organisation, .. } = self;
        let only = if self.favourites { "&favourites=true" } else { "" };
        let (q, state, organisation, sort) = (encode(q), encode(state), encode(organisation), encode(sort));
        format!("/projects?q={q}&state={state}&organisation={organisation}&sort={sort}&page={page}{only}")
    }
}

/// How bad it is, as a state that has a sign.
pub(super) fn condition(severity: Severity) -> Condition {
    match severity {
        Severity::Idle => Condition::Idle,
        Severity::Live => Condition::Live,
        Severity::Moving => Condition::Moving,
        Severity::Retrying => Condition::Retrying,
        Severity::Degraded => Condition::Degraded,
        Severity::Failed => Condition::Failed,
        Severity::Blocked => Condition::Blocked,
    }
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage<'a> {
    shell: &'a Shell,
    w: Words,
    asked: &'a Asked,
    projects: Vec<ProjectLine>,
    all: u32,
    page: u32,
    /// Those that the person belongs to.
    organisations: Vec<String>,
    base_url: &'a str,
    may_create: bool,
}

impl ProjectsPage<'_> {
    fn is_sorted(&self, by: &str) -> bool {
        self.asked.sort == by || (by == "name" && self.asked.sort() == ProjectSort::Name)
    }

    fn is_state(&self, state: &str) -> bool {
        self.asked.state == state
    }

    fn sign(&self, line: &ProjectLine) -> Html {
        self.shell.sign(&condition(line.severity))
    }

    fn star(&self, line: &ProjectLine) -> Html {
        favourite::star(self.shell, &line.name, line.favourite)
    }

    fn has_more(&self) -> bool {
        self.page.saturating_mul(ON_A_PAGE) < self.all
    }
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    InQuery(asked): InQuery<Asked>,
) -> Result<Response> {
    let shell = shell.at(Section::Projects);
    let page = asked.page.unwrap_or(1).clamp(1, 1_000_000);
    let query = ProjectQuery {
        account: &asking.known.principal.login,
        organisation: &asked.organisation,
        search: &asked.q,
        favourites: asked.favourites,
        severity: asked.severity(),
        sort: asked.sort(),
        offset: (page - 1).saturating_mul(ON_A_PAGE),
        limit: ON_A_PAGE,
    };
    let projects = cx.store.list_projects(&query).await?;
    let all = cx.store.count_projects(&query).await?;
    let (organisations, may_create) = organisations(&cx, &asking).await?;
    let page = ProjectsPage {
        shell: &shell,
        w: Words(shell.language),
        asked: &asked,
        projects,
        all,
        page,
        organisations,
        base_url: &cx.address.base_url,
        may_create,
    };
    Ok(shell.page(&page))
}

/// The organisations of somebody, and whether they may create projects in one of them.
pub(super) async fn organisations(cx: &Cx, asking: &Asking) -> Result<(Vec<String>, bool)> {
    let mut may_create = false;
    let mut names = Vec::new();
    for (organisation, _) in cx.store.organisations_of(&asking.known.principal.login).await? {
        names.push(organisation.name.to_string());
        let resource = Resource::Organisation(organisation.name);
        may_create = may_create || asking.may(cx, Permission::CreateProject, &resource).await?;
    }
    Ok((names, may_create))
}
