//! What the environment decides. There is no secret default: a key that is not given is generated into the data folder.

use std::path::PathBuf;

/// Settings of the process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Port to listen on; `PORT`, 8080 unless told.
    pub port: u16,
    /// Folder of the database; `DATA_DIR`, `/data` unless told.
    pub data: PathBuf,
    /// Secret that signs tokens; `BOARD_KEY`, at least 32 characters.
    pub key: Option<String>,
}

impl Settings {
    /// Reads `PORT`, `DATA_DIR` and `BOARD_KEY`.
    pub fn from_environment() -> Result<Self, String> {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let port = match read("PORT") {
            None => 8080,
            Some(text) => text.parse().map_err(|_| format!("PORT is not a port number: {text:?}"))?,
        };
        let data = read("DATA_DIR").map_or_else(|| PathBuf::from("/data"), PathBuf::from);
        let key = read("BOARD_KEY");
        if key.as_ref().is_some_and(|key| key.len() < 32) {
            return Err("BOARD_KEY is shorter than 32 characters".to_owned());
        }
        Ok(Self { port, data, key })
    }
}
