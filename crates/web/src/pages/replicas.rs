//! What runs in an environment at this moment: its replicas as the engine sees them, and the volumes of its services.

use askama::Template;
use naru_model::api::Volume;
use naru_model::job::ExitReason;
use naru_model::rollout::{ReplicaSeen, ReplicaState};
use naru_model::workload::VolumeAccess;
use naru_model::{RevisionNumber, Timestamp};
use naru_store::environment::Environment;

use crate::Cx;
use crate::failure::Result;
use crate::routes::replica;

use super::html::Html;
use super::language::words;
use super::shell::{Shell, environment_path};
use super::sign::Tone;

words! {
    replicas: "Replicas", "복제본";
    replica: "Replica", "복제본";
    state: "State", "상태";
    revision: "Revision", "리비전";
    restarts: "Restarts", "재시작";
    since: "Since", "시작";
    none: "Nothing runs here.", "실행 중인 것이 없어요.";
    away: "The engine does not answer at the moment: what runs keeps running, it is only not seen.",
        "지금은 엔진이 답하지 않아요. 실행 중인 것은 그대로 있고 보이지 않을 뿐이에요.";
    starting: "starting", "시작 중";
    ready: "ready", "준비됨";
    not_ready: "running, not ready", "실행 중, 준비 안 됨";
    stopping: "stopping", "정지 중";
    exited(code): "exited with code {code}", "코드 {code}(으)로 종료";
    signalled(signal): "ended by signal {signal}", "시그널 {signal}(으)로 종료";
    out_of_memory: "ran out of memory", "메모리 부족으로 종료";
    ended: "ended", "종료";
    volumes: "Volumes", "볼륨";
    volume: "Volume", "볼륨";
    service: "Service", "서비스";
    path: "Mounted at", "마운트 위치";
    size: "Room", "크기";
    access: "Access", "접근";
    exclusive: "one replica at a time", "한 번에 복제본 하나";
    shared: "shared by all replicas", "모든 복제본이 함께";
}

/// One replica.
struct Row {
    name: String,
    sign: Html,
    revision: RevisionNumber,
    restarts: u32,
    since: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "replicas.html")]
struct Replicas<'a> {
    shell: &'a Shell,
    w: Words,
    base: String,
    /// Nothing when the engine does not answer.
    rows: Option<Vec<Row>>,
    volumes: Vec<Volume>,
}

impl Replicas<'_> {
    fn access(&self, volume: &Volume) -> &'static str {
        match volume.access {
            VolumeAccess::Exclusive => self.w.exclusive(),
            VolumeAccess::Shared => self.w.shared(),
        }
    }
}

/// Both tables.
pub(super) async fn show(cx: &Cx, shell: &Shell, environment: &Environment) -> Result<Html> {
    let w = Words(shell.language);
    // What the engine does not say is left out: the rest of the page is worth more.
    let seen = replica::seen(cx, &environment.key).await.ok();
    let rows = seen.map(|seen| seen.into_iter().map(|replica| row(w, replica)).collect());
    let base = environment_path(&environment.key.project, environment.key.environment.as_str());
    let shown = Replicas { shell, w, base, rows, volumes: replica::volumes(cx, environment).await? };
    Ok(Html(shown.render().unwrap_or_default()))
}

fn row(w: Words, replica: ReplicaSeen) -> Row {
    let (tone, word, since) = match replica.state {
        ReplicaState::Starting => (Tone::Moving, w.starting().to_owned(), None),
        ReplicaState::Running { since, ready: true } => (Tone::Good, w.ready().to_owned(), Some(since)),
        ReplicaState::Running { since, ready: false } => {
            (Tone::Attention, w.not_ready().to_owned(), Some(since))
        }
        ReplicaState::Stopping => (Tone::Moving, w.stopping().to_owned(), None),
        ReplicaState::Exited { reason, at, .. } => {
            let word = match reason {
                ExitReason::Exited { code } => w.exited(code),
                ExitReason::Signalled { signal } => w.signalled(signal),
                ExitReason::OutOfMemory { .. } => w.out_of_memory().to_owned(),
                _ => w.ended().to_owned(),
            };
            (Tone::Failed, word, Some(at))
        }
    };
    Row {
        name: replica.key.to_string(),
        sign: tone.sign(&word),
        revision: replica.key.revision,
        restarts: replica.key.attempt,
        since,
    }
}
