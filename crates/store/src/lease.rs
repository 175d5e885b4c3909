//! Leases: at most one worker at a time for a named piece of work, and a fencing number that tells an old one apart.

use std::time::Duration;

use sqlx::Row;

use crate::{Result, Store, StoreError, to_millis};

/// A held lease. Effects made under it are checked with [`Store::check_lease`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is leased, such as `environment/shop/production`.
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// Raised at every change of holder.
    pub fence: i64,
}

impl Store {
    /// Takes or renews a lease for `lasting`. `None` when another holder has it.
    pub async fn lease(&self, name: &str, holder: &str, lasting: Duration) -> Result<Option<Lease>> {
        let mut write = self.write("lease.take").await?;
        let now = to_millis(self.now());
        let until = now + i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX / 2);
        let row = sqlx::query(
            "INSERT INTO lease (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
                 fence = CASE WHEN lease.holder = excluded.holder THEN lease.fence ELSE lease.fence + 1 END,
                 holder = excluded.holder, expires_at = excluded.expires_at
             WHERE lease.holder = excluded.holder OR lease.expires_at <= $4
             RETURNING fence",
        )
        .bind(name)
        .bind(holder)
        .bind(until)
        .bind(now)
        .fetch_optional(write.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let fence = row.try_get("fence")?;
        write.commit().await?;
        Ok(Some(Lease { name: name.to_owned(), holder: holder.to_owned(), fence }))
    }

    /// Fails with [`StoreError::Stale`] unless the lease is still held with this fence.
    pub async fn check_lease(&self, lease: &Lease) -> Result<()> {
        let held: Option<i64> =
            sqlx::query_scalar("SELECT fence FROM lease WHERE name = $1 AND holder = $2 AND expires_at > $3")
                .bind(&lease.name)
                .bind(&lease.holder)
                .bind(to_millis(self.now()))
                .fetch_optional(self.reader())
                .await?;
        if held == Some(lease.fence) { Ok(()) } else { Err(StoreError::Stale("the lease went to another")) }
    }

    /// Gives a lease back before its time.
    pub async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let mut write = self.write("lease.release").await?;
        sqlx::query("UPDATE lease SET expires_at = 0 WHERE name = $1 AND holder = $2 AND fence = $3")
            .bind(&lease.name)
            .bind(&lease.holder)
            .bind(lease.fence)
            .execute(write.connection())
            .await?;
        write.commit().await
    }
}
