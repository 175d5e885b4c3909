//! Visitors who keep asking a service through the edge while a test does something to it. They count what they were
//! refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::api;
use super::instance::Instance;
use super::project::Project;

/// How many ask at once.
const VISITORS: usize = 3;
/// How long each waits between two requests: steady, and little for a busy machine.
const PAUSE: Duration = Duration::from_millis(15);

/// Visitors who are asking.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<Tally>>,
}

/// What they were answered.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The bodies of good answers.
    pub(crate) answers: Vec<String>,
    /// Other statuses, and connections that failed.
    pub(crate) failures: Vec<String>,
}

impl Load {
    /// Asks for one path of a project from now on, each time on a new connection.
    pub(crate) fn on(instance: &Instance, project: &Project<'_>, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (edge, host) = (instance.edge(), project.host());
        let visitor = |_| {
            let (stop, host) = (stop.clone(), host.clone());
            std::thread::spawn(move || ask(&stop, edge, &host, path))
        };
        let visitors = (0..VISITORS).map(visitor).collect();
        Self { stop, visitors }
    }

    /// Lets every visitor finish, and returns what they saw. There must have been some answers.
    pub(crate) fn end(mut self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Tally::default();
        for visitor in self.visitors.drain(..) {
            let seen = visitor.join().unwrap();
            all.answers.extend(seen.answers);
            all.failures.extend(seen.failures);
        }
        assert!(all.answers.len() > 20, "hardly anybody asked: {all:?}");
        all
    }

    /// The same, and nobody may have been refused.
    pub(crate) fn end_unharmed(self) -> Vec<String> {
        let seen = self.end();
        let (failed, asked) = (seen.failures.len(), seen.answers.len() + seen.failures.len());
        assert!(failed == 0, "{failed} of {asked} requests failed: {:?}", &seen.failures[..failed.min(5)]);
        seen.answers
    }
}

/// A test that panics must not leave visitors behind.
impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn ask(stop: &AtomicBool, edge: SocketAddr, host: &str, path: &str) -> Tally {
    let mut seen = Tally::default();
    while !stop.load(Ordering::SeqCst) {
        match api::through_edge(edge, host, path) {
            Ok((200, body)) => seen.answers.push(body),
            other => seen.failures.push(format!("{other:?}")),
        }
        std::thread::sleep(PAUSE);
    }
    seen
}
