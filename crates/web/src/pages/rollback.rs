//! The way back: says exactly what returning to a revision will do, then does it.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::api::Revision;
use naru_model::{ProjectName, RevisionNumber};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::routes::environment::{before, nothing_before, return_to, seen};
use crate::routes::{self, InEnvironment};

use super::language::words;
use super::shell::{EnvironmentTab, Shell, environment_path};

words! {
    title(number, environment): "Return to revision {number} in {environment}", "{environment} 환경을 리비전 {number}(으)로 되돌리기";
    what: "What will happen", "되돌리면 일어나는 일";
    moves_release(from, to): "All requests move from release {from} to release {to}: the same images as then.",
        "모든 요청이 릴리스 {from}에서 릴리스 {to}(으)로 옮겨져요. 이미지는 그때와 같아요.";
    keeps_release(release): "The release stays {release}.", "릴리스 {release}은(는) 그대로예요.";
    moves_configuration(from, to): "The configuration goes from version {from} to version {to}.",
        "설정값이 버전 {from}에서 버전 {to}(으)로 바뀌어요.";
    keeps_configuration(version): "The configuration stays at version {version}.", "설정값 버전 {version}은(는) 그대로예요.";
    secrets: "Secrets return to their versions of then; one that was revoked since stays at its current version.",
        "시크릿도 그때 버전으로 돌아가요. 그 뒤 폐기한 시크릿은 지금 버전을 써요.";
    commit: "A new commit in the deploy repository records it. Nothing is lost: you can return to today's revision in the same way.",
        "배포 저장소에 새 커밋으로 남아요. 잃는 것은 없고, 같은 방법으로 지금 리비전에 돌아올 수 있어요.";
    quarantine(number): "Revision {number} goes into quarantine: it does not come back by itself.",
        "리비전 {number}은(는) 격리되어 저절로 돌아오지 않아요.";
    no_drop: "No request is dropped: new replicas are ready before the old ones go.",
        "요청은 끊기지 않아요. 새 복제본이 준비된 뒤에 이전 복제본이 내려가요.";
    takes: "It takes a few seconds when the images are still on the machine.",
        "이미지가 서버에 남아 있으면 몇 초면 끝나요.";
    lifts(reason): "It is in quarantine ({reason}). Returning to it lifts that.", "격리된 리비전이에요 ({reason}). 되돌리면 격리가 풀려요.";
    confirm: "Roll back", "되돌리기";
    keep: "Keep what serves", "그대로 두기";
}

#[derive(Template)]
#[template(path = "rollback.html")]
struct RollbackPage<'a> {
    shell: &'a Shell,
    w: Words,
    base: String,
    to: &'a Revision,
    consequences: Vec<String>,
}

/// Which revision; the one that served before when it is left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Where {
    to: Option<RevisionNumber>,
}

/// Says what will happen.
pub(crate) async fn confirm(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(place): InQuery<Where>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment.clone()).await?;
    let number = match place.to {
        Some(number) => number,
        None => before(&cx, &row).await?.ok_or_else(|| nothing_before(&row.key))?,
    };
    let to = seen(&cx, &row.key, number).await?;
    let from = match row.serving {
        Some(serving) => Some(seen(&cx, &row.key, serving).await?),
        None => None,
    };
    let shell = shell.in_environment(&cx, &chosen, &path.environment, EnvironmentTab::Revisions).await?;
    let w = Words(shell.language);
    let shell = shell.title(w.title(number, &path.environment));
    let page = RollbackPage {
        shell: &shell,
        w,
        base: environment_path(&chosen.0.name, path.environment.as_str()),
        consequences: consequences(w, from.as_ref(), &to),
        to: &to,
    };
    Ok(shell.page(&page))
}

/// What returning changes, sentence by sentence.
fn consequences(w: Words, from: Option<&Revision>, to: &Revision) -> Vec<String> {
    let mut list = Vec::new();
    if let Some(from) = from {
        list.push(match (from.release, to.release) {
            (Some(old), Some(new)) if old != new => w.moves_release(old, new),
            (_, Some(new)) => w.keeps_release(new),
            _ => String::new(),
        });
        list.push(if from.configuration == to.configuration {
            w.keeps_configuration(to.configuration)
        } else {
            w.moves_configuration(from.configuration, to.configuration)
        });
        if from.number > to.number {
            list.push(w.quarantine(from.number));
        }
    }
    if let Some(reason) = &to.quarantine {
        list.push(w.lifts(reason));
    }
    list.push(w.secrets().to_owned());
    list.push(w.no_drop().to_owned());
    list.push(w.takes().to_owned());
    list.push(w.commit().to_owned());
    list.retain(|sentence| !sentence.is_empty());
    list
}

/// A form's revision.
#[derive(Deserialize)]
pub(crate) struct Wish {
    revision: RevisionNumber,
}

/// Returns.
pub(crate) async fn roll_back(
    State(cx): State<Cx>,
    chosen: Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<InEnvironment>,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment).await?;
    return_to(&cx, &row, Some(wish.revision), &caller.login).await?;
    let project: &ProjectName = &row.key.project;
    Ok(Redirect::to(&environment_path(project, row.key.environment.as_str())).into_response())
}
