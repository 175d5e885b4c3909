//! Roles as people read them.

use naru_model::role::{LocalRole, Role};

use super::language::{Language, words};

words! {
    owner: "owner", "소유자";
    maintainer: "maintainer", "메인테이너";
    developer: "developer", "개발자";
    viewer: "viewer", "열람자";
    none: "no access", "접근 불가";
    viewer_what: "sees everything but the values of secrets", "시크릿 값을 빼고 모두 볼 수 있어요";
    developer_what: "also pushes, runs and deploys where the environment is not protected",
        "푸시하고 실행하고, 보호되지 않은 환경에 배포할 수도 있어요";
    maintainer_what: "also changes projects, configuration, secrets and protected environments",
        "프로젝트, 설정값, 시크릿, 보호된 환경을 바꿀 수도 있어요";
    owner_what: "also decides who belongs to the organisation, and deletes projects",
        "조직에 누가 있을지 정하고 프로젝트를 삭제할 수도 있어요";
}

/// The word for a role.
pub(super) fn word(language: Language, role: Role) -> &'static str {
    let w = Words(language);
    match role {
        Role::Viewer => w.viewer(),
        Role::Developer => w.developer(),
        Role::Maintainer => w.maintainer(),
        Role::Owner => w.owner(),
    }
}

/// The word for a role of a project or environment.
pub(super) fn local_word(language: Language, role: LocalRole) -> &'static str {
    role.role().map_or(Words(language).none(), |role| word(language, role))
}

/// A role that can be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    /// What the form sends.
    pub(super) value: &'static str,
    pub(super) word: &'static str,
    /// What it allows.
    pub(super) what: &'static str,
}

/// The roles of an organisation, from the least.
pub(super) fn choices(language: Language) -> Vec<Choice> {
    let w = Words(language);
    let whats = [w.viewer_what(), w.developer_what(), w.maintainer_what(), w.owner_what()];
    let choice = |(role, what): (Role, _)| Choice { value: role.word(), word: word(language, role), what };
    Role::ALL.into_iter().zip(whats).map(choice).collect()
}
