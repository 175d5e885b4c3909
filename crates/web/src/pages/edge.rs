//! The edge: every host that is reached through it, and the certificate that its visitors are shown.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::Timestamp;
use naru_model::api::Certificate;
use naru_model::certificate::CertificateSource;

use crate::Cx;
use crate::failure::Result;
use crate::routes::certificate::all;

use super::html::Html;
use super::language::words;
use super::shell::{Section, Shell};
use super::sign::Tone;

words! {
    host: "Host", "호스트";
    certificate: "Certificate", "인증서";
    expires: "Expires", "만료";
    renews: "Renews", "갱신";
    none: "none: visitors come without TLS", "없음: TLS 없이 연결해요";
    own: "given by a person", "직접 등록";
    acme: "by an ACME authority", "ACME 발급";
    local: "of the local authority", "로컬 인증 기관";
    expired: "expired", "만료됨";
    soon: "expires soon", "곧 만료";
    good: "valid", "유효";
    unrouted: "no route leads from this host", "이 호스트로 가는 경로가 없어요";
    trouble(attempts): "not obtained after {attempts} attempts", "{attempts}번 시도했지만 발급받지 못했어요";
    again: "next attempt", "다음 시도";
    nothing: "No host yet", "아직 호스트가 없어요";
    nothing_how: "A host appears with the first service that takes requests. To give a certificate of your own:",
        "요청을 받는 서비스가 생기면 호스트가 나타나요. 인증서를 직접 등록하려면:";
}

#[derive(Template)]
#[template(path = "edge.html")]
struct EdgePage<'a> {
    shell: &'a Shell,
    w: Words,
    certificates: Vec<Certificate>,
    now: Timestamp,
}

impl EdgePage<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass fields by reference")]
    fn source(&self, source: &CertificateSource) -> &'static str {
        match source {
            CertificateSource::Own => self.w.own(),
            CertificateSource::Acme => self.w.acme(),
            CertificateSource::Local => self.w.local(),
        }
    }

    /// Whether it can be used, and for how long.
    fn validity(&self, until: &Timestamp) -> Html {
        let (tone, word) = match until.duration_since(self.now).as_hours() {
            ..0 => (Tone::Failed, self.w.expired()),
            0..168 => (Tone::Attention, self.w.soon()),
            168.. => (Tone::Good, self.w.good()),
        };
        tone.sign(word)
    }
}

/// The page.
pub(crate) async fn show(State(cx): State<Cx>, shell: Shell) -> Result<Response> {
    let shell = shell.at(Section::Edge);
    let page = EdgePage {
        shell: &shell,
        w: Words(shell.language),
        certificates: all(&cx).await?,
        now: cx.store.now(),
    };
    Ok(shell.page(&page))
}
