//! The instance itself, for its administrators: how it is reached and set, what it stands on, how much it keeps, and the
//! names of all organisations. What teams keep in theirs is not shown.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::api::{Check, CheckState, LoginProvider, StoredPart};
use naru_store::organisation::Organisation;

use crate::border::InQuery;
use crate::failure::Result;
use crate::paging::Paging;
use crate::{Address, Cx};

use super::html::Html;
use super::language::words;
use super::shell::{SettingsTab, Shell};
use super::sign::Tone;

/// Counting files is given up after this.
const WAIT: Duration = Duration::from_secs(3);

words! {
    checks: "What it stands on", "점검";
    all_good: "Everything that was looked at is as it should be.", "점검한 항목이 모두 정상이에요.";
    settings: "Settings", "설정";
    settings_what: "Given when the server starts: naru serve --help names them all.",
        "서버를 시작할 때 정해요. naru serve --help에서 모두 볼 수 있어요.";
    version: "Version", "버전";
    address: "Address", "주소";
    hosts: "Other host names", "다른 호스트 이름";
    proxies: "Trusted proxies", "신뢰하는 프록시";
    engine: "Engine", "엔진";
    providers: "Login providers", "로그인 제공자";
    none: "none", "없음";
    storage: "Storage", "저장 공간";
    storage_what: "What the data folder holds.", "데이터 폴더에 있는 것이에요.";
    part: "Part", "항목";
    size: "Size", "크기";
    not_counted: "It could not be counted in time.", "제시간에 셀 수 없었어요.";
    organisations: "All organisations", "모든 조직";
    organisations_what: "Their names only: what they keep is theirs.", "이름만 보여요. 내용은 각 조직의 것이에요.";
    more: "More organisations", "조직 더 보기";
    since: "since", "생성";
}

#[derive(Template)]
#[template(path = "instance.html")]
struct InstancePage<'a> {
    shell: &'a Shell,
    w: Words,
    version: &'static str,
    address: &'a Address,
    engine: Option<String>,
    providers: Vec<LoginProvider>,
    checks: Vec<Check>,
    /// Nothing when it could not be counted in time.
    storage: Option<Vec<StoredPart>>,
    organisations: Vec<Organisation>,
    next: Option<String>,
}

impl InstancePage<'_> {
    fn mark(check: &Check) -> Html {
        match check.state {
            CheckState::Good => Tone::Good.bare(),
            CheckState::Attention => Tone::Attention.bare(),
            CheckState::Failed => Tone::Failed.bare(),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn size(bytes: &u64) -> String {
        let (unit, shift) = match bytes {
            0..0x10_0000 => ("KiB", 10),
            0x10_0000..0x4000_0000 => ("MiB", 20),
            _ => ("GiB", 30),
        };
        let tenths = (u128::from(*bytes) * 10) >> shift;
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    InQuery(paging): InQuery<Paging>,
) -> Result<Response> {
    let shell = shell.in_settings(&cx, SettingsTab::Instance).await;
    let after = paging.after.as_deref().unwrap_or_default();
    let rows = cx.store.organisations_page(after, paging.probe()).await?;
    let organisations = paging.page(rows, |row: &Organisation| row.name.to_string());
    let storage = tokio::time::timeout(WAIT, cx.behind.storage()).await;
    let page = InstancePage {
        shell: &shell,
        w: Words(shell.language),
        version: env!("CARGO_PKG_VERSION"),
        address: &cx.address,
        engine: cx.behind.capabilities().await.ok().map(|it| it.engine),
        providers: cx.external.list(),
        checks: cx.behind.doctor().await,
        storage: storage.ok().and_then(Result::ok),
        organisations: organisations.items,
        next: organisations.next,
    };
    Ok(shell.page(&page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_with_one_digit() {
        let of = |bytes: u64| InstancePage::size(&bytes);
        assert_eq!(
            (of(0), of(1536), of(5 << 20), of(3 << 29)),
            ("0.0 KiB".into(), "1.5 KiB".into(), "5.0 MiB".into(), "1.5 GiB".into())
        );
        assert_eq!(of(u64::MAX), "17179869183.9 GiB");
    }
}
