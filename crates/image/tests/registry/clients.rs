//! `podman` and `skopeo` against the registry. They fail when these are missing.

use std::path::{Path, PathBuf};
use std::process::Output;

use naru_model::Digest;
use tokio::process::Command;

use crate::host::Host;

/// A container store of its own, removed with its mount.
struct Containers {
    folder: tempfile::TempDir,
}

impl Containers {
    fn new(registry: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: String| std::fs::write(at(name), text).unwrap();
        write(
            "containers.conf",
            "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             [network]\nnetwork_backend = \"netavark\"\n"
                .to_owned(),
        );
        write(
            "storage.conf",
            format!(
                "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
                at("storage").display(),
                at("run").display()
            ),
        );
        write("registries.conf", format!("[[registry]]\nlocation = \"{registry}\"\ninsecure = true\n"));
        write("policy.json", "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}".to_owned());
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"))
            .env("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf"))
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env_remove("HTTP_PROXY")
            .env_remove("HTTPS_PROXY")
            .env_remove("http_proxy")
            .env_remove("https_proxy")
            .current_dir(self.folder.path())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program)
            .args(arguments)
            .output()
            .await
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// Runs a command that must succeed, and returns what it printed.
    async fn must(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Builds an image `FROM scratch` of one file.
    async fn build(&self, name: &str, file: &[u8]) {
        let folder = self.path("folder");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), file).unwrap();
        std::fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY file /file\nCMD [\"/file\"]\n")
            .unwrap();
        self.must("podman", &["build", "-q", "--isolation", "chroot", "-t", name, path(&folder)]).await;
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Drop for Containers {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.path("storage/overlay")).output();
    }
}

async fn logged_in(host: &Host, token: &str) -> Containers {
    let containers = Containers::new(&host.address);
    let user = ["login", "--tls-verify=false", "-u", "any", "-p", token, &host.address];
    containers.must("podman", &user).await;
    containers
}

/// What does not compress, so that layers of a known size travel.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

#[tokio::test]
async fn podman_pushes_and_pulls_by_tag_and_by_digest() {
    let host = Host::start().await;
    let containers = logged_in(&host, "owner").await;
    let image = format!("{}/shop/web:run-1", host.address);
    containers.build(&image, &noise(3_000_000)).await;
    containers.must("podman", &["push", "-q", "--digestfile", "digest", &image]).await;
    let digest: Digest = std::fs::read_to_string(containers.path("digest")).unwrap().parse().unwrap();
    let id = containers.must("podman", &["image", "inspect", "-f", "{{.Id}}", &image]).await;
    containers.must("podman", &["push", "-q", &image]).await; // everything is there already
    containers.must("podman", &["rmi", "-af"]).await;

    let by_digest = format!("{}/shop/web@{digest}", host.address);
    assert_eq!(containers.must("podman", &["pull", "-q", &by_digest]).await, id);
    containers.must("podman", &["rmi", "-af"]).await;
    assert_eq!(containers.must("podman", &["pull", "-q", &image]).await, id);
}

#[tokio::test]
async fn podman_is_turned_away_with_a_reason() {
    let host = Host::start().await;
    let reader = logged_in(&host, "reader").await;
    let image = format!("{}/shop/web:run-1", host.address);
    reader.build(&image, b"file").await;
    let refused = reader.run("podman", &["push", "-q", &image]).await;
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && errors.contains("denied"), "{errors}");

    let unknown = reader
        .run("podman", &["login", "--tls-verify=false", "-u", "any", "-p", "wrong", &host.address])
        .await;
    assert!(!unknown.status.success());
}

#[tokio::test]
async fn skopeo_copies_lists_and_deletes() {
    let host = Host::start().await;
    let containers = logged_in(&host, "owner").await;
    let image = format!("{}/shop/web:run-1", host.address);
    containers.build(&image, &noise(200_000)).await;
    containers.must("podman", &["push", "-q", "--format", "v2s2", &image]).await;

    let (from, to) = (format!("docker://{image}"), format!("docker://{}/shop/api:copy", host.address));
    let insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    containers.must("skopeo", &["copy", "-q", insecure[0], insecure[1], &from, &to]).await;
    containers.must("skopeo", &["copy", "-q", insecure[0], "--format", "oci", &to, "dir:out"]).await;
    let back = format!("docker://{}/other/api:back", host.address);
    containers.must("skopeo", &["copy", "-q", insecure[1], "dir:out", &back]).await;

    let api = format!("docker://{}/shop/api", host.address);
    let tags = containers.must("skopeo", &["list-tags", "--tls-verify=false", &api]).await;
    assert!(tags.contains("\"copy\""), "{tags}");
    containers.must("skopeo", &["delete", "--tls-verify=false", &to]).await;
    let gone = containers.run("skopeo", &["inspect", "--raw", "--tls-verify=false", &to]).await;
    assert!(!gone.status.success());
    containers.must("skopeo", &["inspect", "--raw", "--tls-verify=false", &from]).await;
}
