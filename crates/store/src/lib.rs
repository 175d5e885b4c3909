//! Every SQL statement and migration, leases, blobs and the append-only log. What is stored means nothing here: rules
//! live in `naru-model`, loops in the crates that own them.
//!
//! One writer: [`Store::write`] is the only way to change anything. It counts as one effect, and rings the topics
//! that it touched.

mod account;
mod at_once;
pub mod audit;
pub mod blob;
pub mod certificate;
pub mod claim;
pub mod environment;
pub mod external_login;
mod favourite;
pub mod identity;
pub mod image;
pub mod image_keep;
pub mod intent;
pub mod invitation;
pub mod lease;
pub mod listing;
pub mod log;
pub mod maintenance;
pub mod metric;
pub mod organisation;
pub mod project;
pub mod receipt;
pub mod release;
pub mod revision;
pub mod run;
pub mod sealed;
pub mod session;
mod set_back;
pub mod setting;
pub mod setting_version;
mod shared;
mod topic;
pub mod totp;
pub mod trigger;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use naru_model::effect::Effects;
use naru_model::effect::Moment;
use naru_model::{Clock, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::broadcast;

pub use topic::{Change, Changes, Look, Topic};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The caller no longer holds the lease it acts under, or a newer generation exists.
    #[error("stale: {0}")]
    Stale(&'static str),
    /// Another row has this name or number already.
    #[error("{0} exists already")]
    Exists(String),
    /// No such row.
    #[error("{0} does not exist")]
    Missing(String),
    /// What is stored cannot be read: it was damaged or written by a newer version.
    #[error("stored {what} cannot be read: {why}")]
    Damaged {
        /// Which kind of value.
        what: &'static str,
        /// The decoder's reason.
        why: String,
    },
    /// The disk or the database refused: full, busy beyond the time limit, or not writable.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) if error.is_unique_violation() => {
                Self::Exists(error.message().to_owned())
            }
            sqlx::Error::RowNotFound => Self::Missing("the row".into()),
            sqlx::Error::ColumnDecode { index, source } => {
                Self::Damaged { what: "row", why: format!("column {index}: {source}") }
            }
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// The result of every call here.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The database of one instance. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    reader: SqlitePool,
    writer: SqlitePool,
    clock: Arc<dyn Clock>,
    effects: Arc<dyn Effects>,
    /// Names this worker in leases.
    worker: Arc<str>,
    changes: broadcast::Sender<Change>,
}

impl Store {
    /// Opens or creates the database in `file` and brings its schema up to date.
    pub async fn open(file: &Path, clock: Arc<dyn Clock>, effects: Arc<dyn Effects>) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        // A file does not hang up as a server does: asking before each statement whether it is there is half the time.
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let writer = pool().max_connections(1).connect_with(options.clone()).await?;
        sqlx::migrate!().run(&writer).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let reader = pool().max_connections(4).connect_with(options.read_only(true)).await?;
        let (changes, _) = broadcast::channel(1024);
        let worker = uuid::Uuid::new_v4().to_string().into();
        Ok(Self { reader, writer, clock, effects, worker, changes })
    }

    /// The same database as another worker sees it: it has leases of its own, and hears only its own changes.
    #[must_use]
    pub fn beside(&self, worker: &str, clock: Arc<dyn Clock>, effects: Arc<dyn Effects>) -> Self {
        let (changes, _) = broadcast::channel(1024);
        let (reader, writer) = (self.reader.clone(), self.writer.clone());
        Self { reader, writer, clock, effects, worker: worker.into(), changes }
    }

    /// Begins a change. `name` is stable and dotted without the `store.` prefix, such as `trigger.accept`.
    pub(crate) async fn write(&self, name: &'static str) -> Result<Write<'_>> {
        let transaction = match self.begin().await {
            // On a full disk SQLite ends a transaction by itself, and the driver goes on counting it: this connection
            // would refuse every change from now on.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                self.begin().await?
            }
            begun => begun?,
        };
        Ok(Write { store: self, name, transaction, changes: Vec::new() })
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Connections for reading.
    pub(crate) fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// Reads every page and looks whether it is whole. Takes as long as the database is large.
    pub async fn check(&self) -> Result<()> {
        let found: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&self.reader).await?;
        if found == "ok" { Ok(()) } else { Err(StoreError::Damaged { what: "database", why: found }) }
    }

    /// The hour, for rows that carry it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Follows what changes from now on.
    pub fn changes(&self) -> Changes {
        Changes::new(self.changes.subscribe())
    }
}

/// A change under way; without [`Write::commit`] nothing happens.
pub(crate) struct Write<'a> {
    store: &'a Store,
    name: &'static str,
    transaction: Transaction<'static, Sqlite>,
    changes: Vec<Change>,
}

impl Write<'_> {
    /// Where statements run.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Rings a topic once the change is committed.
    pub(crate) fn ring(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Makes the change true and rings its topics.
    pub(crate) async fn commit(self) -> Result<()> {
        let name = format!("store.{}", self.name);
        self.store.effects.at(Moment::Before, &name).await;
        if let Some(why) = self.store.effects.refusal(&name) {
            return Err(StoreError::Unavailable(why));
        }
        self.transaction.commit().await?;
        self.store.effects.at(Moment::After, &name).await;
        for change in self.changes {
            let _ = self.store.changes.send(change); // nobody listening is fine: loops also look by timer
        }
        Ok(())
    }
}

/// An instant as it is stored: milliseconds since 1970.
pub(crate) fn to_millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// The inverse of [`to_millis`].
pub(crate) fn from_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Reads a stored text as a model type.
pub(crate) fn parse<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Damaged { what, why: error.to_string() })
}

/// Reads a stored JSON document as a model type.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged { what, why: error.to_string() })
}

/// Writes a model type as a JSON document.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("model types are plain data")
}
