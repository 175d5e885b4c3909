//! One-time links: invitations into an organisation, and links to a new password.

use std::time::Duration;

use naru_model::authorise::Principal;
use naru_model::role::Role;
use naru_model::{OrganisationName, Timestamp};
use naru_store::StoreError;
use naru_store::invitation::{Guest, InvitationRow, PasswordLinkRow};
use secrecy::{ExposeSecret as _, SecretString};

use crate::audit::Deed;
use crate::secret_text::{self, SecretText};
use crate::{Identity, IdentityError, Issued, Origin, Result, password};

/// An invitation lives so long when nobody says otherwise.
const INVITATION_LASTS: Duration = Duration::from_hours(7 * 24);
/// And no longer than this.
const INVITATION_LASTS_MOST: Duration = Duration::from_hours(30 * 24);
/// A link to a new password lives so long.
const PASSWORD_LINK_LASTS: Duration = Duration::from_hours(24);
/// As much is kept of whom an invitation was meant for.
const LONGEST_ADDRESS: usize = 200;

/// What a new invitation should be.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// Where it leads.
    pub organisation: OrganisationName,
    /// In which role.
    pub role: Role,
    /// Whom it is meant for; only shown to those who manage members.
    pub address: String,
    /// How long it lives: 7 days without it, 30 at most.
    pub lasts: Option<Duration>,
}

impl Identity {
    /// Makes a one-time link into an organisation.
    pub async fn invite(&self, by: &Principal, new: NewInvitation) -> Result<Issued> {
        if new.address.chars().count() > LONGEST_ADDRESS || new.address.chars().any(char::is_control) {
            return Err(IdentityError::BadLabel);
        }
        let text = SecretText::new(secret_text::INVITATION);
        let now = self.store.now();
        let lasts = new.lasts.unwrap_or(INVITATION_LASTS).min(INVITATION_LASTS_MOST);
        let expires_at = now.saturating_add(lasts).unwrap_or(Timestamp::MAX);
        let row = InvitationRow {
            id: text.id().to_owned(),
            digest: text.digest(),
            organisation: new.organisation,
            role: new.role,
            address: new.address.trim().to_owned(),
            invited_by: by.login.clone(),
            created_at: now,
            expires_at,
            used_at: None,
            used_by: None,
        };
        self.store.add_invitation(&row).await?;
        Ok(Issued { id: row.id, plain: text.plain(), expires_at: Some(expires_at) })
    }

    /// The invitation behind a link that is still good. Links are too long to be guessed, so nobody has to wait.
    pub async fn invitation(&self, link: &SecretString) -> Result<InvitationRow> {
        let now = self.store.now();
        let found = match secret_text::id_of(secret_text::INVITATION, link.expose_secret()) {
            Some(id) => self.store.invitation(id).await?,
            None => None,
        };
        let good = found.filter(|row| {
            let is_open = row.used_at.is_none() && row.expires_at > now;
            is_open && secret_text::matches(link.expose_secret(), &row.digest)
        });
        good.ok_or(IdentityError::NoSuchInvitation)
    }

    /// Makes an account and a member of it, and uses up the invitation.
    pub async fn accept_as_new(
        &self,
        link: &SecretString,
        login: &str,
        password: SecretString,
        origin: &Origin,
    ) -> Result<Principal> {
        let invitation = self.invitation(link).await?;
        password::check_login(login)?;
        self.check_new_password(login, &password)?;
        let password_hash = self.hash(password).await?;
        let guest = Guest::New { login, password_hash: &password_hash };
        let principal = Principal { login: login.to_owned(), credential_id: "invitation".to_owned() };
        self.enter(&invitation, guest, &principal, origin).await?;
        Ok(principal)
    }

    /// Makes somebody who is logged in a member, and uses up the invitation.
    pub async fn accept(
        &self,
        link: &SecretString,
        principal: &Principal,
        origin: &Origin,
    ) -> Result<InvitationRow> {
        let invitation = self.invitation(link).await?;
        self.enter(&invitation, Guest::Known(&principal.login), principal, origin).await?;
        Ok(invitation)
    }

    async fn enter(
        &self,
        invitation: &InvitationRow,
        guest: Guest<'_>,
        principal: &Principal,
        origin: &Origin,
    ) -> Result<()> {
        self.store.accept_invitation(invitation, guest).await.map_err(|error| match error {
            StoreError::Missing(_) => IdentityError::NoSuchInvitation,
            error => error.into(),
        })?;
        let detail = format!("as {}, invited by {}", invitation.role, invitation.invited_by);
        let deed = Deed {
            organisation: Some(&invitation.organisation),
            detail: &detail,
            ..Deed::done("member.join", &principal.login)
        };
        self.record(principal, origin, deed).await
    }

    /// Makes a one-time link that sets a new password for an account. Older ones stop working.
    pub async fn password_link(&self, by: &Principal, login: &str) -> Result<Issued> {
        if self.store.account(login).await?.is_none() {
            return Err(StoreError::Missing(format!("account {login}")).into());
        }
        let text = SecretText::new(secret_text::RESET);
        let now = self.store.now();
        let expires_at = now.saturating_add(PASSWORD_LINK_LASTS).unwrap_or(Timestamp::MAX);
        let row = PasswordLinkRow {
            id: text.id().to_owned(),
            digest: text.digest(),
            account: login.to_owned(),
            made_by: by.login.clone(),
            created_at: now,
            expires_at,
            used_at: None,
        };
        self.store.add_password_link(&row).await?;
        Ok(Issued { id: row.id, plain: text.plain(), expires_at: Some(expires_at) })
    }

    /// Whether the owner of organisations may make such a link: only for who belongs to no other organisation and may not
    /// change the instance, since the link opens all that the account may.
    pub async fn is_theirs_alone(&self, owner: &str, login: &str) -> Result<bool> {
        let account = self.store.account(login).await?;
        if account.is_none_or(|account| account.administrator) {
            return Ok(false);
        }
        for (organisation, _) in self.store.organisations_of(login).await? {
            if self.store.role_in(owner, &organisation.name).await? != Some(Role::Owner) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sets the password that a link is for, uses it up, and ends all sessions of the account.
    pub async fn use_password_link(
        &self,
        link: &SecretString,
        password: SecretString,
        origin: &Origin,
    ) -> Result<Principal> {
        let now = self.store.now();
        let found = match secret_text::id_of(secret_text::RESET, link.expose_secret()) {
            Some(id) => self.store.password_link(id).await?,
            None => None,
        };
        let good = found.filter(|row| {
            let is_open = row.used_at.is_none() && row.expires_at > now;
            is_open && secret_text::matches(link.expose_secret(), &row.digest)
        });
        let row = good.ok_or(IdentityError::NoSuchPasswordLink)?;
        self.check_new_password(&row.account, &password)?;
        let hash = self.hash(password).await?;
        self.store.use_password_link(&row, &hash).await.map_err(|error| match error {
            StoreError::Missing(_) => IdentityError::NoSuchPasswordLink,
            error => error.into(),
        })?;
        let principal = Principal { login: row.account, credential_id: format!("password-link:{}", row.id) };
        let detail = format!("with a link made by {}", row.made_by);
        let deed = Deed { detail: &detail, ..Deed::done("account.password", &principal.login) };
        self.record(&principal, origin, deed).await?;
        Ok(principal)
    }
}
