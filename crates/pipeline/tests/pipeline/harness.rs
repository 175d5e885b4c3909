//! What the tests share: a project with a real repository, a real store, the fake engine, and a clock moved by hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use naru_engine::fake::Fake;
use naru_engine::{
    Capabilities, Engine, Environments, Inputs, LogLine, LogPosition, LogSource, StepError, Usage,
};
use naru_model::effect::Unobserved;
use naru_model::job::{JobKey, JobScope, JobSeen, JobSpec, SecretScope, Workspace};
use naru_model::pipeline::{RunState, StepRecord, TestSummary};
use naru_model::rollout::{Action, Seen};
use naru_model::{
    Clock, CommitId, EnvironmentKey, Generation, Problem, ProjectName, RunNumber, SecretName, SecretVersion,
    Timestamp,
};
use naru_pipeline::{Admission, Collectors, Context, Room, Settings, reconcile};
use naru_source::SourceRepositories;
use naru_source::git::{Git, Variable};
use naru_store::Store;
use naru_store::log::{Cursor, LogLimits, LogStore, LogStream};
use naru_store::run::Run;
use naru_store::trigger::{NewTrigger, SettledIn, Settlement, TriggerId, TriggerKind, TriggerState};
use secrecy::SecretString;

pub(crate) struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// Secrets by name; every version has the same text.
#[derive(Default)]
pub(crate) struct Secrets(pub(crate) Mutex<BTreeMap<SecretName, String>>);

#[async_trait]
impl Inputs for Secrets {
    async fn reveal(
        &self,
        _: &SecretScope,
        name: &SecretName,
        _: SecretVersion,
    ) -> Result<SecretString, StepError> {
        let known = self.0.lock().unwrap().get(name).cloned();
        known
            .map(SecretString::from)
            .ok_or_else(|| Problem::new("secret.missing", format!("no secret `{name}`")).into())
    }

    async fn archive(
        &self,
        _: &Workspace,
    ) -> Result<BoxStream<'static, Result<Bytes, StepError>>, StepError> {
        panic!("the fake engine unpacks no workspace")
    }
}

/// Room as long as nobody says otherwise.
#[derive(Default)]
pub(crate) struct Gate(AtomicBool);

impl Admission for Gate {
    fn room(&self) -> Room {
        let memory_bytes = if self.0.load(Ordering::Relaxed) { 0 } else { 8 << 30 };
        Room { memory_bytes, disk_bytes: 80 << 30 }
    }
}

/// The fake, whose first log ends before its job, which is over a moment later.
struct EndsEarly {
    fake: Fake,
    clock: Arc<Hand>,
    has_ended: AtomicBool,
}

#[async_trait]
impl Engine for EndsEarly {
    async fn capabilities(&self) -> Result<Capabilities, StepError> {
        self.fake.capabilities().await
    }

    async fn observe(&self, environment: &EnvironmentKey) -> Result<Seen, StepError> {
        self.fake.observe(environment).await
    }

    async fn environments(&self) -> Result<Environments, StepError> {
        self.fake.environments().await
    }

    async fn apply(
        &self,
        of: &EnvironmentKey,
        generation: Generation,
        action: &Action,
    ) -> Result<(), StepError> {
        self.fake.apply(of, generation, action).await
    }

    async fn remove_environment(&self, environment: &EnvironmentKey, volumes: bool) -> Result<(), StepError> {
        self.fake.remove_environment(environment, volumes).await
    }

    async fn ensure_job(&self, key: &JobKey, job: &JobSpec) -> Result<(), StepError> {
        self.fake.ensure_job(key, job).await
    }

    async fn observe_jobs(&self, scope: &JobScope) -> Result<Vec<JobSeen>, StepError> {
        self.fake.observe_jobs(scope).await
    }

    async fn job_scopes(&self) -> Result<Vec<JobScope>, StepError> {
        self.fake.job_scopes().await
    }

    async fn stop_job(&self, key: &JobKey) -> Result<(), StepError> {
        self.fake.stop_job(key).await
    }

    fn logs(&self, source: &LogSource, from: LogPosition) -> BoxStream<'static, Result<LogLine, StepError>> {
        let mut lines = self.fake.logs(source, from);
        if self.has_ended.swap(true, Ordering::Relaxed) {
            return lines;
        }
        let first = lines.next().now_or_never().flatten();
        self.clock.0.fetch_add(10_000, Ordering::Relaxed);
        futures::stream::iter(first).boxed()
    }

    async fn usage(&self) -> Result<Vec<Usage>, StepError> {
        self.fake.usage().await
    }
}

pub(crate) struct Harness {
    pub(crate) cx: Arc<Context>,
    pub(crate) fake: Fake,
    pub(crate) secrets: Arc<Secrets>,
    gate: Arc<Gate>,
    clock: Arc<Hand>,
    folder: tempfile::TempDir,
}

pub(crate) fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

impl Harness {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
        let fake = Fake::new(clock.clone());
        let (secrets, gate) = (Arc::new(Secrets::default()), Arc::new(Gate::default()));
        let engine = Arc::new(fake.clone());
        Self::with(folder, clock, fake, (secrets, gate), engine).await
    }

    /// With an engine whose first log ends before its job.
    pub(crate) async fn with_a_log_that_ends_early() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
        let fake = Fake::new(clock.clone());
        let engine =
            EndsEarly { fake: fake.clone(), clock: clock.clone(), has_ended: AtomicBool::new(false) };
        Self::with(folder, clock, fake, (Arc::default(), Arc::default()), Arc::new(engine)).await
    }

    async fn with(
        folder: tempfile::TempDir,
        clock: Arc<Hand>,
        fake: Fake,
        (secrets, gate): (Arc<Secrets>, Arc<Gate>),
        engine: Arc<dyn Engine>,
    ) -> Self {
        let cx = open(&folder, &clock, engine, &secrets, &gate).await;
        cx.store.create_project(&shop(), &"main".parse().unwrap()).await.unwrap();
        let harness = Self { cx, fake, secrets, gate, clock, folder };
        harness.git().init_bare(&"main".parse().unwrap()).await.unwrap();
        harness
    }

    /// Everything that is in memory is lost; engine, store, logs and repository stay.
    pub(crate) async fn restart(self) -> Self {
        let Self { cx, fake, secrets, gate, clock, folder } = self;
        cx.collectors.stop();
        drop(cx);
        let cx = open(&folder, &clock, Arc::new(fake.clone()), &secrets, &gate).await;
        Self { cx, fake, secrets, gate, clock, folder }
    }

    fn git(&self) -> Git {
        Git::new(self.folder.path().join("source/shop.git"), Arc::new(Unobserved))
    }

    /// Commits files of the root, `(mode, name, content)`.
    pub(crate) async fn commit(&self, files: &[(&str, &str, &str)]) -> CommitId {
        let git = self.git();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        let mut tree = Vec::new();
        for (mode, path, content) in files {
            let call = git.call(["hash-object", "-w", "--stdin"]).stdin(content.as_bytes().to_vec());
            let object = text(call.read().await.unwrap());
            tree.extend_from_slice(format!("{mode} blob {object}\t{path}\0").as_bytes());
        }
        let tree = text(git.call(["mktree", "-z"]).stdin(tree).read().await.unwrap());
        let made = git
            .call(["commit-tree", "-m", "A commit", &tree])
            .variable(Variable::AuthorName, "Tester")
            .variable(Variable::AuthorEmail, "tester@example.com")
            .variable(Variable::CommitterName, "Tester")
            .variable(Variable::CommitterEmail, "tester@example.com")
            .read()
            .await
            .unwrap();
        text(made).parse().unwrap()
    }

    /// A commit with this `naru.yaml` on a branch, and the trigger that asks for its run.
    pub(crate) async fn push(&self, branch: &str, yaml: &str) -> TriggerId {
        let commit = self.commit(&[("100644", "naru.yaml", yaml)]).await;
        self.trigger(branch, &commit).await
    }

    pub(crate) async fn trigger(&self, branch: &str, commit: &CommitId) -> TriggerId {
        self.cx.store.request_run(&shop(), &branch.parse().unwrap(), commit, "tester").await.unwrap()
    }

    /// A push is written down, and git takes it.
    pub(crate) async fn receive(&self, branch: &str, commit: &CommitId) -> TriggerId {
        let push = NewTrigger {
            project: shop(),
            kind: TriggerKind::Push,
            reference: format!("refs/heads/{branch}"),
            old: None,
            new: Some(commit.clone()),
            by: "tester".into(),
        };
        self.cx.store.receive_triggers(&[push]).await.unwrap().remove(0)
    }

    /// It is settled, when the branch is at `head`.
    pub(crate) async fn settle(&self, id: TriggerId, branch: &str, head: &CommitId) {
        let heads = BTreeMap::from([(format!("refs/heads/{branch}"), head.clone())]);
        let settled = Settlement { id, state: TriggerState::Accepted, detail: String::new() };
        self.cx.store.settle_triggers(&shop(), &[settled], SettledIn::Source(&heads)).await.unwrap();
    }

    pub(crate) fn close_gate(&self, closed: bool) {
        self.gate.0.store(closed, Ordering::Relaxed);
    }

    /// One pass and one second. A pass that does not get through is what the next one is for.
    pub(crate) async fn pass(&self) -> Result<Duration, naru_pipeline::PassError> {
        let result = reconcile(&self.cx).await;
        self.clock.0.fetch_add(1000, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        result
    }

    /// Passes until the condition holds; a hundred are always enough.
    pub(crate) async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        for _ in 0..100 {
            if condition(self).await {
                return;
            }
            let _ = self.pass().await;
        }
        panic!("a hundred passes and not yet: {what}\n{}", self.story(1).await);
    }

    pub(crate) async fn run(&self, number: u32) -> Option<Run> {
        self.cx.store.run(&shop(), RunNumber(number)).await.unwrap()
    }

    pub(crate) async fn state(&self, number: u32) -> Option<RunState> {
        self.run(number).await.map(|run| run.state)
    }

    pub(crate) async fn until_cleared(&self, number: u32) {
        self.until("the run is over and cleared", async |h| {
            h.run(number).await.is_some_and(|run| run.cleared)
        })
        .await;
    }

    pub(crate) async fn steps(&self, number: u32) -> Vec<StepRecord> {
        self.cx.store.run_steps(&shop(), RunNumber(number)).await.unwrap()
    }

    pub(crate) async fn tests(&self, number: u32, step: &str) -> Option<TestSummary> {
        let steps = self.steps(number).await;
        steps.into_iter().find(|record| record.name.to_string() == step).and_then(|record| record.tests)
    }

    /// State, steps and problem of a run, as a text.
    pub(crate) async fn story(&self, number: u32) -> String {
        let Some(run) = self.run(number).await else { return "no such run".into() };
        let mut story = vec![format!("run {} {}", run.number, run.state)];
        for step in self.steps(number).await {
            let exit = step.exit.map(|exit| format!(", {exit}")).unwrap_or_default();
            story.push(format!("  {} {} (attempt {}{exit})", step.name, step.state, step.attempt));
        }
        if let Some(problem) = run.problem {
            story.push(problem.to_string());
        }
        story.join("\n")
    }

    pub(crate) async fn log(&self, number: u32, step: &str) -> Vec<String> {
        let stream = LogStream::Step { project: shop(), run: RunNumber(number), step: step.parse().unwrap() };
        let page = self.cx.logs.read(&stream, Cursor::default(), 1000).await.unwrap();
        page.entries.into_iter().map(|entry| entry.record.text).collect()
    }

    /// The jobs that were started, in order.
    pub(crate) fn started(&self) -> Vec<String> {
        self.fake.started_jobs().into_iter().map(|start| start.key.to_string()).collect()
    }

    pub(crate) async fn jobs_left(&self, number: u32) -> usize {
        use naru_engine::Engine as _;
        self.fake.observe_jobs(&JobScope::Run(shop(), RunNumber(number))).await.unwrap().len()
    }
}

async fn open(
    folder: &tempfile::TempDir,
    clock: &Arc<Hand>,
    engine: Arc<dyn Engine>,
    secrets: &Arc<Secrets>,
    gate: &Arc<Gate>,
) -> Arc<Context> {
    let path = folder.path();
    let store = Store::open(&path.join("naru.db"), clock.clone(), Arc::new(Unobserved)).await.unwrap();
    Arc::new(Context {
        store,
        logs: LogStore::open(&path.join("logs"), LogLimits::default()).await.unwrap(),
        engine,
        inputs: secrets.clone(),
        admission: gate.clone(),
        sources: Arc::new(SourceRepositories::new(path, Arc::new(Unobserved))),
        settings: Settings::for_cpus(2, "127.0.0.1:7070".into()),
        collectors: Collectors::default(),
    })
}
