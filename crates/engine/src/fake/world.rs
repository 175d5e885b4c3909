//! The fake's containers, and the promises it watches over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use naru_model::job::{ExitReason, JobKey, JobScope, JobSeen, JobSpec};
use naru_model::rollout::{Action, ReplicaKey, ReplicaSeen, ReplicaState, Seen};
use naru_model::route::RouteTable;
use naru_model::workload::{Template, TemplateHash};
use naru_model::{EnvironmentKey, Generation, Timestamp};

use super::job::{Job, JobScript, JobStart};
use super::traffic::Routes;
use crate::{LogLine, LogPosition, LogSource, StepError, Usage};

/// How the world behaves as a whole. The default is prompt and without fault.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manners {
    /// Observations show the world as it was this long ago.
    pub observed_late: Duration,
    /// A published table comes into force after this time.
    pub applied_late: Duration,
    /// Every n-th call that changes something fails with a conflict and does nothing; 0 for none.
    pub conflict_every: u32,
    /// Nothing answers.
    pub unreachable: bool,
}

/// What a replica does after it was started.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Its probe answers after this time; `None` for never.
    pub ready_after: Option<Duration>,
    /// It exits by itself after this time with this code.
    pub exits_after: Option<(Duration, i32)>,
    /// After SIGTERM it takes this long to exit.
    pub stops_after: Duration,
    /// What it prints at the start.
    pub prints: Vec<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ready_after: Some(Duration::from_millis(300)),
            exits_after: None,
            stops_after: Duration::from_millis(200),
            prints: vec!["listening".into()],
        }
    }
}

struct Replica {
    key: ReplicaKey,
    template: Template,
    /// Of `template`, worked out once.
    hash: TemplateHash,
    exclusive: bool,
    behaviour: Behaviour,
    address: SocketAddr,
    started: Timestamp,
    /// When it exits, and how, once that is known.
    exit: Option<(Timestamp, ExitReason)>,
    stopping: bool,
    is_ready: bool,
    /// Its probe does not answer until then.
    unready_until: Timestamp,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) manners: Manners,
    pub(super) behaviours: Vec<(String, Behaviour)>,
    pub(super) job_scripts: Vec<(String, JobScript)>,
    pub(super) traffic: Routes,
    pub(super) violations: Vec<String>,
    pub(super) started_jobs: Vec<JobStart>,
    replicas: BTreeMap<EnvironmentKey, Vec<Replica>>,
    past: BTreeMap<EnvironmentKey, Vec<(Timestamp, Seen)>>,
    newest: BTreeMap<EnvironmentKey, Generation>,
    jobs: BTreeMap<JobKey, Job>,
    /// Jobs that were removed, as long as somebody may still see them.
    removed_jobs: Vec<(Timestamp, Job)>,
    now: Timestamp,
    calls: u32,
    addresses: u16,
}

impl Replica {
    fn state(&self, now: Timestamp) -> ReplicaState {
        match &self.exit {
            Some((at, reason)) if *at <= now => ReplicaState::Exited {
                reason: reason.clone(),
                started: Some(self.started),
                at: *at,
                last_lines: self.behaviour.prints.clone(),
            },
            _ if self.stopping => ReplicaState::Stopping,
            _ => ReplicaState::Running { since: self.started, ready: self.is_ready },
        }
    }

    fn has_exited(&self, now: Timestamp) -> bool {
        self.exit.as_ref().is_some_and(|(at, _)| *at <= now)
    }
}

impl World {
    /// Moves the world to `now` and checks its promises.
    pub(super) fn settle(&mut self, now: Timestamp) {
        self.now = now;
        for replica in self.replicas.values_mut().flatten() {
            let ready_at = replica.behaviour.ready_after.map(|after| replica.started + after);
            replica.is_ready = !replica.stopping
                && !replica.has_exited(now)
                && ready_at.is_some_and(|at| at <= now)
                && replica.unready_until <= now;
        }
        self.traffic.settle(now);
        self.check_volumes();
        let environments: Vec<_> = self.replicas.keys().cloned().collect();
        for environment in environments {
            let truth = self.truth(&environment);
            let past = self.past.entry(environment).or_default();
            if past.last().is_none_or(|(_, seen)| *seen != truth) {
                past.push((now, truth));
            }
        }
    }

    pub(super) fn truth(&self, environment: &EnvironmentKey) -> Seen {
        let replicas = self.replicas.get(environment).into_iter().flatten().map(|replica| ReplicaSeen {
            key: replica.key.clone(),
            template: replica.hash.clone(),
            state: replica.state(self.now),
            address: Some(replica.address),
        });
        Seen { replicas: replicas.collect() }
    }

    /// A replica that runs uses a tenth of a core and a MiB, and hears twice as much as it says.
    pub(super) fn usage(&self) -> Vec<Usage> {
        let of_one = |environment: &EnvironmentKey, replica: &Replica| {
            let ran = self.now.duration_since(replica.started).as_millis();
            let ran_ms = u64::try_from(ran).unwrap_or_default();
            Usage {
                environment: environment.clone(),
                replica: replica.key.clone(),
                cpu_micros: ran_ms * 100,
                memory_bytes: 1 << 20,
                received_bytes: ran_ms * 2,
                sent_bytes: ran_ms,
            }
        };
        let of_all = self.replicas.iter().flat_map(|(environment, replicas)| {
            let running = replicas.iter().filter(|replica| !replica.has_exited(self.now));
            running.map(move |replica| of_one(environment, replica))
        });
        of_all.collect()
    }

    pub(super) fn observe(&self, environment: &EnvironmentKey) -> Result<Seen, StepError> {
        self.reach()?;
        let horizon = self.horizon();
        let past = self.past.get(environment).map_or(&[][..], Vec::as_slice);
        let late = past.iter().rev().find(|(at, _)| *at <= horizon);
        Ok(late.map(|(_, seen)| seen.clone()).unwrap_or_default())
    }

    /// The moment that observations show.
    fn horizon(&self) -> Timestamp {
        self.now - self.manners.observed_late
    }

    fn reach(&self) -> Result<(), StepError> {
        if self.manners.unreachable {
            return Err(StepError::Transient("the engine's socket is gone".into()));
        }
        Ok(())
    }

    fn change(&mut self) -> Result<(), StepError> {
        self.reach()?;
        self.calls += 1;
        if self.manners.conflict_every > 0 && self.calls.is_multiple_of(self.manners.conflict_every) {
            return Err(StepError::Transient("conflict: the object was changed meanwhile".into()));
        }
        Ok(())
    }

    pub(super) fn apply(
        &mut self,
        environment: &EnvironmentKey,
        generation: Generation,
        action: &Action,
    ) -> Result<(), StepError> {
        self.change()?;
        let newest = self.newest.entry(environment.clone()).or_default();
        if generation < *newest {
            return Err(StepError::Transient(format!("generation {generation} is stale")));
        }
        *newest = generation;
        match action {
            Action::Start { replica, service } => self.start(environment, replica, &service.template),
            Action::Stop { replica, within } => self.stop(environment, replica, *within),
            Action::Remove { replica } => self.remove(environment, replica),
            Action::EnsureJob { key, job } => self.start_job(key, job),
            Action::StopJob { key } => self.stop_job(key),
            Action::Publish { .. } => {
                return Err(naru_model::Problem::new("engine.refused", "routes are not for engines").into());
            }
        }
        self.settle(self.now);
        Ok(())
    }

    fn start(&mut self, environment: &EnvironmentKey, key: &ReplicaKey, template: &Template) {
        let replicas = self.replicas.entry(environment.clone()).or_default();
        if replicas.iter().any(|replica| replica.key == *key) {
            return;
        }
        let behaviour = self
            .behaviours
            .iter()
            .find(|(image, _)| template.image.to_string().contains(image))
            .map_or_else(Behaviour::default, |(_, behaviour)| behaviour.clone());
        self.addresses += 1;
        let exit = behaviour.exits_after.map(|(after, code)| (self.now + after, ExitReason::Exited { code }));
        replicas.push(Replica {
            key: key.clone(),
            template: template.clone(),
            hash: template.hash(),
            exclusive: !template.mounts.is_empty(),
            behaviour,
            address: SocketAddr::from(([10, 0, 0, 1], self.addresses)),
            started: self.now,
            exit,
            stopping: false,
            is_ready: false,
            unready_until: Timestamp::UNIX_EPOCH,
        });
    }

    fn stop(&mut self, environment: &EnvironmentKey, key: &ReplicaKey, within: Duration) {
        let applied = self.traffic.applied(environment);
        let is_routed = applied
            .iter()
            .flat_map(|applied| &applied.table.routes)
            .any(|route| route.backends.iter().any(|backend| backend.replica == *key));
        let now = self.now;
        let Some(replica) =
            self.replicas.get_mut(environment).into_iter().flatten().find(|replica| replica.key == *key)
        else {
            return;
        };
        if replica.stopping || replica.has_exited(now) {
            return;
        }
        if is_routed && replica.is_ready {
            self.violations.push(format!("{environment}: {key} was stopped while a route led to it"));
        }
        replica.stopping = true;
        let reason = if replica.behaviour.stops_after <= within {
            ExitReason::Exited { code: 0 }
        } else {
            ExitReason::Signalled { signal: 9 }
        };
        replica.exit = Some((now + replica.behaviour.stops_after.min(within), reason));
    }

    fn remove(&mut self, environment: &EnvironmentKey, key: &ReplicaKey) {
        if let Some(replicas) = self.replicas.get_mut(environment) {
            replicas.retain(|replica| replica.key != *key);
        }
        self.traffic.in_flight.remove(&(environment.clone(), key.clone()));
    }

    pub(super) fn remove_by_hand(&mut self, environment: &EnvironmentKey, replica: &str) -> bool {
        let replicas = self.replicas.entry(environment.clone()).or_default();
        let before = replicas.len();
        replicas.retain(|other| other.key.to_string() != replica);
        let removed = replicas.len() < before;
        self.settle(self.now);
        removed
    }

    pub(super) fn kill(&mut self, environment: &EnvironmentKey, key: &ReplicaKey) {
        let now = self.now;
        let all = self.replicas.get_mut(environment).into_iter().flatten();
        for replica in all.filter(|replica| replica.key == *key && !replica.has_exited(now)) {
            replica.exit = Some((now, ExitReason::Signalled { signal: 9 }));
        }
        self.settle(now);
    }

    pub(super) fn make_unready(&mut self, environment: &EnvironmentKey, key: &ReplicaKey, long: Duration) {
        let now = self.now;
        let all = self.replicas.get_mut(environment).into_iter().flatten();
        for replica in all.filter(|replica| replica.key == *key) {
            replica.unready_until = now + long;
        }
        self.settle(now);
    }

    pub(super) fn set_in_flight(&mut self, environment: &EnvironmentKey, replica: &str, requests: u32) {
        let key = self
            .replicas
            .get(environment)
            .into_iter()
            .flatten()
            .find(|other| other.key.to_string() == replica);
        if let Some(key) = key.map(|replica| replica.key.clone()) {
            self.traffic.in_flight.insert((environment.clone(), key), requests);
        }
    }

    pub(super) fn remove_environment(&mut self, environment: &EnvironmentKey) {
        self.replicas.insert(environment.clone(), Vec::new());
        self.settle(self.now);
    }

    pub(super) fn environments(&self) -> Vec<EnvironmentKey> {
        self.replicas
            .iter()
            .filter(|(_, replicas)| !replicas.is_empty())
            .map(|(key, _)| key.clone())
            .collect()
    }

    pub(super) fn publish(&mut self, table: &RouteTable, generation: Generation) -> Result<(), StepError> {
        self.change()?;
        self.traffic.publish(table, generation, self.now, self.manners.applied_late)?;
        for route in &table.routes {
            for backend in &route.backends {
                let replicas = self.replicas.get(&table.environment).into_iter().flatten();
                let target = replicas.into_iter().find(|replica| replica.key == backend.replica);
                // A stale view may route to what has just failed; what was never ready, or is being stopped by us, it may not.
                let was_ready = target.is_some_and(|replica| {
                    replica.behaviour.ready_after.is_some_and(|after| replica.started + after <= self.now)
                });
                if target.is_some_and(|replica| replica.stopping) || (target.is_some() && !was_ready) {
                    self.violations.push(format!(
                        "{}: a route leads to {}, which is not ready",
                        table.environment, backend.replica
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_volumes(&mut self) {
        for (environment, replicas) in &self.replicas {
            let mut holders: BTreeMap<_, &ReplicaKey> = BTreeMap::new();
            for replica in
                replicas.iter().filter(|replica| replica.exclusive && !replica.has_exited(self.now))
            {
                for mount in &replica.template.mounts {
                    if let Some(other) = holders.insert(mount.volume.clone(), &replica.key) {
                        let text =
                            format!("{environment}: {other} and {} both have {}", replica.key, mount.volume);
                        if !self.violations.contains(&text) {
                            self.violations.push(text);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn ensure_job(&mut self, key: &JobKey, spec: &JobSpec) -> Result<(), StepError> {
        self.change()?;
        self.start_job(key, spec);
        Ok(())
    }

    fn start_job(&mut self, key: &JobKey, spec: &JobSpec) {
        if self.jobs.contains_key(key) {
            return;
        }
        let script = self
            .job_scripts
            .iter()
            .find(|(part, _)| key.to_string().contains(part))
            .map_or_else(JobScript::default, |(_, script)| script.clone());
        self.started_jobs.push(JobStart { key: key.clone(), spec: spec.clone() });
        self.jobs.insert(key.clone(), Job::start(key, spec, script, self.now));
    }

    pub(super) fn observe_jobs(&self, scope: &JobScope) -> Result<Vec<JobSeen>, StepError> {
        self.reach()?;
        let horizon = self.horizon();
        let removed = self.removed_jobs.iter().filter(|(at, _)| *at > horizon).map(|(_, job)| job);
        let there = removed.chain(self.jobs.values()).filter(|job| job.started <= horizon);
        Ok(there.filter(|job| job.key.scope == *scope).map(|job| job.seen(horizon)).collect())
    }

    pub(super) fn true_jobs(&self, scope: &JobScope) -> Vec<JobSeen> {
        let of_scope = self.jobs.values().filter(|job| job.key.scope == *scope);
        of_scope.map(|job| job.seen(self.now)).collect()
    }

    pub(super) fn job_scopes(&self) -> Vec<JobScope> {
        let mut scopes: Vec<_> = self.jobs.keys().map(|key| key.scope.clone()).collect();
        scopes.dedup();
        scopes
    }

    pub(super) fn stop_job(&mut self, key: &JobKey) {
        let horizon = self.horizon();
        self.removed_jobs.retain(|(at, _)| *at > horizon);
        if let Some(job) = self.jobs.remove(key) {
            self.removed_jobs.push((self.now, job));
        }
    }

    /// The next line of a source, and whether the source is over.
    pub(super) fn log_line(&self, source: &LogSource, from: LogPosition) -> (Option<LogLine>, bool) {
        match source {
            LogSource::Job(key) => match self.jobs.get(key) {
                Some(job) => (job.line(from, self.now), job.is_over(self.now)),
                None => (None, true),
            },
            LogSource::Replica(environment, key) => {
                let replicas = self.replicas.get(environment).into_iter().flatten();
                let Some(replica) = replicas.into_iter().find(|replica| replica.key == *key) else {
                    return (None, true);
                };
                let index = usize::try_from(from.0).unwrap_or(usize::MAX);
                let line = replica.behaviour.prints.get(index).map(|text| LogLine {
                    at: replica.started,
                    position: LogPosition(from.0 + 1),
                    text: text.clone(),
                });
                (line, replica.has_exited(self.now))
            }
        }
    }
}
