//! Passwords: what is accepted, and their Argon2id hashes, computed off the event loop and few at a time.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use crate::Board;
use crate::failure::Failure;

/// Hashes computed at once: each takes 19 MiB and a core.
pub const AT_ONCE: usize = 2;

/// Fewest characters of a password.
pub const SHORTEST: usize = 10;

/// Most bytes of a password.
pub const LONGEST: usize = 200;

/// Whether a password may be chosen.
pub fn acceptable(password: &str) -> bool {
    password.chars().count() >= SHORTEST && password.len() <= LONGEST
}

/// The hash to keep, with parameters and salt in it.
pub async fn hash(board: &Arc<Board>, password: String) -> Result<String, Failure> {
    let _permit = board.hashing.acquire().await.map_err(Failure::internal)?;
    tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash: PasswordHash| hash.to_string())
    })
    .await
    .map_err(Failure::internal)?
    .map_err(Failure::internal)
}

/// Whether a password belongs to a hash. Without a hash the same work is done in vain, so that the time taken does
/// not tell which logins exist.
pub async fn matches(board: &Arc<Board>, password: String, kept: Option<String>) -> Result<bool, Failure> {
    let Some(kept) = kept else {
        hash(board, password).await?;
        return Ok(false);
    };
    let _permit = board.hashing.acquire().await.map_err(Failure::internal)?;
    tokio::task::spawn_blocking(move || {
        PasswordHash::new(&kept)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
    .map_err(Failure::internal)
}
