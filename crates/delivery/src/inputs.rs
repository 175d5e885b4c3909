//! What the engine fetches while it starts something: secrets in plain text, and the files of a commit.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use naru_engine::{Inputs, StepError};
use naru_model::job::{SecretScope, Workspace};
use naru_model::{Problem, SecretName, SecretVersion};
use naru_secret::{Binding, KeyRing, Sealed, SecretString};
use naru_source::SourceRepositories;
use naru_store::Store;

/// The most bytes of one commit's files.
const ARCHIVE_LIMIT_BYTES: u64 = 4 << 30;

/// Opens sealed secrets and archives commits.
pub struct Vault {
    /// Where sealed secrets are.
    pub store: Store,
    /// What opens them.
    pub keys: Arc<KeyRing>,
    /// Where commits are.
    pub sources: SourceRepositories,
}

#[async_trait]
impl Inputs for Vault {
    async fn reveal(
        &self,
        scope: &SecretScope,
        name: &SecretName,
        version: SecretVersion,
    ) -> Result<SecretString, StepError> {
        let sealed = self
            .store
            .sealed_secret(scope, name, version)
            .await
            .map_err(|error| StepError::Transient(error.to_string()))?
            .ok_or_else(|| {
                Problem::new("delivery.no-secret", format!("secret {name} has no version that can be used"))
                    .cause(format!("version {version} was revoked, and no other is set"))
                    .hint("set it again:")
                    .command(format!("naru secret set {name}"))
            })?;
        let damaged = |why: String| {
            Problem::new("delivery.secret-sealed", format!("secret {name} cannot be opened"))
                .cause(why)
                .hint("the key file of this instance is not the one it was sealed with: restore it, or set the secret again")
        };
        let text: Sealed = sealed.sealed.parse().map_err(|error| damaged(format!("{error}")))?;
        let place = sealed.place(scope);
        let binding = Binding { scope: &place.0, name, version: place.1 };
        Ok(self.keys.open_sealed(&binding, &text).map_err(|error| damaged(error.to_string()))?)
    }

    async fn archive(
        &self,
        workspace: &Workspace,
    ) -> Result<BoxStream<'static, Result<Bytes, StepError>>, StepError> {
        let archive = self.sources.archive(&workspace.project, &workspace.commit, ARCHIVE_LIMIT_BYTES);
        Ok(archive.map(|chunk| chunk.map_err(|error| StepError::Transient(error.to_string()))).boxed())
    }
}
