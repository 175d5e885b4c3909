//! A place to stand between two effects. Every adapter that changes something outside the process (store, git,
//! engine, traffic) tells an [`Effects`] before and after; the crash harness counts them and stops there.

use std::pin::Pin;
use std::sync::Arc;

/// The side of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing has happened yet.
    Before,
    /// It happened; nobody has been told.
    After,
}

/// Told of every effect. Production uses [`Unobserved`].
pub trait Effects: Send + Sync + 'static {
    /// `name` is stable and dotted, such as `store.trigger.accept` or `engine.start`.
    fn at<'a>(&'a self, moment: Moment, name: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// Why the effect fails, asked before it is made: a test's full disk. Production never answers.
    fn refusal(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Effects for Unobserved {
    fn at<'a>(&'a self, _: Moment, _: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

/// Runs `effect` between its two moments.
pub async fn observed<T>(effects: &Arc<dyn Effects>, name: &str, effect: impl Future<Output = T>) -> T {
    effects.at(Moment::Before, name).await;
    let result = effect.await;
    effects.at(Moment::After, name).await;
    result
}
