//! Wake-ups. A change says *look*, never *what changed*, and a timer makes every one of them optional.

use std::collections::BTreeSet;
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
    /// A certificate, or what hosts ask of visitors, changed.
    Certificates,
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

    /// Whether one of `topics` has rung since the last look, without waiting.
    pub fn has_rung(&mut self, topics: &[Topic]) -> bool {
        let mut rung = false;
        loop {
            match self.receiver.try_recv() {
                Ok(change) => rung |= topics.contains(&change.topic),
                Err(broadcast::error::TryRecvError::Lagged(_)) => rung = true,
                Err(_) => return rung,
            }
        }
    }

    /// The next change, or `None` when some were missed and everything should be looked at.
    pub async fn next(&mut self) -> Option<Change> {
        match self.receiver.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => None,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Waits until one of `topics` rings or the time is up, and says where to look: everywhere when the time is up. Rings
    /// that queued up meanwhile are answered together.
    pub async fn wait(&mut self, topics: &[Topic], at_most: Duration) -> Look {
        let rung = async {
            loop {
                match self.next().await {
                    Some(change) if topics.contains(&change.topic) => break Look::at(change.project),
                    Some(_) => {}
                    None => break Look::Everywhere,
                }
            }
        };
        let Ok(mut look) = tokio::time::timeout(at_most, rung).await else { return Look::Everywhere };
        loop {
            match self.receiver.try_recv() {
                Ok(change) if topics.contains(&change.topic) => look.also(change.project),
                Ok(_) => {}
                Err(broadcast::error::TryRecvError::Lagged(_)) => look = Look::Everywhere,
                Err(_) => return look,
            }
        }
    }
}

/// Where to look after a wake-up; what changed there is for the loop to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// At every project.
    Everywhere,
    /// At these projects.
    At(BTreeSet<ProjectName>),
}

impl Look {
    fn at(project: Option<ProjectName>) -> Self {
        project.map_or(Self::Everywhere, |project| Self::At(BTreeSet::from([project])))
    }

    fn also(&mut self, project: Option<ProjectName>) {
        match (self, project) {
            (Self::At(projects), Some(project)) => {
                projects.insert(project);
            }
            (look, _) => *look = Self::Everywhere,
        }
    }

    /// Whether this project is to be looked at.
    pub fn includes(&self, project: &ProjectName) -> bool {
        match self {
            Self::Everywhere => true,
            Self::At(projects) => projects.contains(project),
        }
    }
}
