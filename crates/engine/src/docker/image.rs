//! Images: finding one locally by what the registry calls it, pulling it once however many ask, and removing ours
//! when nothing needs them. Never touches an image that this instance did not build or pull.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt as _, StreamExt as _};
use http::Method;
use naru_model::{Digest, ImageReference, InstanceId, Problem, ProjectName};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::api::Image;
use super::client::{Client, Payload, path};
use super::names;
use crate::StepError;

/// How long a caller waits for a pull before it is told to come again; the pull goes on.
const PATIENCE: Duration = Duration::from_secs(20);
/// A pull that takes longer than this is given up.
const PULL_LIMIT: Duration = Duration::from_mins(30);

/// Our own registry, and how the engine logs in to it.
#[derive(Clone)]
pub struct RegistryAccess {
    /// Host and port, such as `127.0.0.1:7070`. It is reached without TLS.
    pub host: String,
    /// Asked before each pull and push.
    pub login: Arc<dyn RegistryLogin>,
}

/// Gives out the engine's login at our own registry.
#[async_trait]
pub trait RegistryLogin: Send + Sync + 'static {
    /// User and password for pulling and pushing this repository, such as `shop/web`.
    async fn login(&self, repository: &str) -> Result<(String, SecretString), StepError>;
}

type Pull = Shared<BoxFuture<'static, Result<(), StepError>>>;

/// The images of one engine.
#[derive(Clone)]
pub(crate) struct Images {
    client: Client,
    instance: InstanceId,
    podman: bool,
    registry: Option<RegistryAccess>,
    pulls: Arc<Mutex<HashMap<String, Pull>>>,
}

impl Images {
    pub(crate) fn new(
        client: Client,
        instance: InstanceId,
        podman: bool,
        registry: Option<RegistryAccess>,
    ) -> Self {
        Self { client, instance, podman, registry, pulls: Arc::default() }
    }

    /// The local id of an image by digest, pulled when it is not there. A long pull answers `Transient` and goes on.
    pub(crate) async fn ensure(
        &self,
        project: &ProjectName,
        image: &ImageReference,
    ) -> Result<String, StepError> {
        self.check_owner(project, &image.to_string())?;
        if let Some(id) = self.local(image).await? {
            return Ok(id);
        }
        self.pull(&image.to_string(), PATIENCE).await?;
        self.local(image).await?.ok_or_else(|| {
            StepError::Transient(format!("image {image} was pulled, but the engine does not know it"))
        })
    }

    /// The local id of an image as written in `naru.yaml`, pulled when it is not there.
    pub(crate) async fn ensure_named(
        &self,
        project: &ProjectName,
        name: &str,
        patience: Duration,
    ) -> Result<String, StepError> {
        self.check_owner(project, name)?;
        if let Some(id) = self.named(name).await? {
            return Ok(id);
        }
        self.pull(name, patience).await?;
        self.named(name).await?.ok_or_else(|| missing(name, "the engine does not know it after pulling it"))
    }

    /// The engine's login opens every repository of our registry, and what was pulled or built once lies here for all: so a
    /// project is given its own images, and from elsewhere what it names.
    fn check_owner(&self, project: &ProjectName, name: &str) -> Result<(), StepError> {
        let ours = self.registry.as_ref().and_then(|access| repository_at(name, &access.host));
        let owner = ours.and_then(|repository| repository.split('/').next());
        let is_built_here = name
            .strip_prefix(&names::local_repository(&self.instance))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']));
        if is_built_here || owner.is_some_and(|owner| owner != project.as_str()) {
            return Err(missing(name, &format!("of this registry, `{project}` may use its own images only")));
        }
        Ok(())
    }

    async fn local(&self, image: &ImageReference) -> Result<Option<String>, StepError> {
        let built = format!("{}:{}", names::local_repository(&self.instance), image.digest.hex());
        if let Some(id) = self.named(&built).await? {
            return Ok(Some(id));
        }
        self.named(&image.to_string()).await
    }

    /// Gives an image that was built here a local name by the digest that the registry knows it by.
    pub(crate) async fn name(&self, id: &str, digest: &Digest) -> Result<(), StepError> {
        let repository = names::local_repository(&self.instance);
        let at = path(&["images", id, "tag"], &[("repo", &repository), ("tag", digest.hex())]);
        self.client.post(&at, Payload::Nothing).await?.found("naming an image").map(drop)
    }

    async fn named(&self, name: &str) -> Result<Option<String>, StepError> {
        let answer = self.client.get(&path(&["images", name, "json"], &[])).await?;
        let Some(answer) = answer.found("looking for an image")? else { return Ok(None) };
        Ok(Some(answer.json::<Image>("looking for an image")?.id))
    }

    async fn pull(&self, name: &str, patience: Duration) -> Result<(), StepError> {
        let pull = {
            let mut pulls = self.pulls.lock().expect("no pull panics while holding the lock");
            pulls.retain(|_, pull| pull.peek().is_none());
            let start = || {
                let (this, name) = (self.clone(), name.to_owned());
                let task = tokio::spawn(async move {
                    tokio::time::timeout(PULL_LIMIT, this.pull_now(&name)).await.unwrap_or_else(|_| {
                        Err(StepError::Transient(format!("pulling {name} took too long")))
                    })
                });
                let end = task.map(|end| {
                    end.unwrap_or_else(|error| {
                        Err(StepError::Transient(format!("a pull was interrupted: {error}")))
                    })
                });
                end.boxed().shared()
            };
            pulls.entry(name.to_owned()).or_insert_with(start).clone()
        };
        tokio::time::timeout(patience, pull)
            .await
            .map_err(|_| StepError::Transient(format!("image {name} is still being pulled")))?
    }

    async fn pull_now(&self, name: &str) -> Result<(), StepError> {
        let ours = self.registry.as_ref().filter(|access| repository_at(name, &access.host).is_some());
        let mut headers = Vec::new();
        if let Some(access) = ours {
            let repository = repository_at(name, &access.host).expect("checked above");
            let (user, password) = access.login.login(repository).await?;
            let login = json!({
                "username": user, "password": password.expose_secret(), "serveraddress": access.host,
            });
            let text = base64::engine::general_purpose::URL_SAFE.encode(login.to_string());
            headers.push(("x-registry-auth", text));
        }
        let verify = if ours.is_some() { "false" } else { "true" };
        let at = if self.podman {
            path(&["v4.0.0", "libpod", "images", "pull"], &[("reference", name), ("tlsVerify", verify)])
        } else {
            path(&["images", "create"], &[("fromImage", name)])
        };
        let mut lines = match self.client.stream(Method::POST, &at, &headers).await? {
            Ok(chunks) => chunks,
            Err(answer) => return Err(pull_failed(name, &answer.message())),
        };
        let mut text = Vec::new();
        while let Some(chunk) = lines.next().await {
            text.extend_from_slice(&chunk?);
            if let Some(error) = take_lines(&mut text) {
                return Err(pull_failed(name, &error));
            }
        }
        Ok(())
    }

    /// Removes the images that this instance built or pulled from our registry, but for these. An image that a
    /// container uses stays; while something is built, so does what has no name yet. Returns how many names were
    /// removed.
    pub(crate) async fn prune(&self, keep: &[Digest], is_building: bool) -> Result<usize, StepError> {
        let answer = self.client.get("/images/json").await?.success("listing images")?;
        let images: Vec<Image> = answer.json("listing images")?;
        let mut removed = 0;
        for image in &images {
            for name in self.removable(image, keep, is_building) {
                let answer = self.client.delete(&path(&["images", &name], &[])).await?;
                if answer.status.is_success() {
                    removed += 1;
                } else if answer.status != http::StatusCode::CONFLICT {
                    tracing::debug!(image = name, reason = answer.message(), "an image stays");
                }
            }
        }
        Ok(removed)
    }

    /// Our names of this image that may go. An image keeps all its names when one of them is to be kept.
    fn removable(&self, image: &Image, keep: &[Digest], is_building: bool) -> Vec<String> {
        let local = format!("{}:", names::local_repository(&self.instance));
        let registry = self.registry.as_ref().map(|access| format!("{}/", access.host));
        let is_built = image.labels.get(names::INSTANCE).map(String::as_str) == Some(self.instance.as_str());
        let is_kept = |name: &String| {
            let hex = name.strip_prefix(&local).or_else(|| name.rsplit_once("@sha256:").map(|(_, hex)| hex));
            keep.iter().any(|digest| Some(digest.hex()) == hex)
        };
        let names =
            || image.repo_tags.iter().chain(&image.repo_digests).filter(|name| !name.contains("<none>"));
        if names().any(is_kept) {
            return Vec::new();
        }
        let is_ours = |name: &&String| {
            name.starts_with(&local) || registry.as_ref().is_some_and(|registry| name.starts_with(registry))
        };
        let mut ours: Vec<String> = names().filter(is_ours).cloned().collect();
        if ours.is_empty() && is_built && image.repo_tags.is_empty() && !is_building {
            ours.push(image.id.clone());
        }
        ours
    }
}

/// The repository, when the image is at this registry.
pub(crate) fn repository_at<'a>(image: &'a str, host: &str) -> Option<&'a str> {
    let rest = image.strip_prefix(host)?.strip_prefix('/')?;
    let rest = rest.split_once('@').map_or(rest, |(name, _)| name);
    Some(rest.split_once(':').map_or(rest, |(name, _)| name))
}

/// Takes the whole lines off the text and returns the first failure that they report.
fn take_lines(text: &mut Vec<u8>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Progress {
        error: Option<String>,
    }
    let end = text.iter().rposition(|byte| *byte == b'\n')? + 1;
    let lines: Vec<u8> = text.drain(..end).collect();
    lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Progress>(line).ok())
        .find_map(|progress| progress.error.filter(|error| !error.is_empty()))
}

/// What does not exist or may not be read will not come by waiting; a network may.
fn pull_failed(name: &str, message: &str) -> StepError {
    let lower = message.to_lowercase();
    let is_final =
        ["manifest unknown", "not found", "name unknown", "denied", "unauthorized", "invalid reference"]
            .iter()
            .any(|sign| lower.contains(sign));
    if is_final { missing(name, message) } else { StepError::Transient(format!("pulling {name}: {message}")) }
}

fn missing(name: &str, why: &str) -> StepError {
    Problem::new("engine.image-missing", format!("image {name} cannot be pulled"))
        .cause(super::client::shorten(why, 400))
        .hint("check its name, and that the engine may read it")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_registry_is_told_apart_from_others() {
        assert_eq!(repository_at("127.0.0.1:7070/shop/web@sha256:00", "127.0.0.1:7070"), Some("shop/web"));
        assert_eq!(repository_at("127.0.0.1:7070/shop/web:run-1", "127.0.0.1:7070"), Some("shop/web"));
        assert_eq!(repository_at("127.0.0.1:70701/shop/web:1", "127.0.0.1:7070"), None);
        assert_eq!(repository_at("docker.io/library/rust:1", "127.0.0.1:7070"), None);
    }

    struct Nobody;

    #[async_trait]
    impl RegistryLogin for Nobody {
        async fn login(&self, repository: &str) -> Result<(String, SecretString), StepError> {
            Err(StepError::Transient(format!("nobody logs in for {repository}")))
        }
    }

    #[tokio::test]
    async fn a_project_gets_its_own_images_and_no_others() {
        let access = RegistryAccess { host: "127.0.0.1:7070".to_owned(), login: Arc::new(Nobody) };
        let images =
            Images::new(Client::new("/nowhere"), "0123456789ab".parse().unwrap(), true, Some(access));
        let shop: ProjectName = "shop".parse().unwrap();
        for fine in ["127.0.0.1:7070/shop/web:1", "docker.io/library/rust:1", "localhost/naru-tools:1"] {
            assert!(images.check_owner(&shop, fine).is_ok(), "{fine}");
        }
        for bad in [
            "127.0.0.1:7070/shop2/web:1",
            "127.0.0.1:7070/other/web:1",
            "127.0.0.1:7070/other/web@sha256:00",
            "127.0.0.1:7070//web:1",
            "localhost/naru-0123456789ab:00",
        ] {
            let refused = images.ensure_named(&shop, bad, PATIENCE).await.unwrap_err();
            assert!(
                matches!(refused, StepError::Blocked(problem) if problem.code == "engine.image-missing"),
                "{bad}"
            );
        }
    }

    #[test]
    fn only_our_unneeded_images_go() {
        let images = Images::new(Client::new("/nowhere"), "0123456789ab".parse().unwrap(), true, None);
        let keep = Digest::of(b"keep");
        let of = |tags: &[String], labels: &[(&str, &str)]| Image {
            id: "sha256:1".into(),
            repo_tags: tags.to_vec(),
            repo_digests: Vec::new(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let kept = format!("localhost/naru-0123456789ab:{}", keep.hex());
        let old = format!("localhost/naru-0123456789ab:{}", Digest::of(b"old").hex());
        let other = "localhost/naru-ba9876543210:00".to_owned();
        let keep = [keep];
        assert!(images.removable(&of(&[kept.clone(), old.clone()], &[]), &keep, false).is_empty());
        assert_eq!(images.removable(&of(&[old.clone(), "debian:12".into()], &[]), &keep, false), [old]);
        assert!(
            images
                .removable(&of(&[other, "docker.io/library/debian:12".into()], &[]), &keep, false)
                .is_empty()
        );
        assert!(images.removable(&of(&[], &[]), &keep, false).is_empty());
        assert_eq!(
            images.removable(&of(&[], &[("dev.naru.instance", "0123456789ab")]), &keep, false),
            ["sha256:1"]
        );
    }

    #[test]
    fn a_failure_inside_the_progress_is_found() {
        let mut text = b"{\"stream\":\"x\"}\n{\"error\":\"manifest unknown\"}\n{\"par".to_vec();
        assert_eq!(take_lines(&mut text).as_deref(), Some("manifest unknown"));
        assert_eq!(text, b"{\"par");
    }
}
