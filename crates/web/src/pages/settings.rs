//! A project's settings: what it is and what is said about it, the secrets of its pipeline, and its end.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::ProjectName;
use naru_model::authorise::{Permission, Resource};
use naru_model::job::SecretScope;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::Result;
use crate::routes::about::BAD_ABOUT;
use crate::routes::setting;

use super::html::Html;
use super::language::words;
use super::shell::{ProjectTab, Shell};
use super::{about, secrets};

words! {
    about: "About", "소개";
    facts: "Repository", "저장소";
    shared: "Variables and secrets for all environments", "모든 환경의 변수와 시크릿";
    branch: "Default branch", "기본 브랜치";
    source: "Source repository", "소스 저장소";
    deploy: "Deploy repository", "배포 저장소";
    created: "Created", "생성";
    secrets: "Secrets of the pipeline", "파이프라인 시크릿";
    secrets_what: "Steps of the pipeline can ask for them by name. They are masked in logs and never shown again.",
        "파이프라인 스텝에서 이름으로 쓸 수 있어요. 로그에서는 가려지고 다시 보여 주지 않아요.";
    none: "No secret is set.", "넣은 시크릿이 없어요.";
    end: "Delete the project", "프로젝트 삭제";
    end_what: "Its services stop, then its repositories, images, runs, volumes, configuration and secrets are deleted. This cannot be undone.",
        "서비스가 멈추고 저장소, 이미지, 런, 볼륨, 설정값, 시크릿이 모두 지워져요. 되돌릴 수 없어요.";
    confirm(name): "Type {name} to confirm", "확인을 위해 {name}을(를) 적어 주세요";
    not_confirmed(name): "The name is {name}; nothing was deleted.", "이름은 {name}이에요. 아무것도 지우지 않았어요.";
    end_now: "Delete for good", "완전히 삭제";
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    shell: &'a Shell,
    w: Words,
    chosen: &'a Chosen,
    base: String,
    base_url: &'a str,
    /// The form of what is said about it.
    about: Html,
    secrets: Html,
    delete_wrong: Option<String>,
    may_delete: bool,
}

/// Which form was refused, and why.
pub(super) enum Refused {
    Nothing,
    About(about::Typed, about::Wrong),
    Secret(String),
    Delete(String),
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
) -> Result<Response> {
    page(&cx, shell, &asking, &chosen, Refused::Nothing).await
}

pub(super) async fn page(
    cx: &Cx,
    shell: Shell,
    asking: &Asking,
    chosen: &Chosen,
    refused: Refused,
) -> Result<Response> {
    let shell = shell.in_project(cx, chosen, ProjectTab::Settings).await?;
    let name = &chosen.0.name;
    let (mut said, mut secret_wrong, mut delete_wrong) = (None, None, None);
    let code = match refused {
        Refused::Nothing => None,
        Refused::About(typed, wrong) => {
            said = Some((typed, wrong));
            Some(BAD_ABOUT)
        }
        Refused::Secret(wrong) => {
            secret_wrong = Some(wrong);
            Some("api.bad-secret")
        }
        Refused::Delete(wrong) => {
            delete_wrong = Some(wrong);
            Some("api.not-confirmed")
        }
    };
    let (w, base) = (Words(shell.language), format!("/projects/{name}/settings"));
    let sealed = setting::listed(cx, &SecretScope::Pipeline(name.clone())).await?.0.items;
    let page = SettingsPage {
        w,
        chosen,
        about: about::form(cx, &shell, &chosen.0, said).await?,
        secrets: secrets::show((&shell, &base), &sealed, w.none(), true, secret_wrong.as_deref()),
        base,
        base_url: &cx.address.base_url,
        delete_wrong,
        may_delete: asking.may(cx, Permission::Delete, &Resource::Project(name.clone())).await?,
        shell: &shell,
    };
    Ok(match code {
        Some(code) => shell.refused(StatusCode::BAD_REQUEST, code, &page),
        None => shell.page(&page),
    })
}

/// Seals a secret of the pipeline.
pub(crate) async fn set_secret(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    Form(typed): Form<secrets::Typed>,
) -> Result<Response> {
    let scope = SecretScope::Pipeline(chosen.0.name.clone());
    match secrets::seal(&cx, &scope, typed, &asking.known.principal).await? {
        Ok(()) => Ok(back(&chosen.0.name)),
        Err(wrong) => page(&cx, shell, &asking, &chosen, Refused::Secret(wrong)).await,
    }
}

/// Unsets a secret of the pipeline.
pub(crate) async fn unset_secret(
    State(cx): State<Cx>,
    asking: Asking,
    chosen: Chosen,
    Form(named): Form<secrets::Named>,
) -> Result<Response> {
    let scope = SecretScope::Pipeline(chosen.0.name.clone());
    cx.store.unset_secret(&scope, &named.name, true, &asking.known.principal.login).await?;
    Ok(back(&chosen.0.name))
}

/// The project's name once more.
#[derive(Deserialize)]
pub(crate) struct Confirmed {
    #[serde(default)]
    name: String,
}

/// Takes the project down, when its name was typed once more.
pub(crate) async fn delete(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response> {
    let name = chosen.0.name.clone();
    if confirmed.name.trim() != name.as_str() {
        let wrong = Words(shell.language).not_confirmed(&name);
        return page(&cx, shell, &asking, &chosen, Refused::Delete(wrong)).await;
    }
    cx.store.delete_project(&name).await?;
    Ok(Redirect::to("/projects").into_response())
}

fn back(project: &ProjectName) -> Response {
    Redirect::to(&format!("/projects/{project}/settings")).into_response()
}
