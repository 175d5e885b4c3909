//! One revision: how its rollout went, what it changed, its receipt. Any two can be compared.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::api::{Revision, SignedReceipt};
use naru_model::receipt::Verdict;
use naru_model::rollout::Phase;
use naru_model::{EnvironmentName, ProjectName, RevisionNumber};
use serde::Deserialize;

use crate::Cx;
use crate::access::Chosen;
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::routes::environment::{OneRevision, difference, seen};
use crate::routes::{self, InEnvironment, receipt};

use super::doubt;
use super::environment::may_deploy;
use super::html::{Html, escape};
use super::language::{Language, words};
use super::problem;
use super::shell::{EnvironmentTab, Shell, environment_path};
use super::sign::Tone;

words! {
    revision(number): "Revision {number}", "리비전 {number}";
    rollout: "Rollout", "롤아웃";
    switched: "Got all requests", "모든 요청을 받은 시각";
    release: "Release", "릴리스";
    configuration: "Configuration version", "설정값 버전";
    commit: "Commit", "커밋";
    message: "What", "내용";
    by: "By", "누가";
    at: "Committed", "커밋 시각";
    quarantine: "In quarantine", "격리됨";
    quarantine_how: "It does not come back by itself. Returning to it by hand lifts the quarantine.",
        "저절로 돌아오지 않아요. 직접 되돌리면 격리가 풀려요.";
    return_to: "Return to it", "여기로 되돌리기";
    changed_since(number): "What changed since revision {number}", "리비전 {number} 이후 바뀐 것";
    changed_first: "What it brought", "처음 배포한 것";
    same: "The manifests are the same.", "매니페스트가 같아요.";
    receipt: "Receipt", "영수증";
    no_receipt: "The receipt is signed when the rollout has ended and the old replicas are gone.",
        "롤아웃이 끝나고 이전 복제본이 사라지면 영수증에 서명해요.";
    promoted: "promoted", "승격됨";
    aborted: "given up", "중단됨";
    release_command: "release command", "릴리스 명령";
    hold: "hold requests", "요청 붙들기";
    start: "start", "시작";
    probe: "probe", "상태 확인";
    canary: "canary", "카나리";
    preview: "preview", "미리보기";
    route: "switch the route", "경로 전환";
    drain: "drain", "남은 요청 마치기";
    stop: "stop", "정지";
    overtaken: "overtaken by a newer revision", "새 리비전에 밀림";
    verdict: "Verdict", "판정";
    phase: "Phase", "단계";
    began: "Began", "시작";
    took: "Took", "소요";
    observed: "Observed", "관찰";
    requests: "Requests", "요청";
    failed: "Failed", "실패";
    drained: "Ended by themselves", "스스로 끝남";
    broken_off: "Broken off", "끊김";
    visitors: "What visitors were given", "방문자가 받은 것";
    not_whole: "The edge was replaced meanwhile: these figures are less than what was.",
        "그동안 에지가 바뀌어서 실제보다 적게 세었어요.";
    verify: "Check the signature", "서명 확인";
    verifies: "The signature verifies: this instance signed the receipt, and nothing in it was changed.",
        "서명이 맞아요. 이 인스턴스가 서명했고 내용이 바뀌지 않았어요.";
    by_key(key): "Key {key}", "키 {key}";
    compared(from, to): "Revision {from} compared with {to}", "리비전 {from}과(와) {to} 비교";
    image: "Image", "이미지";
    no_release: "none", "없음";
    manifests: "Manifests", "매니페스트";
}

impl Words {
    fn phase_word(self, phase: Phase) -> &'static str {
        match phase {
            Phase::Release => self.release_command(),
            Phase::Hold => self.hold(),
            Phase::Start => self.start(),
            Phase::Probe => self.probe(),
            Phase::Canary => self.canary(),
            Phase::Preview => self.preview(),
            Phase::Route => self.route(),
            Phase::Drain => self.drain(),
            Phase::Stop => self.stop(),
        }
    }

    fn verdict_word(self, verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Promoted => self.promoted(),
            Verdict::Aborted => self.aborted(),
            Verdict::Overtaken => self.overtaken(),
        }
    }
}

#[derive(Template)]
#[template(path = "revision.html")]
struct RevisionPage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    environment: &'a EnvironmentName,
    base: String,
    revision: &'a Revision,
    problem: Html,
    is_serving: bool,
    before: Option<RevisionNumber>,
    diff: Html,
    receipt: Option<SignedReceipt>,
    /// By which key the receipt verifies.
    key: String,
    /// What is said in its place when it does not.
    doubt: Option<Html>,
    may_deploy: bool,
}

impl RevisionPage<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn milliseconds(&self, milliseconds: &u64) -> String {
        let seconds = milliseconds / 1000;
        match self.shell.language {
            Language::English => format!("{seconds}.{:03} s", milliseconds % 1000),
            Language::Korean => format!("{seconds}.{:03}초", milliseconds % 1000),
        }
    }
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<OneRevision>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment.clone()).await?;
    let revision = seen(&cx, &row.key, path.revision).await?;
    let shell = shell.in_environment(&cx, &chosen, &path.environment, EnvironmentTab::Revisions).await?;
    let w = Words(shell.language);
    let base = environment_path(&chosen.0.name, path.environment.as_str());
    let shell = shell
        .crumb(format!("{base}/revisions/{}", path.revision), path.revision.to_string())
        .title(format!("{} · {}", w.revision(path.revision), path.environment));
    let difference = difference(&cx, &row.key, None, path.revision).await?;
    let problem = revision.problem.as_ref().map(|it| problem::show(shell.language, it)).unwrap_or_default();
    let (key, receipt, doubt) = match receipt::newest(&cx, &row.key, path.revision).await? {
        None => (String::new(), None, None),
        Some(Ok((key, signed))) => (key, Some(signed), None),
        Some(Err(why)) => (String::new(), None, Some(doubt::show(shell.language, &why))),
    };
    let page = RevisionPage {
        shell: &shell,
        w,
        project: &chosen.0.name,
        environment: &path.environment,
        base,
        revision: &revision,
        problem,
        is_serving: row.serving == Some(path.revision),
        before: difference.from,
        diff: diff(&difference.diff),
        receipt,
        key,
        doubt,
        may_deploy: may_deploy(&cx, &shell, &row.key).await,
    };
    Ok(shell.page(&page))
}

/// A unified diff, line by line.
fn diff(text: &str) -> Html {
    let mut out = String::new();
    for line in text.lines() {
        let class = match line.as_bytes().first() {
            Some(b'+') => "added",
            Some(b'-') => "removed",
            Some(b'@') => "at",
            _ => "",
        };
        out.push_str("<span class=\"");
        out.push_str(class);
        out.push_str("\">");
        out.push_str(&escape(line));
        out.push_str("</span>");
    }
    Html(out)
}

/// Which two.
#[derive(Deserialize)]
pub(crate) struct Two {
    from: RevisionNumber,
    to: RevisionNumber,
}

/// One thing in both revisions; nothing where one of them does not have it.
struct Beside {
    name: String,
    from: String,
    to: String,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage<'a> {
    shell: &'a Shell,
    w: Words,
    project: &'a ProjectName,
    base: String,
    from: &'a Revision,
    to: &'a Revision,
    images: Vec<Beside>,
    diff: Html,
}

/// Two revisions beside each other.
pub(crate) async fn compare(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(two): InQuery<Two>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment.clone()).await?;
    let (from, to) = (seen(&cx, &row.key, two.from).await?, seen(&cx, &row.key, two.to).await?);
    let difference = difference(&cx, &row.key, Some(two.from), two.to).await?;
    let shell = shell.in_environment(&cx, &chosen, &path.environment, EnvironmentTab::Revisions).await?;
    let w = Words(shell.language);
    let base = environment_path(&chosen.0.name, path.environment.as_str());
    let shell = shell
        .crumb(
            format!("{base}/compare?from={}&to={}", two.from, two.to),
            format!("{} … {}", two.from, two.to),
        )
        .title(w.compared(two.from, two.to));
    let page = ComparePage {
        shell: &shell,
        w,
        project: &chosen.0.name,
        base,
        images: images(&cx, &chosen.0.name, &from, &to).await?,
        from: &from,
        to: &to,
        diff: diff(&difference.diff),
    };
    Ok(shell.page(&page))
}

/// The images of both releases by service.
async fn images(cx: &Cx, project: &ProjectName, from: &Revision, to: &Revision) -> Result<Vec<Beside>> {
    let mut sides = Vec::new();
    for revision in [from, to] {
        sides.push(match revision.release {
            Some(release) => {
                cx.store.release(project, release).await?.map(|it| it.images).unwrap_or_default()
            }
            None => std::collections::BTreeMap::new(),
        });
    }
    let names: std::collections::BTreeSet<_> = sides.iter().flat_map(|side| side.keys().cloned()).collect();
    let of = |side: usize, name| sides[side].get(name).map(ToString::to_string).unwrap_or_default();
    Ok(names
        .iter()
        .map(|name| Beside { name: name.to_string(), from: of(0, name), to: of(1, name) })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_is_text_line_by_line() {
        let shown = diff("@@ -1 +1 @@\n-replicas: 2\n+replicas: <script>\n same");
        assert_eq!(
            shown.0,
            "<span class=\"at\">@@ -1 +1 @@</span><span class=\"removed\">-replicas: 2</span>\
             <span class=\"added\">+replicas: &lt;script&gt;</span><span class=\"\"> same</span>"
        );
    }
}
