//! What a page says in the place of a receipt that does not verify: that it is none, why, what still stands, what to do.

use askama::Template;
use naru_secret::VerifyError;

use crate::routes::receipt::NotAuthentic;

use super::html::Html;
use super::language::{Language, words};

words! {
    summary: "The signature does not verify: what is kept as the receipt is not shown.",
        "서명이 맞지 않아서 영수증으로 보관된 내용을 보여 주지 않아요.";
    cause: "Cause", "원인";
    forged: "It was changed after it was signed, or somebody else signed it.",
        "서명한 뒤에 내용이 바뀌었거나 다른 사람이 서명했어요.";
    unknown_key(key): "It is signed with the key {key}, which this instance does not have: another instance signed it, or the key file was replaced.",
        "이 인스턴스에 없는 키 {key}로 서명되어 있어요. 다른 인스턴스가 서명했거나 키 파일이 바뀌었어요.";
    malformed: "It is no signed document any more.", "더는 서명된 문서가 아니에요.";
    other_type: "It is signed, but not as a receipt.", "서명은 맞지만 영수증으로 서명한 것이 아니에요.";
    unreadable: "It is signed, but cannot be read as a receipt: another version of Naru may have written it.",
        "서명은 맞지만 영수증으로 읽을 수 없어요. 다른 버전의 Naru가 썼을 수 있어요.";
    state: "State", "현재 상태";
    stands: "What runs is as it was. A receipt is only a record.", "실행 중인 것은 그대로예요. 영수증은 기록일 뿐이에요.";
    hint: "What to do", "해결 방법";
    look: "Find out who could write to the data folder, and restore the database and the key file from a backup.",
        "데이터 폴더에 누가 쓸 수 있었는지 알아보고, 백업에서 데이터베이스와 키 파일을 복원해 주세요.";
    copy: "A copy that somebody kept is checked with:", "누군가 보관해 둔 사본은 이렇게 확인해요:";
    code: "Code", "코드";
}

#[derive(Template)]
#[template(path = "doubt.html")]
struct Doubt {
    w: Words,
    cause: String,
}

/// The five fields of an error, in words of the reader.
pub(super) fn show(language: Language, why: &NotAuthentic) -> Html {
    let w = Words(language);
    let cause = match why {
        NotAuthentic::Signature(VerifyError::Forged) => w.forged().to_owned(),
        NotAuthentic::Signature(VerifyError::UnknownKey(key)) => w.unknown_key(key),
        NotAuthentic::Signature(VerifyError::Malformed(_)) => w.malformed().to_owned(),
        NotAuthentic::OtherType => w.other_type().to_owned(),
        NotAuthentic::Unreadable(_) => w.unreadable().to_owned(),
    };
    Html(Doubt { w, cause }.render().unwrap_or_default())
}
