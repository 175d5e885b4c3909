//! The audit log: what is written down, and who may read which lines.

use naru_model::authorise::{Denied, Permission, Principal, Resource};
use naru_model::{OrganisationName, ProjectName};
use naru_store::audit::{AuditEntry, AuditFilter, AuditRow, AuditView};

use crate::{Identity, Known, Origin, Result};

/// Longer targets and details are cut off: they are strangers' text.
const LONGEST: usize = 300;

/// Something that somebody did, for the audit log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deed<'a> {
    /// What, dotted, such as `project.create`.
    pub action: &'a str,
    /// In which organisation; the project's when it is not named.
    pub organisation: Option<&'a OrganisationName>,
    /// In which project.
    pub project: Option<&'a ProjectName>,
    /// On what.
    pub target: &'a str,
    /// `done`, or the code of the problem.
    pub result: &'a str,
    /// What else is worth knowing, in one line. Never a secret.
    pub detail: &'a str,
}

impl<'a> Deed<'a> {
    /// A deed that worked.
    pub fn done(action: &'a str, target: &'a str) -> Self {
        Self { action, target, result: "done", ..Self::default() }
    }
}

impl Identity {
    /// Writes a line into the audit log.
    pub async fn record(&self, principal: &Principal, origin: &Origin, deed: Deed<'_>) -> Result<()> {
        let (target, detail) = (one_line(deed.target), one_line(deed.detail));
        let entry = AuditEntry {
            login: &principal.login,
            credential: &principal.credential_id,
            action: deed.action,
            organisation: deed.organisation,
            project: deed.project,
            target: &target,
            result: deed.result,
            address: &origin.address_text(),
            detail: &detail,
        };
        Ok(self.store.record_audit(entry).await?)
    }

    /// The lines of the audit log that somebody may see, newest first: their own, those of organisations whose audit log
    /// they may read, and the instance's for its administrators.
    pub async fn audit(&self, known: &Known, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>> {
        let mut view = AuditView {
            organisations: Vec::new(),
            instance: known.administrator,
            own: Some(known.principal.login.clone()),
        };
        for (organisation, _) in self.store.organisations_of(&known.principal.login).await? {
            let resource = Resource::Organisation(organisation.name.clone());
            match self.allow(known, Permission::ReadAudit, &resource).await {
                Ok(()) => view.organisations.push(organisation.name),
                Err(Denied::Unavailable(why)) => {
                    return Err(naru_store::StoreError::Unavailable(why).into());
                }
                Err(_) => {}
            }
        }
        Ok(self.store.audit(&view, filter, limit).await?)
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}
