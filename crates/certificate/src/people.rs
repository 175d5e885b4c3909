//! What people ask for: giving certificates and taking them back, and seeing how all of them are.

use std::collections::{BTreeMap, BTreeSet};

use naru_model::api::{
    Certificate, CertificateAuthority, CertificateTrouble, CertificateUpload, Check, CheckState, Transport,
};
use naru_model::certificate::CertificateSource;
use naru_model::{Problem, Timestamp};
use naru_secret::SecretString;
use naru_store::certificate::{StoredCertificate, Trouble};

use crate::pass::by_host;
use crate::{Certificates, Error, choose, inspect};

impl Certificates {
    /// Keeps a certificate that somebody gives, in the place of the one before.
    ///
    /// # Errors
    /// `certificate.refused` when it cannot be used, `certificate.trouble` when it cannot be kept.
    pub async fn give(&self, host: &str, given: CertificateUpload, by: &str) -> Result<Certificate, Problem> {
        let host = host_name(host)?;
        let facts = inspect::check(&host, &given.chain, &given.key, self.store.now())?;
        let key = SecretString::from(given.key);
        let kept = self.keep(&host, CertificateSource::Own, given.chain, &key, facts, by).await;
        kept.map_err(|error| trouble(&error))?;
        self.tell_at_once().await;
        let all = self.list().await?;
        all.into_iter().find(|one| one.host == host).ok_or_else(|| missing(&host))
    }

    /// Takes a certificate back that somebody gave.
    ///
    /// # Errors
    /// `certificate.missing` when there is none.
    pub async fn take_back(&self, host: &str) -> Result<(), Problem> {
        let deleted = self.store.delete_certificate(host, CertificateSource::Own).await;
        if !deleted.map_err(|error| trouble(&error.into()))? {
            return Err(missing(host));
        }
        self.tell_at_once().await;
        Ok(())
    }

    /// The loop does it too, a moment later; who asks wants to see it now.
    async fn tell_at_once(&self) {
        if let Err(error) = self.tell().await {
            tracing::warn!(%error, "the edge was not told yet of a certificate");
        }
    }

    /// The certificate that has to be trusted for what the local authority signs.
    ///
    /// # Errors
    /// `certificate.trouble` when it cannot be made or read.
    pub async fn trusted(&self) -> Result<CertificateAuthority, Problem> {
        let authority = self.authority().await.map_err(|error| trouble(&error))?;
        Ok(CertificateAuthority { certificate: authority.certificate })
    }

    /// Every host with a route or with a certificate that somebody gave.
    ///
    /// # Errors
    /// `certificate.trouble` when the rows do not answer.
    pub async fn list(&self) -> Result<Vec<Certificate>, Problem> {
        self.overview().await.map_err(|error| trouble(&error))
    }

    async fn overview(&self) -> Result<Vec<Certificate>, Error> {
        let kept = self.store.certificates().await?;
        let troubles = self.store.certificate_troubles().await?;
        let routed = by_host(self.store.routed_hosts().await?);
        let now = self.store.now();
        let given = kept.iter().filter(|one| one.source == CertificateSource::Own).map(|one| &one.host);
        let hosts: BTreeSet<&String> = routed.keys().chain(given).collect();
        let view = |host: &String| self.view(host, &kept, troubles.get(host), &routed, now);
        Ok(hosts.into_iter().map(view).collect())
    }

    fn view(
        &self,
        host: &str,
        kept: &[StoredCertificate],
        trouble: Option<&Trouble>,
        routed: &BTreeMap<String, Transport>,
        now: Timestamp,
    ) -> Certificate {
        let shown = choose::shown(host, kept, &self.settings, now);
        let renewed = shown.filter(|one| one.source != CertificateSource::Own);
        Certificate {
            host: host.to_owned(),
            routed: routed.contains_key(host),
            source: shown.map(|one| one.source),
            not_before: shown.map(|one| one.not_before),
            not_after: shown.map(|one| one.not_after),
            renews_at: renewed.map(|one| choose::renews_at(one.not_before, one.not_after)),
            trouble: trouble.map(|trouble| CertificateTrouble {
                since: trouble.since,
                attempts: trouble.attempts,
                reason: trouble.reason.clone(),
                next_attempt: trouble.next_attempt,
            }),
        }
    }

    /// What the doctor says.
    pub async fn look(&self) -> Check {
        match self.overview().await {
            Ok(all) => self.judge(&all, self.store.now()),
            Err(error) => check(CheckState::Failed, error.to_string()),
        }
    }

    fn judge(&self, all: &[Certificate], now: Timestamp) -> Check {
        if self.port.is_none() {
            return check(CheckState::Good, "the edge does not speak TLS (--edge-listen-tls)".into());
        }
        let ended = |one: &&Certificate| one.routed && one.not_after.is_some_and(|end| end <= now);
        if let Some(one) = all.iter().find(ended) {
            let why = one.trouble.as_ref().map(|trouble| format!(": {}", trouble.reason));
            let detail = format!("the certificate of {} has ended{}", one.host, why.unwrap_or_default());
            return check(CheckState::Failed, detail);
        }
        if let Some((one, trouble)) = all.iter().find_map(|one| Some((one, one.trouble.as_ref()?))) {
            let detail = format!(
                "none for {} since {} ({} attempts, again {}): {}",
                one.host, trouble.since, trouble.attempts, trouble.next_attempt, trouble.reason
            );
            return check(CheckState::Attention, detail);
        }
        let count = all.iter().filter(|one| one.routed && one.source.is_some()).count();
        let routed = all.iter().filter(|one| one.routed).count();
        check(CheckState::Good, format!("{count} of {routed} hosts have one"))
    }
}

fn check(state: CheckState, detail: String) -> Check {
    let hint = (state != CheckState::Good).then(|| "naru certificate list".to_owned());
    Check { name: "certificates of hosts".into(), state, detail, hint }
}

/// Lower case, without a final dot; a name, or `*.` and a name.
fn host_name(text: &str) -> Result<String, Problem> {
    let host = text.trim_end_matches('.').to_ascii_lowercase();
    let name = host.strip_prefix("*.").unwrap_or(&host);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(host);
    }
    Err(Problem::new("certificate.refused", "a certificate is set for a host").cause(format!(
        "`{}` is not a host, nor `*.` and a host",
        text.chars().take(100).collect::<String>()
    )))
}

fn missing(host: &str) -> Problem {
    Problem::new("certificate.missing", format!("nobody gave a certificate for `{host}`"))
        .command("naru certificate list")
}

fn trouble(error: &Error) -> Problem {
    Problem::new("certificate.trouble", "certificates cannot be read or kept")
        .cause(error.to_string())
        .state("the edge shows what it showed before")
        .hint("try again in a moment; `naru doctor` says what is wrong")
}
