//! The data folder: who may open it, what is where, and which instance it is.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use naru_model::{InstanceId, Problem};
use nix::fcntl::{Flock, FlockArg};

/// An opened data folder. Nobody else opens it while this lives.
pub(crate) struct DataFolder {
    root: PathBuf,
    instance: InstanceId,
    _lock: Flock<File>,
}

impl DataFolder {
    /// Opens or creates the folder and takes its lock.
    pub(crate) fn open(root: &Path) -> Result<Self, Problem> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|error| unusable(root, &error))?;
        let root = root.canonicalize().map_err(|error| unusable(root, &error))?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(root.join("lock"))
            .map_err(|error| unusable(&root, &error))?;
        let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, _)| {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Problem::new("serve.in-use", format!("another naru serve uses {}", root.display()))
                .cause(format!("process {} holds its lock", holder.trim()))
                .state("that one goes on undisturbed")
                .hint("stop it first, or choose another folder with --data")
        })?;
        let written = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        written.map_err(|error| unusable(&root, &error))?;
        for folder in ["git/source", "git/deploy", "blobs", "logs", "engine", "edge"] {
            let folder = root.join(folder);
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| unusable(&folder, &error))?;
        }
        let instance = instance(&root)?;
        Ok(Self { root, instance, _lock: lock })
    }

    /// Which instance this is.
    pub(crate) fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// A file or folder within.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Reads the instance's id, or makes one the first time.
fn instance(root: &Path) -> Result<InstanceId, Problem> {
    let file = root.join("instance");
    match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().map_err(|error| {
            Problem::new("serve.data-folder", format!("{} does not hold an instance id", file.display()))
                .cause(format!("{error}"))
                .state("nothing was started")
                .hint("restore the file from a backup; with another id, what this instance made is not found again")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0_u8; 6];
            getrandom::fill(&mut bytes).map_err(|error| unusable(&file, &error))?;
            let text = u64::from_be_bytes([0, 0, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]]);
            let text = format!("{text:012x}");
            write_private(&file, &text).map_err(|error| unusable(&file, &error))?;
            Ok(text.parse().expect("twelve hexadecimal characters"))
        }
        Err(error) => Err(unusable(&file, &error)),
    }
}

/// Writes a file that only its owner reads, replaced as a whole.
pub(crate) fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut open = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    open.write_all(text.as_bytes())?;
    open.sync_all()?;
    fs::rename(beside, file)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::new("serve.data-folder", format!("{} cannot be used", path.display()))
        .cause(error.to_string())
        .state("nothing was started")
        .hint("give this user the folder, free some space, or choose another folder with --data")
}
