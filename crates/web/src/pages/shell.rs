//! What surrounds every page: rail, breadcrumb, tabs, language, theme, who is logged in. A page takes a [`Shell`] from
//! the request, says where it is, and answers with [`Shell::page`].

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use naru_model::authorise::{Authorise as _, Credentials, Permission, Resource};
use naru_model::{EnvironmentName, ProjectName};

use crate::Cx;
use crate::access::{self, Asking, Caller, Chosen};
use crate::failure::{ProblemCode, Result};
use crate::routes::environment::condition;

use super::assets;
use super::html::Html;
use super::language::{Language, words};
use super::sign::Signed;
use super::when::{Reader, ZONE_CHOICE_COOKIE, ZONE_COOKIE};

/// The cookie that keeps the chosen theme.
pub(crate) const THEME_COOKIE: &str = "naru_theme";

/// Environments in the rail at most; the project's page has them all.
const ENVIRONMENTS: usize = 12;

words! {
    skip: "Skip to the content", "본문으로 건너뛰기";
    rail: "Main", "주 메뉴";
    home: "Home", "홈";
    projects: "Projects", "프로젝트";
    edge: "Edge", "에지";
    activity: "Activity", "활동";
    account: "Account", "계정";
    security: "Password and sessions", "비밀번호와 세션";
    organisations: "Organisations", "조직";
    accounts: "Accounts", "계정 관리";
    instance: "Instance", "인스턴스";
    people: "People", "사람";
    logs: "Logs", "로그";
    confirmed: "It was confirmed that it is you. For ten minutes nothing asks again: do now what you came for.",
        "본인 확인을 마쳤어요. 10분 동안 다시 묻지 않아요. 하려던 일을 지금 해 주세요.";
    environments: "Environments", "환경";
    search: "Find a project", "프로젝트 찾기";
    you_are_here: "Where you are", "현재 위치";
    parts: "Parts of this page's thing", "하위 메뉴";
    log_out: "Log out", "로그아웃";
    language: "Language", "언어";
    theme: "Theme", "테마";
    light: "Light", "밝게";
    dark: "Dark", "어둡게";
    system: "System", "시스템";
    overview: "Overview", "개요";
    runs: "Runs", "런";
    releases: "Releases", "릴리스";
    revisions: "Revisions", "리비전";
    configuration: "Configuration", "설정값";
    settings: "Settings", "설정";
    triggers: "Triggers", "트리거";
    metrics: "Metrics", "지표";
    keys: "Keyboard", "키보드";
    keys_search: "find a project", "프로젝트 찾기";
    keys_help: "show or hide this list", "이 목록 열고 닫기";
    keys_home: "home", "홈";
    keys_projects: "projects", "프로젝트";
    keys_up: "one level up", "한 단계 위로";
    keys_new: "new project", "새 프로젝트";
    keys_parts: "overview, runs, triggers of the project", "프로젝트의 개요, 런, 트리거";
    close: "Close", "닫기";
}

/// The parts of the instance, as they stand in the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Home,
    Projects,
    Edge,
    Activity,
    Settings,
}

impl Section {
    const ALL: [Self; 5] = [Self::Home, Self::Projects, Self::Edge, Self::Activity, Self::Settings];

    /// Its address, its name, and the key that leads there after `g`.
    fn link(self, words: Words) -> (&'static str, &'static str, char) {
        match self {
            Self::Home => ("/", words.home(), 'h'),
            Self::Projects => ("/projects", words.projects(), 'p'),
            Self::Edge => ("/edge", words.edge(), 'd'),
            Self::Activity => ("/activity", words.activity(), 'a'),
            Self::Settings => ("/account", words.settings(), 'i'),
        }
    }
}

/// The parts of the settings, as they stand in their tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettingsTab {
    Account,
    Security,
    Organisations,
    Accounts,
    Instance,
}

impl SettingsTab {
    const ALL: [Self; 5] =
        [Self::Account, Self::Security, Self::Organisations, Self::Accounts, Self::Instance];

    /// Its address and its name.
    fn link(self, words: Words) -> (&'static str, &'static str) {
        match self {
            Self::Account => ("/account", words.account()),
            Self::Security => ("/account/security", words.security()),
            Self::Organisations => ("/organisations", words.organisations()),
            Self::Accounts => ("/instance/accounts", words.accounts()),
            Self::Instance => ("/instance", words.instance()),
        }
    }

    /// Whether only instance administrators have it.
    fn is_for_administrators(self) -> bool {
        matches!(self, Self::Accounts | Self::Instance)
    }
}

/// The parts of a project, as they stand in its tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProjectTab {
    Overview,
    Runs,
    Triggers,
    Releases,
    People,
    Settings,
}

impl ProjectTab {
    const ALL: [Self; 6] =
        [Self::Overview, Self::Runs, Self::Triggers, Self::Releases, Self::People, Self::Settings];

    /// What follows the project's address, its name, and the key that leads there after `g`.
    fn link(self, words: Words) -> (&'static str, &'static str, char) {
        match self {
            Self::Overview => ("", words.overview(), 'o'),
            Self::Runs => ("/runs", words.runs(), 'r'),
            Self::Triggers => ("/triggers", words.triggers(), 't'),
            Self::Releases => ("/releases", words.releases(), 'e'),
            Self::People => ("/people", words.people(), 'w'),
            Self::Settings => ("/settings", words.settings(), 's'),
        }
    }

    /// Whether only who may administer the project has it.
    fn is_for_maintainers(self) -> bool {
        matches!(self, Self::People | Self::Settings)
    }
}

/// The parts of an environment, as they stand in its tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnvironmentTab {
    Overview,
    Revisions,
    Configuration,
    Logs,
    Metrics,
}

impl EnvironmentTab {
    const ALL: [Self; 5] = [Self::Overview, Self::Revisions, Self::Configuration, Self::Logs, Self::Metrics];

    /// What follows the environment's address, its name, and the key that leads there after `g`.
    fn link(self, words: Words) -> (&'static str, &'static str, char) {
        match self {
            Self::Overview => ("", words.overview(), 'o'),
            Self::Revisions => ("/revisions", words.revisions(), 'v'),
            Self::Configuration => ("/configuration", words.configuration(), 'c'),
            Self::Logs => ("/logs", words.logs(), 'l'),
            Self::Metrics => ("/metrics", words.metrics(), 'm'),
        }
    }
}

/// A link of rail, breadcrumb or tabs.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) href: String,
    pub(crate) label: String,
    /// A mark before the label; may be empty.
    pub(crate) mark: Html,
    pub(crate) is_current: bool,
    /// The key that leads there after `g`.
    pub(crate) key: Option<char>,
}

impl Link {
    /// A link without a mark that leads elsewhere.
    pub(crate) fn new(href: impl Into<String>, label: impl Into<String>) -> Self {
        Self { href: href.into(), label: label.into(), mark: Html::default(), is_current: false, key: None }
    }

    fn part((href, label, key): (String, &str, char), is_current: bool) -> Self {
        Self { is_current, key: Some(key), ..Self::new(href, label) }
    }
}

/// Light, dark, or whatever the system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
    System,
}

impl Theme {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "light" => Some(Self::Light),
            "dark" => Some(Self::Dark),
            "system" => Some(Self::System),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::System => "system",
        }
    }
}

/// What surrounds a page.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) language: Language,
    pub(crate) theme: Theme,
    /// Where and when the page is read.
    pub(crate) reader: Reader,
    /// The account that is logged in.
    pub(crate) login: Option<String>,
    /// The address of this page, with its query.
    pub(crate) here: String,
    pub(crate) title: String,
    pub(crate) crumbs: Vec<Link>,
    pub(crate) tabs: Vec<Link>,
    pub(crate) environments: Vec<Link>,
    /// The event stream whose rings the script answers by fetching the page again.
    pub(crate) events: Option<String>,
    /// Whether the person was just sent back by the confirm page, and it still holds.
    pub(crate) is_confirmed: bool,
    section: Option<Section>,
    credentials: Credentials,
}

impl Shell {
    /// The shell of a request, for who is known by now.
    pub(crate) fn of(cx: &Cx, headers: &HeaderMap, uri: &Uri, login: Option<String>) -> Self {
        let cookie = |name| access::cookie(headers, name);
        let language = Language::of(headers);
        let zone = cookie(ZONE_CHOICE_COOKIE).or_else(|| cookie(ZONE_COOKIE));
        Self {
            language,
            theme: cookie(THEME_COOKIE).and_then(|name| Theme::named(&name)).unwrap_or(Theme::System),
            reader: Reader::new(zone.as_deref(), cx.store.now(), language),
            login,
            here: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            title: String::new(),
            crumbs: Vec::new(),
            tabs: Vec::new(),
            environments: Vec::new(),
            events: None,
            is_confirmed: false,
            section: None,
            credentials: access::credentials(&cx.address, headers),
        }
    }

    /// Names the page.
    pub(crate) fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// A page of the instance. It follows what changes anywhere, for who may see that.
    pub(crate) fn at(mut self, section: Section) -> Self {
        self.section = Some(section);
        self.events = Some("/api/v1/events".to_owned());
        let (href, label, _) = section.link(self.words());
        self.title(label).crumb(href, label)
    }

    /// A page of the settings, with the tabs of who is asking.
    pub(crate) async fn in_settings(self, cx: &Cx, tab: SettingsTab) -> Self {
        let mut shell = self.at(Section::Settings);
        let words = shell.words();
        let rules = shell.may(cx, Permission::AdministerInstance, &Resource::Instance).await;
        for other in SettingsTab::ALL.into_iter().filter(|other| rules || !other.is_for_administrators()) {
            let (href, label) = other.link(words);
            shell.tabs.push(Link { is_current: other == tab, ..Link::new(href, label) });
        }
        let (href, label) = tab.link(words);
        shell.crumb(href, label).title(label)
    }

    /// A page of a project: its tabs, its environments in the rail, its events.
    pub(crate) async fn in_project(mut self, cx: &Cx, chosen: &Chosen, tab: ProjectTab) -> Result<Self> {
        let name = &chosen.0.name;
        let base = format!("/projects/{name}");
        self = self.at(Section::Projects).crumb(&base, name.as_str());
        self.events = Some(format!("/api/v1/projects/{name}/events"));
        let words = self.words();
        let administers = self.may(cx, Permission::Administer, &Resource::Project(name.clone())).await;
        for other in ProjectTab::ALL.into_iter().filter(|other| administers || !other.is_for_maintainers()) {
            let (path, label, key) = other.link(words);
            self.tabs.push(Link::part((format!("{base}{path}"), label, key), other == tab));
        }
        for row in cx.store.environments_of(name).await?.into_iter().take(ENVIRONMENTS) {
            if !self.may(cx, Permission::Read, &Resource::Environment(row.key.clone())).await {
                continue;
            }
            let (is, _, _) = condition(&row, cx.store.now());
            let (tone, _) = is.tone_and_word(super::sign::Words(self.language));
            let link =
                Link::new(environment_path(name, row.key.environment.as_str()), row.key.environment.as_str());
            self.environments.push(Link { mark: tone.bare(), ..link });
        }
        if tab != ProjectTab::Overview {
            let (path, label, _) = tab.link(words);
            self = self.crumb(format!("{base}{path}"), label);
            return Ok(self.title(format!("{label} · {name}")));
        }
        Ok(self.title(name.as_str()))
    }

    /// A page of an environment: its tabs in the place of the project's.
    pub(crate) async fn in_environment(
        self,
        cx: &Cx,
        chosen: &Chosen,
        environment: &EnvironmentName,
        tab: EnvironmentTab,
    ) -> Result<Self> {
        let mut shell = self.in_project(cx, chosen, ProjectTab::Overview).await?;
        let base = environment_path(&chosen.0.name, environment.as_str());
        let words = shell.words();
        shell.tabs = EnvironmentTab::ALL
            .into_iter()
            .map(|other| {
                let (path, label, key) = other.link(words);
                Link::part((format!("{base}{path}"), label, key), other == tab)
            })
            .collect();
        shell = shell.crumb(&base, environment.as_str());
        let title = format!("{environment} · {}", chosen.0.name);
        if tab == EnvironmentTab::Overview {
            return Ok(shell.title(title));
        }
        let (path, label, _) = tab.link(words);
        Ok(shell.crumb(format!("{base}{path}"), label).title(format!("{label} · {title}")))
    }

    /// One level deeper in the breadcrumb.
    pub(crate) fn crumb(mut self, href: impl Into<String>, label: impl Into<String>) -> Self {
        self.crumbs.push(Link::new(href, label));
        self
    }

    /// Whether who is asking may do this: for hiding what would be refused. It grants nothing; routes ask again.
    pub(crate) async fn may(&self, cx: &Cx, permission: Permission, resource: &Resource) -> bool {
        cx.identity.authorise(&self.credentials, permission, resource).await.is_ok()
    }

    /// The page.
    pub(crate) fn page(&self, template: &impl Template) -> Response {
        self.page_with(StatusCode::OK, template)
    }

    /// The page with another status.
    #[expect(clippy::unused_self, reason = "every page is answered by its shell")]
    pub(crate) fn page_with(&self, status: StatusCode, template: &impl Template) -> Response {
        match template.render() {
            Ok(body) => (status, axum::response::Html(body)).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page could not be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    /// A form again, with what was typed and why it was refused; the audit line names the code.
    pub(crate) fn refused(&self, status: StatusCode, code: &str, template: &impl Template) -> Response {
        let mut response = self.page_with(status, template);
        response.extensions_mut().insert(ProblemCode(code.to_owned()));
        response
    }

    /// The shell's own words.
    pub(crate) fn words(&self) -> Words {
        Words(self.language)
    }

    pub(crate) fn rail(&self) -> Vec<Link> {
        let link = |section: Section| {
            let (href, label, key) = section.link(self.words());
            Link::part((href.to_owned(), label, key), self.section == Some(section))
        };
        Section::ALL.into_iter().map(link).collect()
    }

    #[expect(clippy::unused_self, reason = "templates ask the shell")]
    pub(crate) fn stylesheet(&self) -> String {
        assets::stylesheet()
    }

    #[expect(clippy::unused_self, reason = "templates ask the shell")]
    pub(crate) fn script(&self) -> String {
        assets::script()
    }

    #[expect(clippy::unused_self, reason = "templates ask the shell")]
    pub(crate) fn icon(&self) -> String {
        assets::icon()
    }

    /// A state as its mark and word.
    pub(crate) fn sign(&self, what: &impl Signed) -> Html {
        what.sign(self.language)
    }

    /// Whether `theme` is the chosen one.
    pub(crate) fn has_theme(&self, theme: &str) -> bool {
        self.theme.name() == theme
    }
}

/// Where an environment's page is.
pub(crate) fn environment_path(project: &ProjectName, environment: &str) -> String {
    format!("/projects/{project}/environments/{environment}")
}

impl FromRequestParts<Cx> for Shell {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, cx: &Cx) -> Result<Self, Self::Rejection> {
        let login = parts.extensions.get::<Caller>().map(|caller| caller.0.login.clone());
        let mut shell = Self::of(cx, &parts.headers, &parts.uri, login);
        let asking = parts.extensions.get::<Asking>();
        shell.is_confirmed = super::confirm::came_from(parts.uri.query())
            && asking.is_some_and(|asking| !cx.identity.must_confirm(&asking.known));
        Ok(shell)
    }
}
