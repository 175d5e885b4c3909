//! The crossing on a page: six landings on one line, each with its state, its time and what lies behind it. When it
//! stopped, it says why and offers the next step.

use askama::Template;
use naru_model::api::{Condition, Crossing, Landing, LandingName, LandingState};
use naru_model::authorise::{Permission, Resource};
use naru_model::{EnvironmentName, Timestamp};
use naru_store::trigger::TriggerKind;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::Result;
use crate::routes::crossing::{Facts, Place, draw, gather, gather_all};
use crate::routes::environment::condition;

use super::html::Html;
use super::language::{Language, words};
use super::problem;
use super::shell::{Shell, environment_path};
use super::sign::{Signed as _, Tone};

words! {
    label(environment): "The newest change on its way to {environment}", "{environment} 환경으로 가는 최근 변경";
    trigger: "trigger", "트리거";
    run: "run", "런";
    image: "image", "이미지";
    release: "release", "릴리스";
    rollout: "rollout", "롤아웃";
    live: "live", "운영";
    push_by(who): "push by {who}", "{who} 푸시";
    deploy_push_by(who): "deploy repository, {who}", "배포 저장소, {who}";
    found_by(who): "found, {who}", "발견됨, {who}";
    asked_by(who): "asked by {who}", "{who} 요청";
    run_number(number): "run {number}", "런 {number}";
    built(done, count): "{done} of {count} built", "{count}개 중 {done}개 빌드";
    release_number(number): "release {number}", "릴리스 {number}";
    revision_number(number): "revision {number}", "리비전 {number}";
    serves_release(environment, release, revision): "{environment} serves release {release} as revision {revision}",
        "{environment} 환경: 릴리스 {release} 운영 중 (리비전 {revision})";
    serves_revision(environment, revision): "{environment} serves revision {revision}",
        "{environment} 환경: 리비전 {revision} 운영 중";
    serves_nothing(environment): "Nothing serves in {environment} yet", "{environment} 환경: 아직 운영 중인 것이 없어요";
    healthy: "healthy", "정상";
    moving: "a new revision is on its way", "새 리비전으로 옮기는 중";
    degraded: "replicas are missing or restarting", "복제본이 모자라거나 다시 시작하는 중";
    retrying: "it is tried again soon", "곧 다시 시도해요";
    failed: "the last rollout was given up", "마지막 롤아웃을 중단했어요";
    blocked: "a person has to change something first", "사람이 먼저 고쳐야 해요";
    open_run: "Open the run", "런 열기";
}

/// One landing, ready to be shown.
struct Shown {
    name: &'static str,
    state: &'static str,
    mark: Html,
    /// How the line after it looks.
    class: &'static str,
    href: Option<String>,
    what: Option<String>,
    at: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "crossing.html")]
struct Line<'a> {
    shell: &'a Shell,
    label: String,
    landings: Vec<Shown>,
    is_slim: bool,
}

/// What a page says about an environment before everything else; nothing to who may not read it.
#[derive(Default)]
pub(crate) struct CrossingView {
    /// How it is, in one sentence.
    pub(crate) sentence: Html,
    /// The line.
    pub(crate) line: Html,
    /// Why it stopped; empty when it did not.
    pub(crate) problem: Html,
    /// The run that failed.
    pub(crate) failed_run: Option<String>,
}

/// The crossing of an environment.
pub(crate) async fn crossing(
    cx: &Cx,
    shell: &Shell,
    chosen: &Chosen,
    environment: EnvironmentName,
) -> Result<CrossingView> {
    let place = Place::of(&chosen.0, environment);
    if !shell.may(cx, Permission::Read, &Resource::Environment(place.key.clone())).await {
        return Ok(CrossingView::default());
    }
    let facts = gather(cx, place).await?;
    Ok(view(shell, &facts, &draw(&facts), false))
}

/// The crossings of several environments, in their order, without words that only a whole page has room for.
pub(crate) async fn crossings(
    cx: &Cx,
    shell: &Shell,
    asking: &Asking,
    places: Vec<Place>,
) -> Result<Vec<CrossingView>> {
    let mut open = Vec::new();
    let mut readable = Vec::new();
    for place in places {
        let may = asking.may(cx, Permission::Read, &Resource::Environment(place.key.clone())).await?;
        open.push(may);
        readable.extend(may.then_some(place));
    }
    let mut facts = gather_all(cx, &readable).await?.into_iter();
    let mut views = Vec::new();
    for may in open {
        let facts = if may { facts.next() } else { None };
        let view = facts.map(|facts| view(shell, &facts, &draw(&facts), true));
        views.push(view.unwrap_or_default());
    }
    Ok(views)
}

fn view(shell: &Shell, facts: &Facts, crossing: &Crossing, is_slim: bool) -> CrossingView {
    let w = Words(shell.language);
    let line = Line {
        shell,
        label: w.label(&crossing.environment),
        landings: crossing.landings.iter().map(|landing| shown(w, facts, landing)).collect(),
        is_slim,
    };
    let run_failed = crossing
        .landings
        .iter()
        .any(|landing| landing.name == LandingName::Run && landing.state == LandingState::Failed);
    CrossingView {
        sentence: sentence(w, facts),
        line: Html(line.render().unwrap_or_default()),
        problem: crossing
            .problem
            .as_ref()
            .map(|problem| problem::show(shell.language, problem))
            .unwrap_or_default(),
        failed_run: facts
            .run
            .as_ref()
            .filter(|_| run_failed)
            .map(|run| format!("/projects/{}/runs/{}", facts.project, run.number)),
    }
}

fn shown(w: Words, facts: &Facts, landing: &Landing) -> Shown {
    let (tone, state) = landing.state.tone_and_word(super::sign::Words(w.0));
    let reached = landing.reference.is_some();
    Shown {
        name: match landing.name {
            LandingName::Trigger => w.trigger(),
            LandingName::Run => w.run(),
            LandingName::Image => w.image(),
            LandingName::Release => w.release(),
            LandingName::Rollout => w.rollout(),
            LandingName::Live => w.live(),
        },
        state,
        mark: tone.bare(),
        class: match landing.state {
            LandingState::Done => "past",
            LandingState::Failed => "stopped",
            LandingState::Skipped => "skipped",
            LandingState::Waiting | LandingState::Moving => "ahead",
        },
        href: reached.then(|| href(facts, landing.name)).flatten(),
        what: what(w, facts, landing),
        at: landing.at,
    }
}

/// What lies behind a landing.
fn href(facts: &Facts, name: LandingName) -> Option<String> {
    let base = format!("/projects/{}", facts.project);
    let environment = || environment_path(&facts.project, facts.name.as_str());
    Some(match name {
        LandingName::Trigger => format!("{base}/triggers"),
        LandingName::Run => format!("{base}/runs/{}", facts.run.as_ref()?.number),
        LandingName::Image => format!("{base}/runs/{}", facts.run.as_ref()?.number),
        LandingName::Release => format!("{base}/releases/{}", facts.release.as_ref()?.number),
        LandingName::Rollout => format!("{}/revisions/{}", environment(), facts.revision.as_ref()?.number),
        LandingName::Live => environment(),
    })
}

/// A few words about what a landing has.
fn what(w: Words, facts: &Facts, landing: &Landing) -> Option<String> {
    landing.reference.as_ref()?;
    Some(match landing.name {
        LandingName::Trigger => {
            let trigger = facts.trigger.as_ref()?;
            match trigger.kind {
                TriggerKind::Push => w.push_by(&trigger.by),
                TriggerKind::DeployPush => w.deploy_push_by(&trigger.by),
                TriggerKind::Found => w.found_by(&trigger.by),
                TriggerKind::Person => w.asked_by(&trigger.by),
            }
        }
        LandingName::Run => w.run_number(facts.run.as_ref()?.number),
        LandingName::Image => {
            let (done, count) = facts.builds();
            w.built(done, count)
        }
        LandingName::Release => w.release_number(facts.release.as_ref()?.number),
        LandingName::Rollout => w.revision_number(facts.revision.as_ref()?.number),
        LandingName::Live => w.revision_number(facts.serving.as_ref()?.number),
    })
}

/// What serves, and how that is.
fn sentence(w: Words, facts: &Facts) -> Html {
    let serves = match facts.serving.as_ref().map(|revision| (revision.number, revision.release)) {
        Some((revision, Some(release))) => w.serves_release(&facts.name, release, revision),
        Some((revision, None)) => w.serves_revision(&facts.name, revision),
        None => w.serves_nothing(&facts.name),
    };
    let is = facts.environment.as_ref().map_or(Condition::Idle, |row| condition(row, facts.now).0);
    let (tone, _) = is.tone_and_word(super::sign::Words(w.0));
    let how = how(w, is);
    let tone = if how.is_empty() { Tone::Idle } else { tone };
    let joined = if how.is_empty() { serves } else { format!("{serves}, {how}") };
    Html(format!("{} {}", tone.bare(), super::html::escape(&joined)))
}

fn how(w: Words, is: Condition) -> &'static str {
    match is {
        Condition::Idle => "",
        Condition::Live => w.healthy(),
        Condition::Moving => w.moving(),
        Condition::Degraded => w.degraded(),
        Condition::Retrying => w.retrying(),
        Condition::Failed => w.failed(),
        Condition::Blocked => w.blocked(),
    }
}

/// The label of the link to a run that failed.
pub(crate) fn open_run(language: Language) -> &'static str {
    Words(language).open_run()
}
