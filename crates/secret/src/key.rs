//! The key ring: a file of keys, readable by its owner only. The newest key seals, every key opens.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use naru_model::Problem;
use naru_model::receipt::PublicKey;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretBox};

use crate::sign::public_key_of;

const KEY_BYTES: usize = 32;
const FILE_LIMIT_BYTES: u64 = 64 << 10;
const HEADING: &str = "# Naru's keys, oldest first: `<id> <key>`. Without this file no stored secret can be read: back it up.\n\
                       # `retired <id> <public key>` checks receipts that a key signed which is gone.\n";
const RETIRED: &str = "retired";

/// Why the key ring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or writing the file failed.
    #[error("the key file {file} cannot be used: {source}")]
    Io {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("the key file {file} can be read by others (mode {mode:o})")]
    Exposed {
        /// Which file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A line is not `<id> <key>`.
    #[error("line {line} of the key file {file} is no key")]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// Counts from 1; 0 when the whole file holds no key.
        line: usize,
    },
    /// The operating system gave no randomness.
    #[error("the system gave no randomness: {0}")]
    Randomness(getrandom::Error),
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let problem = |code| Self::new(code, error.to_string()).state("nothing was changed");
        match &error {
            KeyError::Exposed { file, .. } => problem("secret.key-exposed")
                .hint("restrict it:")
                .command(format!("chmod 600 {}", file.display())),
            KeyError::Malformed { .. } => {
                problem("secret.key-damaged").hint("restore the file from a backup")
            }
            KeyError::Io { .. } | KeyError::Randomness(_) => problem("secret.key-unusable"),
        }
    }
}

pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) bytes: SecretBox<[u8; KEY_BYTES]>,
}

impl Key {
    fn generate() -> Result<Self, KeyError> {
        let mut id = [0_u8; 4];
        getrandom::fill(&mut id).map_err(KeyError::Randomness)?;
        let bytes = SecretBox::try_init_with(|| {
            let mut bytes = [0; KEY_BYTES];
            getrandom::fill(&mut bytes).map(|()| bytes)
        });
        Ok(Self { id: hex::encode(id), bytes: bytes.map_err(KeyError::Randomness)? })
    }

    fn parse(line: &str) -> Option<Self> {
        let (id, encoded) = line.split_once(' ')?;
        let is_id = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        let bytes = <[u8; KEY_BYTES]>::try_from(decoded.as_slice()).ok()?;
        is_id.then(|| Self { id: id.to_owned(), bytes: SecretBox::new(Box::new(bytes)) })
    }
}

/// The keys of one instance. Prints as nothing but its newest key's id.
pub struct KeyRing {
    file: PathBuf,
    /// Oldest first, never empty.
    keys: Vec<Key>,
    /// What checks the signatures of keys that are gone, oldest first.
    retired: Vec<PublicKey>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("newest", &self.newest().id).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the ring in `file`, or makes one with a fresh key when there is no such file. A file that others can
    /// read is refused.
    pub fn open(file: &Path) -> Result<Self, KeyError> {
        match read_keys(file) {
            Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let (keys, retired) = (vec![Key::generate()?], Vec::new());
                let ring = Self { file: file.to_owned(), keys, retired };
                ring.save()?;
                Ok(ring)
            }
            found => {
                let (keys, retired) = found?;
                Ok(Self { file: file.to_owned(), keys, retired })
            }
        }
    }

    /// Adds a fresh key, which seals from now on. What was sealed before still opens.
    pub fn rotate(&mut self) -> Result<(), KeyError> {
        self.keys.push(Key::generate()?);
        let saved = self.save();
        if saved.is_err() {
            self.keys.pop(); // a key that is not on disk must not seal anything
        }
        saved
    }

    /// Forgets the keys that seal nothing any more, but never the newest; what checks their signatures stays. Returns how
    /// many went.
    pub fn retire(&mut self, is_used: impl Fn(&str) -> bool) -> Result<usize, KeyError> {
        let newest = self.newest().id.clone();
        let stays = |key: &Key| key.id == newest || is_used(&key.id);
        let gone: Vec<PublicKey> = self.keys.iter().filter(|key| !stays(key)).map(public_key_of).collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let text = self.text(self.keys.iter().filter(|key| stays(key)), self.retired.iter().chain(&gone));
        self.replace(&text)?;
        self.keys.retain(|key| key.id == newest || is_used(&key.id));
        self.retired.extend(gone.iter().cloned());
        Ok(gone.len())
    }

    /// The ids of the keys, oldest first.
    pub fn key_ids(&self) -> Vec<&str> {
        self.keys.iter().map(|key| key.id.as_str()).collect()
    }

    pub(crate) fn retired(&self) -> &[PublicKey] {
        &self.retired
    }

    /// The id of the key that seals.
    pub fn newest_id(&self) -> &str {
        &self.newest().id
    }

    pub(crate) fn newest(&self) -> &Key {
        self.keys.last().expect("a ring is never empty")
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> &[Key] {
        &self.keys
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    fn save(&self) -> Result<(), KeyError> {
        self.replace(&self.text(self.keys.iter(), self.retired.iter()))
    }

    /// Replaces the file in one step: after a crash it is the old one or the new one.
    fn replace(&self, text: &str) -> Result<(), KeyError> {
        replace(&self.file, text.as_bytes())
            .map_err(|source| KeyError::Io { file: self.file.clone(), source })
    }

    #[expect(clippy::unused_self, reason = "the form of this ring's file")]
    fn text<'a>(
        &self,
        keys: impl Iterator<Item = &'a Key>,
        retired: impl Iterator<Item = &'a PublicKey>,
    ) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::from(HEADING));
        for key in retired {
            text.extend([RETIRED, " ", &key.id, " ", &key.key, "\n"]);
        }
        for key in keys {
            let encoded = Zeroizing::new(STANDARD.encode(key.bytes.expose_secret()));
            text.extend([key.id.as_str(), " ", &encoded, "\n"]);
        }
        text
    }
}

fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let next = file.with_extension("next");
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut handle = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    handle.write_all(content)?;
    handle.sync_all()?;
    std::fs::rename(&next, file)?;
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn parse_retired(line: &str) -> Option<PublicKey> {
    let (id, key) = line.strip_prefix(RETIRED)?.strip_prefix(' ')?.split_once(' ')?;
    Some(PublicKey { id: id.to_owned(), key: key.trim().to_owned() })
}

fn read_keys(file: &Path) -> Result<(Vec<Key>, Vec<PublicKey>), KeyError> {
    let unusable = |source| KeyError::Io { file: file.to_owned(), source };
    let handle = std::fs::File::open(file).map_err(unusable)?;
    let mode = handle.metadata().map_err(unusable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { file: file.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    handle.take(FILE_LIMIT_BYTES).read_to_string(&mut text).map_err(unusable)?;
    let (mut keys, mut retired) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(public) = parse_retired(line) {
            retired.push(public);
            continue;
        }
        keys.push(Key::parse(line).ok_or(KeyError::Malformed { file: file.to_owned(), line: index + 1 })?);
    }
    if keys.is_empty() {
        Err(KeyError::Malformed { file: file.to_owned(), line: 0 })
    } else {
        Ok((keys, retired))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_made_once_with_mode_0600_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let first = KeyRing::open(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyRing::open(&file).unwrap().newest_id(), first.newest_id());
        assert!(!format!("{first:?}").contains(&STANDARD.encode(first.newest().bytes.expose_secret())));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        KeyRing::open(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(KeyRing::open(&file), Err(KeyError::Exposed { mode: 0o640, .. })));
    }

    #[test]
    fn damaged_lines_are_named_and_an_emptied_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        KeyRing::open(&file).unwrap();
        std::fs::write(&file, "# heading\nnonsense\n").unwrap();
        assert!(matches!(KeyRing::open(&file), Err(KeyError::Malformed { line: 2, .. })));
        std::fs::write(&file, "").unwrap();
        assert!(matches!(KeyRing::open(&file), Err(KeyError::Malformed { line: 0, .. })));
    }

    #[test]
    fn a_key_that_nothing_needs_goes_and_its_public_half_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let mut ring = KeyRing::open(&file).unwrap();
        let (old, before) = (ring.newest_id().to_owned(), ring.public_keys());
        assert_eq!(ring.retire(|_| false).unwrap(), 0, "the newest never goes");
        ring.rotate().unwrap();
        assert_eq!(ring.retire(|id| id == old).unwrap(), 0, "it is needed");
        let secret = STANDARD.encode(ring.all()[0].bytes.expose_secret());
        assert_eq!(ring.retire(|_| false).unwrap(), 1);
        assert!(!std::fs::read_to_string(&file).unwrap().contains(&secret));
        let again = KeyRing::open(&file).unwrap();
        assert_eq!(again.key_ids(), [ring.newest_id()]);
        assert_eq!(again.public_keys().len(), 2);
        assert_eq!(again.public_keys()[0], before[0]);
    }
}
