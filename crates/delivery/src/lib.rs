//! From release to running: intents and releases become commits of the deploy repository ([`render`]), commits become
//! revisions and targets ([`sync`]), and reality is made equal to the target ([`reconcile`]). What has no owner any more
//! is taken away ([`sweep`]).
//!
//! How images come to be is the pipeline's business; what the next action of a rollout is, `naru_model::rollout`'s.

pub mod inputs;
mod maintenance;
pub mod receipt;
pub mod reconcile;
pub mod render;
pub mod repository;
mod schedule;
pub mod sweep;
pub mod sync;
mod traffic;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use naru_engine::{Engine, Traffic};
use naru_secret::KeyRing;
use naru_store::log::LogStore;
use naru_store::{Look, Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;

pub use traffic::EdgeTraffic;

/// What the loops work with.
#[derive(Clone)]
pub struct Context {
    /// Rows.
    pub store: Store,
    /// What signs receipts.
    pub keys: Arc<KeyRing>,
    /// Logs of steps and services.
    pub logs: LogStore,
    /// The deploy repositories.
    pub repositories: repository::Repositories,
    /// What runs things.
    pub engine: Arc<dyn Engine>,
    /// What leads requests to them.
    pub traffic: Arc<dyn Traffic>,
    /// The domain below which hosts are made for environments that name none.
    pub domain: String,
    /// Hosts of the control plane, which lead to no service: cookies know hosts, not ports, so a service there would be
    /// handed the sessions of who is logged in.
    pub own_hosts: Vec<String>,
    /// Parsed revisions; commits do not change.
    pub specs: reconcile::SpecCache,
}

/// Runs every loop until it is cancelled.
pub async fn run_forever(cx: Context, cancelled: CancellationToken) {
    let loops = async {
        tokio::join!(
            repeat(&cx, Pass::Render, &[Topic::Releases], Duration::from_secs(30)),
            repeat(&cx, Pass::Sync, &[Topic::Releases], Duration::from_mins(5)),
            repeat(&cx, Pass::Sweep, &[Topic::Projects], Duration::from_mins(1)),
            repeat(&cx, Pass::Receipts, &[Topic::Environments], Duration::from_mins(1)),
            schedule::run(&cx),
        )
    };
    tokio::select! {
        () = cancelled.cancelled() => {}
        _ = loops => {}
    }
}

/// The loops that look at projects.
#[derive(Debug, Clone, Copy)]
enum Pass {
    Render,
    Sync,
    Sweep,
    Receipts,
}

impl Pass {
    async fn once(self, cx: &Context, look: &Look) -> Result<(), StoreError> {
        match self {
            Self::Render => render::pass(cx, look).await,
            Self::Sync => sync::pass(cx, look).await,
            Self::Sweep => sweep::pass(cx, look).await,
            Self::Receipts => receipt::pass(cx).await,
        }
    }
}

/// Looks when a topic rings and when the time is up; a failed pass is logged and looked at again soon.
async fn repeat(cx: &Context, pass: Pass, topics: &[Topic], at_most: Duration) {
    let mut changes = cx.store.changes();
    let mut look = Look::Everywhere;
    loop {
        let (wait, failed) = match pass.once(cx, &look).await {
            Ok(()) => (at_most, false),
            Err(error) => {
                tracing::warn!(?pass, %error, "a pass did not get through; it is tried again");
                (Duration::from_secs(2), true)
            }
        };
        look = changes.wait(topics, wait).await;
        if failed {
            look = Look::Everywhere;
        }
    }
}
