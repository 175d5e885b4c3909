//! What a step's test runners said, on its run's page: one line of counts, and the tests that failed with the way to where
//! the log names them. How output is read is not known here.

use naru_model::pipeline::TestSummary;

use super::html::encode;
use super::language::{Language, words};

words! {
    passed(count): "{count} passed", "{count}개 통과";
    failed(count): "{count} failed", "{count}개 실패";
    skipped(count): "{count} skipped", "{count}개 건너뜀";
    failed_tests: "Failed tests", "실패한 테스트";
    unnamed(count): "and {count} more, in the log", "그 밖에 {count}개는 로그에 있어요";
}

/// A step's tests.
pub(super) struct StepTests {
    pub(super) counts: String,
    /// What the list is called.
    pub(super) heading: &'static str,
    /// Each with the address of the log where it is named.
    pub(super) failed: Vec<(String, String)>,
    /// Failed tests that are not in the list.
    pub(super) unnamed: Option<String>,
}

/// The tests of a step on the run's page `here`.
pub(super) fn view(language: Language, here: &str, step: &str, tests: &TestSummary) -> StepTests {
    let w = Words(language);
    let address =
        |name: &str| format!("{here}?step={}&find={}#step-{}", encode(step), encode(name), encode(step));
    let unnamed = tests.unnamed();
    StepTests {
        counts: counts(w, tests),
        heading: w.failed_tests(),
        failed: tests.failed_names.iter().map(|name| (name.clone(), address(name))).collect(),
        unnamed: (unnamed > 0 && !tests.failed_names.is_empty()).then(|| w.unnamed(unnamed)),
    }
}

/// What there is none of is not said.
fn counts(w: Words, tests: &TestSummary) -> String {
    let said = [
        (tests.passed, w.passed(tests.passed)),
        (tests.failed, w.failed(tests.failed)),
        (tests.skipped, w.skipped(tests.skipped)),
    ];
    let said: Vec<String> = said.into_iter().filter(|(count, _)| *count > 0).map(|(_, said)| said).collect();
    said.join(" · ")
}
