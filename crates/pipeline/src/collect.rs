//! Copies what running jobs print into the log store, secrets masked, and hands it to who reads test reports. One task
//! per job; a restart goes on where the stored log ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use naru_engine::{LogLine, LogPosition, LogSource, StepError};
use naru_model::definition::NodeName;
use naru_model::job::{JobKey, JobSpec, JobState};
use naru_model::pipeline::{StepState, TestSummary};
use naru_model::workload::Value;
use naru_model::{Problem, SecretName, SecretVersion};
use naru_secret::{LineRedactor, Redactor};
use naru_store::StoreError;
use naru_store::log::{Cursor, LogError, LogRecord, LogStream};
use naru_store::run::Run;
use tokio::task::AbortHandle;

use crate::test_report::TestReport;
use crate::{Context, backoff, job};

/// How many lines are stored at once when many are waiting.
const BATCH: usize = 512;
/// How many stored records are counted at once when a log is taken up again.
const PAGE: usize = 4096;
/// How soon a log is looked at again that ended before its job.
const SOON: Duration = Duration::from_millis(200);
/// How many versions before a secret's current one are masked, too.
const OLDER_VERSIONS: u32 = 4;
/// Who wrote a record that no job printed.
const REMARK: &str = "naru";

/// Where the copying of logs goes on beside the passes, and how it waits: on the runtime and by the machine's time, unless
/// a test has both in its hand.
pub trait Beside: Send + Sync + 'static {
    /// Goes on with a task until it is over or aborted.
    fn start(&self, job: &JobKey, task: BoxFuture<'static, ()>) -> Box<dyn Aside>;

    /// Waits for so long.
    fn sleep(&self, long: Duration) -> BoxFuture<'static, ()>;
}

/// A task that goes on.
pub trait Aside: Send + Sync {
    /// Whether it is over.
    fn is_finished(&self) -> bool;

    /// Ends it.
    fn abort(&self);
}

struct OnRuntime;

impl Beside for OnRuntime {
    fn start(&self, _: &JobKey, task: BoxFuture<'static, ()>) -> Box<dyn Aside> {
        Box::new(tokio::spawn(task).abort_handle())
    }

    fn sleep(&self, long: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(long))
    }
}

impl Aside for AbortHandle {
    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }

    fn abort(&self) {
        Self::abort(self);
    }
}

/// The tasks that copy logs, by job. What they do is also in the store: losing them costs nothing.
pub struct Collectors {
    tasks: Mutex<HashMap<JobKey, Box<dyn Aside>>>,
    beside: Arc<dyn Beside>,
}

impl Default for Collectors {
    fn default() -> Self {
        Self::going_on(Arc::new(OnRuntime))
    }
}

impl Collectors {
    /// Whose tasks go on there.
    pub fn going_on(beside: Arc<dyn Beside>) -> Self {
        Self { tasks: Mutex::default(), beside }
    }

    /// Whether a job's log is being copied now.
    pub fn follows(&self, job: &JobKey) -> bool {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.get(job).is_some_and(|task| !task.is_finished())
    }

    /// Ends all tasks.
    pub fn stop(&self) {
        for (_, task) in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            task.abort();
        }
    }
}

impl Drop for Collectors {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Why a log could not be copied to its end.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error(transparent)]
    Engine(#[from] StepError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The stream that a node's output is stored in.
pub(crate) fn stream(run: &Run, node: &NodeName) -> LogStream {
    LogStream::Step { project: run.project.clone(), run: run.number, step: node.job_name() }
}

/// Makes sure that a job's log is being copied.
pub(crate) fn ensure(
    cx: &Arc<Context>,
    run: &Run,
    node: &NodeName,
    attempt: u32,
    spec: Result<JobSpec, Problem>,
) {
    let key = job::key(run, node, attempt);
    let mut tasks = cx.collectors.tasks.lock().unwrap_or_else(PoisonError::into_inner);
    tasks.retain(|_, task| !task.is_finished());
    if tasks.contains_key(&key) {
        return;
    }
    let log = Log {
        stream: stream(run, node),
        secrets: spec.map(|spec| spec.variables.into_values().filter_map(secret).collect()),
        run: run.clone(),
        node: node.clone(),
        key: key.clone(),
    };
    // The task must not keep the context alive: it ends with it.
    let task = follow(Arc::downgrade(cx), cx.collectors.beside.clone(), log);
    let task = cx.collectors.beside.start(&key, Box::pin(task));
    tasks.insert(key, task);
}

struct Log {
    run: Run,
    node: NodeName,
    key: JobKey,
    stream: LogStream,
    /// What must be masked, or why that cannot be known any more.
    secrets: Result<Vec<(SecretName, SecretVersion)>, Problem>,
}

fn secret(value: Value) -> Option<(SecretName, SecretVersion)> {
    match value {
        Value::Secret(name, version) => Some((name, version)),
        Value::Plain(_) => None,
    }
}

/// Copies until everything is stored, however often the engine, the disk or the store fail meanwhile.
async fn follow(cx: std::sync::Weak<Context>, beside: Arc<dyn Beside>, log: Log) {
    let mut failures = 0;
    loop {
        let Some(cx) = cx.upgrade() else { return };
        match copy(&cx, &log).await {
            Ok(()) => return,
            Err(error) => {
                failures += 1;
                let (project, run, step) = (&log.run.project, log.run.number, &log.node);
                tracing::warn!(%project, %run, %step, %error, failures, "a step's log could not be stored; it is tried again");
            }
        }
        drop(cx);
        beside.sleep(backoff(failures)).await;
    }
}

/// Copies from where the stored log ends to the job's end, and records that nothing is missing.
async fn copy(cx: &Context, log: &Log) -> Result<(), CollectError> {
    let redactor = match redactor(cx, log).await {
        Ok(redactor) => redactor,
        // Such as a secret that was unset meanwhile: what cannot be masked is not stored.
        Err(StepError::Blocked(problem)) => {
            remark(cx, log, format!("the output is not kept: {}", problem.summary)).await?;
            return complete(cx, log, None).await;
        }
        Err(error) => return Err(error.into()),
    };
    let stored = stored_lines(cx, log).await?;
    let mut reader = Reader { redactor, tests: TestReport::default(), stored };
    let (mut position, mut ended) = (LogPosition::default(), false);
    loop {
        let lines = cx.engine.logs(&LogSource::Job(log.key.clone()), position).ready_chunks(BATCH);
        let mut lines = std::pin::pin!(lines);
        while let Some(batch) = lines.next().await {
            let mut records = Vec::with_capacity(batch.len());
            let mut failed = None;
            for line in batch {
                match line {
                    Ok(line) => {
                        position = line.position;
                        records.extend(reader.record(&line));
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if !records.is_empty() {
                cx.logs.append(&log.stream, records).await?;
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        match end_of_job(cx, log).await? {
            JobEnd::NotYet => cx.collectors.beside.sleep(SOON).await,
            // A log may have ended before its job: what was printed in between is read once it is known that no more comes.
            JobEnd::Finished if !ended => ended = true,
            JobEnd::Finished => {
                cx.logs.finish(&log.stream).await?;
                return complete(cx, log, reader.tests.summary()).await;
            }
            // Nobody saw its end: what its tests came to is not known.
            JobEnd::Lost => return complete(cx, log, None).await,
        }
    }
}

async fn complete(cx: &Context, log: &Log, tests: Option<TestSummary>) -> Result<(), CollectError> {
    let step = (&log.node, log.key.attempt);
    Ok(cx.store.complete_step_log(&log.run.project, log.run.number, step, tests.as_ref()).await?)
}

async fn remark(cx: &Context, log: &Log, text: String) -> Result<(), LogError> {
    let record = LogRecord { at: cx.store.now(), source: REMARK.into(), text };
    cx.logs.append(&log.stream, vec![record]).await.map(drop)
}

/// Reads an attempt's lines from the first on, those that are stored already, too: both masking and the test report depend
/// on what came before.
struct Reader {
    redactor: LineRedactor,
    tests: TestReport,
    /// How many of the next lines are stored already.
    stored: usize,
}

impl Reader {
    /// The line as it is stored; nothing when it was stored before.
    fn record(&mut self, line: &LogLine) -> Option<LogRecord> {
        let text = self.redactor.mask(&line.text).into_owned();
        self.tests.read(&text);
        if self.stored > 0 {
            self.stored -= 1;
            return None;
        }
        Some(LogRecord { at: line.at, source: String::new(), text })
    }
}

/// Masks the versions that the job was given. After a restart that may be a version before the current one.
async fn redactor(cx: &Context, log: &Log) -> Result<LineRedactor, StepError> {
    let scope = log.key.secret_scope();
    let mut values = Vec::new();
    for (name, version) in log.secrets.as_ref().map_err(|problem| StepError::from(problem.clone()))? {
        values.push(cx.inputs.reveal(&scope, name, *version).await?);
        for older in version.0.saturating_sub(OLDER_VERSIONS).max(1)..version.0 {
            match cx.inputs.reveal(&scope, name, SecretVersion(older)).await {
                Ok(value) => values.push(value),
                Err(StepError::Blocked(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Redactor::new(&values).lines())
}

/// How many of the attempt's lines are stored. A repeated step's log has a remark where the repetition begins.
async fn stored_lines(cx: &Context, log: &Log) -> Result<usize, LogError> {
    let beginning = format!("attempt {}", log.key.attempt);
    let (mut count, mut begun) = (0, log.key.attempt == 1);
    let mut cursor = Cursor::default();
    loop {
        let page = cx.logs.read(&log.stream, cursor, PAGE).await?;
        for entry in &page.entries {
            if entry.record.source == REMARK && entry.record.text == beginning {
                (count, begun) = (0, true);
            } else if entry.record.source.is_empty() {
                count += 1;
            }
        }
        if page.at_end || page.entries.is_empty() {
            break;
        }
        cursor = page.next;
    }
    if !begun {
        remark(cx, log, beginning).await?;
        count = 0;
    }
    Ok(count)
}

/// Whether the job is over. A log that ends earlier is looked at again.
enum JobEnd {
    NotYet,
    Finished,
    Lost,
}

async fn end_of_job(cx: &Context, log: &Log) -> Result<JobEnd, CollectError> {
    let jobs = cx.engine.observe_jobs(&log.key.scope).await?;
    let job = jobs.into_iter().find(|job| job.key == log.key);
    Ok(match job.map(|job| job.state) {
        None if was_seen(cx, log).await? => JobEnd::Lost,
        Some(JobState::Finished(_)) => JobEnd::Finished,
        None | Some(_) => JobEnd::NotYet,
    })
}

/// Whether the engine showed the job before, or is not asked for it any more. One that was ordered a moment ago may not be
/// shown yet.
async fn was_seen(cx: &Context, log: &Log) -> Result<bool, StoreError> {
    let steps = cx.store.run_steps(&log.run.project, log.run.number).await?;
    let step = steps.into_iter().find(|step| step.name == log.node);
    Ok(step.is_none_or(|step| step.attempt != log.key.attempt || step.state != StepState::Starting))
}
