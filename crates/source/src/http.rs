//! Hosted git over smart HTTP (gitprotocol-http(5)): `/git/<project>.git` and `/git/<project>.deploy.git`, through the
//! system git. It asks `Authorise` first, keeps the ledger, and bounds size, time and number; what a deploy repository
//! may hold is decided by the hook command that it is handed.

mod body;
mod conversation;
#[doc(hidden)]
pub mod fuzz;
mod packet;
mod push;
mod response;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use naru_model::ProjectName;
use naru_model::authorise::{Authorise, Credentials, Denied, Permission, Principal, Resource};
use naru_model::effect::observed;
use naru_store::trigger::TriggerId;
use naru_store::{Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::git::{Git, GitError, Variable};
use crate::ledger::{Ledger, LedgerError, Said, Wish};
use crate::recovery;
use crate::repository::{Repository, RepositoryKind, SourceRepositories};
use crate::upkeep::Upkeep;
use body::RequestBody;
use conversation::{Answer, converse};
use push::{Head, Report};
use response::{Refusal, Service, answer};

/// How long a request waits for others to end.
const TURN_LIMIT: Duration = Duration::from_secs(30);
/// What a client may ask for in one fetch.
const FETCH_LIMIT_BYTES: u64 = 32 << 20;
/// Room for the commands before the pack of a push, and for reading on after git gave up on it.
const PUSH_SLACK_BYTES: u64 = 64 << 20;

/// The bounds of hosted git, and the hook of deploy repositories.
#[derive(Debug, Clone)]
pub struct HostingSettings {
    /// The most bytes of one push.
    pub push_limit_bytes: u64,
    /// The longest a fetch or push may take.
    pub time_limit: Duration,
    /// The most git processes at the same time.
    pub at_once: usize,
    /// The command that decides on pushes to deploy repositories: program and arguments. Git runs it in the repository,
    /// as githooks(5) describes for `pre-receive`. Empty: every fast-forward is accepted.
    pub deploy_hook: Vec<OsString>,
}

impl Default for HostingSettings {
    fn default() -> Self {
        Self {
            push_limit_bytes: 1 << 30,
            time_limit: Duration::from_mins(10),
            at_once: 32,
            deploy_hook: Vec::new(),
        }
    }
}

/// Hosted git of one instance.
pub struct Hosting {
    store: Store,
    repositories: SourceRepositories,
    authorise: Arc<dyn Authorise>,
    ledger: Ledger,
    settings: HostingSettings,
    hooks: PathBuf,
    turns: Arc<Semaphore>,
    upkeep: Upkeep,
}

impl Hosting {
    /// Prepares hosting below the repositories' folder. Call [`Hosting::recover`] before serving.
    pub async fn open(
        store: Store,
        repositories: SourceRepositories,
        authorise: Arc<dyn Authorise>,
        settings: HostingSettings,
    ) -> std::io::Result<Arc<Self>> {
        let hooks = recovery::install_hooks(repositories.root(), &settings.deploy_hook).await?;
        let ledger = Ledger::new(store.clone(), repositories.clone());
        let turns = Arc::new(Semaphore::new(settings.at_once));
        Ok(Arc::new(Self {
            store,
            repositories,
            authorise,
            ledger,
            settings,
            hooks,
            turns,
            upkeep: Upkeep::default(),
        }))
    }

    /// The routes, with their `/git` prefix.
    pub fn router(self: &Arc<Self>) -> Router {
        let add = |router: Router<Arc<Self>>, (_, path, to): Offered| router.route(path, to);
        table().into_iter().fold(Router::new(), add).with_state(self.clone())
    }

    /// Makes good what a crash left: ends git processes of an earlier life, removes their locks and half-received
    /// objects, settles the pushes they were part of, and looks for branches that moved. Call it once, before serving.
    pub async fn recover(&self) -> Result<(), LedgerError> {
        recovery::sweep(self.repositories.root()).await.map_err(GitError::from)?;
        self.ledger.settle_forgotten(Duration::ZERO).await?;
        self.look_at_all().await
    }

    /// Finds branches that were moved without a push, and pushes that nobody settled. For a timer.
    pub async fn look(&self) -> Result<(), LedgerError> {
        self.ledger.settle_forgotten(self.settings.time_limit + Duration::from_mins(1)).await?;
        self.look_at_all().await
    }

    async fn look_at_all(&self) -> Result<(), LedgerError> {
        for project in self.store.projects().await?.into_iter().filter(|project| !project.deleting) {
            self.ledger.look(&project.name).await?;
        }
        Ok(())
    }

    /// Packs the repositories whose time has come, one after the other. For a timer.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        for project in self.store.projects().await?.into_iter().filter(|project| !project.deleting) {
            for kind in [RepositoryKind::Source, RepositoryKind::Deploy] {
                let repository = Repository { project: project.name.clone(), kind };
                let git = self.repositories.open(&repository);
                if let Err(error) = self.upkeep.pack(&repository, &git).await {
                    tracing::warn!(%repository, %error, "a repository could not be packed; it is tried again later");
                }
            }
        }
        Ok(())
    }

    /// Resolves when [`Hosting::maintain`] should look before its time: a repository has had many pushes.
    pub async fn many_pushes(&self) {
        self.upkeep.many_pushes().await;
    }

    /// Finds the branches of one project that were moved without a push.
    pub async fn look_at(&self, project: &ProjectName) -> Result<(), LedgerError> {
        self.ledger.look(project).await
    }

    /// Who is asking, once they may. A repository that may not be seen answers like one that is not there.
    async fn admit(
        &self,
        repository: &Repository,
        service: Service,
        headers: &HeaderMap,
    ) -> Result<Principal, Refusal> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let credentials = Credentials::from_header(header, |text| STANDARD.decode(text).ok());
        let permission = match (service, repository.kind) {
            (Service::UploadPack, _) => Permission::Read,
            (Service::ReceivePack, RepositoryKind::Source) => Permission::PushSource,
            (Service::ReceivePack, RepositoryKind::Deploy) => Permission::PushDeploy,
        };
        match self.admitted(&credentials, permission, repository).await {
            Ok(principal) => Ok(principal),
            Err(Denied::Unauthenticated) => Err(Refusal::LogIn),
            Err(Denied::Unavailable(why)) => Err(Refusal::unavailable(&why)),
            Err(Denied::Forbidden) if permission == Permission::Read => {
                refused(permission, repository);
                Err(Refusal::NotFound)
            }
            Err(Denied::Forbidden) => {
                let Ok(principal) = self.admitted(&credentials, Permission::Read, repository).await else {
                    refused(permission, repository);
                    return Err(Refusal::NotFound);
                };
                let login = principal.login;
                tracing::warn!(login, %permission, project = %repository.project, "git was refused");
                Err(Refusal::NotAllowed)
            }
        }
    }

    /// Deploy repositories hold every environment, so they are open to who may do it in each of them.
    async fn admitted(
        &self,
        credentials: &Credentials,
        permission: Permission,
        repository: &Repository,
    ) -> Result<Principal, Denied> {
        let resource = Resource::Project(repository.project.clone());
        let principal = self.authorise.authorise(credentials, permission, &resource).await?;
        if repository.kind == RepositoryKind::Deploy {
            let environments = self.store.environments_of(&repository.project).await;
            for environment in environments.map_err(|error| Denied::Unavailable(error.to_string()))? {
                let resource = Resource::Environment(environment.key);
                self.authorise.authorise(credentials, permission, &resource).await?;
            }
        }
        Ok(principal)
    }

    /// The repository of a project that exists; made when it is missing.
    async fn repository(&self, repository: &Repository) -> Result<Git, Refusal> {
        let project =
            self.store.project(&repository.project).await.map_err(|error| Refusal::unavailable(&error))?;
        let Some(project) = project.filter(|project| !project.deleting) else {
            return Err(Refusal::NotFound);
        };
        let git = self.repositories.open(repository);
        if !git.exists().await {
            let branch = match repository.kind {
                RepositoryKind::Source => project.default_branch,
                RepositoryKind::Deploy => "main".parse().expect("a branch name"),
            };
            git.init_bare(&branch).await.map_err(|error| Refusal::unavailable(&error))?;
        }
        Ok(git)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        match tokio::time::timeout(TURN_LIMIT, self.turns.clone().acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refusal::Busy),
        }
    }

    /// The arguments of git for one service of one repository.
    fn arguments(&self, kind: RepositoryKind, service: Service, advertise: bool) -> Vec<OsString> {
        let deploy = kind == RepositoryKind::Deploy;
        let hooks = self.hooks.join(if deploy { "deploy" } else { "source" });
        let mut hooks_path = OsString::from("core.hooksPath=");
        hooks_path.push(hooks);
        let settings = [
            "transfer.hideRefs=refs/".into(),
            "transfer.hideRefs=!refs/heads/".into(),
            "transfer.hideRefs=!refs/tags/".into(),
            "uploadpack.allowFilter=true".into(),
            "pack.threads=1".into(),
            "pack.windowMemory=64m".into(),
            "core.fsync=committed,reference".into(),
            "core.fsyncMethod=batch".into(),
            "receive.fsckObjects=true".into(),
            "receive.autogc=false".into(),
            format!("receive.maxInputSize={}", self.settings.push_limit_bytes),
            format!("receive.denyNonFastForwards={deploy}"),
            format!("receive.denyDeletes={deploy}"),
        ];
        let mut arguments: Vec<OsString> = Vec::new();
        for setting in settings.map(OsString::from).into_iter().chain([hooks_path]) {
            arguments.extend(["-c".into(), setting]);
        }
        arguments.extend([service.command().into(), "--stateless-rpc".into()]);
        if advertise {
            arguments.push("--http-backend-info-refs".into());
        }
        arguments.push(".".into());
        arguments
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.time_limit
    }
}

/// Method, path and handler of one route.
type Offered = (&'static str, &'static str, MethodRouter<Arc<Hosting>>);

fn table() -> [Offered; 3] {
    [
        ("GET", "/git/{repository}/info/refs", get(advertise)),
        ("POST", "/git/{repository}/git-upload-pack", post(upload_pack)),
        ("POST", "/git/{repository}/git-receive-pack", post(receive_pack)),
    ]
}

/// Method and path of every route, for the walk that asks each of them as everybody.
pub fn routes() -> Vec<(&'static str, &'static str)> {
    table().into_iter().map(|(method, path, _)| (method, path)).collect()
}

/// `GET /git/{repository}/info/refs?service=…`
async fn advertise(
    State(hosting): State<Arc<Hosting>>,
    Path(name): Path<String>,
    Query(query): Query<response::Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let repository = Repository::from_address(&name).ok_or(Refusal::NotFound)?;
    let service = Service::parse(query.service.as_deref()).ok_or(Refusal::OnlySmart)?;
    hosting.admit(&repository, service, &headers).await?;
    let git = hosting.repository(&repository).await?;
    let _turn = hosting.turn().await?;
    let mut call = git.call(hosting.arguments(repository.kind, service, true));
    let version = service.protocol(&headers);
    if let Some(version) = version {
        call = call.variable(Variable::Protocol, version);
    }
    let listing = call.read().await.map_err(|error| Refusal::failed(&error))?;
    let mut content = Vec::new();
    if version != Some("version=2") {
        packet::encode(format!("# service={}\n", service.name()).as_bytes(), &mut content);
        content.extend_from_slice(packet::FLUSH);
    }
    content.extend_from_slice(&listing);
    Ok(answer(&format!("application/x-{}-advertisement", service.name()), Body::from(content)))
}

/// `POST /git/{repository}/git-upload-pack`: a clone or fetch.
async fn upload_pack(
    State(hosting): State<Arc<Hosting>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let service = Service::UploadPack;
    let repository = Repository::from_address(&name).ok_or(Refusal::NotFound)?;
    hosting.admit(&repository, service, &headers).await?;
    let body = request_body(&headers, body, service, FETCH_LIMIT_BYTES)?;
    let git = hosting.repository(&repository).await?;
    let turn = hosting.turn().await?;
    let variables: Vec<_> =
        service.protocol(&headers).map(|version| (Variable::Protocol, version.into())).into_iter().collect();
    let running = git
        .spawn(&hosting.arguments(repository.kind, service, false), &variables)
        .map_err(|error| Refusal::failed(&error))?;
    let (pieces, response_body) = Answer::new(false);
    let deadline = hosting.deadline();
    tokio::spawn(async move {
        let _turn = turn;
        if let Err(error) = converse(running, (Bytes::new(), body), &pieces, |_| (), deadline).await {
            tracing::info!(%repository, %error, "a fetch did not come to its end");
            pieces.fail(&error).await;
        }
    });
    Ok(answer("application/x-git-upload-pack-result", response_body))
}

/// `POST /git/{repository}/git-receive-pack`: a push.
async fn receive_pack(
    State(hosting): State<Arc<Hosting>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let service = Service::ReceivePack;
    let repository = Repository::from_address(&name).ok_or(Refusal::NotFound)?;
    let principal = hosting.admit(&repository, service, &headers).await?;
    let limit = hosting.settings.push_limit_bytes.saturating_add(PUSH_SLACK_BYTES);
    let mut body = request_body(&headers, body, service, limit)?;
    let git = hosting.repository(&repository).await?;
    let turn = hosting.turn().await?;
    let pushing = hosting.upkeep.push(&repository).await;
    let head = Head::read(&mut body).await.map_err(|error| Refusal::unreadable(&error))?;
    let wishes = wishes(&head);
    let recorded = match &wishes[..] {
        [] => Ok(Vec::new()),
        wishes => hosting.ledger.receive(&repository, wishes, &principal.login).await,
    };
    let ids = match recorded {
        Ok(ids) => ids,
        Err(error) => {
            // As a report of git's: of other answers git shows no more than the status.
            body.drain().await;
            let problem = Refusal::unavailable(&error).problem().1.cause(error.to_string());
            return Ok(answer("application/x-git-receive-pack-result", Body::from(head.refuse(&problem))));
        }
    };
    let push = Push { hosting, repository, head, wishes, ids };
    if let Some(problem) = push.head.refusal() {
        body.drain().await;
        push.settle(|_| Some(Err(problem.summary.clone()))).await;
        let refused = push.head.refuse(&problem);
        return Ok(answer("application/x-git-receive-pack-result", Body::from(refused)));
    }
    let (pieces, response_body) = Answer::new(true);
    // A task of its own: what was received is settled also when the sender hangs up.
    tokio::spawn(async move {
        let _held = (turn, pushing);
        push.carry_out(&git, body, &pieces).await;
    });
    Ok(answer("application/x-git-receive-pack-result", response_body))
}

/// A push that is recorded.
struct Push {
    hosting: Arc<Hosting>,
    repository: Repository,
    head: Head,
    wishes: Vec<Wish>,
    ids: Vec<TriggerId>,
}

impl Push {
    /// Lets git take it, and settles it before the sender sees the end of the answer.
    async fn carry_out(&self, git: &Git, body: RequestBody, pieces: &Answer) {
        let mut report = self.head.report();
        let ended = observed(self.hosting.repositories.effects(), "git.receive-pack", async {
            let arguments = self.hosting.arguments(self.repository.kind, Service::ReceivePack, false);
            let running = git.spawn(&arguments, &[])?;
            let request = (self.head.bytes.clone(), body);
            converse(running, request, pieces, |bytes| report.watch(bytes), self.hosting.deadline()).await
        })
        .await;
        self.settle(|index| self.said(&report, index)).await;
        if let Err(error) = ended {
            tracing::info!(repository = %self.repository, %error, "a push did not come to its end");
            pieces.fail(&error).await;
        }
    }

    fn said(&self, report: &Report, index: usize) -> Said {
        report.result(&self.head.commands[index]).cloned()
    }

    async fn settle(&self, said: impl Fn(usize) -> Said) {
        if self.ids.is_empty() {
            return;
        }
        let wishes = self.ids.iter().zip(&self.wishes).enumerate();
        let outcomes: Vec<_> = wishes.map(|(index, (id, wish))| (*id, wish.clone(), said(index))).collect();
        if let Err(error) = self.hosting.ledger.settle(&self.repository, &outcomes).await {
            tracing::error!(repository = %self.repository, %error, "a push could not be settled yet: the next look will");
        }
    }
}

fn wishes(head: &Head) -> Vec<Wish> {
    let wish = |command: &push::Command| Wish {
        reference: command.shown_name(),
        old: command.old.clone(),
        new: command.new.clone(),
    };
    head.commands.iter().map(wish).collect()
}

/// The body of a request, when its headers are as they should be.
fn request_body(
    headers: &HeaderMap,
    body: Body,
    service: Service,
    limit: u64,
) -> Result<RequestBody, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(CONTENT_TYPE) != format!("application/x-{}-request", service.name()) {
        return Err(Refusal::WrongType);
    }
    match text(CONTENT_ENCODING) {
        "" | "identity" => Ok(RequestBody::new(body, false, limit)),
        "gzip" | "x-gzip" => Ok(RequestBody::new(body, true, limit)),
        _ => Err(Refusal::WrongType),
    }
}

/// Whoever may not even read is only known to be somebody.
fn refused(permission: Permission, repository: &Repository) {
    tracing::warn!(%permission, project = %repository.project, "git was refused");
}
