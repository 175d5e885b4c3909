//! Counting effects, and stopping at one of them as a power cut would: whoever waits for the effect waits for ever, and
//! the harness drops everything that was running.

use std::pin::Pin;
use std::sync::Mutex;

use naru_model::effect::{Effects, Moment};
use tokio::sync::Notify;

/// One side of one effect, in the order in which they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The effect's name.
    pub name: String,
    /// Which side.
    pub moment: Moment,
}

/// Counts the sides of effects from 1, and crashes at one of them if it is told to.
#[derive(Debug, Default)]
pub struct CrashAt {
    at: Option<usize>,
    seen: Mutex<Vec<Point>>,
    crashed: Notify,
}

impl CrashAt {
    /// Only counts.
    pub fn never() -> Self {
        Self::default()
    }

    /// Crashes at the `count`-th side of an effect.
    pub fn point(count: usize) -> Self {
        Self { at: Some(count), ..Self::default() }
    }

    /// Resolves when the crash has come.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// What was seen so far.
    pub fn seen(&self) -> Vec<Point> {
        self.seen.lock().expect("no test panics while it holds the list").clone()
    }
}

impl Effects for CrashAt {
    fn at<'a>(&'a self, moment: Moment, name: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let mut seen = self.seen.lock().expect("no test panics while it holds the list");
        seen.push(Point { name: name.to_owned(), moment });
        if self.at.is_some_and(|at| seen.len() >= at) {
            self.crashed.notify_one();
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(()))
    }
}
