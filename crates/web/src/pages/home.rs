//! Home: what needs me, my favourites, and what happened last in my projects.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::{EnvironmentKey, ProjectName, Timestamp};
use naru_store::listing::{ProjectLine, ProjectQuery, ProjectSort};

use crate::Cx;
use crate::access::Asking;
use crate::failure::Result;
use crate::routes::FIRST;
use crate::routes::crossing::Place;

use super::crossing::{CrossingView, crossings};
use super::html::Html;
use super::language::words;
use super::projects::{condition, organisations};
use super::shell::{Section, Shell, environment_path};
use super::sign::{Signed as _, Tone};

/// How far back a failed run still needs somebody.
const FAILED_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(14 * 24);

/// Rows of each kind that are read, and lines that are shown.
const AT_MOST: u32 = 30;

/// Favourites that are shown.
const FAVOURITES: u32 = 10;

/// Other projects whose crossing is drawn, and projects that are listed.
const DRAWN: usize = 5;
const LISTED: u32 = 15;

words! {
    needs: "Needs you", "확인할 일";
    nothing_needs: "Nothing needs you", "지금 확인할 일이 없어요";
    summary(count): "{count} things need you", "확인할 일이 {count}개 있어요";
    one_needs: "One thing needs you", "확인할 일이 하나 있어요";
    run_failed(number, branch): "run {number} of {branch} failed", "{branch} 브랜치의 런 {number} 실패";
    waits(revision): "revision {revision} waits for a decision", "리비전 {revision}: 결정 대기";
    projects: "Recent", "최근 활동";
    all: "All projects", "모든 프로젝트";
    new: "New project", "새 프로젝트";
    nothing: "There is no project yet", "아직 프로젝트가 없어요";
    nothing_how: "A project is a repository that is built, delivered and watched here. Make one with a template, or from a terminal:",
        "프로젝트는 여기서 빌드하고 배포하고 지켜보는 저장소예요. 템플릿으로 시작하거나 터미널에서 만들어 보세요.";
    others: "Others", "그 밖";
    favourites: "Favourites", "즐겨찾기";
    no_favourites: "The star beside a project's name keeps the project here.", "프로젝트 이름 옆의 별을 누르면 여기에 보여요.";
    all_favourites: "All favourites", "즐겨찾기 모두 보기";
}

/// Something that needs a person.
struct Need {
    mark: Html,
    project: ProjectName,
    /// What it is about, and where that is.
    what: String,
    href: String,
    at: Timestamp,
}

/// A project with its crossing.
struct Drawn {
    name: ProjectName,
    crossing: CrossingView,
    active_at: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    shell: &'a Shell,
    w: Words,
    needs: Vec<Need>,
    favourites: Vec<Drawn>,
    has_more_favourites: bool,
    recent: Vec<Drawn>,
    others: Vec<ProjectLine>,
    base_url: &'a str,
    may_create: bool,
}

impl HomePage<'_> {
    fn sign(&self, line: &ProjectLine) -> Html {
        self.shell.sign(&condition(line.severity))
    }

    fn is_empty(&self) -> bool {
        self.favourites.is_empty() && self.recent.is_empty()
    }

    fn summary(&self) -> String {
        match self.needs.len() {
            0 => self.w.nothing_needs().to_owned(),
            1 => self.w.one_needs().to_owned(),
            count => self.w.summary(count),
        }
    }
}

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell, asking: Asking) -> Result<Response> {
    let shell = shell.at(Section::Home);
    let w = Words(shell.language);
    let login = &asking.known.principal.login;
    let of_me = ProjectQuery { account: login, ..ProjectQuery::default() };
    let query = ProjectQuery { favourites: true, limit: FAVOURITES + 1, ..of_me };
    let mut favourites = cx.store.list_projects(&query).await?;
    let has_more_favourites = favourites.len() > FAVOURITES as usize;
    favourites.truncate(FAVOURITES as usize);
    let query = ProjectQuery { sort: ProjectSort::Activity, limit: LISTED, ..of_me };
    let mut recent = cx.store.list_projects(&query).await?;
    recent.retain(|line| !line.favourite);
    let others = recent.split_off(recent.len().min(DRAWN));
    let count = favourites.len();
    favourites.extend(recent);
    let mut favourites = drawn(&cx, &shell, &asking, favourites).await?;
    let recent = favourites.split_off(count);
    let page = HomePage {
        shell: &shell,
        w,
        needs: needs(&cx, &shell, w, login).await?,
        favourites,
        has_more_favourites,
        recent,
        others,
        base_url: &cx.address.base_url,
        may_create: organisations(&cx, &asking).await?.1,
    };
    Ok(shell.page(&page))
}

/// Projects with the crossings of their first environments.
async fn drawn(cx: &Cx, shell: &Shell, asking: &Asking, lines: Vec<ProjectLine>) -> Result<Vec<Drawn>> {
    let mut places = Vec::new();
    for line in &lines {
        let key = EnvironmentKey { project: line.name.clone(), environment: FIRST.parse()? };
        places.push(Place { key, default_branch: line.default_branch.clone() });
    }
    let crossings = crossings(cx, shell, asking, places).await?;
    let draw = |(line, crossing): (ProjectLine, CrossingView)| Drawn {
        name: line.name,
        crossing,
        active_at: line.active_at,
    };
    Ok(lines.into_iter().zip(crossings).map(draw).collect())
}

/// Failed runs, rollouts that wait, environments that are not well: of projects that may be seen, the newest first.
async fn needs(cx: &Cx, shell: &Shell, w: Words, login: &str) -> Result<Vec<Need>> {
    let mut needs = Vec::new();
    for row in cx.store.waiting_rollouts(login, AT_MOST).await? {
        needs.push(Need {
            mark: Tone::Attention.bare(),
            what: format!("{} · {}", row.key.environment, w.waits(row.revision)),
            href: environment_path(&row.key.project, row.key.environment.as_str()),
            project: row.key.project,
            at: row.since,
        });
    }
    for row in cx.store.troubled_environments(login, AT_MOST).await? {
        let (tone, word) = condition(row.severity).tone_and_word(super::sign::Words(shell.language));
        needs.push(Need {
            mark: tone.bare(),
            what: format!("{} · {word}", row.key.environment),
            href: environment_path(&row.key.project, row.key.environment.as_str()),
            project: row.key.project,
            at: row.since,
        });
    }
    let since = cx.store.now() - FAILED_FOR;
    for row in cx.store.failed_runs(login, since, AT_MOST).await? {
        needs.push(Need {
            mark: Tone::Failed.bare(),
            what: w.run_failed(row.number, &row.branch),
            href: format!("/projects/{}/runs/{}", row.project, row.number),
            project: row.project,
            at: row.at,
        });
    }
    needs.sort_by_key(|need| std::cmp::Reverse(need.at));
    needs.truncate(AT_MOST as usize);
    Ok(needs)
}
