//! Base images: pulled where a registry can be reached; else stand-ins made on this machine, once, and cached.
//!
//! The apps' Dockerfiles are the ordinary ones. Only what cannot be pulled is made here, under the name that they use.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::engine::Engine;
use super::folders::Folders;
use super::interrupt;
use crate::command;

/// A base image that the apps are built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Debian,
    Nginx,
    Rust,
}

impl Base {
    /// The name in Dockerfiles.
    fn name(self) -> &'static str {
        match self {
            Self::Debian => "docker.io/library/debian:bookworm-slim",
            Self::Nginx => "docker.io/library/nginx:stable",
            Self::Rust => "docker.io/library/rust:1.95",
        }
    }

    /// The name in the cache. The Rust stand-in holds the toolchain of this machine, whichever that is.
    fn file(self) -> Result<String> {
        Ok(match self {
            Self::Debian => "debian-bookworm-slim.tar".to_owned(),
            Self::Nginx => "nginx-stable.tar".to_owned(),
            Self::Rust => {
                format!("rust-{}.tar", rustc(&["--version"])?.split(' ').nth(1).unwrap_or("unknown"))
            }
        })
    }
}

/// Makes sure that the engine has these images.
pub(crate) fn provide(folders: &Folders, engine: &Engine, bases: &[Base]) -> Result<()> {
    for base in bases.iter().filter(|base| !engine.has(base.name())) {
        interrupt::check()?;
        let began = Instant::now();
        let how = provide_one(folders, engine, *base)
            .with_context(|| format!("{} could not be had", base.name()))?;
        println!("{:<40} {how} in {:.0} s", base.name(), began.elapsed().as_secs_f64());
    }
    Ok(())
}

fn provide_one(folders: &Folders, engine: &Engine, base: Base) -> Result<&'static str> {
    let cached = folders.cached(&base.file()?);
    if cached.exists() {
        engine.load(&cached)?;
        return Ok("stand-in, from the cache,");
    }
    if engine.pull(base.name()) {
        return Ok("pulled");
    }
    println!("{} cannot be pulled here: making a stand-in", base.name());
    let scratch = tempfile::Builder::new().prefix("naru-image").tempdir_in(fast_folder())?;
    match base {
        Base::Debian => debian(engine, scratch.path())?,
        Base::Nginx => build(engine, scratch.path(), base, include_str!("nginx.Dockerfile"))?,
        Base::Rust => {
            toolchain(&scratch.path().join("toolchain.tar"))?;
            build(engine, scratch.path(), base, include_str!("rust.Dockerfile"))?;
        }
    }
    let unfinished = cached.with_extension("new");
    let _ = fs::remove_file(&unfinished);
    engine.save(base.name(), &unfinished)?;
    fs::rename(&unfinished, &cached)?;
    Ok("stand-in, made")
}

/// The smallest Debian, as the official image: no certificates, no compiler.
fn debian(engine: &Engine, scratch: &Path) -> Result<()> {
    let tar = scratch.join("debian.tar");
    let mut mmdebstrap = command::program("mmdebstrap", scratch);
    mmdebstrap.args(["--quiet", "--variant=minbase", "bookworm"]).arg(&tar).env("TMPDIR", scratch);
    command::output(&mut mmdebstrap)?;
    engine.import(&tar, Base::Debian.name())
}

fn build(engine: &Engine, scratch: &Path, base: Base, dockerfile: &str) -> Result<()> {
    fs::write(scratch.join("Dockerfile"), dockerfile)?;
    engine.build(scratch, base.name())
}

/// The toolchain that compiled this program, without its documentation, which is most of it.
fn toolchain(tar: &Path) -> Result<()> {
    let folder = rustc(&["--print", "sysroot"])?;
    let mut pack = command::program("tar", Path::new(&folder));
    pack.args([
        "--exclude=./share/doc",
        "--exclude=./share/man",
        "--exclude=./lib/rustlib/src",
        "--create",
        "--file",
    ]);
    command::output(pack.arg(tar).arg(".")).map(drop)
}

fn rustc(words: &[&str]) -> Result<String> {
    Ok(command::output(command::program("rustc", Path::new("/")).args(words))?.trim().to_owned())
}

/// Memory where there is room for it: unpacking a system on a disk takes twice as long.
fn fast_folder() -> PathBuf {
    const ROOM: u64 = 3 << 30;
    let memory = Path::new("/dev/shm");
    let room = nix::sys::statvfs::statvfs(memory)
        .map_or(0, |about| about.blocks_available().saturating_mul(about.fragment_size()));
    if room > ROOM { memory.to_owned() } else { std::env::temp_dir() }
}
