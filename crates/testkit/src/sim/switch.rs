//! One task at a time: a task runs until it parks at a place that it was told to, or until it is over. Which goes on next
//! is the director's choice, so that nothing depends on how threads are scheduled.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Poll;

use naru_model::Timestamp;

/// Where a task waits for its turn.
#[derive(Debug, Clone)]
pub(super) struct Parked {
    /// For the trace.
    pub(super) place: String,
    /// It may not go on before this time of the world.
    pub(super) not_before: Timestamp,
    /// It must go on by this time: a call under a lease has a limit.
    pub(super) by: Timestamp,
    /// The process ends here.
    pub(super) crash: bool,
}

#[derive(Default)]
struct State {
    parked: Option<Parked>,
    go_on: bool,
}

/// The one place through which control passes between director and tasks.
#[derive(Default)]
pub(super) struct Switch(Mutex<State>);

impl Switch {
    /// Gives control back to the director, until the task's next turn.
    pub(super) async fn park(&self, at: Parked) {
        let mut at = Some(at);
        poll_fn(|_| {
            let mut state = self.lock();
            if let Some(at) = at.take() {
                state.parked = Some(at);
                state.go_on = false;
                return Poll::Pending;
            }
            if std::mem::take(&mut state.go_on) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Lets a task go on: its outcome when it is over, or where it parked.
    pub(super) async fn turn<T>(
        &self,
        task: &mut Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Result<T, Parked> {
        self.lock().go_on = true;
        poll_fn(|cx| match task.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
            // Otherwise the store's threads are at work for it.
            Poll::Pending => match self.lock().parked.take() {
                Some(parked) => Poll::Ready(Err(parked)),
                None => Poll::Pending,
            },
        })
        .await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the switch")
    }
}
