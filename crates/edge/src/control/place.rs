//! The folder `<data>/edge` and the names in it. Unix socket paths end at 107 bytes: longer ones are reached
//! through the folder's descriptor.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The control socket.
pub(crate) const CONTROL: &str = "control.sock";
/// The socket that hands out the listening sockets.
pub(crate) const SOCKETS: &str = "sockets.sock";

/// `<data>/edge`.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    folder: PathBuf,
}

/// A path that fits a socket address, valid while this lives.
pub(crate) struct SocketPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Place {
    pub(crate) fn in_data(data: &Path) -> Self {
        Self { folder: data.join("edge") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes the folder, for its owner only.
    pub(crate) fn create(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        std::fs::set_permissions(&self.folder, Permissions::from_mode(0o700))
    }

    pub(crate) fn socket(&self, name: &str) -> io::Result<SocketPath> {
        let path = self.path(name);
        if path.as_os_str().len() < 100 {
            return Ok(SocketPath { path, _folder: None });
        }
        let folder = File::open(&self.folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
        Ok(SocketPath { path, _folder: Some(folder) })
    }

    /// Binds a socket of mode 0600 and puts it in the place of an earlier one at once.
    pub(crate) fn bind(&self, name: &str) -> io::Result<tokio::net::UnixListener> {
        let temporary = format!("{name}.{}", std::process::id());
        let path = self.socket(&temporary)?;
        let _ = std::fs::remove_file(&path);
        let listener = tokio::net::UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        std::fs::rename(self.path(&temporary), self.path(name))?;
        Ok(listener)
    }

    /// The name a control socket has after its process retired.
    pub(crate) fn retired_name(pid: u32) -> String {
        format!("retired-{pid}.sock")
    }

    /// Control sockets of retired processes that may still be draining.
    pub(crate) fn retired(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| {
                name.starts_with("retired-") && Path::new(name).extension().is_some_and(|e| e == "sock")
            })
            .take(16)
            .collect()
    }
}
