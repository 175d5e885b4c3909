//! What a form says when its act was refused: the few refusals that people meet often in their language, the others as
//! the API says them.

use axum::http::StatusCode;
use naru_model::Problem;

use crate::failure::Failure;

use super::language::{Language, words};
use super::meaning;

words! {
    last_owner: "An organisation keeps an owner who can log in: make somebody else owner first. Nothing was changed.",
        "조직에는 로그인할 수 있는 소유자가 남아 있어야 해요. 다른 사람을 먼저 소유자로 바꿔 주세요. 아무것도 바뀌지 않았어요.";
    last_administrator: "An instance keeps an administrator who can log in: make somebody else administrator first. Nothing was changed.",
        "인스턴스에는 로그인할 수 있는 관리자가 남아 있어야 해요. 다른 사람을 먼저 관리자로 바꿔 주세요. 아무것도 바뀌지 않았어요.";
    not_yours_alone: "The account can do things that are not this organisation's: an instance administrator must make this link.",
        "이 계정은 이 조직 밖의 일도 할 수 있어요. 링크는 인스턴스 관리자가 만들어야 해요.";
    bad_password: "A password has 10 to 200 characters.", "비밀번호는 10~200자로 적어 주세요.";
    frequent_password: "This one is too easy to guess: it is much used, repeats itself, or is made of a name. Several words that do not belong together are good.",
        "너무 쉽게 짐작할 수 있는 비밀번호예요. 많이 쓰이거나 반복되거나 이름으로 만든 것이에요. 서로 관계없는 낱말 여러 개가 좋아요.";
    only_way: "It is the only way into this account: give it a password first.",
        "이 계정에 들어올 수 있는 유일한 방법이에요. 먼저 비밀번호를 정해 주세요.";
    bad_login: "A login is 1 to 40 lower-case letters, digits and . _ -, starts with a letter, and is not naru.",
        "로그인 이름은 영문 소문자로 시작하고 소문자, 숫자, . _ - 만 써서 1~40자로 적어 주세요. naru는 쓸 수 없어요.";
    wrong_password: "The password is wrong.", "비밀번호가 맞지 않아요.";
    exists: "There is one of this name already: choose another.", "이미 있는 이름이에요. 다른 이름을 적어 주세요.";
    missing: "That does not exist, or not any more.", "없거나 그새 없어졌어요.";
}

/// A refused act, as a form shows it.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) said: String,
}

/// The refusal in a failure; a failure that is nobody's fault stays one.
pub(super) fn of(language: Language, failure: Failure) -> Result<Refusal, Failure> {
    if !failure.status.is_client_error() || failure.status == StatusCode::UNAUTHORIZED {
        return Err(failure);
    }
    let w = Words(language);
    let problem = &failure.problem;
    let known = match problem.code.as_ref() {
        "identity.last-owner" => Some(w.last_owner()),
        "identity.last-administrator" => Some(w.last_administrator()),
        "identity.not-yours-alone" => Some(w.not_yours_alone()),
        "identity.bad-password" => Some(w.bad_password()),
        "identity.frequent-password" => Some(w.frequent_password()),
        "login.only-way" => Some(w.only_way()),
        "identity.bad-login" => Some(w.bad_login()),
        "identity.wrong-password" => Some(w.wrong_password()),
        "identity.exists" | "api.exists" => Some(w.exists()),
        "identity.missing" | "api.missing" => Some(w.missing()),
        _ => None,
    };
    let meaning = meaning::of(language, problem.code.as_ref());
    let summary = meaning.map_or(problem.summary.as_str(), |it| it.summary);
    let said = match (known, problem.cause.first()) {
        (Some(known), _) => known.to_owned(),
        (None, Some(cause)) => format!("{summary}: {cause}"),
        (None, None) => summary.to_owned(),
    };
    Ok(Refusal { status: failure.status, code: problem.code.to_string(), said })
}

/// What is wrong with what was typed, to stand beside the form; a failure that typing differently does not mend stays one.
pub(super) fn to_mend(failure: Failure) -> Result<String, Failure> {
    if failure.status != StatusCode::BAD_REQUEST {
        return Err(failure);
    }
    let Problem { cause, summary, .. } = *failure.problem;
    Ok(cause.into_iter().next().unwrap_or(summary))
}
