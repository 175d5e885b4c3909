//! From an accepted trigger to a release: the loop that makes runs, executes their steps as jobs, keeps their logs, and
//! records what they made.
//!
//! What comes next is decided in `naru_model::pipeline`; here it is observed, recorded and carried out. Delivering a
//! release is not known here.

mod admission;
mod collect;
mod evidence;
mod intake;
mod job;
mod pass;
mod plain;
mod sweep;
mod test_report;

use std::sync::Arc;
use std::time::Duration;

use naru_engine::{Engine, Inputs};
use naru_source::commits::Sources;
use naru_store::log::LogStore;
use naru_store::{Store, Topic};
use tokio_util::sync::CancellationToken;

pub use admission::{Admission, OfMachine, Room};
pub use collect::{Aside, Beside, Collectors};
pub use pass::{PassError, reconcile};
pub use sweep::{SweepError, sweep};

/// How often everything is looked at when nothing rings.
const RESYNC: Duration = Duration::from_secs(30);

/// What the loop works with.
pub struct Context {
    /// Rows.
    pub store: Store,
    /// Logs of steps.
    pub logs: LogStore,
    /// Where jobs run.
    pub engine: Arc<dyn Engine>,
    /// Where secrets are revealed, for masking them in logs.
    pub inputs: Arc<dyn Inputs>,
    /// Whether there is room for one more job.
    pub admission: Arc<dyn Admission>,
    /// Where commits are read.
    pub sources: Arc<dyn Sources>,
    /// Numbers and addresses.
    pub settings: Settings,
    /// Who copies the logs of running jobs.
    pub collectors: Collectors,
}

/// Numbers and addresses of the loop.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Host and port of the embedded registry, as builds reach it: `127.0.0.1:7070`.
    pub registry_host: String,
    /// How many runs are active at once.
    pub run_limit: usize,
    /// How many jobs run at once.
    pub job_limit: usize,
    /// How much one step may print.
    pub log_limit_bytes: u64,
}

impl Settings {
    /// For a machine with this many CPUs.
    pub fn for_cpus(cpus: usize, registry_host: String) -> Self {
        let job_limit = cpus.clamp(2, 16);
        Self { registry_host, run_limit: job_limit, job_limit, log_limit_bytes: 64 << 20 }
    }
}

/// Reconciles until `stop` is cancelled: at once when something rings, and by timer.
pub async fn run_forever(cx: Arc<Context>, stop: CancellationToken) {
    let mut changes = cx.store.changes();
    let mut failures: u32 = 0;
    let mut swept = None::<tokio::time::Instant>;
    while !stop.is_cancelled() {
        let look_again = match reconcile(&cx).await {
            Ok(look_again) => {
                failures = 0;
                look_again
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "a pass of the pipeline did not get through; it is repeated");
                backoff(failures)
            }
        };
        if swept.is_none_or(|at| at.elapsed() >= RESYNC) {
            swept = Some(tokio::time::Instant::now());
            if let Err(error) = sweep(&cx).await {
                tracing::warn!(%error, "jobs that nobody wants could not be looked for");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = changes.wait(&[Topic::Triggers, Topic::Runs, Topic::Projects], look_again) => {}
        }
    }
    cx.collectors.stop();
}

/// 1 s, 2 s, 4 s … up to half a minute.
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(5)).min(RESYNC)
}
