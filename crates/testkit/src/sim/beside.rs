//! Where the logs of one process are copied: tasks of the simulation, which wait by the world's time.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use naru_model::job::JobKey;
use naru_pipeline::{Aside, Beside};

use super::stage::Stage;

/// Tasks that were begun since somebody last looked.
pub(super) struct Aisle {
    pub(super) stage: Arc<Stage>,
    pub(super) who: String,
    begun: Mutex<Vec<(JobKey, BoxFuture<'static, ()>)>>,
}

/// One of them.
#[derive(Clone, Default)]
struct Copying {
    finished: Arc<AtomicBool>,
    aborted: Arc<AtomicBool>,
}

impl Aisle {
    pub(super) fn of(stage: &Arc<Stage>, who: &str) -> Self {
        Self { stage: stage.clone(), who: who.to_owned(), begun: Mutex::default() }
    }

    pub(super) fn take_begun(&self) -> Vec<(JobKey, BoxFuture<'static, ()>)> {
        std::mem::take(&mut self.begun.lock().expect("nothing panics while it takes tasks"))
    }
}

impl Beside for Aisle {
    fn start(&self, job: &JobKey, task: BoxFuture<'static, ()>) -> Box<dyn Aside> {
        let copying = Copying::default();
        let goes_on = until_aborted(task, copying.clone());
        self.begun
            .lock()
            .expect("nothing panics while it begins a task")
            .push((job.clone(), Box::pin(goes_on)));
        Box::new(copying)
    }

    fn sleep(&self, long: Duration) -> BoxFuture<'static, ()> {
        let (stage, place) = (self.stage.clone(), format!("{}: a log is looked at again", self.who));
        Box::pin(async move { stage.park(place, long, false).await })
    }
}

async fn until_aborted(mut task: BoxFuture<'static, ()>, copying: Copying) {
    std::future::poll_fn(|cx| {
        if copying.aborted.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        Pin::as_mut(&mut task).poll(cx)
    })
    .await;
    copying.finished.store(true, Ordering::Relaxed);
}

impl Aside for Copying {
    fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }
}
