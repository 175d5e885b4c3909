//! Networks and volumes. Each environment and each job has a network of its own: names are resolved within it, and
//! nothing outside it is reachable but the world.

use http::StatusCode;
use naru_model::{InstanceId, Problem};
use serde_json::json;

use super::api::{Named, Volumes};
use super::client::{Client, Payload, path};
use super::isolation;
use super::names::{INSTANCE, Labels};
use crate::StepError;

/// The networks and volumes of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Networks {
    pub(crate) client: Client,
    pub(crate) instance: InstanceId,
    pub(crate) podman: bool,
}

impl Networks {
    /// Makes a network unless it exists.
    pub(crate) async fn ensure(&self, name: &str, labels: &Labels) -> Result<(), StepError> {
        if self.podman {
            isolation::close(&isolation::bridge(&self.instance, name)).await?;
        }
        if self.exists(name).await? {
            return Ok(());
        }
        let answer = if self.podman {
            // Docker's form of the call drops `isolate`, without which networks reach each other.
            let body = json!({
                "name": name, "driver": "bridge", "dns_enabled": true, "labels": labels,
                "options": { "isolate": "true" },
                "network_interface": isolation::bridge(&self.instance, name),
            });
            let at = path(&["v4.0.0", "libpod", "networks", "create"], &[]);
            self.client.post(&at, Payload::json(&body)).await?
        } else {
            let body = json!({ "Name": name, "Driver": "bridge", "CheckDuplicate": true, "Labels": labels });
            self.client.post("/networks/create", Payload::json(&body)).await?
        };
        if answer.status.is_success() || self.exists(name).await? {
            return Ok(());
        }
        Err(StepError::Transient(format!("creating a network: {}", answer.message())))
    }

    async fn exists(&self, name: &str) -> Result<bool, StepError> {
        let answer = self.client.get(&path(&["networks", name], &[])).await?;
        let Some(answer) = answer.found("looking for a network")? else { return Ok(false) };
        let seen: Named = answer.json("looking for a network")?;
        self.check_ours("network", name, &seen.labels)?;
        Ok(true)
    }

    /// Removes a network; one that is gone is left alone.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), StepError> {
        if !self.exists(name).await? {
            return Ok(());
        }
        self.client.delete(&path(&["networks", name], &[])).await?.found("removing a network")?;
        if self.podman {
            isolation::forget(&isolation::bridge(&self.instance, name)).await?;
        }
        Ok(())
    }

    /// Our networks.
    pub(crate) async fn list(&self) -> Result<Vec<Named>, StepError> {
        let at = path(&["networks"], &[("filters", &self.filter())]);
        let answer = self.client.get(&at).await?.success("listing networks")?;
        Ok(self.ours(answer.json("listing networks")?))
    }

    /// Makes a volume unless it exists.
    pub(crate) async fn ensure_volume(&self, name: &str, labels: &Labels) -> Result<(), StepError> {
        let at = path(&["volumes", name], &[]);
        if let Some(answer) = self.client.get(&at).await?.found("looking for a volume")? {
            let seen: Named = answer.json("looking for a volume")?;
            return self.check_ours("volume", name, &seen.labels);
        }
        let body = json!({ "Name": name, "Driver": "local", "Labels": labels });
        self.client
            .post("/volumes/create", Payload::json(&body))
            .await?
            .success("creating a volume")
            .map(drop)
    }

    /// Our volumes.
    pub(crate) async fn volumes(&self) -> Result<Vec<Named>, StepError> {
        let at = path(&["volumes"], &[("filters", &self.filter())]);
        let answer = self.client.get(&at).await?.success("listing volumes")?;
        Ok(self.ours(answer.json::<Volumes>("listing volumes")?.volumes))
    }

    /// Removes a volume with its data; one that is gone is left alone.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<(), StepError> {
        let answer = self.client.delete(&path(&["volumes", name], &[("force", "false")])).await?;
        if answer.status == StatusCode::CONFLICT {
            return Err(StepError::Transient(format!("volume {name} is still in use")));
        }
        answer.found("removing a volume").map(drop)
    }

    fn filter(&self) -> String {
        json!({ "label": [format!("{INSTANCE}={}", self.instance)] }).to_string()
    }

    fn ours(&self, mut all: Vec<Named>) -> Vec<Named> {
        all.retain(|it| it.labels.get(INSTANCE).map(String::as_str) == Some(self.instance.as_str()));
        all
    }

    fn check_ours(&self, noun: &str, name: &str, labels: &Labels) -> Result<(), StepError> {
        if labels.get(INSTANCE).map(String::as_str) == Some(self.instance.as_str()) {
            return Ok(());
        }
        Err(Problem::new("engine.name-taken", format!("the {noun} name {name} is taken"))
            .cause(format!("a {noun} of that name exists that this instance did not make"))
            .hint("rename or remove it, then try again")
            .into())
    }
}
