//! What is costly to look at is told again for a moment: of many who ask at once, one looks.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// What was seen last, and when.
pub(super) struct Again<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Again<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Again<T> {
    /// What was seen within this time, or what is seen now. A look that failed is not told again.
    pub(super) async fn or_look<E>(
        &self,
        within: Duration,
        look: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut last = self.0.lock().await;
        if let Some((_, seen)) = last.as_ref().filter(|(at, _)| at.elapsed() < within) {
            return Ok(seen.clone());
        }
        let seen = look.await?;
        *last = Some((Instant::now(), seen.clone()));
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_is_told_again_for_a_moment_and_failures_are_not() {
        let again = Again::default();
        let within = Duration::from_secs(5);
        assert_eq!(again.or_look(within, async { Err(1) }).await, Err(1));
        assert_eq!(again.or_look::<()>(within, async { Ok(2) }).await, Ok(2));
        assert_eq!(again.or_look::<()>(within, async { Ok(3) }).await, Ok(2));
        tokio::time::advance(within).await;
        assert_eq!(again.or_look::<()>(within, async { Ok(4) }).await, Ok(4));
    }
}
