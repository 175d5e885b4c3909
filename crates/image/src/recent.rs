//! What clients were told is there. A client that asks for a blob and hears that it exists does not push it again; until
//! its manifest arrives nothing else may keep that blob.
//!
//! Kept in memory only: after a restart garbage collection waits for one grace period before it removes anything.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use naru_model::Digest;
use naru_store::image::Repository;
use tokio::time::Instant;

/// More answers than this are not remembered; garbage collection waits instead.
const LIMIT: usize = 50_000;

#[derive(Debug)]
pub(crate) struct Recent {
    grace: Duration,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    at: HashMap<(Repository, Digest), Instant>,
    /// Before this nothing may be removed: answers were given that are not in `at`.
    quiet_until: Instant,
}

impl Recent {
    pub(crate) fn new(grace: Duration) -> Self {
        let told = Told { at: HashMap::new(), quiet_until: Instant::now() + grace };
        Self { grace, told: Mutex::new(told) }
    }

    /// Remembers that a client was told that this is there.
    pub(crate) fn seen(&self, repository: &Repository, digest: &Digest) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.at.len() >= LIMIT {
            let grace = self.grace;
            told.at.retain(|_, at| now.duration_since(*at) < grace);
            if told.at.len() >= LIMIT {
                told.at.clear();
                told.quiet_until = now + grace;
            }
        }
        told.at.insert((repository.clone(), digest.clone()), now);
    }

    /// Whether anything may be removed now, as far as answers go.
    pub(crate) fn is_complete(&self) -> bool {
        Instant::now() >= self.told.lock().unwrap_or_else(PoisonError::into_inner).quiet_until
    }

    /// Whether a client was told within the grace period that this is there.
    pub(crate) fn contains(&self, repository: &Repository, digest: &Digest) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.at.get(&(repository.clone(), digest.clone())).is_some_and(|at| at.elapsed() < self.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_one_grace_period() {
        let recent = Recent::new(Duration::from_mins(1));
        assert!(!recent.is_complete());
        let repository = Repository { project: "shop".parse().unwrap(), name: "web".parse().unwrap() };
        let digest = Digest::of(b"layer");
        recent.seen(&repository, &digest);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(recent.contains(&repository, &digest));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!recent.contains(&repository, &digest));
        assert!(recent.is_complete());
    }
}
