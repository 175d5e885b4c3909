//! What is changed of accounts once they are there.

use crate::identity::{Account, read_account};
use crate::{Change, Result, Store, StoreError, Topic, parse, to_millis};

impl Store {
    /// All accounts after `after`, by login.
    pub async fn accounts_page(&self, after: &str, limit: u32) -> Result<Vec<Account>> {
        let rows = sqlx::query("SELECT * FROM account WHERE login > $1 ORDER BY login LIMIT $2")
            .bind(after)
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read_account).collect()
    }

    /// Lets nobody log in with an account any more, or somebody again. Its sessions end; its tokens are not good while it is
    /// disabled. Refused as stale when an organisation or the instance would have nobody left to decide.
    pub async fn disable_account(&self, login: &str, disabled: bool) -> Result<()> {
        let mut write = self.write("identity.disable-account").await?;
        let done = sqlx::query(
            "UPDATE account SET disabled_at = CASE WHEN $2 = 1 THEN coalesce(disabled_at, $3) END WHERE login = $1",
        )
        .bind(login)
        .bind(i64::from(disabled))
        .bind(to_millis(self.now()))
        .execute(write.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing(format!("account {login}")));
        }
        if disabled {
            write.keep_an_administrator().await?;
            let owned: Vec<String> =
                sqlx::query_scalar("SELECT organisation FROM member WHERE account = $1 AND role = 'owner'")
                    .bind(login)
                    .fetch_all(write.connection())
                    .await?;
            for organisation in owned {
                write.keep_an_owner(&parse("organisation name", &organisation)?).await?;
            }
            sqlx::query("DELETE FROM web_session WHERE account = $1")
                .bind(login)
                .execute(write.connection())
                .await?;
        }
        write.ring(Change { topic: Topic::Identity, project: None });
        write.commit().await
    }

    /// Changes what an account says of itself. What is `None` stays; an empty text is none.
    pub async fn change_profile(
        &self,
        login: &str,
        display_name: Option<&str>,
        language: Option<&str>,
        zone: Option<&str>,
    ) -> Result<()> {
        let mut write = self.write("identity.profile").await?;
        sqlx::query(
            "UPDATE account SET display_name = coalesce($2, display_name),
                 language = CASE WHEN $3 IS NULL THEN language ELSE nullif($3, '') END,
                 zone = CASE WHEN $4 IS NULL THEN zone ELSE nullif($4, '') END
             WHERE login = $1",
        )
        .bind(login)
        .bind(display_name)
        .bind(language)
        .bind(zone)
        .execute(write.connection())
        .await?;
        write.commit().await
    }
}
