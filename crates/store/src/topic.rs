//! Wake-ups. A change says *look*, never *what changed*, and a timer makes every one of them optional.

use std::time::Duration;

use naru_model::ProjectName;
use tokio::sync::broadcast;

/// What kind of row changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Projects came or went.
    Projects,
    /// A trigger was received or settled.
    Triggers,
    /// A run or step moved.
    Runs,
    /// A release, intent, configuration, secret or quarantine changed: the render loop looks.
    Releases,
    /// A revision or status changed: the reconcile loop looks.
    Environments,
    /// An account, token or session changed.
    Identity,
    /// An image or its references changed.
    Images,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What kind of row.
    pub topic: Topic,
    /// Whose, when it belongs to a project.
    pub project: Option<ProjectName>,
}

/// A subscription. Missing some because of a slow reader counts as one wake-up.
pub struct Changes {
    receiver: broadcast::Receiver<Change>,
}

impl Changes {
    pub(crate) fn new(receiver: broadcast::Receiver<Change>) -> Self {
        Self { receiver }
    }

    /// The next change, or `None` when some were missed and everything should be looked at.
    pub async fn next(&mut self) -> Option<Change> {
        match self.receiver.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => None,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Waits until one of `topics` rings or the time is up. Rings that queued up meanwhile are swallowed.
    pub async fn wait(&mut self, topics: &[Topic], at_most: Duration) {
        let rung = async {
            while let Some(change) = self.next().await {
                if topics.contains(&change.topic) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(at_most, rung).await;
        while let Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) = self.receiver.try_recv() {}
    }
}
