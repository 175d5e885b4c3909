//! Every sealed value, wherever it is, for sealing it anew. Nothing here opens one.

use naru_model::certificate::CertificateSource;
use naru_model::job::SecretScope;
use naru_model::{EnvironmentKey, SecretName, SecretVersion};
use sqlx::Row;

use crate::setting::SHARED;
use crate::{Result, Store, parse};

/// What a sealed value belongs to, which says what it is sealed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedOf {
    /// A version of a secret, and the version and scope that it is sealed for.
    Secret {
        /// Its row.
        row: i64,
        /// The scope that it is sealed for.
        scope: SecretScope,
        /// Its name.
        name: SecretName,
        /// The version that it is sealed for.
        version: SecretVersion,
    },
    /// The private key of a certificate.
    Certificate {
        /// For this host.
        host: String,
        /// From there.
        source: CertificateSource,
    },
    /// The account at this ACME directory.
    AcmeAccount(String),
    /// The key of the local authority.
    LocalAuthority,
    /// The second factor of this account.
    Totp(String),
}

/// A sealed value and what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// What it belongs to.
    pub of: SealedOf,
    /// The sealed text.
    pub sealed: String,
}

impl Store {
    /// Every sealed value there is.
    pub async fn sealed_values(&self) -> Result<Vec<SealedValue>> {
        let mut values = self.sealed_secrets().await?;
        let mut push = |of, sealed| values.push(SealedValue { of, sealed });
        for row in sqlx::query("SELECT host, source, key FROM certificate").fetch_all(self.reader()).await? {
            let source = parse("certificate source", row.try_get("source")?)?;
            push(SealedOf::Certificate { host: row.try_get("host")?, source }, row.try_get("key")?);
        }
        for row in
            sqlx::query("SELECT directory, credentials FROM acme_account").fetch_all(self.reader()).await?
        {
            push(SealedOf::AcmeAccount(row.try_get("directory")?), row.try_get("credentials")?);
        }
        for row in sqlx::query("SELECT key FROM local_authority").fetch_all(self.reader()).await? {
            push(SealedOf::LocalAuthority, row.try_get("key")?);
        }
        let accounts = "SELECT login, totp_secret FROM account WHERE totp_secret IS NOT NULL";
        for row in sqlx::query(accounts).fetch_all(self.reader()).await? {
            push(SealedOf::Totp(row.try_get("login")?), row.try_get("totp_secret")?);
        }
        Ok(values)
    }

    async fn sealed_secrets(&self) -> Result<Vec<SealedValue>> {
        let rows = sqlx::query(
            "SELECT rowid AS row, project, environment, name, version, shared, sealed FROM secret_version
             WHERE sealed IS NOT NULL ORDER BY rowid",
        )
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let project = parse("project name", row.try_get("project")?)?;
                let shared: Option<u32> = row.try_get("shared")?;
                let scope = match row.try_get("environment")? {
                    "" => SecretScope::Pipeline(project),
                    SHARED => SecretScope::Project(project),
                    _ if shared.is_some() => SecretScope::Project(project),
                    name => {
                        let environment = parse("environment name", name)?;
                        SecretScope::Environment(EnvironmentKey { project, environment })
                    }
                };
                let version = SecretVersion(shared.map_or_else(|| row.try_get("version"), Ok)?);
                let name = parse("secret name", row.try_get("name")?)?;
                let of = SealedOf::Secret { row: row.try_get("row")?, scope, name, version };
                Ok(SealedValue { of, sealed: row.try_get("sealed")? })
            })
            .collect()
    }

    /// Puts a value that was sealed anew into the place of what it was. Does nothing when that has changed by now.
    pub async fn reseal(&self, value: &SealedValue, anew: &str) -> Result<()> {
        let mut write = self.write("key.reseal").await?;
        let old = &value.sealed;
        let query = match &value.of {
            SealedOf::Secret { row, .. } => {
                sqlx::query("UPDATE secret_version SET sealed = $1 WHERE sealed = $2 AND rowid = $3")
                    .bind(anew)
                    .bind(old)
                    .bind(row)
            }
            SealedOf::Certificate { host, source } => {
                sqlx::query("UPDATE certificate SET key = $1 WHERE key = $2 AND host = $3 AND source = $4")
                    .bind(anew)
                    .bind(old)
                    .bind(host)
                    .bind(source.to_string())
            }
            SealedOf::AcmeAccount(directory) => sqlx::query(
                "UPDATE acme_account SET credentials = $1 WHERE credentials = $2 AND directory = $3",
            )
            .bind(anew)
            .bind(old)
            .bind(directory),
            SealedOf::LocalAuthority => {
                sqlx::query("UPDATE local_authority SET key = $1 WHERE key = $2").bind(anew).bind(old)
            }
            SealedOf::Totp(login) => {
                sqlx::query("UPDATE account SET totp_secret = $1 WHERE totp_secret = $2 AND login = $3")
                    .bind(anew)
                    .bind(old)
                    .bind(login)
            }
        };
        query.execute(write.connection()).await?;
        write.commit().await
    }
}
