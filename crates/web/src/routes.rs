//! The handlers, one file per resource. Each reads what is true or records what is wanted; who may do it was decided
//! before it is called.

pub(crate) mod about;
pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod certificate;
pub(crate) mod crossing;
pub(crate) mod environment;
pub(crate) mod event;
pub(crate) mod external_login;
pub(crate) mod favourite;
pub(crate) mod instance;
pub(crate) mod intent;
pub(crate) mod invitation;
pub(crate) mod log;
pub(crate) mod maintenance;
pub(crate) mod member;
pub(crate) mod metric;
pub(crate) mod organisation;
pub(crate) mod people;
pub(crate) mod project;
pub(crate) mod receipt;
pub(crate) mod release;
pub(crate) mod replica;
pub(crate) mod rollout;
pub(crate) mod run;
pub(crate) mod setting;
pub(crate) mod setting_version;
pub(crate) mod shared_setting;
pub(crate) mod totp;
pub(crate) mod trigger;

use naru_model::{EnvironmentKey, EnvironmentName};

use crate::Cx;
use crate::access::Chosen;
use crate::failure::{Failure, Result};

/// The environment that every project has in mind: settings may come before its first release.
pub(crate) const FIRST: &str = "production";

/// `{project}/…/{environment}` in a path.
#[derive(serde::Deserialize)]
pub(crate) struct InEnvironment {
    pub(crate) environment: EnvironmentName,
}

/// The environment named in the path, which must exist.
pub(crate) async fn environment(
    cx: &Cx,
    Chosen(project): &Chosen,
    name: EnvironmentName,
) -> Result<naru_store::environment::Environment> {
    let key = EnvironmentKey { project: project.name.clone(), environment: name };
    match cx.store.environment(&key).await? {
        Some(environment) => Ok(environment),
        None => Err(no_environment(&key)),
    }
}

pub(crate) fn no_environment(key: &EnvironmentKey) -> Failure {
    let what = format!("environment `{}` of project `{}`", key.environment, key.project);
    Failure::missing(what, &format!("naru environment list --project {}", key.project))
}
