//! Releases without a pipeline: the rows that it would leave.

use std::collections::BTreeMap;

use naru_model::definition::{self, ProjectDefinition};
use naru_model::pipeline::RunState;
use naru_model::{BranchName, CommitId, Digest, ImageReference, ProjectName, ReleaseNumber, ServiceName};
use naru_store::Store;
use naru_store::release::NewRelease;
use naru_store::run::{Begin, RunChange};
use naru_store::trigger::{NewTrigger, SettledIn, Settlement, Trigger, TriggerKind, TriggerState};

/// Makes a release from the text of a `naru.yaml`. `content` stands for what was built. Does nothing when there is one of
/// this content already.
pub async fn make(store: &Store, project: &ProjectName, naru_yaml: &str, content: &str) -> ReleaseNumber {
    let definition = definition::parse(naru_yaml).expect("a good naru.yaml");
    let commit = commit_of(content);
    let releases = store.releases(project, None, 100).await.expect("the store answers");
    if let Some(release) = releases.iter().find(|release| release.commit == commit) {
        return release.number;
    }
    let branch: BranchName = "main".parse().expect("a branch name");
    let trigger = trigger(store, project, &branch, &commit).await;
    let begin = Begin::Queued { definition: &definition, steps: &[] };
    let run = store.begin_run(&trigger, (&branch, &commit), begin).await.expect("a new run");
    let new = NewRelease {
        branch,
        commit: commit.clone(),
        images: images(project, &definition, content),
        definition,
    };
    let change = RunChange {
        project,
        number: run,
        state: RunState::Succeeded,
        note: "",
        steps: &[],
        problem: None,
        superseded_by: None,
        release: Some(&new),
        cleared: true,
    };
    store.change_run(&change).await.expect("a finished run").expect("a release")
}

async fn trigger(store: &Store, project: &ProjectName, branch: &BranchName, commit: &CommitId) -> Trigger {
    let reference = format!("refs/heads/{branch}");
    let new = NewTrigger {
        project: project.clone(),
        kind: TriggerKind::Push,
        reference: reference.clone(),
        old: None,
        new: Some(commit.clone()),
        by: "mina".into(),
    };
    let id = store.receive_triggers(&[new]).await.expect("a new trigger")[0];
    let heads = BTreeMap::from([(reference, commit.clone())]);
    let settlement = Settlement { id, state: TriggerState::Accepted, detail: String::new() };
    store
        .settle_triggers(project, &[settlement], SettledIn::Source(&heads))
        .await
        .expect("an accepted trigger");
    store.trigger(id).await.expect("the store answers").expect("the trigger")
}

/// A commit id that stands for some content.
pub fn commit_of(content: &str) -> CommitId {
    CommitId::try_from(Digest::of(content.as_bytes()).hex()[..40].to_owned())
        .expect("40 hexadecimal characters")
}

/// One image per built service, whose name contains `content`: the fake world's scripts go by it.
fn images(
    project: &ProjectName,
    definition: &ProjectDefinition,
    content: &str,
) -> BTreeMap<ServiceName, ImageReference> {
    definition
        .builds()
        .map(|(service, _)| {
            let digest = Digest::of(format!("{service} {content}").as_bytes());
            let name = format!("registry/{project}/{service}-{content}");
            (service.clone(), ImageReference { name, digest })
        })
        .collect()
}
