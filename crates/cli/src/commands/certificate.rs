//! Certificates of hosts, and what the hosts of an environment ask of visitors.

use std::path::Path;

use naru_model::Problem;
use naru_model::api::{self, CertificateAuthority, CertificateUpload, Page, Transport};
use naru_model::certificate::CertificateSource;
use serde_json::Value;

use crate::arguments::environment::{Certificate, OnOff, TransportChange};
use crate::commands::delivery::There;
use crate::commands::encoded;
use crate::exit::Result;
use crate::place;
use crate::screen::{Screen, Tone};

/// Files that are larger hold something else.
const LARGEST_FILE: u64 = 256 << 10;

pub(crate) async fn certificate(command: Certificate, screen: &mut Screen) -> Result<()> {
    let client = place::client(&screen.outside)?;
    match command {
        Certificate::List => {
            screen.show(&client.get::<Page<api::Certificate>>("/api/v1/certificates").await?, certificates);
        }
        Certificate::Set { host, cert, key } => {
            let upload = CertificateUpload { chain: read(screen, &cert)?, key: read(screen, &key)? };
            let path = format!("/api/v1/certificates/{}", encoded(&host));
            let answer = client.put::<api::Certificate>(&path, &upload).await?;
            screen.show(&answer, |screen, set| {
                let until = set.not_after.map(|end| format!(" until {end}")).unwrap_or_default();
                screen.note(format!("visitors of `{}` are shown this certificate{until}", set.host));
                if !set.routed && !set.host.starts_with('*') {
                    screen.note("no route leads from this host yet");
                }
            });
        }
        Certificate::Unset { host } => {
            client.delete::<Value>(&format!("/api/v1/certificates/{}", encoded(&host))).await?;
            screen.note(format!("the certificate given for `{host}` is not shown any more"));
        }
        Certificate::Authority => {
            let answer = client.get::<CertificateAuthority>("/api/v1/certificate-authority").await?;
            screen.show(&answer, |screen, authority| screen.line(authority.certificate.trim_end()));
        }
    }
    Ok(())
}

fn read(screen: &Screen, file: &Path) -> Result<String> {
    let file = screen.outside.folder.join(file);
    let unreadable =
        |cause: String| Problem::new("cli.file", format!("`{}` cannot be read", file.display())).cause(cause);
    let found = std::fs::metadata(&file).map_err(|error| unreadable(error.to_string()))?;
    if found.len() > LARGEST_FILE {
        return Err(unreadable("it is larger than any certificate or key".into()).into());
    }
    Ok(std::fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?)
}

fn certificates(screen: &mut Screen, page: &Page<api::Certificate>) {
    let row = |one: &api::Certificate| {
        vec![
            one.host.clone(),
            source(screen, one),
            one.not_after.map(|end| screen.time(end)).unwrap_or_default(),
            one.renews_at.map(|at| screen.time(at)).unwrap_or_default(),
            one.trouble.as_ref().map(|trouble| troubled(screen, trouble)).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    let head = ["host", "from", "ends", "renewal", "trouble since"];
    screen.table(&head, &rows, "no hosts; they come with routes");
}

fn source(screen: &Screen, one: &api::Certificate) -> String {
    match one.source {
        None => screen.state(Tone::Attention, "none"),
        Some(CertificateSource::Own) if !one.routed => "given, no route".to_owned(),
        Some(CertificateSource::Own) => "given".to_owned(),
        Some(CertificateSource::Acme) => "acme".to_owned(),
        Some(CertificateSource::Local) => "local authority".to_owned(),
    }
}

fn troubled(screen: &Screen, trouble: &api::CertificateTrouble) -> String {
    format!(
        "{}: {}; {} attempts, again {}",
        screen.time(trouble.since),
        trouble.reason,
        trouble.attempts,
        screen.time(trouble.next_attempt)
    )
}

/// Shows what is asked of visitors, or changes the parts that are named.
pub(crate) async fn transport(change: TransportChange, screen: &mut Screen) -> Result<()> {
    let there = There::find(screen, &change.place)?;
    let path = format!("{}/transport", there.path());
    let before = there.client.get::<Transport>(&path).await?;
    let mut wanted = before.view;
    if let Some(redirect) = change.redirect {
        wanted.redirect = redirect == OnOff::On;
    }
    if let Some(hsts) = change.hsts {
        wanted.hsts_s = hsts.0;
    }
    let answer = if wanted == before.view { before } else { there.client.put(&path, &wanted).await? };
    screen.show(&answer, |screen, transport| {
        let redirect = if transport.redirect { "on" } else { "off" };
        let hsts = transport.hsts_s.map_or_else(|| "off".to_owned(), |s| format!("{s} s"));
        screen.pairs(&[("redirect to TLS", Some(redirect.to_owned())), ("HSTS", Some(hsts))]);
    });
    Ok(())
}
