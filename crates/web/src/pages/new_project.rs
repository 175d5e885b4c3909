//! A new project: an empty repository with the commands that push into it, or a first commit from a template, with what
//! its `naru.yaml` and its configuration shall say.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{Check, CheckState, ConfigurationChange, NewProject};
use naru_model::authorise::{Permission, Resource};
use naru_model::definition::{Host, Port};
use naru_model::{OrganisationName, ProjectName};
use naru_store::project::Project;
use naru_store::trigger::{NewTrigger, TriggerKind};
use serde::Deserialize;

use crate::Cx;
use crate::access::Asking;
use crate::border::InQuery;
use crate::failure::{Failure, Result};
use crate::routes::project::created;
use crate::routes::{FIRST, setting};

use super::configuration;
use super::html::{Html, escape};
use super::language::words;
use super::refusal;
use super::shell::{Section, Shell};
use super::sign::Tone;
use super::starter::{File, Start, Wishes};

words! {
    title: "New project", "새 프로젝트";
    name: "Name", "이름";
    rule: "1 to 40 lower-case letters, digits and hyphens, starting with a letter; addresses and repositories are named after it",
        "영문 소문자로 시작하고 소문자, 숫자, - 만 써서 1~40자로 적어 주세요. 주소와 저장소 이름이 돼요";
    free(name): "{name} is free", "{name} 이름을 쓸 수 있어요";
    taken(name): "{name} is taken: choose another name", "{name} 이름은 이미 있어요. 다른 이름을 적어 주세요";
    begin: "Begin with", "시작 방법";
    empty: "An empty repository", "빈 저장소";
    empty_what: "you push what you have; a Dockerfile or a folder of static files deploys as it is",
        "가지고 있는 코드를 푸시해요. Dockerfile이나 정적 파일 폴더는 그대로 배포돼요";
    files: "A static site", "정적 사이트";
    files_what: "a page and a stylesheet, live in a moment", "페이지와 스타일시트 하나씩, 곧바로 운영돼요";
    docker: "A service with a Dockerfile", "Dockerfile이 있는 서비스";
    docker_what: "a small web server in Rust that is built in a container", "컨테이너에서 빌드하는 작은 Rust 웹 서버예요";
    create: "Create the project", "프로젝트 만들기";
    organisation: "Organisation", "조직";
    organisation_rule: "Whose project it is; there you may create projects", "프로젝트의 주인이에요. 프로젝트를 만들 수 있는 조직만 나와요";
    no_organisation: "You may create projects in no organisation: that takes a maintainer.",
        "프로젝트를 만들 수 있는 조직이 없어요. 메인테이너 역할이 필요해요.";
    settings: "Settings of the template (optional)", "템플릿 설정 (선택)";
    host: "Host name", "호스트 이름";
    host_rule: "Such as shop.example.com; one made from the project's name, if it stays empty",
        "예: shop.example.com. 비워 두면 프로젝트 이름으로 만들어요";
    host_wrong: "A host name has letters, digits and hyphens between dots, such as shop.example.com",
        "호스트 이름은 점 사이에 영문자, 숫자, - 를 써요. 예: shop.example.com";
    host_free(host): "{host} is free", "{host} 호스트를 쓸 수 있어요";
    host_taken(host): "{host} is taken: another environment or Naru itself is reached there",
        "{host} 호스트는 다른 환경이나 Naru가 쓰고 있어요";
    port: "Port", "포트";
    port_rule: "Where the service listens; handed to it as PORT. 8080, if it stays empty", "서비스가 듣는 포트로, PORT 변수로도 전해져요. 비워 두면 8080이에요";
    port_wrong: "A port is a number from 1 to 65535", "포트는 1에서 65535까지의 숫자예요";
    replicas: "Replicas", "복제본";
    replicas_rule: "How many run at once. One, if it stays empty", "동시에 실행할 개수. 비워 두면 하나예요";
    replicas_wrong: "A number of replicas is at least 1", "복제본은 1개 이상이어야 해요";
    variables: "Variables of production", "production 환경 변수";
    variables_rule: "One NAME=value on each line; not for secrets", "한 줄에 하나씩 이름=값. 시크릿은 여기에 넣지 마세요";
    only_templates: "An empty repository brings its own naru.yaml: host name, port and replicas belong there, not here",
        "빈 저장소는 naru.yaml을 직접 넣어요. 호스트 이름, 포트, 복제본은 거기에 적어 주세요";
    check: "Check only", "점검만 하기";
    name_check: "name", "이름";
    host_check: "host name", "호스트 이름";
    files_check: "files", "파일";
    port_check: "port", "포트";
    found_docker: "the template has a Dockerfile", "템플릿에 Dockerfile이 있어요";
    found_static: "the template has static files", "템플릿에 정적 파일이 있어요";
    found_none: "nothing is there until you push a Dockerfile or static files", "Dockerfile이나 정적 파일을 푸시하기 전에는 아무것도 없어요";
    port_said(port): "the service listens on {port} in its own network: nothing else can have it", "서비스는 자기 네트워크의 {port} 포트를 써서 다른 것과 겹치지 않아요";
    ready: "Before anything is built", "빌드 전 점검";
    all_good: "Everything that was looked at is as it should be.", "점검한 항목이 모두 정상이에요.";
}

/// The field that was refused, and why.
#[derive(Debug, Clone)]
struct Wrong {
    status: StatusCode,
    code: String,
    field: &'static str,
    said: String,
}

impl Wrong {
    fn bad(field: &'static str, said: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "api.bad-request".to_owned(), field, said: said.into() }
    }
}

#[derive(Template)]
#[template(path = "new_project.html")]
struct NewPage<'a> {
    shell: &'a Shell,
    w: Words,
    filled: &'a Filled,
    /// Those where the person may create projects.
    organisations: Vec<OrganisationName>,
    wrong: Option<Wrong>,
    start: Start,
    /// What the machine and what was typed come to.
    checks: Vec<Check>,
}

impl NewPage<'_> {
    fn begins(&self, name: &str) -> bool {
        self.start == Start::named(name)
    }

    /// Why this field was refused.
    fn why(&self, field: &str) -> Option<&str> {
        self.wrong.as_ref().filter(|wrong| wrong.field == field).map(|wrong| wrong.said.as_str())
    }

    fn mark(check: &Check) -> Html {
        match check.state {
            CheckState::Good => Tone::Good.bare(),
            CheckState::Attention => Tone::Attention.bare(),
            CheckState::Failed => Tone::Failed.bare(),
        }
    }
}

/// What was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filled {
    name: String,
    organisation: String,
    start: String,
    host: String,
    port: String,
    replicas: String,
    variables: String,
}

impl Filled {
    /// What `naru.yaml` shall say.
    fn wishes(&self, w: Words) -> Result<Wishes, Wrong> {
        fn wish<T: std::str::FromStr>(
            text: &str,
            field: &'static str,
            said: &str,
        ) -> Result<Option<T>, Wrong> {
            let text = text.trim();
            if text.is_empty() {
                return Ok(None);
            }
            text.parse().map(Some).map_err(|_| Wrong::bad(field, said))
        }
        Ok(Wishes {
            host: wish(&self.host, "host", w.host_wrong())?,
            port: wish(&self.port, "port", w.port_wrong())?,
            replicas: wish(&self.replicas, "replicas", w.replicas_wrong())?,
        })
    }

    /// The configuration of its first environment.
    fn variables(&self, w: Words) -> Result<ConfigurationChange, Wrong> {
        let set = configuration::pasted(configuration::Words(w.0), &self.variables);
        let set = set.map_err(|said| Wrong::bad("variables", said))?;
        Ok(ConfigurationChange { set, unset: Vec::new() })
    }
}

/// The form, with what the machine has to say, and what was typed so far.
pub(crate) async fn form(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    InQuery(filled): InQuery<Filled>,
) -> Result<Response> {
    show(&cx, shell, &asking, &filled, None).await
}

async fn show(
    cx: &Cx,
    shell: Shell,
    asking: &Asking,
    filled: &Filled,
    wrong: Option<Wrong>,
) -> Result<Response> {
    let w = Words(shell.language);
    let shell = shell.at(Section::Projects).crumb("/new", w.title()).title(w.title());
    let mut checks = cx.behind.doctor().await;
    if !filled.name.trim().is_empty() {
        checks.extend(of_form(cx, w, filled).await?);
    }
    let page = NewPage {
        shell: &shell,
        w,
        filled,
        organisations: organisations(cx, asking).await?,
        wrong,
        start: Start::named(&filled.start),
        checks,
    };
    Ok(match &page.wrong {
        Some(wrong) => shell.refused(wrong.status, &wrong.code, &page),
        None => shell.page(&page),
    })
}

/// Where the person may create projects.
async fn organisations(cx: &Cx, asking: &Asking) -> Result<Vec<OrganisationName>> {
    let mut names = Vec::new();
    for (row, _) in cx.store.organisations_of(&asking.known.principal.login).await? {
        let resource = Resource::Organisation(row.name.clone());
        if asking.may(cx, Permission::CreateProject, &resource).await? {
            names.push(row.name);
        }
    }
    Ok(names)
}

/// What was typed, looked at before anything is made.
async fn of_form(cx: &Cx, w: Words, filled: &Filled) -> Result<Vec<Check>> {
    let check = |name: &str, (good, detail): (bool, String)| {
        let state = if good { CheckState::Good } else { CheckState::Failed };
        Check { name: name.to_owned(), state, detail, hint: None }
    };
    let start = Start::named(&filled.start);
    let files = match start {
        Start::Empty => w.found_none(),
        Start::Files => w.found_static(),
        Start::Docker => w.found_docker(),
    };
    let mut checks = vec![
        check(w.name_check(), name_said(cx, w, &filled.name).await?),
        check(w.files_check(), (true, files.to_owned())),
    ];
    if !filled.host.trim().is_empty() {
        checks.push(check(w.host_check(), host_said(cx, w, &filled.host).await?));
    }
    if start != Start::Empty {
        let default = if start == Start::Files { Port::STATIC } else { Port::DEFAULT };
        let said = match filled.wishes(w).map(|wishes| wishes.port) {
            Ok(port) if start == Start::Docker => (true, w.port_said(port.unwrap_or(default).get())),
            Ok(_) => (true, w.port_said(default.get())),
            Err(wrong) => (false, wrong.said),
        };
        checks.push(check(w.port_check(), said));
    }
    Ok(checks)
}

/// Whether a name can be had, in words.
async fn name_said(cx: &Cx, w: Words, name: &str) -> Result<(bool, String)> {
    Ok(match name.trim().parse::<ProjectName>() {
        Err(_) => (false, w.rule().to_owned()),
        Ok(name) if cx.store.project(&name).await?.is_some() => (false, w.taken(&name)),
        Ok(name) => (true, w.free(&name)),
    })
}

/// Whether a host can be had, in words.
async fn host_said(cx: &Cx, w: Words, host: &str) -> Result<(bool, String)> {
    let Ok(host) = host.trim().parse::<Host>() else { return Ok((false, w.host_wrong().to_owned())) };
    let host = host.to_string();
    let (_, own) = cx.address.base_url.split_once("://").unwrap_or_default();
    let own = own.split(['/', ':']).next().unwrap_or_default();
    let is_ours = host == own || cx.address.hosts.iter().any(|name| name.eq_ignore_ascii_case(&host));
    let is_taken = is_ours || cx.store.has_host(&host).await?;
    Ok(if is_taken { (false, w.host_taken(&host)) } else { (true, w.host_free(&host)) })
}

/// Makes the project. With a template it is built and delivered at once.
pub(crate) async fn create(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    Form(filled): Form<Filled>,
) -> Result<Response> {
    match made(&cx, Words(shell.language), &asking, &filled).await? {
        Ok(name) => Ok(Redirect::to(&format!("/projects/{name}")).into_response()),
        Err(wrong) => show(&cx, shell, &asking, &filled, Some(wrong)).await,
    }
}

async fn made(cx: &Cx, w: Words, asking: &Asking, filled: &Filled) -> Result<Result<ProjectName, Wrong>> {
    let parsed = Parsed::of(cx, w, filled).await?;
    let Parsed { new, start, wishes, variables } = match parsed {
        Ok(parsed) => parsed,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let name = new.name.clone();
    let branch = "main".parse()?;
    let files = match start.files(&wishes, &branch) {
        Ok(files) => files,
        Err(problem) => return Ok(Err(refused(w, Failure::refused(problem))?)),
    };
    let project = match created(cx, asking, new).await {
        Ok(project) => project,
        Err(failure) => return Ok(Err(refused(w, failure)?)),
    };
    let login = &asking.known.principal.login;
    if !variables.set.is_empty() {
        setting::change(cx, &project, FIRST.parse()?, variables, login).await?;
    }
    begin(cx, &project, &files, login).await?;
    Ok(Ok(name))
}

/// A refusal that belongs to the whole form; what is nobody's fault stays a failure.
fn refused(w: Words, failure: Failure) -> Result<Wrong> {
    let refusal = refusal::of(w.0, failure)?;
    Ok(Wrong { status: refusal.status, code: refusal.code, field: "form", said: refusal.said })
}

/// What was typed, as it can be used.
struct Parsed {
    new: NewProject,
    start: Start,
    wishes: Wishes,
    variables: ConfigurationChange,
}

impl Parsed {
    async fn of(cx: &Cx, w: Words, filled: &Filled) -> Result<Result<Self, Wrong>> {
        let Ok(name) = filled.name.trim().parse::<ProjectName>() else {
            return Ok(Err(Wrong { code: "api.bad-name".to_owned(), ..Wrong::bad("name", w.rule()) }));
        };
        if cx.store.project(&name).await?.is_some() {
            let (status, code) = (StatusCode::CONFLICT, "api.exists".to_owned());
            return Ok(Err(Wrong { status, code, field: "name", said: w.taken(&name) }));
        }
        let organisation = match filled.organisation.trim() {
            "" => None,
            text => Some(text.parse::<OrganisationName>()?),
        };
        let (wishes, variables) = match (filled.wishes(w), filled.variables(w)) {
            (Ok(wishes), Ok(variables)) => (wishes, variables),
            (Err(wrong), _) | (_, Err(wrong)) => return Ok(Err(wrong)),
        };
        if let Some(host) = &wishes.host
            && let (false, said) = host_said(cx, w, &host.to_string()).await?
        {
            return Ok(Err(Wrong { status: StatusCode::CONFLICT, ..Wrong::bad("host", said) }));
        }
        let start = Start::named(&filled.start);
        if start == Start::Empty && wishes != Wishes::default() {
            return Ok(Err(Wrong::bad("form", w.only_templates())));
        }
        let new = NewProject { name, organisation, default_branch: None };
        Ok(Ok(Self { new, start, wishes, variables }))
    }
}

/// The first commit, and what asks for its run.
async fn begin(cx: &Cx, project: &Project, files: &[File], by: &str) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let (name, branch) = (&project.name, &project.default_branch);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let commit = cx.behind.first_commit(name, branch, &files, by).await?;
    let reference = format!("refs/heads/{branch}");
    let asked = NewTrigger {
        project: name.clone(),
        kind: TriggerKind::Person,
        reference: reference.clone(),
        old: None,
        new: Some(commit.clone()),
        by: by.to_owned(),
    };
    Ok(cx
        .store
        .record_found_triggers(name, &[asked], &BTreeMap::from([(reference, commit)]))
        .await
        .map(drop)?)
}

fn paragraph((good, said): (bool, String)) -> Response {
    let class = if good { "rule right-now" } else { "wrong" };
    axum::response::Html(format!(r#"<p class="{class}">{}</p>"#, escape(&said))).into_response()
}

fn rule(said: &str) -> Response {
    axum::response::Html(format!(r#"<p class="rule">{}</p>"#, escape(said))).into_response()
}

/// What is to be said about a name while it is typed, as one paragraph.
pub(crate) async fn check(
    State(cx): State<Cx>,
    shell: Shell,
    InQuery(filled): InQuery<Filled>,
) -> Result<Response> {
    let w = Words(shell.language);
    if filled.name.is_empty() {
        return Ok(rule(w.rule()));
    }
    Ok(paragraph(name_said(&cx, w, &filled.name).await?))
}

/// The same about a host name.
pub(crate) async fn check_host(
    State(cx): State<Cx>,
    shell: Shell,
    InQuery(filled): InQuery<Filled>,
) -> Result<Response> {
    let w = Words(shell.language);
    if filled.host.trim().is_empty() {
        return Ok(rule(w.host_rule()));
    }
    Ok(paragraph(host_said(&cx, w, &filled.host).await?))
}
