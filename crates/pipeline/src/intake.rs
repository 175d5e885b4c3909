//! Accepted triggers become runs, or are settled with the reason why not.

use naru_model::definition::{self, FILE_NAME, ProjectDefinition, RepositoryFiles};
use naru_model::pipeline::StepGraph;
use naru_model::{BranchName, CommitId, Problem, RunNumber};
use naru_source::commits::Commits;
use naru_source::git::{EntryKind, GitError};
use naru_store::run::Begin;
use naru_store::trigger::{Trigger, TriggerKind, TriggerState};
use naru_store::{Store, StoreError};

use crate::Context;

/// The largest `naru.yaml`.
const FILE_LIMIT_BYTES: u64 = 256 << 10;
/// The largest Dockerfile that is looked into for its port.
const DOCKERFILE_LIMIT_BYTES: u64 = 1 << 20;

/// Makes runs of all triggers that wait. One that cannot be looked at now is left for the next pass.
pub(crate) async fn take_triggers(cx: &Context) -> Result<(), StoreError> {
    for trigger in cx.store.pending_triggers().await? {
        match take(cx, &trigger).await {
            // Somebody settled it meanwhile, or its project is gone: either way it is done.
            Ok(()) | Err(StoreError::Stale(_) | StoreError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn take(cx: &Context, trigger: &Trigger) -> Result<(), StoreError> {
    let ignore = |why: String| finish(&cx.store, trigger, TriggerState::Ignored, why);
    let project = cx.store.project(&trigger.project).await?;
    let Some(project) = project.filter(|project| !project.deleting) else {
        return ignore("the project is being deleted".into()).await;
    };
    let (Some(branch), Some(commit)) = (trigger.branch(), trigger.new.clone()) else {
        return ignore("there is no commit of a branch to run".into()).await;
    };
    if let Some((head, run)) = overtaken(&cx.store, trigger, &branch, &commit).await? {
        let why = format!("`{branch}` is at {} since, which is run {run}", head.short());
        return finish(&cx.store, trigger, TriggerState::Superseded, why).await;
    }
    let definition = match read_definition(&*cx.sources.of(&trigger.project), &commit).await {
        Ok(Ok(definition)) => definition,
        Ok(Err(problem)) => {
            tracing::info!(project = %trigger.project, %branch, commit = commit.short(), code = %problem.code, "a commit cannot be run");
            cx.store.begin_run(trigger, (&branch, &commit), Begin::Failed(&problem)).await?;
            return Ok(());
        }
        Err(error) => {
            tracing::warn!(project = %trigger.project, %error, "a commit could not be read; it is tried again");
            return Ok(());
        }
    };
    if definition.environments_of_branch(&branch, &project.default_branch).is_empty() {
        return ignore(no_environment(&branch, &definition, &project.default_branch)).await;
    }
    let steps = StepGraph::of(&definition).waiting();
    let begin = Begin::Queued { definition: &definition, steps: &steps };
    let number = cx.store.begin_run(trigger, (&branch, &commit), begin).await?;
    tracing::info!(project = %trigger.project, run = %number, %branch, commit = commit.short(), "a run was queued");
    Ok(())
}

async fn finish(
    store: &Store,
    trigger: &Trigger,
    state: TriggerState,
    why: String,
) -> Result<(), StoreError> {
    store.finish_trigger(trigger.id, state, &why).await
}

/// Where the branch is, and the run of that commit, when a move of it was settled so late that a newer one was taken
/// before. What a person asks for is not a move: an older commit may be run again.
async fn overtaken(
    store: &Store,
    trigger: &Trigger,
    branch: &BranchName,
    commit: &CommitId,
) -> Result<Option<(CommitId, RunNumber)>, StoreError> {
    if trigger.kind == TriggerKind::Person {
        return Ok(None);
    }
    let head = store.known_heads(&trigger.project).await?.remove(&trigger.reference);
    let Some(head) = head.filter(|head| head != commit) else { return Ok(None) };
    let run = store.run_of(&trigger.project, branch, &head).await?;
    Ok(run.map(|run| (head, run)))
}

fn no_environment(branch: &BranchName, definition: &ProjectDefinition, default: &BranchName) -> String {
    let followed: Vec<String> = definition
        .environments(default)
        .into_iter()
        .filter_map(|(name, environment)| Some(format!("`{name}` follows `{}`", environment.branch?)))
        .collect();
    match followed.as_slice() {
        [] => format!("no environment follows branch `{branch}`, or any other"),
        some => format!("no environment follows branch `{branch}`; {}", some.join(", ")),
    }
}

/// What a commit says. The outer error is worth another try, the inner one is the commit's.
async fn read_definition(
    repository: &dyn Commits,
    commit: &CommitId,
) -> Result<Result<ProjectDefinition, Problem>, GitError> {
    if !repository.has(commit).await? {
        let problem = Problem::new(
            "pipeline.commit-missing",
            format!("commit {} is not in the repository any more", commit.short()),
        )
        .state("nothing was built or changed; what serves keeps serving")
        .hint("push the branch again");
        return Ok(Err(problem));
    }
    let text = match repository.file(commit, FILE_NAME, FILE_LIMIT_BYTES).await {
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) => return Ok(Err(unusable("is not UTF-8 text"))),
        },
        Ok(None) => None,
        Err(GitError::NotAFile { kind, .. }) => return Ok(Err(unusable(&format!("is {kind}, not a file")))),
        Err(GitError::TooLarge { .. }) => {
            return Ok(Err(unusable(&format!("is larger than {} KiB", FILE_LIMIT_BYTES >> 10))));
        }
        Err(error) => return Err(error),
    };
    let files = look_around(repository, commit).await?;
    Ok(definition::read(text.as_deref(), &files))
}

fn unusable(why: &str) -> Problem {
    Problem::new("definition.invalid", format!("{FILE_NAME} {why}"))
        .state("nothing was built or changed; what serves keeps serving")
        .hint("correct the file and push again")
}

/// What a commit without services in its `naru.yaml` is judged by.
async fn look_around(repository: &dyn Commits, commit: &CommitId) -> Result<RepositoryFiles, GitError> {
    let root = repository.list(commit, None).await?;
    let is_file = |kind: EntryKind| matches!(kind, EntryKind::File | EntryKind::Executable);
    let mut files = RepositoryFiles::default();
    if root.iter().any(|entry| entry.path == "Dockerfile" && is_file(entry.kind)) {
        let text = match repository.file(commit, "Dockerfile", DOCKERFILE_LIMIT_BYTES).await {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(GitError::TooLarge { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        files.dockerfile = Some(String::from_utf8_lossy(&text).into_owned());
    } else if root.iter().any(|entry| entry.path == "index.html" && is_file(entry.kind)) {
        files.static_files = ".".parse().ok();
    } else if root.iter().any(|entry| entry.path == "public" && entry.kind == EntryKind::Folder) {
        let public = repository.list(commit, Some("public")).await?;
        let found =
            public.iter().any(|entry| entry.path.ends_with("public/index.html") && is_file(entry.kind));
        files.static_files = found.then(|| "public".parse().ok()).flatten();
    }
    Ok(files)
}
