//! What people want: projects, releases good and bad, deploys, rollbacks, variables, commits by hand, deletions.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use naru_engine::fake::{Behaviour, JobScript};
use naru_model::job::ExitReason;
use naru_model::rollout::Decision;
use naru_model::{CommitId, EnvironmentKey, ProjectName, ReleaseNumber, RevisionNumber, RunNumber};
use naru_store::intent::IntentKind;
use naru_store::{Store, StoreError};

use super::push::{self, Fate};
use super::stage::Stage;
use super::trouble::Happening;
use super::way::Way;
use crate::release;

/// Of one template nobody wants more than three replicas; two more may be on their way out, or be started on what was
/// seen late.
pub(super) const MOST_REPLICAS: usize = 5;

/// What the services of a project are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One web service.
    Web,
    /// A service with a volume of its own, a worker, and a release command.
    Board,
    /// A web service and workers of the same image.
    Pair,
}

/// One project and what became of its releases.
pub(super) struct Project {
    pub(super) name: ProjectName,
    pub(super) shape: Shape,
    pub(super) way: Way,
    pub(super) environments: Vec<EnvironmentKey>,
    pub(super) releases: BTreeMap<ReleaseNumber, Quality>,
    pub(super) deleted: bool,
    /// Its releases come from the pipeline, of what is pushed; others are made at once.
    pub(super) pushed: bool,
}

/// Whether a release works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quality {
    Good,
    /// Its replicas exit at once.
    Exits,
    /// Its replicas never become ready.
    NeverReady,
    /// Its replicas die of their first requests.
    DiesSoon,
    /// Its replicas are ready, and answer with errors.
    Fails,
    /// Its replicas are ready, and slow.
    Slow,
}

/// Everybody, and what they did so far.
#[derive(Default)]
pub(super) struct People {
    pub(super) projects: Vec<Project>,
    made: u32,
    pushes: u32,
    values: u32,
    /// What was acknowledged, by environment.
    pub(super) acknowledged: Vec<(EnvironmentKey, IntentKind)>,
    /// Moves that somebody gave up while nothing else was asked for, and the newest intent by then.
    pub(super) given_up: Vec<(EnvironmentKey, RevisionNumber, i64)>,
}

/// What somebody asks Naru for.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    Intend(EnvironmentKey, IntentKind),
    SetVariable(EnvironmentKey, u32),
    Delete(ProjectName),
    Push {
        project: ProjectName,
        commit: CommitId,
    },
    /// Ends a run.
    Cancel(ProjectName, RunNumber),
    /// Says something about a move that is under way.
    Decide {
        key: EnvironmentKey,
        revision: RevisionNumber,
        decision: Decision,
        /// The newest intent by then, when none waits.
        newest: Option<i64>,
    },
}

/// What was acknowledged.
pub(super) type Answer = Result<Option<(EnvironmentKey, IntentKind)>, StoreError>;

impl Deed {
    /// Asks for it. The end of the future is the acknowledgement.
    pub(super) fn ask(self, store: Store) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move {
            match self {
                Self::Intend(key, kind) => {
                    store.intend(&key, &kind, "mina").await?;
                    Ok(Some((key, kind)))
                }
                Self::SetVariable(key, value) => {
                    let set =
                        BTreeMap::from([("COLOUR".parse().expect("a name"), Some(format!("shade {value}")))]);
                    let (_, intent) = store.change_configuration(&key, &set, "mina").await?;
                    Ok(intent.map(|_| (key, IntentKind::Render)))
                }
                Self::Delete(project) => {
                    store.delete_project(&project).await?;
                    Ok(None)
                }
                Self::Cancel(project, run) => store.cancel_run(&project, run).await.map(|_| None),
                Self::Push { .. } => Err(StoreError::Missing("whoever takes a push".into())),
                Self::Decide { key, revision, decision, .. } => {
                    let heard = store.decide(&key, revision, &decision).await?;
                    if heard { Ok(None) } else { Err(StoreError::Missing("the move".into())) }
                }
            }
        })
    }

    /// The move that is given up, and the newest intent by then.
    pub(super) fn gives_up(&self) -> Option<(EnvironmentKey, RevisionNumber, i64)> {
        match self {
            Self::Decide { key, revision, decision: Decision::Abort { .. }, newest } => {
                Some((key.clone(), *revision, (*newest)?))
            }
            _ => None,
        }
    }

    /// What is acknowledged when all goes well.
    pub(super) fn promise(&self) -> Option<(EnvironmentKey, IntentKind)> {
        match self {
            Self::Intend(key, kind) => Some((key.clone(), kind.clone())),
            Self::SetVariable(key, _) => Some((key.clone(), IntentKind::Render)),
            Self::Delete(_) | Self::Push { .. } | Self::Cancel(..) | Self::Decide { .. } => None,
        }
    }
}

impl People {
    /// The projects of a simulation, with a first release each.
    pub(super) async fn begin(&mut self, stage: &Arc<Stage>, store: &Store) {
        let count = if stage.chance().permille(400) { 2 } else { 1 };
        for name in ["shop", "board"].iter().take(count) {
            let name: ProjectName = name.parse().expect("a project name");
            let main = "main".parse().expect("a branch name");
            store.create_project(&name, &main).await.expect("a new project");
            stage.deploy.create(&name);
            let (shape, staging) = {
                let mut chance = stage.chance();
                let shape = *chance.one_of(&[Shape::Web, Shape::Board, Shape::Pair]).expect("three");
                (shape, chance.permille(300))
            };
            let way = Way::draw(stage, shape);
            let of = |environment: &str| EnvironmentKey {
                project: name.clone(),
                environment: environment.parse().expect("a name"),
            };
            let mut environments = vec![of("production")];
            environments.extend(staging.then(|| of("staging")));
            let pushed = match stage.mistake {
                None => stage.front().permille(400),
                Some(mistake) => mistake.is_in_front(),
            };
            let made = if pushed { "pushed" } else { "made at once" };
            let count = environments.len();
            stage.tell(format!("project {name}: {shape:?}, {way:?}, {count} environments, {made}"));
            script_commands(stage, &environments);
            let releases = BTreeMap::new();
            let deleted = false;
            self.projects.push(Project {
                name: name.clone(),
                shape,
                way,
                environments,
                releases,
                deleted,
                pushed,
            });
            let index = self.projects.len() - 1;
            if pushed {
                let commit = self.commit(stage, index, Quality::Good, Fate::Builds);
                push::first(stage, store, &name, &commit).await.expect("nothing goes wrong yet");
            } else {
                self.release(stage, store, index, Quality::Good).await;
            }
        }
        if self.projects.iter().any(|project| project.pushed) && stage.front().permille(300) {
            stage.trouble().happenings.push(Happening::JobLost);
        }
    }

    /// Projects that are wanted and move otherwise than rolling.
    pub(super) fn crossing(&self) -> impl Iterator<Item = &Project> {
        self.projects.iter().filter(|project| !project.deleted && project.way != Way::Rolling)
    }

    /// Environments of projects that are wanted.
    pub(super) fn environments(&self) -> Vec<EnvironmentKey> {
        let wanted = self.projects.iter().filter(|project| !project.deleted);
        wanted.flat_map(|project| project.environments.clone()).collect()
    }

    /// The pipeline made a release; the environments follow it.
    pub(super) async fn release(
        &mut self,
        stage: &Arc<Stage>,
        store: &Store,
        index: usize,
        quality: Quality,
    ) -> ReleaseNumber {
        self.made += 1;
        let project = &mut self.projects[index];
        let content = format!("c{:04}", self.made);
        let (replicas, ready_after) = draw_replicas(stage);
        stage.fake.script_replicas(&format!("-{content}"), quality.behaviour(ready_after));
        stage.know_content(&content, quality);
        let text = project.text(replicas);
        let number = release::make(store, &project.name, &text, &content).await;
        project.releases.insert(number, quality);
        stage.tell(format!("release {number} of {} is made: {quality:?}, {replicas} replicas", project.name));
        number
    }

    /// A commit that can be pushed, from which the pipeline makes a release if its fate is so.
    pub(super) fn commit(&mut self, stage: &Stage, index: usize, quality: Quality, fate: Fate) -> CommitId {
        self.pushes += 1;
        let project = &self.projects[index];
        let (replicas, ready_after) = draw_replicas(stage);
        let text = project.text(replicas);
        let commit = push::commit(stage, project, &text, (self.pushes, quality, fate));
        let digest = push::digest(&project.name, "web", &commit);
        stage.fake.script_replicas(digest.hex(), quality.behaviour(ready_after));
        stage.know_content(digest.hex(), quality);
        let name = &project.name;
        let commit_said = commit.short();
        stage.tell(format!(
            "commit {commit_said} of {name} is made: {fate:?}, {quality:?}, {replicas} replicas"
        ));
        commit
    }

    /// What somebody does to a project whose releases the pipeline makes.
    async fn push_or_cancel(
        &mut self,
        stage: &Stage,
        store: &Store,
        index: usize,
        quality: Quality,
    ) -> Option<Deed> {
        let name = self.projects[index].name.clone();
        if stage.front().permille(120) {
            let runs = store.runs(&name, None, 1).await.expect("the store answers");
            let run = runs.first().filter(|run| !run.state.is_over())?;
            stage.runs().cancel(&name, run.number);
            return Some(Deed::Cancel(name, run.number));
        }
        let fate = Fate::draw(stage);
        let commit = self.commit(stage, index, quality, fate);
        Some(Deed::Push { project: name, commit })
    }

    /// Somebody wants something. `None` when it needed nobody's answer.
    pub(super) async fn act(&mut self, stage: &Arc<Stage>, store: &Store) -> Option<Deed> {
        let (what, index) = {
            let mut chance = stage.chance();
            let alive: Vec<usize> =
                (0..self.projects.len()).filter(|index| !self.projects[*index].deleted).collect();
            (chance.below(100), *chance.one_of(&alive)?)
        };
        let key = stage.chance().one_of(&self.projects[index].environments)?.clone();
        let trouble = stage.trouble().clone();
        match what {
            0..35 => {
                let way = self.projects[index].way;
                let quality = Quality::draw(stage, trouble.bad_release_permille).seen_by(stage, way);
                if self.projects[index].pushed {
                    return self.push_or_cancel(stage, store, index, quality).await;
                }
                self.release(stage, store, index, quality).await;
                None
            }
            35..50 => {
                let releases: Vec<_> = self.projects[index].releases.keys().copied().collect();
                let release = *stage.chance().one_of(&releases)?;
                Some(Deed::Intend(key, IntentKind::Deploy { release }))
            }
            50..65 => {
                let revisions = store.revisions(&key, 100).await.expect("the store answers");
                let numbers: Vec<RevisionNumber> = revisions.iter().map(|one| one.number).collect();
                let revision = *stage.chance().one_of(&numbers)?;
                Some(Deed::Intend(key, IntentKind::Rollback { revision }))
            }
            65..85 => {
                self.values += 1;
                let known = store.environment(&key).await.expect("the store answers").is_some();
                known.then_some(Deed::SetVariable(key, self.values))
            }
            85..97 if trouble.hand_commits => {
                commit_by_hand(stage, &key);
                None
            }
            97.. if trouble.deletions => Some(self.delete(stage, index)),
            _ => None,
        }
    }

    fn delete(&mut self, stage: &Stage, index: usize) -> Deed {
        let project = &mut self.projects[index];
        project.deleted = true;
        for key in &project.environments {
            stage.promises().set_down(key, true);
        }
        self.acknowledged.retain(|(key, _)| key.project != project.name);
        self.given_up.retain(|(key, ..)| key.project != project.name);
        Deed::Delete(project.name.clone())
    }
}

impl Quality {
    fn draw(stage: &Stage, bad_permille: u32) -> Self {
        let mut chance = stage.chance();
        let bad = [Self::Exits, Self::NeverReady, Self::DiesSoon];
        if chance.permille(bad_permille) { *chance.one_of(&bad).expect("three") } else { Self::Good }
    }

    /// What only its answers show is met where answers are judged.
    fn seen_by(self, stage: &Stage, way: Way) -> Self {
        let mut chance = stage.apart();
        if self == Self::Good || !way.is_canary() || chance.permille(400) {
            return self;
        }
        *chance.one_of(&[Self::Fails, Self::Slow]).expect("two")
    }

    fn behaviour(self, ready_after: Duration) -> Behaviour {
        let good = Behaviour { ready_after: Some(ready_after), ..Behaviour::default() };
        match self {
            Self::Good | Self::Fails | Self::Slow => good,
            Self::Exits => {
                Behaviour { ready_after: None, exits_after: Some((Duration::from_secs(1), 1)), ..good }
            }
            Self::NeverReady => Behaviour { ready_after: None, ..good },
            Self::DiesSoon => {
                Behaviour { exits_after: Some((ready_after + Duration::from_millis(900), 1)), ..good }
            }
        }
    }
}

impl Project {
    fn text(&self, replicas: usize) -> String {
        let way = self.way.text();
        let services = match self.shape {
            Shape::Web => format!(
                "service:\n  build: {{ dockerfile: Dockerfile }}\n  port: 8080\n  health: /healthz\n  replicas: {replicas}\n  strategy: {way}\n"
            ),
            Shape::Board => "services:\n  web:\n    build: { dockerfile: Dockerfile }\n    port: 8080\n    volumes: { data: { path: /data } }\n  worker: { image: web, run: ./worker }\nrelease: { service: web, run: ./migrate up }\n".to_owned(),
            Shape::Pair => format!(
                "services:\n  web: {{ build: {{ dockerfile: Dockerfile }}, port: 8080, replicas: {replicas}, strategy: {way} }}\n  worker: {{ image: web, run: ./worker, replicas: {replicas} }}\n"
            ),
        };
        let environments: Vec<String> = self
            .environments
            .iter()
            .map(|key| format!("  {}: {{ branch: main }}\n", key.environment))
            .collect();
        format!("{services}environments:\n{}", environments.concat())
    }
}

/// How many replicas, and how soon they are ready.
fn draw_replicas(stage: &Stage) -> (usize, Duration) {
    let mut chance = stage.chance();
    (1 + chance.below(3), chance.between(Duration::from_millis(100), Duration::from_secs(3)))
}

/// Some release commands fail.
fn script_commands(stage: &Stage, environments: &[EnvironmentKey]) {
    if stage.trouble().bad_release_permille == 0 {
        return;
    }
    for key in environments {
        let revision = 2 + stage.chance().below(6);
        let name = format!("{}-{}-rev-{revision}-release", key.project, key.environment);
        let fails = JobScript { ends: ExitReason::Exited { code: 1 }, ..JobScript::default() };
        stage.fake.script_jobs(&name, fails);
    }
}

/// A person edits the number of replicas in the deploy repository, and pushes.
fn commit_by_hand(stage: &Stage, key: &EnvironmentKey) {
    let Some(mut files) = stage.deploy.files(key) else { return };
    if stage.chance().permille(100) {
        stage.promises().set_down(key, true);
        let pushed = stage.deploy.push(key, None, "Mina", "Take it down");
        stage.tell(format!("{key}: a person removes the folder -> {}", pushed.is_ok()));
        return;
    }
    let replicas = 1 + stage.chance().below(3);
    for text in files.values_mut() {
        for from in 1..=3 {
            *text = text.replace(&format!("replicas: {from}\n"), &format!("replicas: {replicas}\n"));
        }
    }
    let pushed = stage.deploy.push(key, Some(files), "Mina", &format!("Say {replicas}"));
    let said = pushed.map_or_else(|error| error.to_string(), |commit| commit.short().to_owned());
    stage.tell(format!("{key}: a person commits replicas: {replicas} -> {said}"));
}
