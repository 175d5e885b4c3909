//! The trigger ledger of a project: what asked for a run, what became of it, and the way to ask for the same again.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::ProjectName;
use naru_model::api::Page;
use naru_model::authorise::{Permission, Resource};
use naru_store::trigger::{Trigger, TriggerKind, TriggerState};

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::paging::Paging;
use crate::routes::trigger::{OneTrigger, repeat};

use super::language::words;
use super::shell::{ProjectTab, Shell};

words! {
    what: "What asked", "요청한 것";
    became: "What became of it", "결과";
    reference: "Branch or tag", "브랜치·태그";
    commit: "Commit", "커밋";
    by: "By", "요청자";
    received: "Received", "받은 때";
    run(number): "run {number}", "런 {number}";
    push: "push", "푸시";
    deploy_push: "push to the deploy repository", "배포 저장소 푸시";
    found: "moved without a push", "푸시 없이 옮겨짐";
    person: "person", "사람";
    replay_of: "again", "다시 실행";
    replay: "Run again", "다시 실행";
    deleted: "deleted", "삭제됨";
    nothing: "Nothing has asked for a run yet", "아직 런을 요청한 것이 없어요";
    nothing_how: "Every push is kept here with what became of it, also one that was refused:",
        "거절된 것까지 모든 푸시를 결과와 함께 여기에 남겨요.";
    older: "Older triggers", "이전 트리거";
    newest: "Newest triggers", "최근 트리거";
}

#[derive(Template)]
#[template(path = "triggers.html")]
struct TriggersPage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    push: String,
    triggers: Page<Trigger>,
    is_first: bool,
    may_run: bool,
}

impl TriggersPage<'_> {
    fn kind(&self, trigger: &Trigger) -> &'static str {
        match trigger.kind {
            TriggerKind::Push => self.w.push(),
            TriggerKind::DeployPush => self.w.deploy_push(),
            TriggerKind::Found => self.w.found(),
            TriggerKind::Person => self.w.person(),
        }
    }

    /// The name of the branch or tag without what all have in common.
    fn reference(trigger: &Trigger) -> &str {
        let name = &trigger.reference;
        name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/")).unwrap_or(name)
    }

    /// Whether it can be asked for again; the store decides the same.
    fn is_repeatable(&self, trigger: &Trigger) -> bool {
        self.may_run
            && trigger.kind != TriggerKind::DeployPush
            && trigger.state != TriggerState::Rejected
            && trigger.new.is_some()
            && trigger.branch().is_some()
    }
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    let shell = shell.in_project(&cx, &chosen, ProjectTab::Triggers).await?;
    let project = &chosen.0;
    let rows = cx.store.triggers(&project.name, paging.after_number(), paging.probe()).await?;
    let page = TriggersPage {
        shell: &shell,
        w: Words(shell.language),
        project: &project.name,
        push: format!("git push {}/git/{}.git {}", cx.address.base_url, project.name, project.default_branch),
        triggers: paging.page(rows, |trigger: &Trigger| trigger.id.to_string()),
        is_first: paging.after.is_none(),
        may_run: shell.may(&cx, Permission::Run, &Resource::Project(project.name.clone())).await,
    };
    Ok(shell.page(&page))
}

/// Asks for the same again.
pub(crate) async fn replay(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<OneTrigger>,
) -> Result<Response> {
    repeat(&cx, &project.name, &path.trigger, &caller.login).await?;
    Ok(Redirect::to(&format!("/projects/{}/triggers", project.name)).into_response())
}
