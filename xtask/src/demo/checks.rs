//! `--ci`: what a person would try, tried by itself, each with a line that says how it went.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::api::Api;
use super::interrupt;
use super::naru::Naru;
use super::progress;
use super::project::Project;

/// How long a change may take to be served.
const LIMIT: Duration = Duration::from_mins(5);

/// How many checks went which way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checks {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// What the checks work on.
struct Site<'a> {
    api: &'a Api,
    naru: &'a Naru,
    landing: &'a Project,
    board: &'a Project,
}

type Check = (&'static str, fn(&Site<'_>) -> Result<()>);

const CHECKS: &[Check] = &[
    ("the landing page is served through the edge", landing_is_served),
    ("the board is served through the edge", board_is_served),
    ("a person signs up on the board", sign_up),
    ("an unknown host gets a page that says so", unknown_host),
    ("a second commit is served", second_commit),
    ("a variable reaches the board, and its data is kept", variable),
    ("a rollback serves the first version again", rollback),
];

/// Runs all checks, also after one failed.
pub(super) fn run(api: &Api, naru: &Naru, projects: &[Project]) -> Result<Checks> {
    let find =
        |name: &str| projects.iter().find(|project| project.name == name).context("a project is missing");
    let site = Site { api, naru, landing: find("landing")?, board: find("board")? };
    let mut checks = Checks::default();
    println!();
    for (name, check) in CHECKS {
        let began = Instant::now();
        let result = check(&site);
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                checks.passed += 1;
                println!("ok      {seconds:>6.1} s  {name}");
            }
            Err(error) => {
                checks.failed += 1;
                println!("FAILED  {seconds:>6.1} s  {name}: {error:#}");
            }
        }
    }
    Ok(checks)
}

impl Site<'_> {
    fn get(&self, project: &Project, path: &str) -> Result<(u16, String)> {
        let host = progress::host(&self.api.crossing(project.name)?)?;
        self.api.through_edge(self.naru.edge(), &host, path)
    }

    /// Waits until a path of a project is answered with a text in it.
    fn wait_for(&self, project: &Project, path: &str, text: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            interrupt::check()?;
            let seen = self.get(project, path);
            if matches!(&seen, Ok((200, body)) if body.contains(text)) {
                return Ok(());
            }
            if began.elapsed() > LIMIT {
                let sentence = self.api.crossing(project.name)?.sentence;
                bail!(
                    "`{text}` was not served within {} s; {sentence}; last answer: {seen:?}",
                    LIMIT.as_secs()
                );
            }
            interrupt::pause(Duration::from_millis(200));
        }
    }

    fn serving(&self, project: &Project) -> Result<u64> {
        let value = self.api.get(&format!("projects/{}/environments/production", project.name))?;
        value["serving"].as_u64().with_context(|| format!("nothing serves: {value}"))
    }

    /// Waits until an environment serves another revision than this.
    fn wait_for_change(&self, project: &Project, from: u64) -> Result<()> {
        let began = Instant::now();
        while self.serving(project)? == from {
            interrupt::check()?;
            if began.elapsed() > LIMIT {
                let crossing = self.api.crossing(project.name)?;
                let why = crossing.problem.map_or(crossing.sentence, |problem| problem.text());
                bail!("revision {from} still serves after {} s: {why}", LIMIT.as_secs());
            }
            interrupt::pause(Duration::from_millis(200));
        }
        Ok(())
    }
}

fn landing_is_served(site: &Site<'_>) -> Result<()> {
    let (status, body) = site.get(site.landing, "/")?;
    ensure!(status == 200 && body.contains("Push, and it runs"), "answered with {status}: {body:.200}");
    let (status, body) = site.get(site.landing, "/ko/")?;
    ensure!(status == 200 && body.contains("나루"), "Korean page answered with {status}");
    Ok(())
}

fn board_is_served(site: &Site<'_>) -> Result<()> {
    let (status, _) = site.get(site.board, "/readyz")?;
    ensure!(status == 200, "/readyz answered with {status}");
    let (status, body) = site.get(site.board, "/")?;
    ensure!(status == 200 && body.contains("Nobody has written anything yet."), "answered with {status}");
    Ok(())
}

fn sign_up(site: &Site<'_>) -> Result<()> {
    let host = progress::host(&site.api.crossing("board")?)?;
    let fields = [("login", "first"), ("nickname", "첫 손님"), ("password", "a ferry at dawn")];
    let status = site.api.send_form(site.naru.edge(), &host, "/signup", &fields)?;
    ensure!(status == 303, "/signup answered with {status}");
    Ok(())
}

fn unknown_host(site: &Site<'_>) -> Result<()> {
    let (status, _) = site.api.through_edge(site.naru.edge(), "nobody.localhost", "/")?;
    ensure!(status == 404, "answered with {status}");
    Ok(())
}

fn second_commit(site: &Site<'_>) -> Result<()> {
    let page = site.landing.work.join("index.html");
    let text = fs::read_to_string(&page)?;
    fs::write(&page, text.replace("Push, and it runs.", "Hello from the second commit."))?;
    site.landing.commit("Say hello")?;
    site.landing.push()?;
    site.wait_for(site.landing, "/", "Hello from the second commit.")
}

fn variable(site: &Site<'_>) -> Result<()> {
    let before = site.serving(site.board)?;
    let kept = metric(&site.get(site.board, "/metrics")?.1)?;
    let change = json!({ "set": { "GREETING": "hello" } });
    site.api.put("projects/board/environments/production/configuration", &change)?;
    site.wait_for_change(site.board, before)?;
    let configuration: Value = site.api.get("projects/board/environments/production/configuration")?;
    ensure!(configuration["variables"]["GREETING"] == "hello", "the variable is not there: {configuration}");
    let after = metric(&site.get(site.board, "/metrics")?.1)?;
    ensure!(kept == "board_accounts 1" && kept == after, "it said `{kept}` before and `{after}` after");
    Ok(())
}

/// How many accounts the board says it has.
fn metric(text: &str) -> Result<String> {
    let line = text.lines().find(|line| line.starts_with("board_accounts "));
    let line = line.context("the board counts no accounts")?;
    Ok(line.to_owned())
}

fn rollback(site: &Site<'_>) -> Result<()> {
    site.api.post("projects/landing/environments/production/rollback", &json!({}))?;
    site.wait_for(site.landing, "/", "Push, and it runs.")
}
