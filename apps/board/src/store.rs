//! The database: the only file with SQL. One connection, used on blocking threads; SQLite waits for nobody else.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::failure::Failure;
use crate::time::Seconds;

/// Posts on one page of the list.
pub const PAGE: i64 = 20;

/// Each entry leads from the version of its index to the next. Never change one that was released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE account (
        id INTEGER PRIMARY KEY,
        login TEXT NOT NULL UNIQUE COLLATE NOCASE,
        nickname TEXT NOT NULL,
        password TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE session (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
        refresh BLOB NOT NULL UNIQUE,
        previous BLOB UNIQUE,
        rotated_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX session_expires ON session(expires_at);
    CREATE TABLE post (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT;
"];

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: i64,
    pub login: String,
    pub nickname: String,
}

/// A session, found by one of its refresh tokens.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: i64,
    pub account: i64,
    /// Whether it was found by the token that was already replaced.
    pub replaced: bool,
    pub rotated_at: Seconds,
    pub expires_at: Seconds,
}

/// A post with its author's nickname.
#[derive(Debug, Clone)]
pub struct Post {
    pub id: i64,
    pub account: i64,
    pub nickname: String,
    pub title: String,
    pub body: String,
    pub created_at: Seconds,
    pub updated_at: Seconds,
}

/// One page of posts.
#[derive(Debug, Clone)]
pub struct Listing {
    pub posts: Vec<Post>,
    /// All posts that match, on every page.
    pub total: i64,
}

/// How many of what there are.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub accounts: i64,
    pub posts: i64,
    pub sessions: i64,
}

/// The database.
#[derive(Clone)]
pub struct Store(Arc<Mutex<Connection>>);

impl Store {
    /// Opens the file and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self, rusqlite::Error> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        migrate(&mut connection)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let connection = Arc::clone(&self.0);
        let run = move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(run).await.map_err(Failure::internal)?.map_err(Failure::from)
    }

    /// A new account, or nothing when the login is taken.
    pub async fn add_account(
        &self,
        login: String,
        nickname: String,
        password: String,
        now: Seconds,
    ) -> Result<Option<i64>, Failure> {
        self.call(move |db| {
            db.query_row(
                "INSERT INTO account (login, nickname, password, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING RETURNING id",
                params![login, nickname, password, now],
                |row| row.get(0),
            )
            .optional()
        })
        .await
    }

    /// Account and password hash of a login.
    pub async fn credentials(&self, login: String) -> Result<Option<(i64, String)>, Failure> {
        self.call(move |db| {
            db.query_row("SELECT id, password FROM account WHERE login = ?1", [login], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
        })
        .await
    }

    /// Changes what others see as the author.
    pub async fn rename(&self, account: i64, nickname: String) -> Result<(), Failure> {
        self.call(move |db| {
            db.execute("UPDATE account SET nickname = ?2 WHERE id = ?1", params![account, nickname]).map(drop)
        })
        .await
    }

    /// A new session; sessions that have expired are swept out on the way.
    pub async fn add_session(
        &self,
        account: i64,
        refresh: Vec<u8>,
        now: Seconds,
        expires_at: Seconds,
    ) -> Result<i64, Failure> {
        self.call(move |db| {
            db.execute("DELETE FROM session WHERE expires_at <= ?1", [now])?;
            db.query_row(
                "INSERT INTO session (account, refresh, rotated_at, expires_at) VALUES (?1, ?2, ?3, ?4)
                 RETURNING id",
                params![account, refresh, now, expires_at],
                |row| row.get(0),
            )
        })
        .await
    }

    /// The account of a session that has not ended.
    pub async fn signed_in(
        &self,
        session: i64,
        account: i64,
        now: Seconds,
    ) -> Result<Option<Account>, Failure> {
        self.call(move |db| {
            db.query_row(
                "SELECT account.id, login, nickname FROM session JOIN account ON account.id = session.account
                 WHERE session.id = ?1 AND account.id = ?2 AND expires_at > ?3",
                params![session, account, now],
                |row| Ok(Account { id: row.get(0)?, login: row.get(1)?, nickname: row.get(2)? }),
            )
            .optional()
        })
        .await
    }

    /// The session of a refresh token, the current or the one before it.
    pub async fn session_by_refresh(
        &self,
        refresh: Vec<u8>,
        now: Seconds,
    ) -> Result<Option<Session>, Failure> {
        self.call(move |db| {
            db.query_row(
                "SELECT id, account, refresh != ?1, rotated_at, expires_at FROM session
                 WHERE (refresh = ?1 OR previous = ?1) AND expires_at > ?2",
                params![refresh, now],
                |row| {
                    Ok(Session {
                        id: row.get(0)?,
                        account: row.get(1)?,
                        replaced: row.get(2)?,
                        rotated_at: row.get(3)?,
                        expires_at: row.get(4)?,
                    })
                },
            )
            .optional()
        })
        .await
    }

    /// Replaces a refresh token. False when another request did so first.
    pub async fn rotate(
        &self,
        session: i64,
        from: Vec<u8>,
        to: Vec<u8>,
        now: Seconds,
        expires_at: Seconds,
    ) -> Result<bool, Failure> {
        self.call(move |db| {
            let changed = db.execute(
                "UPDATE session SET refresh = ?3, previous = ?2, rotated_at = ?4, expires_at = ?5
                 WHERE id = ?1 AND refresh = ?2",
                params![session, from, to, now, expires_at],
            )?;
            Ok(changed == 1)
        })
        .await
    }

    /// Ends a session: its tokens open nothing any more.
    pub async fn end_session(&self, session: i64) -> Result<(), Failure> {
        self.call(move |db| db.execute("DELETE FROM session WHERE id = ?1", [session]).map(drop)).await
    }

    /// Posts with every word of `search` in title, body or nickname, newest first. Pages count from 1.
    pub async fn posts(&self, search: &str, page: i64) -> Result<Listing, Failure> {
        let words: Vec<String> = search.split_whitespace().take(8).map(pattern).collect();
        self.call(move |db| {
            let each =
                "AND (title LIKE ? ESCAPE '\\' OR body LIKE ? ESCAPE '\\' OR nickname LIKE ? ESCAPE '\\')";
            let matching = format!(
                "FROM post JOIN account ON account.id = post.account WHERE 1 {}",
                vec![each; words.len()].join(" ")
            );
            let binds: Vec<&String> = words.iter().flat_map(|word| [word, word, word]).collect();
            let count = format!("SELECT count(*) {matching}");
            let total = db.query_row(&count, rusqlite::params_from_iter(&binds), |row| row.get(0))?;
            let offset = page.saturating_sub(1).saturating_mul(PAGE);
            let select = format!(
                "SELECT post.id, post.account, nickname, title, body, post.created_at, updated_at {matching}
                 ORDER BY post.id DESC LIMIT {PAGE} OFFSET {offset}"
            );
            let mut statement = db.prepare(&select)?;
            let posts = statement.query_map(rusqlite::params_from_iter(&binds), post)?;
            Ok(Listing { posts: posts.collect::<Result<_, _>>()?, total })
        })
        .await
    }

    /// One post.
    pub async fn post(&self, id: i64) -> Result<Option<Post>, Failure> {
        self.call(move |db| {
            db.query_row(
                "SELECT post.id, post.account, nickname, title, body, post.created_at, updated_at
                 FROM post JOIN account ON account.id = post.account WHERE post.id = ?1",
                [id],
                post,
            )
            .optional()
        })
        .await
    }

    /// A new post.
    pub async fn add_post(
        &self,
        account: i64,
        title: String,
        body: String,
        now: Seconds,
    ) -> Result<i64, Failure> {
        self.call(move |db| {
            db.query_row(
                "INSERT INTO post (account, title, body, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
                 RETURNING id",
                params![account, title, body, now],
                |row| row.get(0),
            )
        })
        .await
    }

    /// Changes a post of this author. False when it is not theirs or is gone.
    pub async fn change_post(
        &self,
        id: i64,
        account: i64,
        title: String,
        body: String,
        now: Seconds,
    ) -> Result<bool, Failure> {
        self.call(move |db| {
            let changed = db.execute(
                "UPDATE post SET title = ?3, body = ?4, updated_at = ?5 WHERE id = ?1 AND account = ?2",
                params![id, account, title, body, now],
            )?;
            Ok(changed == 1)
        })
        .await
    }

    /// Deletes a post of this author. False when it is not theirs or is gone.
    pub async fn delete_post(&self, id: i64, account: i64) -> Result<bool, Failure> {
        self.call(move |db| {
            Ok(db.execute("DELETE FROM post WHERE id = ?1 AND account = ?2", params![id, account])? == 1)
        })
        .await
    }

    /// Totals for the metrics; also shows that the database answers.
    pub async fn totals(&self) -> Result<Totals, Failure> {
        self.call(|db| {
            db.query_row(
                "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM post), (SELECT count(*) FROM session)",
                [],
                |row| Ok(Totals { accounts: row.get(0)?, posts: row.get(1)?, sessions: row.get(2)? }),
            )
        })
        .await
    }
}

fn migrate(db: &mut Connection) -> Result<(), rusqlite::Error> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (index, step) in (1_i64..).zip(MIGRATIONS).filter(|(index, _)| *index > version) {
        let transaction = db.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", index)?;
        transaction.commit()?;
    }
    Ok(())
}

/// A word as it is for LIKE, with its own wildcards taken literally.
fn pattern(word: &str) -> String {
    let literal = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{literal}%")
}

fn post(row: &Row<'_>) -> Result<Post, rusqlite::Error> {
    Ok(Post {
        id: row.get(0)?,
        account: row.get(1)?,
        nickname: row.get(2)?,
        title: row.get(3)?,
        body: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
    })
}
