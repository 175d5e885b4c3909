//! Looks every 15 s at what replicas use and what the edge counted, and keeps it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use naru_edge::control::{Client, ControlError};
use naru_edge::server::Metrics;
use naru_engine::{Engine, StepError};
use naru_model::Timestamp;
use naru_model::metric::Resolution;
use naru_store::{Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::meter::{Meter, Taken};

const FINE: Resolution = Resolution::QuarterMinute;
/// A look comes this long after the step it is about.
const AFTER: Duration = Duration::from_millis(50);

/// What the edge counted. Implemented by its control client.
#[async_trait]
pub trait EdgeFigures: Send + Sync + 'static {
    /// Totals of everything.
    async fn figures(&self) -> Result<Metrics, ControlError>;
}

#[async_trait]
impl EdgeFigures for Client {
    async fn figures(&self) -> Result<Metrics, ControlError> {
        self.metrics().await
    }
}

/// Why a look was not complete.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// What replicas use is not known; what came of requests was kept.
    #[error("the engine does not say what replicas use: {0}")]
    Engine(#[from] StepError),
    /// What came of requests is not known; what replicas use was kept.
    #[error("{0}")]
    Edge(#[from] ControlError),
    /// Nothing was kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes the samples of all environments.
pub struct Sampler {
    store: Store,
    engine: Arc<dyn Engine>,
    edge: Arc<dyn EdgeFigures>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    meter: Meter,
    /// The block that is being filled; the ones before it are sealed.
    block: Option<i64>,
}

impl Sampler {
    /// Asks `engine` and `edge`, and writes to `store`.
    pub fn new(store: Store, engine: Arc<dyn Engine>, edge: Arc<dyn EdgeFigures>) -> Self {
        Self { store, engine, edge, state: Mutex::default() }
    }

    /// Takes samples until it is dropped.
    pub async fn run(&self) {
        let mut was_well = true;
        loop {
            tokio::time::sleep(until_next(self.store.now())).await;
            let looked = self.look().await;
            match &looked {
                Err(error) if was_well => {
                    tracing::warn!(%error, "figures of services have a gap; it is tried again");
                }
                Err(error) => tracing::debug!(%error, "figures of services still have a gap"),
                Ok(()) => {}
            }
            was_well = looked.is_ok();
        }
    }

    /// One look: at what happened since the one before.
    pub async fn look(&self) -> Result<(), SampleError> {
        let mut state = self.state.lock().await;
        let (usage, figures) = tokio::join!(self.engine.usage(), self.edge.figures());
        let (now, second) = (Instant::now(), middle(self.store.now()));
        let mut taken = Taken::new();
        let used = usage.map(|usage| state.meter.add_usage(usage, now, &mut taken));
        let answered = figures.map(|figures| state.meter.add_answers(&figures, now, &mut taken));
        let samples: Vec<_> = taken.into_iter().filter(|(_, sample)| !sample.is_empty()).collect();
        self.store.add_samples(second, &samples).await?;
        self.seal(&mut state, second).await?;
        used?;
        answered?;
        Ok(())
    }

    /// At the first look, and when a block is full, what was kept finely is also kept coarsely, and what is too old goes.
    async fn seal(&self, state: &mut State, second: i64) -> Result<(), StoreError> {
        let block = FINE.block_of(second);
        if state.block == Some(block) {
            return Ok(());
        }
        let from = state.block.filter(|known| *known < block).unwrap_or(i64::MIN);
        self.store.seal_samples(from, block).await?;
        self.store.drop_old_samples().await?;
        state.block = Some(block);
        Ok(())
    }
}

/// How long to wait, so that each step gets its look shortly after its end.
fn until_next(now: Timestamp) -> Duration {
    let step_ms = FINE.step_seconds() * 1_000;
    let rest = step_ms - now.as_millisecond().rem_euclid(step_ms);
    Duration::from_millis(rest.unsigned_abs()) + AFTER
}

/// A second of the step that a look at this time is about: it ended just now.
fn middle(now: Timestamp) -> i64 {
    (now.as_millisecond() - FINE.step_seconds() * 500).div_euclid(1_000)
}
