//! Releases, environments, revisions; deploying and rolling back.

use naru_model::api::{self, Condition, Difference, Intent, Page, RolloutState};
use naru_model::{EnvironmentName, Problem, ProjectName, ReleaseNumber};
use serde::Serialize;

use crate::arguments::delivery::{Deploy, Promote, Revision, Rollback};
use crate::arguments::environment::Environment;
use crate::arguments::project::Release;
use crate::arguments::{InEnvironment, Waiting};
use crate::client::Client;
use crate::commands::{encoded, more, query};
use crate::exit::{CliError, MISSING, Result};
use crate::screen::{Screen, Tone};
use crate::{follow, place};

/// Server, project and environment of a command.
pub(crate) struct There {
    pub(crate) client: Client,
    pub(crate) project: ProjectName,
    pub(crate) environment: EnvironmentName,
}

impl There {
    pub(crate) fn find(screen: &Screen, given: &InEnvironment) -> Result<Self> {
        Ok(Self {
            client: place::client(&screen.outside)?,
            project: place::project(&screen.outside, given.project.project.as_ref())?,
            environment: place::environment(&screen.outside, given.environment.as_ref())?,
        })
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/v1/projects/{}/environments/{}", self.project, self.environment)
    }
}

pub(crate) async fn release(command: Release, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Release::List { place, paging } => {
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let path = format!("/api/v1/projects/{project}/releases{}", query(&paging));
            screen.show(&client.get::<Page<api::Release>>(&path).await?, releases);
        }
        Release::Show { number, place } => {
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let number = chosen(&client, &project, number).await?;
            let answer =
                client.get::<api::Release>(&format!("/api/v1/projects/{project}/releases/{number}")).await?;
            screen.show(&answer, show_release);
        }
    }
    Ok(())
}

async fn chosen(
    client: &Client,
    project: &ProjectName,
    number: Option<ReleaseNumber>,
) -> Result<ReleaseNumber> {
    if let Some(number) = number {
        return Ok(number);
    }
    let newest =
        client.get::<Page<api::Release>>(&format!("/api/v1/projects/{project}/releases?limit=1")).await?.view;
    newest.items.first().map(|release| release.number).ok_or_else(|| {
        let problem = Problem::new("cli.no-release", format!("`{project}` has no release yet"))
            .hint("a release is made by a run that succeeds:")
            .command(format!("naru run list --project {project}"));
        CliError::new(MISSING, problem)
    })
}

fn releases(screen: &mut Screen, page: &Page<api::Release>) {
    let row = |release: &api::Release| {
        vec![
            release.number.to_string(),
            release.branch.clone(),
            release.commit.short().to_owned(),
            format!("run {}", release.run),
            screen.time(release.created_at),
            release.images.keys().cloned().collect::<Vec<_>>().join(", "),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen.table(
        &["release", "branch", "commit", "made by", "made", "images"],
        &rows,
        "no release yet; a run that succeeds makes one",
    );
    more(screen, page);
}

fn show_release(screen: &mut Screen, release: &api::Release) {
    let made = screen.time(release.created_at);
    screen.pairs(&[
        ("release", Some(release.number.to_string())),
        ("branch", Some(release.branch.clone())),
        ("commit", Some(release.commit.to_string())),
        ("run", Some(release.run.to_string())),
        ("made", Some(made)),
    ]);
    screen.line("");
    let rows: Vec<_> =
        release.images.iter().map(|(service, image)| vec![service.clone(), image.clone()]).collect();
    screen.table(&["service", "image"], &rows, "this release has no images of its own");
}

pub(crate) async fn environment(command: Environment, screen: &mut Screen) -> Result<()> {
    match command {
        Environment::List(place) => {
            let client = place::client(&screen.outside)?;
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let path = format!("/api/v1/projects/{project}/environments");
            screen.show(&client.get::<Page<api::Environment>>(&path).await?, environments);
        }
        Environment::Show(place) => {
            let there = There::find(screen, &place)?;
            screen.show(&there.client.get::<api::Environment>(&there.path()).await?, show_environment);
        }
        Environment::Create { name, place, branch } => {
            let client = place::client(&screen.outside)?;
            let project = place::project(&screen.outside, place.project.as_ref())?;
            let follows =
                branch.map(|branch| format!("?branch={}", encoded(branch.as_str()))).unwrap_or_default();
            let path = format!("/api/v1/projects/{project}/environments/{name}{follows}");
            let answer = client.put::<api::Environment>(&path, &serde_json::json!({})).await?;
            screen.show(&answer, |screen, made| screen.line(format!("environment `{}` is ready", made.name)));
        }
        Environment::Transport(change) => return super::certificate::transport(change, screen).await,
    }
    Ok(())
}

fn condition(screen: &Screen, condition: Condition) -> String {
    let (tone, word) = match condition {
        Condition::Idle => (Tone::Quiet, "idle"),
        Condition::Live => (Tone::Good, "live"),
        Condition::Moving => (Tone::Moving, "moving"),
        Condition::Degraded => (Tone::Attention, "degraded"),
        Condition::Failed => (Tone::Failed, "failed"),
        Condition::Blocked => (Tone::Failed, "blocked"),
        Condition::Retrying => (Tone::Attention, "retrying"),
    };
    screen.state(tone, word)
}

fn environments(screen: &mut Screen, page: &Page<api::Environment>) {
    let row = |environment: &api::Environment| {
        vec![
            environment.name.to_string(),
            condition(screen, environment.condition),
            environment.release.map(|release| release.to_string()).unwrap_or_default(),
            environment.serving.map(|serving| serving.to_string()).unwrap_or_default(),
            environment.urls.first().cloned().unwrap_or_default(),
            environment.detail.clone(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let head = ["environment", "state", "release", "revision", "address", "detail"];
    screen.table(&head, &rows, "no environment yet; the first release makes one");
}

fn show_environment(screen: &mut Screen, environment: &api::Environment) {
    let state = condition(screen, environment.condition);
    let since = screen.time(environment.since);
    screen.pairs(&[
        ("environment", Some(environment.name.to_string())),
        ("state", Some(format!("{state}: {}", environment.detail))),
        ("since", Some(since)),
        ("serves release", environment.release.map(|number| number.to_string())),
        ("serves revision", environment.serving.map(|number| number.to_string())),
        ("wanted revision", environment.target.map(|number| number.to_string())),
        ("configuration", Some(format!("version {}", environment.configuration))),
        ("follows branch", environment.branch.as_ref().map(ToString::to_string)),
        ("address", (!environment.urls.is_empty()).then(|| environment.urls.join(" "))),
    ]);
    if let Some(maintenance) = &environment.maintenance {
        screen.line(super::maintenance::line(screen, maintenance));
    }
    if let Some(problem) = &environment.problem {
        screen.line("");
        screen.problem(problem);
    }
}

pub(crate) async fn revision(command: Revision, screen: &mut Screen) -> Result<()> {
    match command {
        Revision::List { place, paging } => {
            let there = There::find(screen, &place)?;
            let path = format!("{}/revisions{}", there.path(), query(&paging));
            screen.show(&there.client.get::<Page<api::Revision>>(&path).await?, revisions);
        }
        Revision::Show { number, place } => {
            let there = There::find(screen, &place)?;
            let path = format!("{}/revisions/{number}", there.path());
            screen.show(&there.client.get::<api::Revision>(&path).await?, show_revision);
        }
        Revision::Diff { number, place, from } => {
            let there = There::find(screen, &place)?;
            let from = from.map(|from| format!("?from={from}")).unwrap_or_default();
            let path = format!("{}/revisions/{number}/diff{from}", there.path());
            screen.show(&there.client.get::<Difference>(&path).await?, difference);
        }
    }
    Ok(())
}

fn rollout(screen: &Screen, revision: &api::Revision) -> String {
    let (tone, word) = match revision.rollout {
        RolloutState::Waiting => (Tone::Quiet, "waiting"),
        RolloutState::Moving => (Tone::Moving, "moving"),
        RolloutState::Live => (Tone::Good, "went live"),
        RolloutState::Failed => (Tone::Failed, "failed"),
        RolloutState::Overtaken => (Tone::Quiet, "overtaken"),
    };
    let state = screen.state(tone, word);
    if revision.quarantine.is_some() { format!("{state}, in quarantine") } else { state }
}

fn revisions(screen: &mut Screen, page: &Page<api::Revision>) {
    let row = |revision: &api::Revision| {
        vec![
            revision.number.to_string(),
            rollout(screen, revision),
            revision.release.map(|release| release.to_string()).unwrap_or_default(),
            revision.configuration.to_string(),
            screen.time(revision.created_at),
            revision.author.clone(),
            revision.message.clone(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let head = ["revision", "rollout", "release", "config", "when", "who", "message"];
    screen.table(&head, &rows, "nothing was delivered there yet");
    more(screen, page);
}

fn show_revision(screen: &mut Screen, revision: &api::Revision) {
    let state = rollout(screen, revision);
    let when = screen.time(revision.created_at);
    let live = revision.switched_at.map(|at| screen.time(at));
    screen.pairs(&[
        ("revision", Some(revision.number.to_string())),
        ("rollout", Some(state)),
        ("release", revision.release.map(|release| release.to_string())),
        ("configuration", Some(format!("version {}", revision.configuration))),
        ("commit", Some(revision.commit.to_string())),
        ("who", Some(revision.author.clone())),
        ("message", Some(revision.message.clone())),
        ("when", Some(when)),
        ("got all traffic", live),
        ("quarantine", revision.quarantine.clone()),
    ]);
    if let Some(problem) = &revision.problem {
        screen.line("");
        screen.problem(problem);
    }
}

fn difference(screen: &mut Screen, difference: &Difference) {
    if difference.diff.is_empty() {
        screen.note("nothing differs");
        return;
    }
    for line in difference.diff.lines() {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Some(Tone::Good),
            Some(b'-') => Some(Tone::Failed),
            Some(b'@') => Some(Tone::Moving),
            _ => None,
        };
        let line = tone.map_or_else(|| line.to_owned(), |tone| screen.paint(tone, line));
        screen.line(line);
    }
}

pub(crate) async fn deploy(arguments: Deploy, screen: &mut Screen) -> Result<()> {
    let there = There::find(screen, &arguments.place)?;
    let wish = api::Deploy { release: arguments.release };
    ask(&there, "deploy", &wish, &arguments.waiting, screen).await
}

pub(crate) async fn rollback(arguments: Rollback, screen: &mut Screen) -> Result<()> {
    let there = There::find(screen, &arguments.place)?;
    let wish = api::Rollback { revision: arguments.revision };
    ask(&there, "rollback", &wish, &arguments.waiting, screen).await
}

pub(crate) async fn promote(arguments: Promote, screen: &mut Screen) -> Result<()> {
    let there = There {
        client: place::client(&screen.outside)?,
        project: place::project(&screen.outside, arguments.place.project.as_ref())?,
        environment: arguments.to,
    };
    let wish = api::Promote { from: arguments.from, force: arguments.force };
    ask(&there, "promote", &wish, &arguments.waiting, screen).await
}

async fn ask(
    there: &There,
    what: &str,
    wish: &impl Serialize,
    waiting: &Waiting,
    screen: &mut Screen,
) -> Result<()> {
    let answer = there.client.post::<Intent>(&format!("{}/{what}", there.path()), wish).await?;
    let intent = answer.view.clone();
    if !screen.json {
        screen.note(format!("{} in `{}` of `{}`", intent.what, there.environment, there.project));
    }
    if waiting.wait {
        return wait(there, Some(intent.id), waiting, screen).await;
    }
    screen.show(&answer, |screen, _| {
        screen.note(format!(
            "follow it: naru status --project {} --environment {} --watch",
            there.project, there.environment
        ));
    });
    Ok(())
}

/// With `--wait`, follows what was asked for and says how it ended.
pub(crate) async fn wait(
    there: &There,
    intent: Option<i64>,
    waiting: &Waiting,
    screen: &mut Screen,
) -> Result<()> {
    let Some(id) = intent.filter(|_| waiting.wait) else { return Ok(()) };
    let place = (&there.project, &there.environment);
    let reached = follow::intent(screen, &there.client, place, id, waiting.patience()).await?;
    let Some(revision) = reached else { return Ok(()) };
    if screen.json {
        screen.raw(&serde_json::to_value(&revision).unwrap_or_default());
        return Ok(());
    }
    let state = screen.state(Tone::Good, "live");
    screen.line(format!(
        "{state}: revision {} has all the traffic of `{}`",
        revision.number, there.environment
    ));
    Ok(())
}
