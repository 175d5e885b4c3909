//! Naru's side of the push measurement: a real `git push`, a look through the edge, and afterwards the times that Naru
//! itself wrote down.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::machine;
use super::process;
use super::push::{Delivery, LOOK_EVERY};
use super::service::{self, WorkingCopy};
use crate::demo::api::Api;
use crate::demo::folders::Folders;

const LIMIT: Duration = Duration::from_mins(3);

/// A delivery that takes longer is looked into.
const PATIENCE: Duration = Duration::from_secs(30);

/// One project.
pub(super) struct NaruSide<'a> {
    api: &'a Api,
    edge: SocketAddr,
    project: String,
    copy: WorkingCopy,
}

impl<'a> NaruSide<'a> {
    /// Makes a project and a working copy that pushes to it.
    pub(super) fn create(
        folders: &Folders,
        program: &Path,
        api: &'a Api,
        edge: SocketAddr,
        project: &str,
        definition: &str,
    ) -> Result<Self> {
        api.post_once("projects", &json!({ "name": project }))?;
        let remote = format!("{}/git/{project}.git", api.base());
        let credentials = folders.file("git-credentials");
        let copy =
            WorkingCopy::create(folders.work(project), program, definition, &remote, Some(&credentials))?;
        Ok(Self { api, edge, project: project.to_owned(), copy })
    }

    /// Lets plain requests be answered, instead of sent on to TLS.
    pub(super) fn answer_plain(&self) -> Result<()> {
        let production = format!("projects/{}/environments/production", self.project);
        self.api.put(&production, &json!({}))?;
        self.api.put(&format!("{production}/transport"), &json!({ "redirect": false })).map(drop)
    }

    /// Pushes one page and waits until it is served; then until Naru has nothing left to do.
    pub(super) fn deliver(&self, page: &str) -> Result<Delivery> {
        self.copy.commit(page)?;
        let host = self.host()?;
        let (began, began_at) = (Instant::now(), machine::now());
        self.copy.push()?;
        let pushed = began.elapsed();
        let mut host = host;
        while !(host.is_some() && self.serves(host.as_deref(), page)) {
            self.check_on_its_way(began)?;
            if host.is_none() {
                host = self.host()?; // only before the first delivery, which is not measured
            }
            process::pause(LOOK_EVERY)?;
        }
        let (total, served_at) = (began.elapsed(), machine::now());
        self.settle()?;
        let phases = self.phases(began_at, pushed, served_at).context("the phases cannot be read")?;
        Ok(Delivery { total, phases })
    }

    /// Fails when nothing more is to come. Asked now and then: asking costs both sides' processor time.
    fn check_on_its_way(&self, began: Instant) -> Result<()> {
        if began.elapsed() > PATIENCE {
            let crossing = self.api.crossing(&self.project)?;
            if let Some(problem) = crossing.problem {
                bail!("{} did not get through: {}", self.project, problem.text());
            }
            ensure!(began.elapsed() < LIMIT, "{} was never served: {}", self.project, crossing.sentence);
            process::pause(Duration::from_secs(1))?;
        }
        Ok(())
    }

    fn serves(&self, host: Option<&str>, page: &str) -> bool {
        host.is_some_and(|host| service::page(self.edge, host).is_ok_and(|seen| seen == page))
    }

    /// The host of production, once it has one.
    fn host(&self) -> Result<Option<String>> {
        let crossing = self.api.crossing(&self.project)?;
        let url = crossing.urls.first().map(String::as_str).unwrap_or_default();
        let host = url.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
        Ok(host.map(str::to_owned))
    }

    /// Waits until the old replica is gone: it must not cost the next measurement anything.
    fn settle(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let path = format!("projects/{}/environments/production", self.project);
            let environment = self.api.get(&path)?;
            if environment["condition"] == "live" {
                return Ok(());
            }
            ensure!(began.elapsed() < LIMIT, "{} does not settle: {environment}", self.project);
            process::pause(Duration::from_millis(100))?;
        }
    }

    /// What happened when, from the rows of the newest trigger, run, release and revision.
    fn phases(
        &self,
        began: Timestamp,
        pushed: Duration,
        served: Timestamp,
    ) -> Result<Vec<(String, Duration)>> {
        let trigger = self.newest("triggers")?;
        let run = self.newest("runs")?;
        let release = self.newest("releases")?;
        let revision = self.newest("environments/production/revisions")?;
        let marks = [
            ("receive the push", time(&trigger, "received_at")?),
            ("plan and start the run", time(&run, "started_at")?),
            ("clone, build, push the image", time(&run, "finished_at")?),
            ("release", time(&release, "created_at")?),
            ("render and commit", time(&revision, "created_at")?),
            ("start, probe, switch, until visible", served),
        ];
        let mut phases = vec![("(git push, overlapping)".to_owned(), pushed)];
        let mut before = began;
        for (name, at) in marks {
            let at = at.max(before); // a mark may be written down after the next one began
            phases.push((name.to_owned(), Duration::try_from(at - before).unwrap_or_default()));
            before = at;
        }
        Ok(phases)
    }

    fn newest(&self, list: &str) -> Result<Value> {
        let page = self.api.get(&format!("projects/{}/{list}?limit=1", self.project))?;
        page["items"].get(0).cloned().with_context(|| format!("{list} is empty: {page}"))
    }
}

fn time(row: &Value, field: &str) -> Result<Timestamp> {
    let text = row[field].as_str().with_context(|| format!("no {field} in {row}"))?;
    Ok(text.parse()?)
}
