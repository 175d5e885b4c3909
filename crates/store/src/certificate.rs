//! Certificates, what is under way to get them, and what hosts ask of visitors. Private keys are sealed before they
//! come here. Which certificate a host is given, and when one is asked for, is decided in `naru-certificate`.

use std::collections::BTreeMap;

use naru_model::api::Transport;
use naru_model::certificate::CertificateSource;
use naru_model::{EnvironmentKey, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Change, Result, Store, StoreError, Topic, from_millis, parse, to_millis};

/// A certificate as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Its host, or `*.` and a domain.
    pub host: String,
    /// Where it comes from.
    pub source: CertificateSource,
    /// PEM, the host's own first.
    pub chain: String,
    /// The private key, sealed.
    pub key: String,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Who gave it: a login, or the name of a loop.
    pub by: String,
}

/// A host for which no certificate could be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The host.
    pub host: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// What was seen last.
    pub reason: String,
    /// When it is tried again.
    pub next_attempt: Timestamp,
}

/// A host of an environment, of the revision that it wants or serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedHost {
    /// The host.
    pub host: String,
    /// Whose.
    pub environment: EnvironmentKey,
    /// What it asks of visitors.
    pub transport: Transport,
}

/// The authority of this instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAuthority {
    /// PEM.
    pub certificate: String,
    /// The private key, sealed.
    pub key: String,
}

const CHANGED: Change = Change { topic: Topic::Certificates, project: None };

impl Store {
    /// Every certificate, by host and source.
    pub async fn certificates(&self) -> Result<Vec<StoredCertificate>> {
        let rows = sqlx::query(
            "SELECT host, source, chain, key, not_before, not_after, by FROM certificate ORDER BY host, source",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(stored).collect()
    }

    /// Keeps a certificate in the place of the one before, and forgets the trouble there was.
    pub async fn put_certificate(&self, certificate: &StoredCertificate) -> Result<()> {
        let mut write = self.write("certificate.put").await?;
        sqlx::query(
            "INSERT INTO certificate (host, source, chain, key, not_before, not_after, by, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (host, source) DO UPDATE SET chain = excluded.chain, key = excluded.key,
               not_before = excluded.not_before, not_after = excluded.not_after, by = excluded.by,
               created_at = excluded.created_at",
        )
        .bind(&certificate.host)
        .bind(certificate.source.to_string())
        .bind(&certificate.chain)
        .bind(&certificate.key)
        .bind(to_millis(certificate.not_before))
        .bind(to_millis(certificate.not_after))
        .bind(&certificate.by)
        .bind(to_millis(self.now()))
        .execute(write.connection())
        .await?;
        for statement in
            ["DELETE FROM certificate_trouble WHERE host = $1", "DELETE FROM acme_challenge WHERE host = $1"]
        {
            sqlx::query(statement).bind(&certificate.host).execute(write.connection()).await?;
        }
        write.ring(CHANGED);
        write.commit().await
    }

    /// Forgets a certificate. False when there was none.
    pub async fn delete_certificate(&self, host: &str, source: CertificateSource) -> Result<bool> {
        let mut write = self.write("certificate.delete").await?;
        let done = sqlx::query("DELETE FROM certificate WHERE host = $1 AND source = $2")
            .bind(host)
            .bind(source.to_string())
            .execute(write.connection())
            .await?;
        write.ring(CHANGED);
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Hosts for which no certificate could be had.
    pub async fn certificate_troubles(&self) -> Result<BTreeMap<String, Trouble>> {
        let rows = sqlx::query("SELECT host, since, attempts, reason, next_attempt FROM certificate_trouble")
            .fetch_all(self.reader())
            .await?;
        rows.iter()
            .map(|row| {
                let host: String = row.try_get("host")?;
                let trouble = Trouble {
                    host: host.clone(),
                    since: from_millis(row.try_get("since")?),
                    attempts: row.try_get("attempts")?,
                    reason: row.try_get("reason")?,
                    next_attempt: from_millis(row.try_get("next_attempt")?),
                };
                Ok((host, trouble))
            })
            .collect()
    }

    /// One more attempt that failed.
    pub async fn certificate_failed(&self, host: &str, reason: &str, next_attempt: Timestamp) -> Result<()> {
        let mut write = self.write("certificate.failed").await?;
        sqlx::query(
            "INSERT INTO certificate_trouble (host, since, attempts, reason, next_attempt)
             VALUES ($1, $2, 1, $3, $4)
             ON CONFLICT (host) DO UPDATE SET attempts = certificate_trouble.attempts + 1,
               reason = excluded.reason, next_attempt = excluded.next_attempt",
        )
        .bind(host)
        .bind(to_millis(self.now()))
        .bind(reason)
        .bind(to_millis(next_attempt))
        .execute(write.connection())
        .await?;
        sqlx::query("DELETE FROM acme_challenge WHERE host = $1")
            .bind(host)
            .execute(write.connection())
            .await?;
        write.commit().await
    }

    /// Forgets the troubles of hosts that want no certificate any more.
    pub async fn forget_certificate_trouble(&self, host: &str) -> Result<()> {
        let mut write = self.write("certificate.forget").await?;
        sqlx::query("DELETE FROM certificate_trouble WHERE host = $1")
            .bind(host)
            .execute(write.connection())
            .await?;
        write.commit().await
    }

    /// The sealed credentials at an ACME directory.
    pub async fn acme_account(&self, directory: &str) -> Result<Option<String>> {
        let found = sqlx::query_scalar("SELECT credentials FROM acme_account WHERE directory = $1")
            .bind(directory)
            .fetch_optional(self.reader())
            .await?;
        Ok(found)
    }

    /// Keeps the sealed credentials at an ACME directory.
    pub async fn put_acme_account(&self, directory: &str, credentials: &str) -> Result<()> {
        let mut write = self.write("certificate.account").await?;
        sqlx::query(
            "INSERT INTO acme_account (directory, credentials, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (directory) DO UPDATE SET credentials = excluded.credentials,
               created_at = excluded.created_at",
        )
        .bind(directory)
        .bind(credentials)
        .bind(to_millis(self.now()))
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// Forgets the credentials at a directory that does not know them any more.
    pub async fn delete_acme_account(&self, directory: &str) -> Result<()> {
        let mut write = self.write("certificate.account").await?;
        sqlx::query("DELETE FROM acme_account WHERE directory = $1")
            .bind(directory)
            .execute(write.connection())
            .await?;
        write.commit().await
    }

    /// What the edge answers, by token.
    pub async fn acme_challenges(&self) -> Result<BTreeMap<String, String>> {
        let rows = sqlx::query("SELECT token, answer FROM acme_challenge").fetch_all(self.reader()).await?;
        rows.iter().map(|row| Ok((row.try_get("token")?, row.try_get("answer")?))).collect()
    }

    /// One more answer, for as long as the host's order is under way.
    pub async fn put_acme_challenge(&self, host: &str, token: &str, answer: &str) -> Result<()> {
        let mut write = self.write("certificate.challenge").await?;
        sqlx::query(
            "INSERT INTO acme_challenge (token, host, answer) VALUES ($1, $2, $3)
             ON CONFLICT (token) DO UPDATE SET host = excluded.host, answer = excluded.answer",
        )
        .bind(token)
        .bind(host)
        .bind(answer)
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// The authority of this instance.
    pub async fn local_authority(&self) -> Result<Option<StoredAuthority>> {
        let row = sqlx::query("SELECT certificate, key FROM local_authority WHERE id = 1")
            .fetch_optional(self.reader())
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredAuthority { certificate: row.try_get("certificate")?, key: row.try_get("key")? }))
    }

    /// Keeps the authority unless there is one; it is never replaced, since people trust it.
    pub async fn put_local_authority(&self, authority: &StoredAuthority) -> Result<()> {
        let mut write = self.write("certificate.authority").await?;
        sqlx::query(
            "INSERT INTO local_authority (id, certificate, key, created_at) VALUES (1, $1, $2, $3)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&authority.certificate)
        .bind(&authority.key)
        .bind(to_millis(self.now()))
        .execute(write.connection())
        .await?;
        write.commit().await
    }

    /// The hosts of every revision that is wanted or serves, with what their environments ask of visitors.
    pub async fn routed_hosts(&self) -> Result<Vec<RoutedHost>> {
        let rows = sqlx::query(
            "SELECT DISTINCT claim.host, claim.project, claim.environment, transport.redirect, transport.hsts_s
             FROM claim
             JOIN environment ON environment.project = claim.project AND environment.name = claim.environment
             LEFT JOIN transport ON transport.project = claim.project
                  AND transport.environment = claim.environment
             WHERE claim.revision = environment.target OR claim.revision = environment.serving
             ORDER BY claim.host, claim.project, claim.environment",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(routed).collect()
    }

    /// What the hosts of an environment ask of visitors.
    pub async fn transport(&self, key: &EnvironmentKey) -> Result<Transport> {
        let row =
            sqlx::query("SELECT redirect, hsts_s FROM transport WHERE project = $1 AND environment = $2")
                .bind(key.project.as_str())
                .bind(key.environment.as_str())
                .fetch_optional(self.reader())
                .await?;
        row.as_ref().map_or(Ok(Transport::default()), transport)
    }

    /// Sets what the hosts of an environment ask of visitors.
    pub async fn set_transport(&self, key: &EnvironmentKey, wanted: Transport) -> Result<()> {
        let hsts_s = wanted.hsts_s.map(|s| i64::try_from(s).unwrap_or(i64::MAX));
        let mut write = self.write("certificate.transport").await?;
        sqlx::query(
            "INSERT INTO transport (project, environment, redirect, hsts_s) VALUES ($1, $2, $3, $4)
             ON CONFLICT (project, environment) DO UPDATE SET redirect = excluded.redirect,
               hsts_s = excluded.hsts_s",
        )
        .bind(key.project.as_str())
        .bind(key.environment.as_str())
        .bind(wanted.redirect)
        .bind(hsts_s)
        .execute(write.connection())
        .await?;
        write.ring(Change { topic: Topic::Certificates, project: Some(key.project.clone()) });
        write.commit().await
    }
}

fn stored(row: &SqliteRow) -> Result<StoredCertificate> {
    Ok(StoredCertificate {
        host: row.try_get("host")?,
        source: parse("source of a certificate", row.try_get("source")?)?,
        chain: row.try_get("chain")?,
        key: row.try_get("key")?,
        not_before: from_millis(row.try_get("not_before")?),
        not_after: from_millis(row.try_get("not_after")?),
        by: row.try_get("by")?,
    })
}

fn routed(row: &SqliteRow) -> Result<RoutedHost> {
    let environment = EnvironmentKey {
        project: parse("project name", row.try_get("project")?)?,
        environment: parse("environment name", row.try_get("environment")?)?,
    };
    let is_set = row.try_get::<Option<bool>, _>("redirect")?.is_some();
    let transport = if is_set { transport(row)? } else { Transport::default() };
    Ok(RoutedHost { host: row.try_get("host")?, environment, transport })
}

fn transport(row: &SqliteRow) -> Result<Transport> {
    let hsts_s: Option<i64> = row.try_get("hsts_s")?;
    let hsts_s = hsts_s.map(u64::try_from).transpose();
    let hsts_s = hsts_s.map_err(|_| StoreError::Damaged { what: "transport", why: "negative".into() })?;
    Ok(Transport { redirect: row.try_get("redirect")?, hsts_s })
}
