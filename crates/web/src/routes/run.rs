//! Runs and their steps.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{Page, Progress, Run, RunDetail, Step};
use naru_model::pipeline::{RunState, StepGraph, StepRecord, StepState};
use naru_model::{Problem, ProjectName, RunNumber};
use serde::Deserialize;

use crate::Cx;
use crate::access::Chosen;
use crate::border::{InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;

/// A run as people see it.
pub(crate) fn view(row: naru_store::run::Run) -> Run {
    Run {
        number: row.number,
        commit: row.commit,
        branch: row.branch.to_string(),
        state: match row.state {
            RunState::Queued => Progress::Waiting,
            RunState::Running => Progress::Moving,
            RunState::Succeeded => Progress::Done,
            RunState::Failed => Progress::Failed,
            RunState::Cancelled => Progress::Cancelled,
            RunState::Superseded => Progress::Skipped,
        },
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        release: row.release,
        problem: row.problem,
    }
}

fn step(record: StepRecord, graph: &StepGraph) -> Step {
    let needs =
        graph.nodes.get(&record.name).map(|node| node.needs.iter().map(ToString::to_string).collect());
    Step {
        needs: needs.unwrap_or_default(),
        name: record.name.to_string(),
        state: match record.state {
            StepState::Waiting => Progress::Waiting,
            StepState::Starting | StepState::Running => Progress::Moving,
            StepState::Succeeded => Progress::Done,
            StepState::Failed => Progress::Failed,
            StepState::Skipped => Progress::Skipped,
            StepState::Cancelled => Progress::Cancelled,
        },
        started_at: record.started,
        finished_at: record.finished,
        detail: record.exit.map(|exit| exit.to_string()),
        tests: record.tests,
    }
}

/// The runs of a project, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs", operation_id = "listRuns", tag = "run",
    params(("project" = ProjectName, Path), Paging),
    responses((status = 200, body = Page<Run>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Run>>> {
    let rows = cx.store.runs(&project.name, paging.after_number(), paging.probe()).await?;
    let runs = rows.into_iter().map(view).collect();
    Ok(Json(paging.page(runs, |run: &Run| run.number.to_string())))
}

/// `{run}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneRun {
    pub(crate) run: RunNumber,
}

pub(crate) fn no_run(project: &ProjectName, number: RunNumber) -> Failure {
    Failure::missing(
        format!("run {number} of project `{project}`"),
        &format!("naru run list --project {project}"),
    )
}

/// A run with its steps.
pub(crate) async fn detail(cx: &Cx, project: &ProjectName, number: RunNumber) -> Result<RunDetail> {
    let row = cx.store.run(project, number).await?.ok_or_else(|| no_run(project, number))?;
    let definition = cx.store.run_definition(project, number).await?;
    let graph = definition.as_ref().map(StepGraph::of).unwrap_or_default();
    let records = cx.store.run_steps(project, number).await?;
    let mut steps: Vec<Step> = records.into_iter().map(|record| step(record, &graph)).collect();
    steps.sort_by_key(|step| (step.started_at.is_none(), step.started_at, step.needs.len()));
    Ok(RunDetail { run: view(row), steps })
}

/// A run with its steps.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{run}", operation_id = "showRun", tag = "run",
    params(("project" = ProjectName, Path), ("run" = RunNumber, Path)),
    responses((status = 200, body = RunDetail), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<OneRun>,
) -> Result<Json<RunDetail>> {
    Ok(Json(detail(&cx, &project.name, path.run).await?))
}

/// Asks for the end of a run: its steps are stopped with all their processes.
#[utoipa::path(post, path = "/api/v1/projects/{project}/runs/{run}/cancel", operation_id = "cancelRun", tag = "run",
    params(("project" = ProjectName, Path), ("run" = RunNumber, Path)),
    responses((status = 202, body = RunDetail), (status = "default", body = Problem)))]
pub(crate) async fn cancel(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<OneRun>,
) -> Result<(StatusCode, Json<RunDetail>)> {
    end(&cx, &project.name, path.run).await?;
    Ok((StatusCode::ACCEPTED, Json(detail(&cx, &project.name, path.run).await?)))
}

/// Asks for the end of a run that is not over.
pub(crate) async fn end(cx: &Cx, project: &ProjectName, number: RunNumber) -> Result<()> {
    let before = detail(cx, project, number).await?;
    if cx.store.cancel_run(project, number).await? {
        return Ok(());
    }
    let problem = Problem::new("api.run-over", format!("run {number} is over already"))
        .cause(format!("it ended before it could be cancelled ({})", word(before.run.state)))
        .command(format!("naru run show {number} --project {project}"));
    Err(Failure::new(StatusCode::CONFLICT, problem))
}

fn word(state: Progress) -> &'static str {
    match state {
        Progress::Waiting => "waiting",
        Progress::Moving => "moving",
        Progress::Done => "done",
        Progress::Failed => "failed",
        Progress::Cancelled => "cancelled",
        Progress::Skipped => "skipped",
    }
}
