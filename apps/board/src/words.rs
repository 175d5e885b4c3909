//! Every sentence of the pages, written in English and in Korean.

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    Korean,
}

impl Language {
    /// `en` or `ko`.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// The language of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::English, Self::Korean].into_iter().find(|language| language.code() == code)
    }

    /// The first language of an `Accept-Language` header (RFC 9110, 12.5.4) that we speak; English if none.
    pub fn accepted(header: &str) -> Self {
        header
            .split(',')
            .filter_map(|range| range.split([';', '-']).next())
            .find_map(|code| Self::from_code(code.trim()))
            .unwrap_or(Self::English)
    }

    /// Its sentences.
    pub fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Korean => &KOREAN,
        }
    }

    /// `3 minutes ago`.
    pub fn ago(self, seconds: i64) -> String {
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match self {
            Self::English if minutes < 1 => "just now".to_owned(),
            Self::English if hours < 1 => plural(minutes, "minute"),
            Self::English if days < 1 => plural(hours, "hour"),
            Self::English => plural(days, "day"),
            Self::Korean if minutes < 1 => "방금".to_owned(),
            Self::Korean if hours < 1 => format!("{minutes}분 전"),
            Self::Korean if days < 1 => format!("{hours}시간 전"),
            Self::Korean => format!("{days}일 전"),
        }
    }

    /// `21 posts`.
    pub fn posts(self, count: i64) -> String {
        match self {
            Self::English if count == 1 => "1 post".to_owned(),
            Self::English => format!("{count} posts"),
            Self::Korean => format!("글 {count}개"),
        }
    }

    /// `Page 2 of 3`.
    pub fn page(self, page: i64, pages: i64) -> String {
        match self {
            Self::English => format!("Page {page} of {pages}"),
            Self::Korean => format!("{pages}쪽 중 {page}쪽"),
        }
    }
}

fn plural(count: i64, unit: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s} ago")
}

/// One language's sentences.
#[derive(Debug)]
pub struct Words {
    pub board: &'static str,
    pub write: &'static str,
    pub search: &'static str,
    pub search_label: &'static str,
    pub clear: &'static str,
    pub newer: &'static str,
    pub older: &'static str,
    pub empty: &'static str,
    pub nothing_found: &'static str,
    pub log_in: &'static str,
    pub log_out: &'static str,
    pub sign_up: &'static str,
    pub login: &'static str,
    pub login_hint: &'static str,
    pub nickname: &'static str,
    pub nickname_hint: &'static str,
    pub password: &'static str,
    pub password_hint: &'static str,
    pub no_account: &'static str,
    pub have_account: &'static str,
    pub account: &'static str,
    pub save: &'static str,
    pub saved: &'static str,
    pub title: &'static str,
    pub body: &'static str,
    pub publish: &'static str,
    pub edit: &'static str,
    pub edited: &'static str,
    pub delete: &'static str,
    pub delete_question: &'static str,
    pub cancel: &'static str,
    pub back: &'static str,
    pub skip: &'static str,
    pub other_language: &'static str,
    pub bad_login: &'static str,
    pub login_taken: &'static str,
    pub bad_nickname: &'static str,
    pub bad_password: &'static str,
    pub wrong: &'static str,
    pub wait: &'static str,
    pub bad_title: &'static str,
    pub bad_body: &'static str,
}

static ENGLISH: Words = Words {
    board: "Board",
    write: "Write",
    search: "Search",
    search_label: "Search posts and authors",
    clear: "Show all posts",
    newer: "Newer",
    older: "Older",
    empty: "Nobody has written anything yet.",
    nothing_found: "No post contains all of these words.",
    log_in: "Log in",
    log_out: "Log out",
    sign_up: "Sign up",
    login: "Login name",
    login_hint: "3 to 30 letters, digits, dots, dashes or underscores. Only you see it.",
    nickname: "Nickname",
    nickname_hint: "1 to 30 characters. Everyone sees it beside your posts.",
    password: "Password",
    password_hint: "At least 10 characters. A sentence is good.",
    no_account: "No account yet?",
    have_account: "Already have an account?",
    account: "Account",
    save: "Save",
    saved: "Saved.",
    title: "Title",
    body: "Text",
    publish: "Publish",
    edit: "Edit",
    edited: "edited",
    delete: "Delete",
    delete_question: "The post disappears for everyone and cannot be brought back.",
    cancel: "Cancel",
    back: "All posts",
    skip: "Skip to content",
    other_language: "한국어",
    bad_login: "Use 3 to 30 letters, digits, dots, dashes or underscores.",
    login_taken: "Somebody else has this login name.",
    bad_nickname: "Use 1 to 30 characters.",
    bad_password: "Use at least 10 characters.",
    wrong: "Login name or password is wrong.",
    wait: "Too many failed attempts. Try again in 10 minutes.",
    bad_title: "Use 1 to 120 characters.",
    bad_body: "Use 1 to 10,000 characters.",
};

static KOREAN: Words = Words {
    board: "게시판",
    write: "글쓰기",
    search: "검색",
    search_label: "글과 글쓴이 검색",
    clear: "모든 글 보기",
    newer: "이전",
    older: "다음",
    empty: "아직 아무도 글을 쓰지 않았어요.",
    nothing_found: "이 단어가 모두 들어간 글이 없어요.",
    log_in: "로그인",
    log_out: "로그아웃",
    sign_up: "가입",
    login: "아이디",
    login_hint: "영문자, 숫자, 점, 줄표, 밑줄로 3~30자. 나에게만 보여요.",
    nickname: "별명",
    nickname_hint: "1~30자. 내가 쓴 글 옆에 모두에게 보여요.",
    password: "비밀번호",
    password_hint: "10자 이상. 문장으로 만들면 좋아요.",
    no_account: "아직 계정이 없나요?",
    have_account: "이미 계정이 있나요?",
    account: "계정",
    save: "저장",
    saved: "저장했어요.",
    title: "제목",
    body: "내용",
    publish: "올리기",
    edit: "수정",
    edited: "수정됨",
    delete: "삭제",
    delete_question: "글이 모두에게서 사라지고 되살릴 수 없어요.",
    cancel: "취소",
    back: "모든 글",
    skip: "본문으로 건너뛰기",
    other_language: "English",
    bad_login: "영문자, 숫자, 점, 줄표, 밑줄로 3~30자를 써 주세요.",
    login_taken: "이미 누군가 쓰고 있는 아이디예요.",
    bad_nickname: "1~30자로 써 주세요.",
    bad_password: "10자 이상으로 써 주세요.",
    wrong: "아이디나 비밀번호가 맞지 않아요.",
    wait: "너무 많이 틀렸어요. 10분 뒤에 다시 시도해 주세요.",
    bad_title: "1~120자로 써 주세요.",
    bad_body: "1~10,000자로 써 주세요.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_language_is_chosen() {
        assert_eq!(Language::accepted("ko-KR,ko;q=0.9,en;q=0.8"), Language::Korean);
        assert_eq!(Language::accepted("fr, ko"), Language::Korean);
        assert_eq!(Language::accepted("fr"), Language::English);
        assert_eq!(Language::accepted(""), Language::English);
    }

    #[test]
    fn counts_are_worded() {
        assert_eq!(Language::English.ago(60), "1 minute ago");
        assert_eq!(Language::English.ago(7200), "2 hours ago");
        assert_eq!(Language::Korean.ago(59), "방금");
        assert_eq!(Language::English.posts(1), "1 post");
    }
}
