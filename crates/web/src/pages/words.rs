//! The words of the pages, in two languages.

use axum::http::{HeaderMap, header};

/// Which language a page speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Korean,
}

impl Language {
    /// The first of ours that the browser names (RFC 9110, 12.5.4; weights are taken to be in order, as browsers send
    /// them).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let wish =
            headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for tag in wish.split(',') {
            let tag = tag.trim().to_ascii_lowercase();
            if tag.starts_with("ko") {
                return Self::Korean;
            }
            if tag.starts_with("en") {
                return Self::English;
            }
        }
        Self::English
    }

    /// Its words.
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Korean => &KOREAN,
        }
    }
}

/// Every word of the pages.
pub(crate) struct Words {
    pub(crate) tag: &'static str,
    pub(crate) tagline: &'static str,
    pub(crate) home_title: &'static str,
    pub(crate) home_what: &'static str,
    pub(crate) home_how: &'static str,
    pub(crate) home_login: &'static str,
    pub(crate) home_project: &'static str,
    pub(crate) home_push: &'static str,
    pub(crate) home_status: &'static str,
    pub(crate) home_setup: &'static str,
    pub(crate) home_api: &'static str,
    pub(crate) setup_title: &'static str,
    pub(crate) setup_what: &'static str,
    pub(crate) login: &'static str,
    pub(crate) login_rule: &'static str,
    pub(crate) password: &'static str,
    pub(crate) password_rule: &'static str,
    pub(crate) create: &'static str,
    pub(crate) link_used: &'static str,
    pub(crate) too_many: &'static str,
    pub(crate) ready_title: &'static str,
    pub(crate) ready_what: &'static str,
    pub(crate) ready_token: &'static str,
    pub(crate) ready_next: &'static str,
}

const ENGLISH: Words = Words {
    tag: "en",
    tagline: "the landing where code becomes a running service",
    home_title: "Naru is running",
    home_what: "Push to a project here, and a moment later the change is a healthy, reversible release.",
    home_how: "Everything is done from the command line:",
    home_login: "log in",
    home_project: "create a project",
    home_push: "push to it",
    home_status: "see how far it is",
    home_setup: "No administrator exists yet. Open the one-time setup link that the server printed when it started.",
    home_api: "The same over HTTP: the API description",
    setup_title: "Make the first administrator",
    setup_what: "This link works once. The account may do everything on this instance.",
    login: "Login",
    login_rule: "1 to 40 lower-case letters, digits and . _ -, starting with a letter",
    password: "Password",
    password_rule: "10 to 200 characters",
    create: "Create the account",
    link_used: "This setup link was used already, or a newer one replaced it. Restart the server to get a new link.",
    too_many: "Too many attempts. Wait a minute, then try again.",
    ready_title: "The account is ready",
    ready_what: "This token logs in the command line. It is shown once: copy it now.",
    ready_token: "Token",
    ready_next: "Next",
};

const KOREAN: Words = Words {
    tag: "ko",
    tagline: "코드가 배에 올라 서비스로 닿는 곳",
    home_title: "Naru가 실행 중이에요",
    home_what: "여기 있는 프로젝트에 푸시하면 잠시 뒤 되돌릴 수 있는 건강한 릴리스가 돼요.",
    home_how: "모든 일은 명령줄에서 할 수 있어요.",
    home_login: "로그인",
    home_project: "프로젝트 만들기",
    home_push: "푸시",
    home_status: "진행 상태 보기",
    home_setup: "아직 관리자가 없어요. 서버를 시작할 때 출력된 일회용 설정 링크를 열어 주세요.",
    home_api: "HTTP로도 같은 일을 할 수 있어요. API 설명",
    setup_title: "첫 관리자 만들기",
    setup_what: "이 링크는 한 번만 쓸 수 있어요. 이 계정은 이 인스턴스의 모든 일을 할 수 있어요.",
    login: "로그인 이름",
    login_rule: "영문 소문자로 시작하고 소문자, 숫자, . _ - 만 써서 1~40자로 적어 주세요",
    password: "비밀번호",
    password_rule: "10~200자로 적어 주세요",
    create: "계정 만들기",
    link_used: "이미 쓴 링크이거나 새 링크로 바뀌었어요. 서버를 다시 시작하면 새 링크가 나와요.",
    too_many: "시도가 너무 많았어요. 1분 뒤에 다시 해 보세요.",
    ready_title: "계정이 준비됐어요",
    ready_what: "이 토큰으로 명령줄에 로그인해요. 한 번만 보여 드리니 지금 복사해 두세요.",
    ready_token: "토큰",
    ready_next: "다음 할 일",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_chooses_the_language() {
        for (wish, expected) in [
            ("ko-KR,ko;q=0.9,en;q=0.8", Language::Korean),
            ("en-GB,en;q=0.9,ko;q=0.8", Language::English),
            ("de,ko;q=0.5", Language::Korean),
            ("", Language::English),
            ("fr", Language::English),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, wish.parse().unwrap());
            assert_eq!(Language::of(&headers), expected, "{wish}");
        }
    }
}
