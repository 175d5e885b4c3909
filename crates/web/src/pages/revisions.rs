//! The revisions of an environment, newest first: what was delivered, by whom, and how each rollout ended.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::api::{Page, Revision};
use naru_model::{EnvironmentName, ProjectName, RevisionNumber};

use crate::Cx;
use crate::access::Chosen;
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::paging::Paging;
use crate::routes::environment::history;
use crate::routes::{self, InEnvironment};

use super::environment::may_deploy;
use super::language::words;
use super::shell::{EnvironmentTab, Shell, environment_path};

words! {
    revision: "Revision", "리비전";
    rollout: "Rollout", "롤아웃";
    release: "Release", "릴리스";
    configuration: "Configuration", "설정값";
    what: "What", "내용";
    by: "By", "누가";
    at: "When", "시각";
    serves: "serves", "운영 중";
    quarantined: "in quarantine", "격리됨";
    return_to: "Return to it", "여기로 되돌리기";
    compare: "Compare", "비교";
    from: "From revision", "비교 시작 리비전";
    to: "To revision", "비교 대상 리비전";
    nothing: "Nothing was delivered here yet", "아직 배포한 것이 없어요";
    nothing_how: "The first successful run of the branch makes revision 1:", "브랜치의 첫 런이 성공하면 리비전 1이 생겨요.";
    older: "Older revisions", "이전 리비전";
    newest: "Newest revisions", "최근 리비전";
}

#[derive(Template)]
#[template(path = "revisions.html")]
struct RevisionsPage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    environment: &'a EnvironmentName,
    base: String,
    serving: Option<RevisionNumber>,
    revisions: Page<Revision>,
    is_first: bool,
    may_deploy: bool,
}

impl RevisionsPage<'_> {
    fn serves(&self, revision: &Revision) -> bool {
        self.serving == Some(revision.number)
    }
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment.clone()).await?;
    let shell = shell.in_environment(&cx, &chosen, &path.environment, EnvironmentTab::Revisions).await?;
    let page = RevisionsPage {
        shell: &shell,
        w: Words(shell.language),
        project: &chosen.0.name,
        environment: &path.environment,
        base: environment_path(&chosen.0.name, path.environment.as_str()),
        serving: row.serving,
        revisions: history(&cx, &row.key, &paging).await?,
        is_first: paging.after.is_none(),
        may_deploy: may_deploy(&cx, &shell, &row.key).await,
    };
    Ok(shell.page(&page))
}
