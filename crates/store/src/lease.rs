//! Leases: at most one worker at a time for a named piece of work, and a fencing number that tells an old one apart. A
//! worker is an open [`Store`]. What only changes rows needs none: its transaction checks what it leans on.

use std::time::Duration;

use sqlx::Row;

use crate::{Result, Store, StoreError, to_millis};

/// How long a lease lasts after it was taken or renewed: a worker that died is succeeded after this time.
pub const LASTS: Duration = Duration::from_secs(30);
/// How often a lease is renewed while an effect takes long.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Leases that ended this long ago are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// A held lease. Effects are made under it with [`Store::guard`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is leased, such as `environment/shop/production`.
    pub name: String,
    /// Raised at every change of holder.
    pub fence: i64,
}

/// Who has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// This worker.
    Me(Lease),
    /// Nobody.
    Nobody,
    /// Another worker.
    Another,
}

impl Store {
    /// Who has a lease now.
    pub async fn holder(&self, name: &str) -> Result<Holder> {
        Ok(match self.held(name).await? {
            Some((holder, fence, _)) if *holder == *self.worker => {
                Holder::Me(Lease { name: name.to_owned(), fence })
            }
            Some(_) => Holder::Another,
            None => Holder::Nobody,
        })
    }

    /// Takes a lease, or makes one that is held last on. `None` when another worker has it.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        let long_enough = to_millis(self.now()) + millis(LASTS / 2);
        match self.held(name).await? {
            Some((holder, fence, expires)) if *holder == *self.worker && expires > long_enough => {
                Ok(Some(Lease { name: name.to_owned(), fence }))
            }
            Some((holder, ..)) if *holder != *self.worker => Ok(None),
            _ => self.take(name).await,
        }
    }

    /// Holder, fence and end of a lease that has not ended.
    async fn held(&self, name: &str) -> Result<Option<(String, i64, i64)>> {
        let row =
            sqlx::query("SELECT holder, fence, expires_at FROM lease WHERE name = $1 AND expires_at > $2")
                .bind(name)
                .bind(to_millis(self.now()))
                .fetch_optional(self.reader())
                .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((row.try_get("holder")?, row.try_get("fence")?, row.try_get("expires_at")?)))
    }

    async fn take(&self, name: &str) -> Result<Option<Lease>> {
        let mut write = self.write("lease.take").await?;
        let now = to_millis(self.now());
        sqlx::query("DELETE FROM lease WHERE expires_at <= $1")
            .bind(now - millis(FORGOTTEN_AFTER))
            .execute(write.connection())
            .await?;
        let row = sqlx::query(
            "INSERT INTO lease (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
                 fence = CASE WHEN lease.holder = excluded.holder THEN lease.fence ELSE lease.fence + 1 END,
                 holder = excluded.holder, expires_at = excluded.expires_at
             WHERE lease.holder = excluded.holder OR lease.expires_at <= $4
             RETURNING fence",
        )
        .bind(name)
        .bind(&*self.worker)
        .bind(now + millis(LASTS))
        .bind(now)
        .fetch_optional(write.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let fence = row.try_get("fence")?;
        write.commit().await?;
        Ok(Some(Lease { name: name.to_owned(), fence }))
    }

    /// Makes one effect under a lease, which lasts on however long the effect takes. Fails with [`StoreError::Stale`]
    /// when the lease was lost: before the effect it is not made, during the effect it is no longer waited for.
    pub async fn guard<T>(&self, lease: &Lease, effect: impl Future<Output = T>) -> Result<T> {
        self.still_held(lease).await?;
        let mut effect = Box::pin(effect);
        let mut beats = Box::pin(self.beat(lease));
        tokio::select! {
            biased;
            done = &mut effect => Ok(done),
            lost = &mut beats => Err(lost),
        }
    }

    /// Renews a lease for as long as it is held. A store that does not answer is asked again: the lease may outlast that.
    async fn beat(&self, lease: &Lease) -> StoreError {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            match self.still_held(lease).await {
                Ok(()) | Err(StoreError::Unavailable(_)) => {}
                Err(lost) => return lost,
            }
        }
    }

    /// Fails with [`StoreError::Stale`] unless the lease is still held with this fence.
    async fn still_held(&self, lease: &Lease) -> Result<()> {
        match self.lease(&lease.name).await? {
            Some(held) if held.fence == lease.fence => Ok(()),
            _ => Err(StoreError::Stale("the lease went to another")),
        }
    }

    /// Ends every lease. For who knows that all who held one have ended, such as by the lock on the data folder.
    pub async fn end_leases(&self) -> Result<()> {
        let mut write = self.write("lease.end-all").await?;
        sqlx::query("UPDATE lease SET expires_at = 0 WHERE expires_at > 0")
            .execute(write.connection())
            .await?;
        write.commit().await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
