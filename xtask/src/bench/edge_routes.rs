//! A thousand routes: what they take from the throughput of the one that is asked.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::edge::HOST;
use super::service;
use super::statistics::median;

/// Routes beside the one that is asked: half of them on hosts of their own, the others below its host.
const OTHERS: usize = 999;
/// `naru serve` takes routes of unknown environments away now and then: the measurement is repeated.
const TRIES: usize = 5;

/// Routes of an environment that only the edge knows.
pub(super) struct Routes<'a> {
    edge_folder: &'a Path,
    plain: std::net::SocketAddr,
    generation: u64,
}

impl<'a> Routes<'a> {
    pub(super) fn of(edge_folder: &'a Path, plain: std::net::SocketAddr) -> Self {
        Self { edge_folder, plain, generation: 0 }
    }

    /// Throughput with 1,000 routes, as a part of that with one. `ask` measures requests per second.
    pub(super) fn ratio(&mut self, rounds: u32, ask: impl Fn() -> Result<f64>) -> Result<f64> {
        let (mut many, mut one) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            if round % 2 == 0 {
                many.push(self.with_others(&ask)?);
                one.push(self.alone(&ask)?);
            } else {
                one.push(self.alone(&ask)?);
                many.push(self.with_others(&ask)?);
            }
        }
        Ok(median(many) / median(one))
    }

    fn alone(&mut self, ask: impl Fn() -> Result<f64>) -> Result<f64> {
        self.publish(&[])?;
        ask()
    }

    fn with_others(&mut self, ask: impl Fn() -> Result<f64>) -> Result<f64> {
        let others = self.others()?;
        for _ in 0..TRIES {
            self.publish(&others)?;
            let seen = ask()?;
            if service::page(self.plain, &other_host(0)).is_ok() {
                return Ok(seen);
            }
        }
        bail!("the routes were taken away {TRIES} times while they were measured")
    }

    /// Routes like the one that is asked, to the same replica.
    fn others(&self) -> Result<Vec<Value>> {
        let kept: Value = serde_json::from_slice(&fs::read(self.edge_folder.join("table.json"))?)?;
        let routes = kept["tables"].as_array().into_iter().flatten();
        let mut routes = routes.flat_map(|table| table["table"]["routes"].as_array().into_iter().flatten());
        let like = routes.find(|route| route["host"] == HOST).context("the edge keeps no route")?;
        let other = |number: usize| {
            let (host, path) = match number % 2 {
                0 => (other_host(number), "/".to_owned()),
                _ => (HOST.to_owned(), format!("/other/{number}")),
            };
            let mut route = like.clone();
            route["host"] = host.into();
            route["path"] = path.into();
            route
        };
        Ok((0..OTHERS).map(other).collect())
    }

    fn publish(&mut self, routes: &[Value]) -> Result<()> {
        self.generation += 1;
        let environment = json!({ "project": "bench-routes", "environment": "production" });
        // Past what `serve` publishes when it takes routes away.
        let generation = self.generation * 1_000;
        let body =
            json!({ "generation": generation, "table": { "environment": environment, "routes": routes } });
        let answer = put(&self.edge_folder.join("control.sock"), "/v1/tables", &body.to_string())?;
        ensure!(answer.starts_with("HTTP/1.1 204"), "the edge refused the routes: {answer}");
        Ok(())
    }
}

fn other_host(number: usize) -> String {
    format!("other-{number}.{HOST}")
}

fn put(socket: &Path, path: &str, body: &str) -> Result<String> {
    let mut control = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    control.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    write!(
        control,
        "PUT {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    control.read_to_string(&mut answer)?;
    Ok(answer)
}
