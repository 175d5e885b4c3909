//! Five hundred visitors a second, whatever happens: some stay connected, some come anew each time.

use std::thread::JoinHandle;

use naru_load::{Kind, Stream, Target};
use tokio_util::sync::CancellationToken;

use super::instance::Instance;
use super::project::Project;

/// Visitors who are at it. They stop when it is dropped.
pub(crate) struct Crowd {
    stop: CancellationToken,
    visitors: Option<JoinHandle<Seen>>,
}

/// What they saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) failures: Vec<String>,
}

impl Crowd {
    /// Asks a project which version it is, from now on.
    pub(crate) fn at(instance: &Instance, project: &Project<'_>) -> Self {
        let target = Target { plain: instance.edge(), tls: None };
        let stream = |kind, rate| Stream {
            name: format!("{kind:?}"),
            kind,
            host: project.host(),
            path: "/variable/VERSION".to_owned(),
            rate,
            bytes: None,
        };
        let streams = [stream(Kind::KeepAlive, 400.0), stream(Kind::Fresh, 100.0)];
        let stop = CancellationToken::new();
        let end = stop.clone();
        let visitors = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let reports = runtime.block_on(naru_load::run(&target, &streams, &end)).unwrap();
            Seen {
                requests: reports.iter().map(|report| report.requests).sum(),
                failed: reports.iter().map(|report| report.failed).sum(),
                failures: reports.into_iter().flat_map(|report| report.failures).collect(),
            }
        });
        Self { stop, visitors: Some(visitors) }
    }

    /// Lets everybody finish.
    pub(crate) fn end(mut self) -> Seen {
        self.stop.cancel();
        let seen = self.visitors.take().expect("it ends once").join().unwrap();
        assert!(seen.requests > 100, "hardly anybody asked: {seen:?}");
        seen
    }

    /// The same, and nobody may have been refused.
    pub(crate) fn end_unharmed(self) {
        let seen = self.end();
        let told = &seen.failures[..seen.failures.len().min(10)];
        assert_eq!(seen.failed, 0, "of {}: {told:?}", seen.requests);
    }
}

impl Seen {
    /// How many could not even connect, of those failures that are told.
    pub(crate) fn failed_to_connect(&self) -> usize {
        self.failures.iter().filter(|failure| failure.contains("no connection")).count()
    }
}

/// A test that panics must not leave visitors behind.
impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
