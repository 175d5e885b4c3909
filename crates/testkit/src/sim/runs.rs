//! What is promised about runs: no step is carried out twice that was not lost, none before what it needs, runs of one
//! branch never overlap, a newer commit takes the place of one that waits, a release is what its commit says. And at
//! rest: what was pushed last is the newest release and was delivered, and what steps printed is kept, once.

use std::collections::{BTreeMap, BTreeSet};

use naru_engine::Engine as _;
use naru_engine::fake::JobScript;
use naru_model::definition::NodeName;
use naru_model::job::{JobKey, JobScope, JobState};
use naru_model::pipeline::{RunState, StepGraph, StepState};
use naru_model::{CommitId, ProjectName, ReleaseNumber, RunNumber, Timestamp};
use naru_store::Store;
use naru_store::intent::IntentKind;
use naru_store::log::{Cursor, LogStore, LogStream};
use naru_store::release::Release;
use naru_store::run::Run;

use super::director::Director;
use super::people::Project;
use super::push::{self, Fate, MAIN};
use super::rest;
use super::stage::{Stage, at_once};

/// What was seen of runs and their jobs so far.
#[derive(Default)]
pub(super) struct Runs {
    jobs: BTreeMap<JobKey, Begun>,
    known: BTreeMap<(ProjectName, RunNumber), Known>,
    /// The newest release of a project, and the commit it was made of.
    newest: BTreeMap<ProjectName, (ReleaseNumber, u32)>,
    /// Runs that somebody ended.
    cancelled: BTreeSet<(ProjectName, RunNumber)>,
}

/// A job that was begun.
struct Begun {
    succeeds: bool,
    ends: Timestamp,
    prints: Vec<String>,
    lost: bool,
    /// It was lost and begun again as the same attempt: its log has lines of both.
    again: bool,
}

struct Known {
    state: RunState,
    since: Timestamp,
}

impl Runs {
    pub(super) fn cancel(&mut self, project: &ProjectName, run: RunNumber) {
        self.cancelled.insert((project.clone(), run));
    }

    /// The engine does not know a job any more.
    pub(super) fn lost(&mut self, key: &JobKey) {
        if let Some(begun) = self.jobs.get_mut(key) {
            begun.lost = true;
        }
    }

    fn was_lost(&self, project: &ProjectName, run: RunNumber) -> bool {
        let scope = JobScope::Run(project.clone(), run);
        self.jobs.iter().any(|(key, begun)| key.scope == scope && begun.lost)
    }

    /// A job is begun that was not there.
    pub(super) fn begins(&mut self, stage: &Stage, key: &JobKey, script: &JobScript) {
        let JobScope::Run(project, run) = &key.scope else { return };
        let now = stage.now();
        if self.jobs.get(key).is_some_and(|begun| !begun.lost) {
            stage.broken(format!("{key} is begun twice"));
        }
        let earlier = |other: &JobKey| {
            other.scope == key.scope && other.name == key.name && other.attempt < key.attempt
        };
        if self.jobs.iter().any(|(other, begun)| earlier(other) && !begun.lost) {
            stage.broken(format!("{key} is begun, although nothing happened to the attempt before"));
        }
        for need in Self::needs_of(stage, key) {
            let done = |(other, begun): (&JobKey, &Begun)| {
                other.scope == key.scope && other.name == need && begun.succeeds && begun.ends <= now
            };
            if !self.jobs.iter().any(done) {
                stage.broken(format!("{key} is begun before {need} has succeeded"));
            }
        }
        for other in Self::under_way(stage, project) {
            let is_ended = self.cancelled.contains(&(project.clone(), other));
            if other != *run && !is_ended && !stage.wall.jumped_since(stage.began) {
                stage.broken(format!("{key} is begun while run {other} of {project} is under way"));
            }
        }
        let begun = Begun {
            succeeds: script.ends.is_success(),
            ends: now + script.takes,
            prints: script.prints.clone(),
            lost: false,
            again: self.jobs.contains_key(key),
        };
        self.jobs.insert(key.clone(), begun);
    }

    /// What a job needs, by the names of their jobs.
    fn needs_of(stage: &Stage, key: &JobKey) -> Vec<String> {
        let JobScope::Run(project, run) = &key.scope else { return Vec::new() };
        let graphs = stage.graphs();
        let Some(graph) = graphs.get(&(project.clone(), *run)) else { return Vec::new() };
        let node = graph.nodes.iter().find(|(name, _)| name.job_name().as_str() == key.name);
        node.map(|(_, node)| node.needs.iter().map(|need| need.job_name().to_string()).collect())
            .unwrap_or_default()
    }

    /// Runs of a project of which a job runs in truth.
    fn under_way(stage: &Stage, project: &ProjectName) -> BTreeSet<RunNumber> {
        let mut under_way = BTreeSet::new();
        for scope in at_once(stage.fake.job_scopes()).unwrap_or_default() {
            let JobScope::Run(of, run) = &scope else { continue };
            let jobs = stage.fake.true_jobs(&scope);
            if of == project && jobs.iter().any(|job| !matches!(job.state, JobState::Finished(_))) {
                under_way.insert(*run);
            }
        }
        under_way
    }

    /// Looks at the runs of a project after a turn that may have changed them; `began` is when the pass began that had
    /// this turn. Newest first.
    fn look(&mut self, stage: &Stage, project: &ProjectName, runs: &[Run], began: Timestamp) {
        let now = stage.now();
        for run in runs {
            let name = (project.clone(), run.number);
            let known = Known { state: run.state, since: now };
            let Some(before) = self.known.get(&name).map(|known| known.state) else {
                self.known.insert(name, known);
                continue;
            };
            if before == run.state {
                continue;
            }
            if before.is_over() {
                stage.broken(format!("run {} of {project} was {before} and is {}", run.number, run.state));
            }
            let newer = self.known.range((project.clone(), run.number.next())..).find(|((of, _), newer)| {
                of == project && newer.since < began && newer.state == RunState::Queued
            });
            if let (RunState::Running, Some(((_, newer), _))) = (run.state, newer) {
                stage.broken(format!("run {} of {project} begins, although run {newer} waits", run.number));
            }
            self.known.get_mut(&name).expect("it is known").state = run.state;
        }
        let running: Vec<_> =
            runs.iter().filter(|run| run.state == RunState::Running).map(|run| run.number).collect();
        if running.len() > 1 {
            stage.broken(format!("the runs {running:?} of {project} overlap"));
        }
    }

    /// A release is what its commit says, and later than those of earlier commits.
    fn look_at_release(&mut self, stage: &Stage, release: &Release) {
        let (project, number) = (&release.project, release.number);
        let pushed = stage.pushed().get(&release.commit).cloned();
        let Some(pushed) = pushed else {
            stage.broken(format!("release {number} of {project} is of a commit that nobody pushed"));
            return;
        };
        if pushed.fate != Fate::Builds {
            stage.broken(format!("release {number} of {project} is of a commit whose run must fail"));
        }
        for (service, image) in &release.images {
            if image.digest != push::digest(project, service.as_str(), &release.commit) {
                stage
                    .broken(format!("release {number} of {project} has another commit's image of {service}"));
            }
        }
        let newest = self.newest.insert(project.clone(), (number, pushed.number));
        if newest.is_some_and(|(_, commit)| commit > pushed.number) {
            stage.broken(format!("release {number} of {project} is of an older commit than the one before"));
        }
    }
}

/// Looks at every run after a turn that changed some, and tells people of new releases.
pub(super) async fn look(director: &mut Director, began: Timestamp) {
    let (stage, store) = (director.stage.clone(), director.store.clone());
    for project in director.people.projects.iter_mut().filter(|project| project.pushed && !project.deleted) {
        let runs = store.runs(&project.name, None, 100).await.expect("the store answers");
        for run in runs.iter().filter(|run| !stage.graphs().contains_key(&(project.name.clone(), run.number)))
        {
            let definition =
                store.run_definition(&project.name, run.number).await.expect("the store answers");
            let graph = StepGraph::of(&definition.unwrap_or_default());
            stage.graphs().insert((project.name.clone(), run.number), graph);
        }
        stage.runs().look(&stage, &project.name, &runs, began);
        let known = project.releases.len();
        let mut releases = store.releases(&project.name, None, 100).await.expect("the store answers");
        releases.reverse();
        for release in releases.iter().skip(known) {
            stage.runs().look_at_release(&stage, release);
            let quality = stage.pushed().get(&release.commit).map(|pushed| pushed.quality);
            project.releases.extend(quality.map(|quality| (release.number, quality)));
        }
    }
}

/// What of the pipeline does not rest.
pub(super) async fn why_not(store: &Store) -> Vec<String> {
    let mut why = Vec::new();
    for trigger in store.unsettled_triggers().await.expect("the store answers") {
        why.push(format!("a push to {} is not settled", trigger.project));
    }
    for trigger in store.pending_triggers().await.expect("the store answers") {
        why.push(format!("a push to {} waits", trigger.project));
    }
    for run in store.open_runs().await.expect("the store answers") {
        why.push(format!("run {} of {} is {} ({})", run.number, run.project, run.state, run.note));
    }
    why
}

/// Everything that must hold at rest of the projects whose releases the pipeline makes.
pub(super) async fn check(director: &Director) {
    for project in director.people.projects.iter().filter(|project| project.pushed && !project.deleted) {
        check_newest(director, project).await;
        check_logs(director, project).await;
    }
}

/// What was pushed last was run last, ended as it must, and is what everybody was delivered last.
async fn check_newest(director: &Director, project: &Project) {
    let (stage, store) = (&director.stage, &director.store);
    let Some(head) = stage.sources.heads(&project.name).get(MAIN).cloned() else { return };
    let name = &project.name;
    let runs = store.runs(name, None, 1).await.expect("the store answers");
    let Some(run) = runs.first().filter(|run| run.commit == head) else {
        stage
            .broken(format!("{name}: the commit {} was pushed last, but run last is {runs:?}", head.short()));
        return;
    };
    let fate = stage.pushed().get(&head).map(|pushed| pushed.fate);
    let harmed = {
        let runs = stage.runs();
        runs.cancelled.contains(&(name.clone(), run.number)) || runs.was_lost(name, run.number)
    };
    let expected = match fate {
        Some(Fate::Builds) => RunState::Succeeded,
        _ => RunState::Failed,
    };
    if run.state != expected {
        // A clock that is set forward may end a step.
        if !harmed && !stage.wall.jumped_since(stage.began) {
            stage.broken(format!(
                "{name}: run {} is {}, not {expected}: {:?}",
                run.number, run.state, run.problem
            ));
        }
        return;
    }
    if expected == RunState::Succeeded {
        check_delivered(director, project, run, &head).await;
    }
}

async fn check_delivered(director: &Director, project: &Project, run: &Run, head: &CommitId) {
    let (stage, store) = (&director.stage, &director.store);
    let releases = store.releases(&project.name, None, 1).await.expect("the store answers");
    let Some(release) = releases.first().filter(|release| release.commit == *head) else {
        stage.broken(format!(
            "{}: run {} succeeded, but the newest release is not its",
            project.name, run.number
        ));
        return;
    };
    for key in &project.environments {
        let intents = rest::intents(director, key).await;
        let wanted = |kind: &IntentKind| *kind == IntentKind::Deploy { release: release.number };
        if !intents.iter().any(|intent| wanted(&intent.kind)) {
            stage.broken(format!("{key}: release {} of the last push was never wanted", release.number));
        }
    }
}

/// What each step's last attempt printed is kept, once and in order.
async fn check_logs(director: &Director, project: &Project) {
    let (stage, store) = (&director.stage, &director.store);
    for run in store.runs(&project.name, None, 100).await.expect("the store answers") {
        for step in store.run_steps(&project.name, run.number).await.expect("the store answers") {
            let ended = matches!(step.state, StepState::Succeeded | StepState::Failed);
            let name = step.name.job_name().to_string();
            let scope = JobScope::Run(project.name.clone(), run.number);
            let key = JobKey { scope, name, attempt: step.attempt };
            let printed = {
                let runs = stage.runs();
                runs.jobs
                    .get(&key)
                    .filter(|begun| !begun.lost && !begun.again && ended)
                    .map(|begun| begun.prints.clone())
            };
            let Some(printed) = printed.filter(|_| step.log_complete) else { continue };
            let kept = kept(&director.logs, project, &run, &step.name, step.attempt).await;
            if kept != printed {
                stage.broken(format!("{key} printed {printed:?}, but {kept:?} is kept"));
            }
        }
    }
}

async fn kept(logs: &LogStore, project: &Project, run: &Run, node: &NodeName, attempt: u32) -> Vec<String> {
    let stream = LogStream::Step { project: project.name.clone(), run: run.number, step: node.job_name() };
    let page = logs.read(&stream, Cursor::default(), 4096).await.expect("logs can be read");
    let mut kept = Vec::new();
    for entry in page.entries {
        match entry.record.source.as_str() {
            "" => kept.push(entry.record.text),
            _ if entry.record.text == format!("attempt {attempt}") => kept.clear(),
            _ => {}
        }
    }
    kept
}
