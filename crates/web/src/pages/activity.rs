//! Activity: the audit log, as far as who is asking may read it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::api::Page;
use naru_model::{ProjectName, Timestamp};
use naru_store::audit::{AuditFilter, AuditRow};
use serde::Deserialize;

use crate::Cx;
use crate::access::Asking;
use crate::border::InQuery;
use crate::failure::Result;
use crate::paging::Paging;

use super::html::{Html, encode};
use super::language::words;
use super::shell::{Section, Shell};
use super::sign::Tone;

words! {
    at: "When", "시각";
    who: "Who", "누가";
    action: "What", "행동";
    on: "On what", "대상";
    result: "Result", "결과";
    from: "From", "어디서";
    done: "done", "완료";
    filter_who: "Login", "로그인 이름";
    filter_action: "Action, such as project.create", "행동 (예: project.create)";
    filter_project: "Project", "프로젝트";
    only_failed: "Only what failed", "실패만";
    filter: "Filter", "거르기";
    nothing: "Nothing matches", "해당하는 기록이 없어요";
    nothing_how: "Every change leaves a line here: who did what, on what, from where, and how it ended.",
        "바뀐 일은 모두 여기에 남아요. 누가, 무엇을, 어디서 했고 어떻게 끝났는지 볼 수 있어요.";
    older: "Older lines", "이전 기록";
    newest: "Newest lines", "최근 기록";
}

/// What is looked for; empty fields look for everything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    login: String,
    action: String,
    project: String,
    failed: bool,
    after: Option<String>,
}

impl Wanted {
    fn filter(&self, before: Option<i64>) -> AuditFilter {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        AuditFilter {
            before,
            login: given(&self.login),
            action: given(&self.action),
            project: self.project.trim().parse::<ProjectName>().ok(),
            result: self.failed.then(|| "failed".to_owned()),
            ..AuditFilter::default()
        }
    }

    /// The query that asks for the same again.
    fn query(&self) -> String {
        let failed = if self.failed { "&failed=true" } else { "" };
        let (login, action) = (encode(&self.login), encode(&self.action));
        format!("login={login}&action={action}&project={}{failed}", encode(&self.project))
    }
}

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPage<'a> {
    shell: &'a Shell,
    w: Words,
    wanted: &'a Wanted,
    query: String,
    lines: Page<AuditRow>,
}

impl ActivityPage<'_> {
    fn result(&self, result: &str) -> Html {
        if result == "done" { Tone::Good.sign(self.w.done()) } else { Tone::Failed.sign(result) }
    }

    fn moment(&self, at: &Timestamp) -> Html {
        self.shell.reader.when(at)
    }
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response> {
    let shell = shell.at(Section::Activity);
    let paging = Paging { after: wanted.after.clone(), limit: None };
    let filter = wanted.filter(paging.after_number());
    let rows = cx.identity.audit(&asking.known, &filter, paging.probe()).await?;
    let page = ActivityPage {
        shell: &shell,
        w: Words(shell.language),
        query: wanted.query(),
        wanted: &wanted,
        lines: paging.page(rows, |row: &AuditRow| row.id.to_string()),
    };
    Ok(shell.page(&page))
}
