//! Korean for the sentences that Naru itself writes down about rollouts and steps: a closed list of shapes with slots for
//! numbers and names. They are kept and signed in English, the language of the API; a Korean page says them in Korean.
//!
//! What has none of these shapes stays as it is: above all what other programs printed.

use std::borrow::Cow;

use naru_model::Problem;

use super::language::Language;
use super::shell::Shell;

/// No sentence of ours is longer, in bytes.
const LONGEST: usize = 500;

/// A sentence, or a part of one between `; `, and what it is in Korean. Slots: `{n}` digits, `{w}` a word, `{t}` the rest of
/// the text, `{x}` how a process ended. In Korean they are taken up by their number.
const SHAPES: &[(&str, &str)] = &[
    // How far a rollout is: `plan.rs`, `gate.rs`, `replicas.rs` and `mod.rs` of the model's `rollout`.
    ("{n} of {n} new replicas are ready", "새 복제본 {2}개 중 {1}개가 준비됐어요"),
    ("{n} of {n} replicas of {w} are ready", "{3} 복제본 {2}개 중 {1}개가 준비됐어요"),
    ("the new replicas are ready", "새 복제본이 준비됐어요"),
    ("the release command runs", "릴리스 명령을 실행하고 있어요"),
    ("requests are about to be held", "곧 요청을 붙들어 둬요"),
    (
        "requests are held while the old replica gives its volume away",
        "이전 복제본이 볼륨을 넘겨주는 동안 요청을 붙들고 있어요",
    ),
    ("the edge is taking over the routes", "에지가 경로를 넘겨받고 있어요"),
    ("the edge is taking over the shares", "에지가 나눌 비율을 넘겨받고 있어요"),
    ("the new replicas have the traffic and are watched", "새 복제본이 요청을 받고 있고, 지켜보는 중이에요"),
    ("the old replicas finish what they have", "이전 복제본이 받은 요청을 마치고 있어요"),
    ("the old replicas stop", "이전 복제본이 멈추고 있어요"),
    ("the old replicas are being removed", "이전 복제본을 지우고 있어요"),
    ("{n} % of requests go to revision {n}", "요청의 {1}%를 리비전 {2}에서 처리해요"),
    ("too few were answered to judge by", "판단하기에는 응답이 적어요"),
    ("next step in {n} s", "다음 단계까지 {1}초"),
    ("revision {n} is ready and waits for promotion", "리비전 {1} 준비 완료, 승격을 기다리고 있어요"),
    ("it answers at {t}", "주소: {1}"),
    // What receipts say: `receipt.rs` of delivery.
    ("everything that is wanted runs, and nothing else", "원하는 것이 모두 실행 중이고, 그 밖의 것은 없어요"),
    ("every new replica was ready", "새 복제본이 모두 준비됐어요"),
    (
        "{n} requests came to it meanwhile, {n} of them failed",
        "그동안 요청 {1}개를 받았고 {2}개가 실패했어요",
    ),
    ("something newer was wanted before it ended", "끝나기 전에 더 새로운 것을 배포했어요"),
    // Why a rollout was given up, and what serves: `failure.rs` and `analysis.rs`.
    (
        "release {n} (revision {n}) of `{w}` did not reach `{w}`",
        "{3}의 릴리스 {1}(리비전 {2}) 배포가 {4} 환경에서 끝나지 못했어요",
    ),
    ("revision {n} of `{w}` did not reach `{w}`", "{2}의 리비전 {1} 배포가 {3} 환경에서 끝나지 못했어요"),
    (
        "release {n} (revision {n}) of `{w}` failed in `{w}`",
        "{3}의 릴리스 {1}(리비전 {2}) 실행이 {4} 환경에서 실패했어요",
    ),
    ("revision {n} of `{w}` failed in `{w}`", "{2}의 리비전 {1} 실행이 {3} 환경에서 실패했어요"),
    (
        "release {n} (revision {n}) still serves all traffic",
        "릴리스 {1}(리비전 {2})에서 모든 요청을 계속 처리해요",
    ),
    ("revision {n} still serves all traffic", "리비전 {1}에서 모든 요청을 계속 처리해요"),
    ("release {n} (revision {n}) gets the traffic back", "릴리스 {1}(리비전 {2})에서 다시 요청을 처리해요"),
    ("revision {n} gets the traffic back", "리비전 {1}에서 다시 요청을 처리해요"),
    ("nothing served before, and nothing serves now", "전에도 지금도 운영 중인 것이 없어요"),
    ("{n} of {n} new replicas became ready within {n} s", "{3}초 안에 새 복제본 {2}개 중 {1}개가 준비됐어요"),
    (
        "{n} of {n} new replicas became ready, and one exited",
        "새 복제본 {2}개 중 {1}개가 준비됐고, 하나가 종료됐어요",
    ),
    (
        "{n} of {n} new replicas became ready, and one exited {n} times",
        "새 복제본 {2}개 중 {1}개가 준비됐고, 하나가 {3}번 종료됐어요",
    ),
    ("{w} gave the rollout up", "{1} 님이 롤아웃을 중단했어요"),
    ("it failed {n} s after it got all the traffic", "모든 요청을 받은 지 {1}초 뒤에 실패했어요"),
    ("the release command {x}", "릴리스 명령: {1}"),
    ("nothing was switched", "전환하지 않았어요"),
    (
        "without enough requests nothing says that the new revision is as good as the old one",
        "요청이 충분하지 않으면 새 리비전이 이전 리비전만큼 괜찮은지 알 수 없어요",
    ),
    ("{n} of {n} requests to revision {n} failed", "리비전 {3}: 요청 {2}개 중 {1}개 실패"),
    (
        "{n} of {n} requests to revision {n} failed in the same time",
        "같은 시간 리비전 {3}: 요청 {2}개 중 {1}개 실패",
    ),
    ("expected errors < {w} more", "허용한 오류 차이 {1} 미만"),
    (
        "95 of 100 requests to revision {n} took up to {n} ms, to revision {n} up to {n} ms in the same time",
        "요청 100개 중 95개의 응답 시간: 리비전 {1} 최대 {2} ms, 같은 시간 리비전 {3} 최대 {4} ms",
    ),
    ("expected latency < {w}", "허용한 응답 시간 비율 {1} 미만"),
    (
        "revision {n} has answered {n} requests in this step, revision {n} {n}",
        "이번 단계에서 응답한 요청: 리비전 {1} {2}개, 리비전 {3} {4}개",
    ),
    ("{n} of each are needed", "각각 {1}개가 필요해요"),
    ("{w} has run for {n} s", "{1}: {2}초째 실행 중"),
    (
        "{w} has run for {n} s, but does not answer its probe on port {n}",
        "{1}: {2}초째 실행 중이지만 포트 {3}의 상태 확인에 응답하지 않아요",
    ),
    ("{w} was not started by the engine", "{1}: 엔진에서 시작하지 않았어요"),
    ("{w} is stopping", "{1}: 멈추는 중"),
    // What a run says of its steps: `evidence.rs` and `pass.rs` of the pipeline.
    ("{x}", "{1}"),
    ("it {x}", "{1}"),
    // A replica by its name, which can be any word.
    ("{w} {x} after {n} s", "{1}: {3}초 뒤 {2}"),
    ("{w} {x}", "{1}: {2}"),
    ("no release was made", "릴리스를 만들지 않았어요"),
    ("what serves keeps serving", "운영 중인 것은 그대로예요"),
    (
        "it ended well, but reported no digest of a pushed image",
        "정상 종료했지만 올린 이미지의 다이제스트를 알리지 않았어요",
    ),
];

/// How a process ended: `ExitReason` of the model.
const EXITS: &[(&str, &str)] = &[
    ("exited with code {n}", "종료 코드 {1}"),
    ("was killed by signal {n}", "시그널 {1}번으로 종료됨"),
    ("was killed by signal 9, memory limit of {n} MiB reached", "메모리 한도 {1} MiB에 닿아 종료됨"),
    ("took longer than its time limit of {n} s", "시간 한도 {1}초를 넘김"),
    ("printed more than its log limit of {n} MiB", "로그 한도 {1} MiB를 넘김"),
    ("was cancelled", "취소됨"),
];

impl Shell {
    /// A sentence of ours in the reader's language.
    pub(crate) fn say<'a>(&self, sentence: &'a str) -> Cow<'a, str> {
        say(self.language, sentence)
    }
}

/// A sentence of ours in the reader's language.
pub(super) fn say(language: Language, sentence: &str) -> Cow<'_, str> {
    let korean = match language {
        Language::English => None,
        Language::Korean if sentence.len() > LONGEST => None,
        Language::Korean => korean(sentence),
    };
    korean.map_or(Cow::Borrowed(sentence), Cow::Owned)
}

/// A problem with its evidence and state in the reader's language. Lines that a program printed are no sentences of ours,
/// even if they read like one.
pub(super) fn of_problem(language: Language, problem: &Problem) -> Problem {
    let mut told = problem.clone();
    // After how a step ended come the last lines that it printed.
    let own = if problem.code.starts_with("pipeline.") { 1 } else { problem.cause.len() };
    for line in told.cause.iter_mut().take(own).filter(|line| !line.starts_with(' ')) {
        *line = say(language, line).into_owned();
    }
    told.state = problem.state.as_ref().map(|state| say(language, state).into_owned());
    told
}

/// The whole, or else each of its parts.
fn korean(sentence: &str) -> Option<String> {
    let parts = |joint: &str| {
        let parts: Option<Vec<String>> = sentence.split(joint).map(|part| shaped(SHAPES, part)).collect();
        parts.map(|parts| parts.join(joint))
    };
    shaped(SHAPES, sentence).or_else(|| parts("; ")).or_else(|| parts(", "))
}

/// The text in Korean, if it has one of the shapes.
fn shaped(shapes: &[(&str, &str)], text: &str) -> Option<String> {
    shapes.iter().find_map(|(english, korean)| {
        let mut slots = Vec::new();
        fits(english, text, &mut slots).then(|| filled(korean, &slots))
    })
}

/// Whether a text has a shape, and what its slots hold.
fn fits(shape: &str, text: &str, slots: &mut Vec<String>) -> bool {
    let Some((literal, rest)) = shape.split_once('{') else { return shape == text };
    let (Some(text), Some((kind, shape))) = (text.strip_prefix(literal), rest.split_once('}')) else {
        return false;
    };
    let mut ends: Box<dyn Iterator<Item = usize>> = match kind {
        "n" => Box::new(std::iter::once(run(text, |c| c.is_ascii_digit()))),
        "w" => Box::new(std::iter::once(run(text, |c| !c.is_whitespace() && c != '`'))),
        "x" => Box::new(text.char_indices().map(|(at, c)| at + c.len_utf8())),
        _ => Box::new(std::iter::once(text.len())),
    };
    ends.any(|end| {
        let (held, after) = text.split_at(end);
        let held = if kind == "x" { shaped(EXITS, held) } else { Some(held.to_owned()) };
        let Some(held) = held.filter(|held| !held.is_empty()) else { return false };
        slots.push(held);
        let is_whole = fits(shape, after, slots);
        if !is_whole {
            slots.pop();
        }
        is_whole
    })
}

/// How far the text goes on like this.
fn run(text: &str, like: impl Fn(char) -> bool) -> usize {
    text.find(|c| !like(c)).unwrap_or(text.len())
}

/// The sentence with its slots taken up. What they hold is not looked into.
fn filled(korean: &str, slots: &[String]) -> String {
    let mut parts = korean.split('{');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('}').unwrap_or(("", part));
        let slot = number.parse::<usize>().ok().and_then(|number| slots.get(number.checked_sub(1)?));
        out.push_str(slot.map_or("", String::as_str));
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where these sentences are written.
    const SOURCES: &[&str] = &[
        include_str!("../../../model/src/rollout/analysis.rs"),
        include_str!("../../../model/src/rollout/failure.rs"),
        include_str!("../../../model/src/rollout/gate.rs"),
        include_str!("../../../model/src/rollout/mod.rs"),
        include_str!("../../../model/src/rollout/plan.rs"),
        include_str!("../../../model/src/rollout/replicas.rs"),
        include_str!("../../../model/src/job.rs"),
        include_str!("../../../delivery/src/receipt.rs"),
        include_str!("../../../pipeline/src/evidence.rs"),
        include_str!("../../../pipeline/src/pass.rs"),
    ];

    fn told(sentence: &str) -> String {
        say(Language::Korean, sentence).into_owned()
    }

    #[test]
    fn every_shape_is_still_written_somewhere() {
        for (english, _) in SHAPES.iter().chain(EXITS) {
            let literals = english.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
            let parts = literals
                .flat_map(|literal| literal.split(", "))
                .flat_map(|part| part.split(" in "))
                .map(|part| part.trim_matches([' ', ')']));
            for part in parts.filter(|part| part.len() > 3) {
                assert!(
                    SOURCES.iter().any(|source| source.contains(part)),
                    "nobody writes {part:?} of {english:?}"
                );
            }
        }
    }

    #[test]
    fn whatever_a_rollout_says_of_how_far_it_is_has_a_shape() {
        let sources = SOURCES.iter().filter(|source| source.contains("moving(Phase::"));
        let said = sources.flat_map(|source| source.split("moving(Phase::").skip(1)).filter_map(|rest| {
            let (_, rest) = rest.split_once(", ")?;
            rest.strip_prefix('"')?.split('"').next()
        });
        let said: Vec<&str> = said.collect();
        assert!(said.len() >= 8, "{said:?}");
        for sentence in said {
            assert_ne!(told(sentence), sentence);
        }
    }

    #[test]
    fn slots_are_taken_up_and_every_shape_is_korean() {
        for (english, korean) in SHAPES.iter().chain(EXITS) {
            let slots = english.matches('{').count();
            for number in 1..=slots {
                assert!(korean.contains(&format!("{{{number}}}")), "{english}: slot {number}");
            }
            assert_eq!(korean.matches('{').count(), slots, "{english}");
        }
        for (english, korean) in [
            ("1 of 2 new replicas are ready", "새 복제본 2개 중 1개가 준비됐어요"),
            (
                "25 % of requests go to revision 7; next step in 40 s",
                "요청의 25%를 리비전 7에서 처리해요; 다음 단계까지 40초",
            ),
            (
                "1 of 2 replicas of web are ready, 0 of 1 replicas of worker are ready",
                "web 복제본 2개 중 1개가 준비됐어요, worker 복제본 1개 중 0개가 준비됐어요",
            ),
            (
                "revision 3 is ready and waits for promotion; it answers at preview.a.test, preview.b.test",
                "리비전 3 준비 완료, 승격을 기다리고 있어요; 주소: preview.a.test, preview.b.test",
            ),
            ("shop-41-0 exited with code 1 after 2 s", "shop-41-0: 2초 뒤 종료 코드 1"),
            (
                "shop-41-0 was killed by signal 9, memory limit of 64 MiB reached",
                "shop-41-0: 메모리 한도 64 MiB에 닿아 종료됨",
            ),
            (
                "the release command exited with code 3; nothing was switched",
                "릴리스 명령: 종료 코드 3; 전환하지 않았어요",
            ),
            ("it took longer than its time limit of 60 s", "시간 한도 60초를 넘김"),
            (
                "release 41 (revision 12) of `shop` did not reach `production`",
                "shop의 릴리스 41(리비전 12) 배포가 production 환경에서 끝나지 못했어요",
            ),
            (
                "every new replica was ready; 12 requests came to it meanwhile, 0 of them failed",
                "새 복제본이 모두 준비됐어요; 그동안 요청 12개를 받았고 0개가 실패했어요",
            ),
            (
                "20 of 50 requests to revision 7 failed; 0 of 50 requests to revision 6 failed in the same time; expected errors < 1% more",
                "리비전 7: 요청 50개 중 20개 실패; 같은 시간 리비전 6: 요청 50개 중 0개 실패; 허용한 오류 차이 1% 미만",
            ),
        ] {
            assert_eq!(told(english), korean);
            assert_eq!(say(Language::English, english), english);
        }
    }

    #[test]
    fn what_others_printed_stays_as_it_is() {
        for text in [
            "",
            "; ",
            "{1}",
            "DATABASE_URL is not set",
            "x of 2 new replicas are ready",
            "1 of 2 new replicas are ready!",
            " of  new replicas are ready",
            "shop <b> is stopping",
            "it exploded",
        ] {
            assert_eq!(told(text), text);
        }
        let long = format!("{} is stopping", "x".repeat(10_000));
        assert_eq!(told(&long), long);
        let problem = Problem::new("delivery.unhealthy", "x")
            .cause("web-1-0 exited with code 1")
            .cause("  it exited with code 1")
            .state("nothing served before, and nothing serves now");
        let told = of_problem(Language::Korean, &problem);
        assert_eq!(told.cause, ["web-1-0: 종료 코드 1", "  it exited with code 1"]);
        assert_eq!(told.state.as_deref(), Some("전에도 지금도 운영 중인 것이 없어요"));
        let step = Problem::new("pipeline.step-failed", "x")
            .cause("it exited with code 1")
            .cause("it was cancelled");
        assert_eq!(of_problem(Language::Korean, &step).cause, ["종료 코드 1", "it was cancelled"]);
        assert_eq!(of_problem(Language::English, &problem), problem);
    }
}
