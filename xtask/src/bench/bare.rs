//! The other side of the push measurement: the same work with git, podman, Debian's docker-registry and nginx, driven by
//! `bare.sh`.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::process::{Daemon, wait_until};
use super::service::{self, WorkingCopy};
use super::{debian, push::Delivery};
use crate::command;
use crate::demo::folders::Folders;

const SCRIPT: &str = include_str!("bare.sh");
const START: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_mins(1);

/// Registry, nginx, repositories and a container store of their own.
pub(super) struct Bare {
    folder: PathBuf,
    /// Podman's transient state: in memory, as podman wants it.
    run: tempfile::TempDir,
    registry: SocketAddr,
    nginx: PathBuf,
    front: SocketAddr,
    ports: [u16; 2],
    copy: WorkingCopy,
    running: Option<String>,
    count: usize,
    _daemons: [Daemon; 2],
}

impl Bare {
    /// Starts what a machine that is run by hand has running anyway.
    pub(super) fn start(
        folders: &Folders,
        program: &Path,
        ports: &mut impl FnMut() -> Result<u16>,
    ) -> Result<Self> {
        let folder = folders.file("bare");
        fs::create_dir_all(&folder)?;
        let run = tempfile::Builder::new().prefix("naru-bench").tempdir_in("/dev/shm")?;
        let registry = SocketAddr::from(([127, 0, 0, 1], ports()?));
        let front = SocketAddr::from(([127, 0, 0, 1], ports()?));
        let backends = [ports()?, ports()?];
        configure_podman(&folder, run.path(), registry)?;
        fs::write(folder.join("bare.sh"), SCRIPT)?;
        let remote = repositories(&folder)?;
        let copy = WorkingCopy::create(folder.join("work"), program, service::DEFINITION, &remote, None)?;
        let registry_daemon = start_registry(folders, &folder, registry)?;
        let (nginx, nginx_daemon) = start_nginx(folders, &folder, front, backends[0])?;
        for address in [registry, front] {
            wait_until(START, "starting registry and nginx", || TcpStream::connect(address).is_ok())?;
        }
        Ok(Self {
            folder,
            run,
            registry,
            nginx,
            front,
            ports: backends,
            copy,
            running: None,
            count: 0,
            _daemons: [registry_daemon, nginx_daemon],
        })
    }

    /// Pushes one page and waits until it is served; then removes what served before.
    pub(super) fn deliver(&mut self, page: &str) -> Result<Delivery> {
        self.copy.commit(page)?;
        let began = Instant::now();
        self.copy.push()?;
        let mut phases = vec![("git push".to_owned(), began.elapsed())];
        let mut script = command::program("sh", &self.folder);
        let port = self.ports[self.count % 2];
        script.arg("-e").arg(self.folder.join("bare.sh"));
        script.env("FOLDER", &self.folder).env("REGISTRY", self.registry.to_string());
        script.env("VERSION", page).env("PORT", port.to_string()).env("NGINX", &self.nginx);
        let printed = command::output(with_podman(&mut script, &self.folder))?;
        for line in printed.lines() {
            let (name, milliseconds) = line.split_once(' ').context("a phase has no time")?;
            phases.push((name.to_owned(), Duration::from_millis(milliseconds.parse()?)));
        }
        let waiting = Instant::now();
        while !service::page(self.front, "localhost").is_ok_and(|seen| seen == page) {
            anyhow::ensure!(waiting.elapsed() < LIMIT, "nginx never served the new version");
            super::process::pause(super::push::LOOK_EVERY)?;
        }
        phases.push(("visible".to_owned(), waiting.elapsed()));
        let total = began.elapsed();
        self.count += 1;
        if let Some(old) = self.running.replace(format!("bench-{page}")) {
            self.podman(&["rm", "--force", "--time", "1", &old])?;
        }
        Ok(Delivery { total, phases })
    }

    fn podman(&self, words: &[&str]) -> Result<String> {
        let mut podman = command::program("podman", &self.folder);
        command::output(with_podman(podman.args(words), &self.folder))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        if let Err(error) = self.podman(&["rm", "--force", "--all", "--time", "1"]) {
            eprintln!("the containers of the bare side could not be removed: {error:#}");
        }
        // Podman leaves its storage mounted on itself.
        let overlay = self.folder.join("storage/overlay");
        let _ = command::output(command::program("umount", self.run.path()).arg(overlay));
    }
}

fn with_podman<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .env("CONTAINERS_CONF", folder.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"))
        .env("CONTAINERS_REGISTRIES_CONF", folder.join("registries.conf"))
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost")
}

/// The same settings as Naru's own engine has.
fn configure_podman(folder: &Path, run: &Path, registry: SocketAddr) -> Result<()> {
    let files = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?.1;
    let processes = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NPROC)?.1;
    fs::write(
        folder.join("containers.conf"),
        format!(
            "[containers]\ndefault_ulimits = [\"nofile={0}:{0}\", \"nproc={1}:{1}\"]\n[engine]\nruntime = \"runc\"\n\
             cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nlock_type = \"file\"\ntmp_dir = \"{2}\"\n[network]\nnetwork_backend = \"netavark\"\n",
            files.min(65_536),
            processes.min(32_768),
            run.join("libpod").display()
        ),
    )?;
    fs::write(
        folder.join("storage.conf"),
        format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            folder.join("storage").display(),
            run.display()
        ),
    )?;
    let insecure = format!("[[registry]]\nlocation = \"{registry}\"\ninsecure = true\n");
    Ok(fs::write(folder.join("registries.conf"), insecure)?)
}

/// A source repository to push to, and a deploy repository with its working copy. Returns the former's address.
fn repositories(folder: &Path) -> Result<String> {
    let git = |words: &[&str]| command::output(command::program("git", folder).args(words)).map(drop);
    git(&["init", "--quiet", "--bare", "--initial-branch=main", "source.git"])?;
    git(&["init", "--quiet", "--bare", "--initial-branch=main", "deploy.git"])?;
    git(&["clone", "--quiet", "deploy.git", "deploy"])?;
    git(&["-C", "deploy", "config", "user.name", "Naru bench"])?;
    git(&["-C", "deploy", "config", "user.email", "bench@localhost"])?;
    let manifest =
        "kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n        - image: none\n";
    fs::write(folder.join("deploy/deployment.yaml"), manifest)?;
    git(&["-C", "deploy", "add", "--all"])?;
    git(&["-C", "deploy", "commit", "--quiet", "--message", "Begin"])?;
    git(&["-C", "deploy", "push", "--quiet", "origin", "HEAD:main"])?;
    Ok(folder.join("source.git").to_string_lossy().into_owned())
}

/// Debian's docker-registry, on loopback.
pub(super) fn start_registry(folders: &Folders, folder: &Path, address: SocketAddr) -> Result<Daemon> {
    let program =
        debian::program(folders, "docker-registry", &["docker-registry"], "usr/bin/docker-registry")?;
    let configuration = folder.join("registry.yml");
    let storage = folder.join("registry");
    fs::write(
        &configuration,
        format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: \"{address}\"}}\n",
            storage.display()
        ),
    )?;
    let mut registry = command::program(&program.to_string_lossy(), folder);
    Daemon::start(registry.arg("serve").arg(&configuration), &folder.join("registry.log"))
}

fn start_nginx(
    folders: &Folders,
    folder: &Path,
    front: SocketAddr,
    backend: u16,
) -> Result<(PathBuf, Daemon)> {
    let nginx = debian::program(folders, "nginx", &["nginx"], "usr/sbin/nginx")?;
    fs::write(folder.join("upstream.conf"), format!("server 127.0.0.1:{backend};\n"))?;
    let at = folder.display();
    fs::write(
        folder.join("nginx.conf"),
        format!(
            "pid {at}/nginx.pid;\nerror_log {at}/nginx.log;\nuser root;\nworker_processes 2;\nevents {{}}\n\
             http {{\n  access_log off;\n  client_body_temp_path {at}/tmp;\n  proxy_temp_path {at}/tmp;\n  \
             fastcgi_temp_path {at}/tmp;\n  uwsgi_temp_path {at}/tmp;\n  scgi_temp_path {at}/tmp;\n  \
             upstream service {{ include {at}/upstream.conf; }}\n  \
             server {{ listen {front}; location / {{ proxy_pass http://service; }} }}\n}}\n"
        ),
    )?;
    let mut daemon = command::program(&nginx.to_string_lossy(), folder);
    daemon.arg("-c").arg(folder.join("nginx.conf")).args(["-g", "daemon off;"]);
    let daemon = Daemon::start(&mut daemon, &folder.join("nginx.out"))?;
    Ok((nginx, daemon))
}
