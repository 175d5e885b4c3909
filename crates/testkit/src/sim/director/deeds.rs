//! What people ask for and say while the simulation goes on.

use naru_model::rollout::Decision;
use naru_model::{EnvironmentKey, RevisionNumber};
use naru_source::deploy::DeployRepositories;
use naru_store::intent::IntentKind;

use super::super::mistake::Mistake;
use super::super::people::Deed;
use super::super::process::Work;
use super::super::way::Way;
use super::Director;

impl Director {
    pub(super) async fn somebody_acts(&mut self) {
        let (stage, store) = (self.stage.clone(), self.store.clone());
        if self.processes.is_empty() {
            return;
        }
        let Some(deed) = self.people.act(&stage, &store).await else { return };
        stage.tell(format!("somebody asks: {deed:?}"));
        if stage.makes(Mistake::AcknowledgedBeforeStored) {
            self.people.acknowledged.extend(deed.promise());
        }
        if let Deed::Intend(key, IntentKind::Rollback { revision }) = &deed {
            self.allow(key, *revision).await;
        }
        let which = stage.chance().below(self.processes.len());
        self.processes[which].add(Work::Ask(deed), stage.now());
    }

    /// Somebody looks at a move that is under way and says something about it. Once all is calm, what waits is promoted.
    pub(super) async fn somebody_decides(&mut self) {
        let stage = self.stage.clone();
        let keys: Vec<_> = self
            .people
            .crossing()
            .flat_map(|project| project.environments.iter().map(|key| (key.clone(), project.way)))
            .collect();
        let drawn = stage.apart().one_of(&keys).cloned();
        let Some((key, way)) = drawn.filter(|_| !self.processes.is_empty()) else { return };
        let row = self.store.environment(&key).await.expect("the store answers");
        let moves = row.filter(|row| row.target != row.serving && row.serving.is_some());
        let Some(revision) = moves.and_then(|row| row.target) else { return };
        let (promote, abort) = match (way, self.calm) {
            (Way::Preview, true) => (100, 0),
            (Way::Preview, false) => (60, 15),
            (_, true) => (0, 0),
            (_, false) => (8, 10),
        };
        let drawn = stage.apart().below(100);
        let by = "mina".to_owned();
        let decision = match drawn {
            drawn if drawn < promote => Decision::Promote { by },
            drawn if drawn < promote + abort => Decision::Abort { by },
            _ => return,
        };
        if matches!(decision, Decision::Promote { .. }) {
            self.allow(&key, revision).await;
        }
        stage.tell(format!("{key}: somebody says of revision {revision}: {decision:?}"));
        let waiting = self.store.pending_intents(&key.project).await.expect("the store answers");
        let newest = self.store.newest_intent(&key).await.expect("the store answers");
        let newest = newest.filter(|_| waiting.is_empty()).map(|intent| intent.id);
        let deed = Deed::Decide { key, revision, decision, newest };
        if stage.makes(Mistake::AbortForgotten) && deed.gives_up().is_some() {
            self.people.given_up.extend(deed.gives_up());
            return;
        }
        let which = stage.apart().below(self.processes.len());
        self.processes[which].add(Work::Ask(deed), stage.now());
    }

    /// What a revision runs may get all requests at once: somebody wants that.
    async fn allow(&self, key: &EnvironmentKey, revision: RevisionNumber) {
        let row = self.store.revision(key, revision).await.expect("the store answers");
        let Some(row) = row else { return };
        let spec = DeployRepositories::read_spec(&self.stage.deploy, key, &row.commit).await;
        for service in spec.ok().flatten().iter().flat_map(|spec| spec.services.values()) {
            self.stage.promises().crossing(key).allow(service.template.hash());
        }
    }

    /// Asks for something through a process that runs, while all is calm.
    pub(in super::super) fn ask(&mut self, deed: Deed) {
        let now = self.stage.now();
        self.stage.tell(format!("somebody asks: {deed:?}"));
        self.processes[0].add(Work::Ask(deed), now);
    }
}
