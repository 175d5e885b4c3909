//! `naru stop`: takes down everything that an instance runs on this machine. Data, volumes and images stay; the next
//! `naru serve` brings it back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use futures::stream::BoxStream;
use naru_edge::control::Client;
use naru_engine::{Engine, Inputs, StepError};
use naru_model::job::{SecretScope, Workspace};
use naru_model::{Problem, SecretName, SecretVersion};

use crate::data::DataFolder;
use crate::serve::wiring::{connect_engine, engine_choice};
use crate::system::SystemClock;

/// How long requests under way may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Options of `naru stop`.
#[derive(Args)]
#[command(after_help = "End `naru serve` first: its folder is locked while it runs.")]
pub(crate) struct Arguments {
    /// The data folder of the instance.
    #[arg(long, env = "NARU_DATA", default_value = "naru-data")]
    data: PathBuf,
    /// The container engine it runs on, as given to `naru serve`.
    #[arg(long, env = "NARU_ENGINE", default_value = "auto", value_parser = engine_choice)]
    engine: naru_engine::docker::EngineChoice,
}

/// Stops edge, replicas and jobs.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Problem> {
    crate::log::to_stderr(false);
    let folder = DataFolder::open(&arguments.data)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        Problem::new("stop.runtime", "threads cannot be started").cause(error.to_string())
    })?;
    runtime.block_on(async {
        // An edge that does not answer has stopped already.
        let _ = Client::of(&folder.path("")).shutdown(DRAIN).await;
        let clock = Arc::new(SystemClock);
        let engine = connect_engine(&arguments.engine, &folder, None, Arc::new(NoInputs), clock).await?;
        take_down(&engine).await.map_err(|error| {
            Problem::new("stop.engine", "not everything could be stopped")
                .cause(error.to_string())
                .state("data, volumes and images are kept")
                .hint("run it again")
        })?;
        engine.close().await;
        Ok::<(), Problem>(())
    })?;
    println!("Stopped. Data, volumes and images are kept in {}.", arguments.data.display());
    Ok(())
}

async fn take_down(engine: &dyn Engine) -> Result<(), StepError> {
    for scope in engine.job_scopes().await? {
        for job in engine.observe_jobs(&scope).await? {
            engine.stop_job(&job.key).await?;
        }
    }
    for key in engine.environments().await? {
        engine.remove_environment(&key, false).await?;
    }
    Ok(())
}

/// Nothing is started here, so nothing is fetched.
struct NoInputs;

fn not_here() -> StepError {
    Problem::new("stop.inputs", "nothing is started while everything is stopped").into()
}

#[async_trait]
impl Inputs for NoInputs {
    async fn reveal(
        &self,
        _: &SecretScope,
        _: &SecretName,
        _: SecretVersion,
    ) -> Result<naru_secret::SecretString, StepError> {
        Err(not_here())
    }

    async fn archive(
        &self,
        _: &Workspace,
    ) -> Result<BoxStream<'static, Result<Bytes, StepError>>, StepError> {
        Err(not_here())
    }
}
