//! A message board: people sign up, write posts, edit and delete their own, and search everyone's.
//!
//! Requests pass `visit` (who is it, is the form ours), then a page. Pages talk to `store`, the only file with SQL.
//! The process around it is in `main`.

pub mod accounts;
pub mod attempts;
pub mod failure;
pub mod hex;
pub mod metrics;
pub mod pages;
pub mod password;
pub mod settings;
pub mod store;
pub mod time;
pub mod token;
pub mod visit;
pub mod words;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use attempts::Attempts;
use metrics::Metrics;
use settings::Settings;
use store::Store;
use token::Key;

/// Largest request body in bytes: a post of 10,000 characters, encoded for a form.
pub const BODY_LIMIT: usize = 256 * 1024;

/// Everything that requests share.
pub struct Board {
    pub store: Store,
    pub key: Key,
    pub metrics: Metrics,
    pub attempts: Mutex<Attempts>,
    pub hashing: tokio::sync::Semaphore,
}

impl Board {
    /// Opens the database and the signing key, making what is missing.
    pub fn open(settings: &Settings) -> Result<Self, Box<dyn std::error::Error>> {
        std::fs::create_dir_all(&settings.data)?;
        Ok(Self {
            key: Key::open(settings)?,
            store: Store::open(&settings.data.join("board.db"))?,
            metrics: Metrics::default(),
            attempts: Mutex::new(Attempts::default()),
            hashing: tokio::sync::Semaphore::new(password::AT_ONCE),
        })
    }
}

/// All routes. What machines read stands outside of `visit`: it needs no cookies.
pub fn router(board: Arc<Board>) -> Router {
    let pages = Router::new()
        .route("/", get(pages::posts::list))
        .route("/posts", post(pages::posts::create))
        .route("/posts/new", get(pages::posts::new))
        .route("/posts/{id}", get(pages::posts::show).post(pages::posts::update))
        .route("/posts/{id}/edit", get(pages::posts::edit))
        .route("/posts/{id}/delete", post(pages::posts::delete))
        .route("/signup", get(accounts::signup_page).post(accounts::signup))
        .route("/login", get(accounts::login_page).post(accounts::login))
        .route("/logout", post(accounts::logout))
        .route("/account", get(accounts::account_page).post(accounts::rename))
        .route("/language/{language}", post(accounts::language))
        .fallback(pages::not_found)
        .layer(from_fn_with_state(Arc::clone(&board), visit::identify))
        .layer(DefaultBodyLimit::max(BODY_LIMIT));
    Router::new()
        .route("/healthz", get(pages::machine::alive))
        .route("/readyz", get(pages::machine::ready))
        .route("/metrics", get(pages::machine::metrics))
        .route("/assets/board.css", get(pages::machine::style))
        .merge(pages)
        .layer(from_fn_with_state(Arc::clone(&board), metrics::measure))
        .layer(from_fn(pages::security_headers))
        .with_state(board)
}
