//! Who may use which route. Written by hand: what the code says of itself would prove nothing.

use naru_model::role::Role;

/// Who a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Everybody, also without a login.
    Open,
    /// Everybody with an account.
    Everybody,
    /// Who may change the instance.
    Administrators,
    Viewer,
    Developer,
    /// Developers; maintainers where the environment is protected.
    Deployers,
    Maintainer,
    Owner,
}

impl Who {
    /// The least role that will do, for what belongs to an organisation.
    pub(super) fn lowest(self) -> Option<Role> {
        match self {
            Self::Open | Self::Everybody | Self::Administrators => None,
            Self::Viewer => Some(Role::Viewer),
            Self::Developer | Self::Deployers => Some(Role::Developer),
            Self::Maintainer => Some(Role::Maintainer),
            Self::Owner => Some(Role::Owner),
        }
    }
}

#[rustfmt::skip] // one route, one line
pub(super) const LIST: &[(Who, &str)] = &[
    (Who::Everybody, "GET /api/v1/audit"),
    (Who::Everybody, "GET /api/v1/certificate-authority"),
    (Who::Administrators, "GET /api/v1/certificates"),
    (Who::Administrators, "PUT /api/v1/certificates/{host}"),
    (Who::Administrators, "DELETE /api/v1/certificates/{host}"),
    (Who::Administrators, "GET /api/v1/doctor"),
    (Who::Everybody, "GET /api/v1/engine"),
    (Who::Everybody, "GET /api/v1/events"),
    (Who::Open, "POST /api/v1/login"),
    (Who::Everybody, "POST /api/v1/logout"),
    (Who::Open, "GET /api/v1/openapi.json"),
    (Who::Everybody, "GET /api/v1/organisations"),
    (Who::Viewer, "GET /api/v1/organisations/{organisation}"),
    (Who::Viewer, "GET /api/v1/organisations/{organisation}/members"),
    (Who::Everybody, "GET /api/v1/projects"),
    (Who::Everybody, "POST /api/v1/projects"),
    (Who::Viewer, "GET /api/v1/projects/{project}"),
    (Who::Owner, "DELETE /api/v1/projects/{project}"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}"),
    (Who::Maintainer, "PUT /api/v1/projects/{project}/environments/{environment}"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/configuration"),
    (Who::Maintainer, "PUT /api/v1/projects/{project}/environments/{environment}/configuration"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/crossing"),
    (Who::Deployers, "POST /api/v1/projects/{project}/environments/{environment}/deploy"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/logs"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/logs?follow=true"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/maintenance"),
    (Who::Deployers, "PUT /api/v1/projects/{project}/environments/{environment}/maintenance"),
    (Who::Deployers, "DELETE /api/v1/projects/{project}/environments/{environment}/maintenance"),
    (Who::Deployers, "POST /api/v1/projects/{project}/environments/{environment}/promote"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/revisions"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/revisions/{revision}"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/revisions/{revision}/diff"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/revisions/{revision}/receipt"),
    (Who::Deployers, "POST /api/v1/projects/{project}/environments/{environment}/rollback"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/rollout"),
    (Who::Deployers, "POST /api/v1/projects/{project}/environments/{environment}/rollout/abort"),
    (Who::Deployers, "POST /api/v1/projects/{project}/environments/{environment}/rollout/promote"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/secrets"),
    (Who::Maintainer, "PUT /api/v1/projects/{project}/environments/{environment}/secrets/{secret}"),
    (Who::Maintainer, "DELETE /api/v1/projects/{project}/environments/{environment}/secrets/{secret}"),
    (Who::Viewer, "GET /api/v1/projects/{project}/environments/{environment}/transport"),
    (Who::Maintainer, "PUT /api/v1/projects/{project}/environments/{environment}/transport"),
    (Who::Viewer, "GET /api/v1/projects/{project}/events"),
    (Who::Viewer, "GET /api/v1/projects/{project}/intents/{intent}"),
    (Who::Viewer, "GET /api/v1/projects/{project}/releases"),
    (Who::Viewer, "GET /api/v1/projects/{project}/releases/{release}"),
    (Who::Viewer, "GET /api/v1/projects/{project}/runs"),
    (Who::Viewer, "GET /api/v1/projects/{project}/runs/{run}"),
    (Who::Developer, "POST /api/v1/projects/{project}/runs/{run}/cancel"),
    (Who::Viewer, "GET /api/v1/projects/{project}/runs/{run}/steps/{step}/logs"),
    (Who::Viewer, "GET /api/v1/projects/{project}/runs/{run}/steps/{step}/logs?follow=true"),
    (Who::Viewer, "GET /api/v1/projects/{project}/secrets"),
    (Who::Maintainer, "PUT /api/v1/projects/{project}/secrets/{secret}"),
    (Who::Maintainer, "DELETE /api/v1/projects/{project}/secrets/{secret}"),
    (Who::Viewer, "GET /api/v1/projects/{project}/triggers"),
    (Who::Developer, "POST /api/v1/projects/{project}/triggers/{trigger}/replay"),
    (Who::Everybody, "GET /api/v1/receipt-keys"),
    (Who::Everybody, "POST /api/v1/receipts/verify"),
    (Who::Open, "POST /api/v1/setup"),
    (Who::Everybody, "GET /api/v1/tokens"),
    (Who::Everybody, "POST /api/v1/tokens"),
    (Who::Everybody, "DELETE /api/v1/tokens/{id}"),
    (Who::Everybody, "GET /api/v1/whoami"),
    (Who::Open, "GET /healthz"),
    (Who::Administrators, "GET /metrics"),
    (Who::Open, "GET /readyz"),
    // git
    (Who::Viewer, "GET /git/{project}.git/info/refs?service=git-upload-pack"),
    (Who::Developer, "GET /git/{project}.git/info/refs?service=git-receive-pack"),
    (Who::Viewer, "GET /git/{project}.deploy.git/info/refs?service=git-upload-pack"),
    (Who::Maintainer, "GET /git/{project}.deploy.git/info/refs?service=git-receive-pack"),
    (Who::Viewer, "POST /git/{project}.git/git-upload-pack"),
    (Who::Developer, "POST /git/{project}.git/git-receive-pack"),
    (Who::Viewer, "POST /git/{project}.deploy.git/git-upload-pack"),
    (Who::Maintainer, "POST /git/{project}.deploy.git/git-receive-pack"),
    // the registry
    (Who::Everybody, "GET /v2/"),
    (Who::Developer, "POST /v2/{project}/{repository}/blobs/uploads"),
    (Who::Developer, "POST /v2/{project}/{repository}/blobs/uploads/"),
    (Who::Developer, "GET /v2/{project}/{repository}/blobs/uploads/{id}"),
    (Who::Developer, "PATCH /v2/{project}/{repository}/blobs/uploads/{id}"),
    (Who::Developer, "PUT /v2/{project}/{repository}/blobs/uploads/{id}"),
    (Who::Developer, "DELETE /v2/{project}/{repository}/blobs/uploads/{id}"),
    (Who::Viewer, "GET /v2/{project}/{repository}/blobs/{digest}"),
    (Who::Developer, "DELETE /v2/{project}/{repository}/blobs/{digest}"),
    (Who::Viewer, "GET /v2/{project}/{repository}/manifests/{name}"),
    (Who::Developer, "PUT /v2/{project}/{repository}/manifests/{name}"),
    (Who::Developer, "DELETE /v2/{project}/{repository}/manifests/{name}"),
    (Who::Viewer, "GET /v2/{project}/{repository}/tags/list"),
    (Who::Viewer, "GET /v2/{project}/{repository}/referrers/{digest}"),
];
