//! An environment: what serves there, how far the newest change is, the rollout under way, where it is reached, and what
//! can be done about it.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::{Environment, MaintenanceChange, Rollout, RolloutStage, RolloutState};
use naru_model::authorise::{Permission, Resource};
use naru_model::rollout::Decision;
use naru_model::{EnvironmentKey, EnvironmentName, ProjectName, ReleaseNumber};
use naru_store::release::Release;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::InPath;
use crate::failure::Result;
use crate::routes::environment::view;
use crate::routes::{self, InEnvironment, maintenance, release, rollout};

use super::crossing::{self, CrossingView};
use super::html::Html;
use super::language::words;
use super::replicas;
use super::shell::{EnvironmentTab, Shell, environment_path};

/// Releases that are offered for a deploy.
const OFFERED: u32 = 20;

words! {
    roll_back: "Roll back", "되돌리기";
    deploy: "Deploy", "배포";
    deploy_which: "Release to deploy", "배포할 릴리스";
    release_from(number, commit): "{number} · {commit}", "{number} · {commit}";
    moving: "Rollout under way", "진행 중인 롤아웃";
    to_revision(number): "revision {number}", "리비전 {number}";
    stage: "Stage", "단계";
    start: "replicas become ready", "복제본 준비 중";
    step(number): "step {number} of the canary", "카나리 {number}단계";
    preview: "a preview waits for a person", "미리보기: 사람의 결정을 기다리는 중";
    promoted: "nothing stands in the way", "끝까지 진행";
    since: "Since", "시작";
    decision: "Decision", "결정";
    promote: "Promote now", "지금 승격";
    promote_what(revision): "Gives all requests to revision {revision} without waiting for the steps that are left.",
        "남은 단계를 기다리지 않고 모든 요청을 리비전 {revision}에 보내요.";
    give_up: "Give up", "중단";
    give_up_what(revision): "Revision {revision} loses its requests and goes into quarantine; what served before keeps them.",
        "리비전 {revision}은 요청을 잃고 격리돼요. 앞서 운영하던 리비전이 계속 요청을 받아요.";
    serving: "Serving", "운영 중";
    wanted: "Wanted", "목표";
    nothing: "nothing yet", "아직 없음";
    release_number(number): "release {number}", "릴리스 {number}";
    configuration: "Configuration version", "설정값 버전";
    branch: "Follows branch", "따르는 브랜치";
    no_branch: "none: releases come here by hand", "없음: 릴리스를 직접 배포해요";
    drift: "Wanted and seen", "목표와 실제";
    same: "what is wanted runs", "목표대로 실행 중";
    connect: "Connection", "연결 정보";
    address: "Address", "주소";
    no_address: "no address: nothing here takes requests", "주소 없음: 요청을 받는 서비스가 없어요";
    source: "Source", "소스";
    deploy_repository: "Deploy repository", "배포 저장소";
    registry: "Registry", "레지스트리";
    follow: "Follow", "따라가기";
    maintenance: "Maintenance", "점검";
    maintenance_on: "Visitors get a page instead of the service, since", "방문자에게 서비스 대신 점검 안내를 보여 주고 있어요. 시작:";
    maintenance_off: "Visitors get the service.", "방문자가 서비스를 이용하고 있어요.";
    message: "What visitors read (optional)", "방문자에게 보일 말 (선택)";
    begin: "Begin maintenance", "점검 시작";
    end: "End maintenance", "점검 끝내기";
    begin_what: "Replicas keep running and deliveries go on; only visitors see the page.",
        "복제본은 계속 실행되고 배포도 이어져요. 방문자만 안내를 보게 돼요.";
}

#[derive(Template)]
#[template(path = "environment.html")]
struct EnvironmentPage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    base: String,
    environment: &'a Environment,
    crossing: CrossingView,
    open_run: &'static str,
    moving: Option<Rollout>,
    releases: Vec<Release>,
    source: String,
    deploy_repository: String,
    registry: String,
    may_deploy: bool,
    /// What runs at this moment.
    replicas: Html,
}

impl EnvironmentPage<'_> {
    fn stage(&self, rollout: &Rollout) -> String {
        match rollout.stage {
            RolloutStage::Start => self.w.start().to_owned(),
            RolloutStage::Step => self.w.step(rollout.step.unwrap_or(1)),
            RolloutStage::Preview => self.w.preview().to_owned(),
            RolloutStage::Promoted => self.w.promoted().to_owned(),
        }
    }

    /// The sign of how it is, with what is missing when something is.
    fn drift(&self) -> Html {
        let sign = self.shell.sign(&self.environment.condition);
        let detail = match self.environment.condition {
            naru_model::api::Condition::Live => self.w.same().into(),
            _ => self.shell.say(&self.environment.detail),
        };
        Html(format!("{sign} {}", super::html::escape(&detail)))
    }
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment.clone()).await?;
    let project = &chosen.0.name;
    let shell = shell.in_environment(&cx, &chosen, &path.environment, EnvironmentTab::Overview).await?;
    let moving = match rollout::view(&cx, &row).await {
        Ok(rollout) if rollout.state == RolloutState::Moving => Some(rollout),
        _ => None,
    };
    let key = row.key.clone();
    let replicas = replicas::show(&cx, &shell, &row).await?;
    let environment = view(&cx, row).await?;
    let base_url = &cx.address.base_url;
    let host = base_url.split("://").nth(1).unwrap_or(base_url);
    let page = EnvironmentPage {
        shell: &shell,
        w: Words(shell.language),
        project,
        base: environment_path(project, key.environment.as_str()),
        environment: &environment,
        crossing: crossing::crossing(&cx, &shell, &chosen, path.environment).await?,
        open_run: crossing::open_run(shell.language),
        moving,
        releases: cx.store.releases(project, None, OFFERED).await?,
        source: format!("git clone {base_url}/git/{project}.git"),
        deploy_repository: format!("git clone {base_url}/git/{project}.deploy.git"),
        registry: format!("podman login {host}"),
        may_deploy: may_deploy(&cx, &shell, &key).await,
        replicas,
    };
    Ok(shell.page(&page))
}

/// Whether who is asking may deploy here.
pub(super) async fn may_deploy(cx: &Cx, shell: &Shell, key: &EnvironmentKey) -> bool {
    shell.may(cx, Permission::Deploy, &Resource::Environment(key.clone())).await
}

fn back(project: &ProjectName, environment: &EnvironmentName) -> Response {
    Redirect::to(&environment_path(project, environment.as_str())).into_response()
}

/// A form's choice of a release.
#[derive(Deserialize)]
pub(crate) struct Wish {
    release: ReleaseNumber,
}

/// Delivers a release.
pub(crate) async fn deploy(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let key = EnvironmentKey { project: project.name.clone(), environment: path.environment };
    release::deliver(&cx, &project, &key, Some(wish.release), &caller.login).await?;
    Ok(back(&key.project, &key.environment))
}

/// Lets the rollout under way go on to the end.
pub(crate) async fn promote(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment).await?;
    rollout::decide(&cx, &row, Decision::Promote { by: caller.login }).await?;
    Ok(back(&row.key.project, &row.key.environment))
}

/// Gives the rollout under way up.
pub(crate) async fn abort(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment).await?;
    rollout::decide(&cx, &row, Decision::Abort { by: caller.login }).await?;
    Ok(back(&row.key.project, &row.key.environment))
}

/// What visitors shall be told.
#[derive(Deserialize)]
pub(crate) struct Told {
    #[serde(default)]
    message: String,
}

/// Gives visitors a page instead of the service.
pub(crate) async fn begin_maintenance(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(told): Form<Told>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment).await?;
    let change = MaintenanceChange { message: Some(told.message.replace("\r\n", "\n")), until: None };
    maintenance::announce(&cx, &row.key, change, &caller.login).await?;
    Ok(back(&row.key.project, &row.key.environment))
}

/// Gives visitors the service again.
pub(crate) async fn end_maintenance(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment).await?;
    cx.store.end_maintenance(&row.key).await?;
    Ok(back(&row.key.project, &row.key.environment))
}
