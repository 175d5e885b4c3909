//! Certificates, and what the hosts of an environment ask of visitors. Private keys go in and never come out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{Certificate, CertificateAuthority, CertificateUpload, Page, Transport};
use naru_model::{EnvironmentName, Problem, ProjectName};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{Body, InPath};
use crate::failure::{Failure, Result};
use crate::routes::{InEnvironment, environment};

/// The longest time that browsers can be told to remember: two years, as their preload lists want it.
const HSTS_MOST_S: u64 = 2 * 365 * 86_400;

/// `{host}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneHost {
    host: String,
}

fn failure(problem: Problem) -> Failure {
    let status = match &*problem.code {
        "certificate.refused" => StatusCode::BAD_REQUEST,
        "certificate.missing" => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Failure::new(status, problem)
}

/// Every host that a route leads from or that somebody gave a certificate for.
#[utoipa::path(get, path = "/api/v1/certificates", operation_id = "listCertificates", tag = "certificate",
    responses((status = 200, body = Page<Certificate>), (status = "default", body = Problem)))]
pub(crate) async fn list(State(cx): State<Cx>) -> Result<Json<Page<Certificate>>> {
    Ok(Json(Page { items: all(&cx).await?, next: None }))
}

/// Every host with its certificate.
pub(crate) async fn all(cx: &Cx) -> Result<Vec<Certificate>> {
    cx.behind.certificates().await.map_err(failure)
}

/// Gives a certificate for a host, in the place of the one before.
#[utoipa::path(put, path = "/api/v1/certificates/{host}", operation_id = "setCertificate", tag = "certificate",
    request_body = CertificateUpload, params(("host" = String, Path, description = "A host, or `*.` and a host")),
    responses((status = 200, body = Certificate), (status = "default", body = Problem)))]
pub(crate) async fn set(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    InPath(path): InPath<OneHost>,
    Body(given): Body<CertificateUpload>,
) -> Result<Json<Certificate>> {
    let set = cx.behind.set_certificate(&path.host, given, &caller.login).await;
    Ok(Json(set.map_err(failure)?))
}

/// Takes a certificate back that somebody gave.
#[utoipa::path(delete, path = "/api/v1/certificates/{host}", operation_id = "unsetCertificate", tag = "certificate",
    params(("host" = String, Path, description = "A host, or `*.` and a host")),
    responses((status = 204, description = "It is not shown any more"), (status = "default", body = Problem)))]
pub(crate) async fn unset(State(cx): State<Cx>, InPath(path): InPath<OneHost>) -> Result<StatusCode> {
    cx.behind.unset_certificate(&path.host).await.map_err(failure)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The certificate to be trusted for what the authority of this instance signs.
#[utoipa::path(get, path = "/api/v1/certificate-authority", operation_id = "certificateAuthority", tag = "certificate",
    responses((status = 200, body = CertificateAuthority), (status = "default", body = Problem)))]
pub(crate) async fn authority(State(cx): State<Cx>) -> Result<Json<CertificateAuthority>> {
    Ok(Json(cx.behind.certificate_authority().await.map_err(failure)?))
}

/// What the hosts of an environment ask of visitors.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/transport",
    operation_id = "showTransport", tag = "certificate",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Transport), (status = "default", body = Problem)))]
pub(crate) async fn show_transport(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Transport>> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    Ok(Json(cx.store.transport(&environment.key).await?))
}

/// Sets what the hosts of an environment ask of visitors. In force a moment later; nothing is delivered again.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/transport",
    operation_id = "setTransport", tag = "certificate", request_body = Transport,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Transport), (status = "default", body = Problem)))]
pub(crate) async fn set_transport(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    Body(wanted): Body<Transport>,
) -> Result<Json<Transport>> {
    if wanted.hsts_s.is_some_and(|s| s > HSTS_MOST_S) {
        let problem = Problem::new("api.bad-transport", "browsers cannot be told to remember for so long")
            .cause(format!("at most {HSTS_MOST_S} s, which is two years"))
            .state("nothing was changed");
        return Err(Failure::refused(problem));
    }
    let environment = environment(&cx, &chosen, path.environment).await?;
    cx.store.set_transport(&environment.key, wanted).await?;
    Ok(Json(wanted))
}
