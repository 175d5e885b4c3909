//! The second factor of an account: a sealed secret, whether it counts, the last step that was used, and the digests of
//! recovery codes that are left. What a code is, `naru-identity` knows.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Change, Result, Store, StoreError, Topic, from_json, to_json};

/// A second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// Its secret, sealed.
    pub sealed: String,
    /// Whether a code was given for it: without that it does not count.
    pub confirmed: bool,
    /// The newest step whose code was used. Neither it nor an older one is accepted again.
    pub used_step: u64,
    /// Digests of the recovery codes that are left.
    pub recovery: Vec<String>,
}

pub(crate) fn read_totp(row: &SqliteRow) -> Result<Option<Totp>> {
    let Some(sealed) = row.try_get::<Option<String>, _>("totp_secret")? else { return Ok(None) };
    Ok(Some(Totp {
        sealed,
        confirmed: row.try_get::<i64, _>("totp_confirmed")? != 0,
        used_step: u64::try_from(row.try_get::<i64, _>("totp_used_step")?).unwrap_or(0),
        recovery: from_json("recovery codes", row.try_get("recovery")?)?,
    }))
}

const CHANGED: Change = Change { topic: Topic::Identity, project: None };

fn stored(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

impl Store {
    /// Keeps the secret of a second factor that is to be confirmed, in the place of one that was not. Refused as stale
    /// when there is one that counts.
    pub async fn begin_totp(&self, login: &str, sealed: &str) -> Result<()> {
        let mut write = self.write("identity.begin-totp").await?;
        let done = sqlx::query(
            "UPDATE account SET totp_secret = $2, totp_used_step = 0, recovery = '[]'
             WHERE login = $1 AND totp_confirmed = 0",
        )
        .bind(login)
        .bind(sealed)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Stale("there is a second factor already"));
        }
        write.commit().await
    }

    /// Makes the second factor with this secret count, uses up the step it was confirmed with, keeps the recovery codes,
    /// and ends every session of the account but `keep`. Refused as stale when another is being set up by now.
    pub async fn confirm_totp(
        &self,
        login: &str,
        totp: (&str, u64),
        recovery: &[String],
        keep: Option<&str>,
    ) -> Result<()> {
        let (sealed, step) = totp;
        let mut write = self.write("identity.confirm-totp").await?;
        let done = sqlx::query(
            "UPDATE account SET totp_confirmed = 1, totp_used_step = $3, recovery = $4
             WHERE login = $1 AND totp_secret = $2 AND totp_confirmed = 0",
        )
        .bind(login)
        .bind(sealed)
        .bind(stored(step))
        .bind(to_json(&recovery))
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Stale("another second factor is being set up"));
        }
        sqlx::query("DELETE FROM web_session WHERE account = $1 AND id IS NOT $2")
            .bind(login)
            .bind(keep)
            .execute(write.connection())
            .await?;
        write.ring(CHANGED);
        write.commit().await
    }

    /// Uses up a step. Says no when it, or a newer one, was used before.
    pub async fn use_totp_step(&self, login: &str, step: u64) -> Result<bool> {
        let mut write = self.write("identity.use-totp").await?;
        let done = sqlx::query(
            "UPDATE account SET totp_used_step = $2
             WHERE login = $1 AND totp_confirmed = 1 AND totp_used_step < $2",
        )
        .bind(login)
        .bind(stored(step))
        .execute(write.connection())
        .await?;
        write.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Uses up the recovery code with this digest. Says no when there is none such.
    pub async fn use_recovery_code(&self, login: &str, digest: &str) -> Result<bool> {
        let mut write = self.write("identity.use-recovery-code").await?;
        let done = sqlx::query(
            "UPDATE account SET recovery =
                 (SELECT json_group_array(value) FROM json_each(account.recovery) WHERE value <> $2)
             WHERE login = $1 AND totp_confirmed = 1
               AND EXISTS (SELECT 1 FROM json_each(account.recovery) WHERE value = $2)",
        )
        .bind(login)
        .bind(digest)
        .execute(write.connection())
        .await?;
        write.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes the second factor away, with its recovery codes.
    pub async fn remove_totp(&self, login: &str) -> Result<()> {
        let mut write = self.write("identity.remove-totp").await?;
        let done = sqlx::query(
            "UPDATE account SET totp_secret = NULL, totp_confirmed = 0, totp_used_step = 0, recovery = '[]'
             WHERE login = $1",
        )
        .bind(login)
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("account {login}")));
        }
        write.ring(CHANGED);
        write.commit().await
    }
}
