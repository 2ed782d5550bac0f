//! Logging in: the proofs of a request are checked, and a token is issued.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Identity;
use super::login::{CredentialReference, Login, Proof, Reference, Scope};
use super::refusal::Refusal;
use super::seal::Claims;
use super::throttle::Attempt;
use super::tokens::{Session, TokenRequest};
use crate::model::volume::Secret;
use crate::model::{ApplicationCredential, Project, ProjectId, Timestamp, User, UserId};
use crate::store::StoreError;

/// What was proven.
#[derive(Default)]
struct Proven {
    user: Option<UserId>,
    by_password: bool,
    credential: Option<ApplicationCredential>,
    parent: Option<Claims>,
}

impl Identity {
    /// Authenticates a login and issues a token.
    ///
    /// # Errors
    /// 401 that does not say which part was wrong, 429 after too many failures, 503 if too many logins are waiting.
    pub(super) async fn login(&self, login: &Login, peer: IpAddr) -> Result<(Secret, Session), Refusal> {
        let mut proven = Proven::default();
        for proof in &login.proofs {
            let user = self.check(proof, &mut proven, peer).await?;
            if proven.user.get_or_insert_with(|| user.clone()) != &user {
                return Err(Refusal::unauthorized());
            }
        }
        let user = proven.user.as_ref().ok_or_else(Refusal::unauthorized)?;
        let user = self.directory.find::<User>(user.as_str()).await?;
        let user = user.ok_or_else(Refusal::unauthorized)?.record;
        let request = TokenRequest {
            project_id: self.project_of(&user, login, &proven).await?,
            user,
            by_password: proven.by_password,
            credential: proven.credential,
            parent: proven.parent,
        };
        let (text, token) = self.tokens.issue(request).await?;
        // Whether user, project, roles and credential are good is checked in one place: when a token is used. A token of no
        // lifetime is issued, too.
        let before_its_end = Timestamp(token.expires_at.0.saturating_sub(1));
        let session = self
            .tokens
            .resolve(text.reveal(), &self.directory, before_its_end)
            .await?;
        let session = session.ok_or_else(Refusal::unauthorized)?;
        tracing::info!(
            user_id = %session.user.id,
            project_id = session.token.project_id.as_ref().map(tracing::field::display),
            application_credential_id = session.credential.as_ref().map(|found| found.id.as_str()),
            audit_id = %session.token.audit_id,
            "token issued"
        );
        Ok((text, session))
    }

    /// Checks one proof; the user that it proves.
    async fn check(&self, proof: &Proof, proven: &mut Proven, peer: IpAddr) -> Result<UserId, Refusal> {
        match proof {
            Proof::Password { user, password } => {
                proven.by_password = true;
                Ok(self.check_password(user, password, peer).await?.id)
            }
            Proof::ApplicationCredential { credential, secret } => {
                let credential = self.check_credential(credential, secret, peer).await?;
                let user = credential.user_id.clone();
                proven.credential = Some(credential);
                Ok(user)
            }
            Proof::Token(text) => {
                let session = self.session(text.reveal()).await?;
                let token = session.ok_or_else(Refusal::unauthorized)?.token;
                let user = token.user_id.clone();
                proven.parent = Some(token);
                Ok(user)
            }
        }
    }

    /// The user with this name and password.
    pub(super) async fn check_password(
        &self,
        user: &Reference,
        password: &Secret,
        peer: IpAddr,
    ) -> Result<User, Refusal> {
        let known = self.find_user(user).await?;
        let attempt = self
            .throttle
            .attempt(known.as_ref().map(|user| &user.id), user.text(), peer);
        let hash = known.as_ref().map(|user| &user.password_hash);
        let fits = self.check_secret(&attempt, hash, password, peer).await?;
        let id = known.as_ref().map(|user| user.id.clone());
        let Some(user) = known.filter(|_| fits) else {
            // The name is not logged: people type passwords there.
            tracing::warn!(%peer, user_id = id.as_ref().map(UserId::as_str), "login refused");
            return Err(Refusal::unauthorized());
        };
        self.throttle.succeeded(&attempt, &user.id);
        Ok(user)
    }

    /// The application credential with this secret.
    async fn check_credential(
        &self,
        reference: &CredentialReference,
        secret: &Secret,
        peer: IpAddr,
    ) -> Result<ApplicationCredential, Refusal> {
        let known = self.find_credential(reference).await?;
        let text = match reference {
            CredentialReference::Id(id) => id,
            CredentialReference::Name { name, .. } => name,
        };
        // Its failures are counted apart from those of its user's password: a script with an old secret must not delay the user.
        let id = known
            .as_ref()
            .map(|known| UserId(format!("application credential {}", known.id)));
        let attempt = self.throttle.attempt(id.as_ref(), text, peer);
        let hash = known.as_ref().map(|known| &known.secret_hash);
        let fits = self.check_secret(&attempt, hash, secret, peer).await?;
        match (known.filter(|_| fits), id) {
            (Some(known), Some(id)) => {
                self.throttle.succeeded(&attempt, &id);
                Ok(known)
            }
            _ => {
                tracing::warn!(%peer, "login by application credential refused");
                Err(Refusal::unauthorized())
            }
        }
    }

    /// Whether a secret matches a hash; as slowly if there is none.
    async fn check_secret(
        &self,
        attempt: &Attempt,
        hash: Option<&Secret>,
        secret: &Secret,
        peer: IpAddr,
    ) -> Result<bool, Refusal> {
        let refuse = |wait: Duration| {
            tracing::warn!(%peer, wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "login throttled");
            Err(Refusal::slow_down(wait))
        };
        if let Some(wait) = self.throttle.wait(attempt, Instant::now()) {
            return refuse(wait);
        }
        let permit = self.passwords.permit(attempt).await?;
        // Other attempts may have failed while this one waited for its permit.
        if let Err(wait) = self.throttle.take(attempt, Instant::now()) {
            return refuse(wait);
        }
        let hash = hash.filter(|hash| !hash.reveal().is_empty());
        Ok(self.passwords.verify(permit, hash, secret).await?)
    }

    /// An enabled user.
    async fn find_user(&self, reference: &Reference) -> Result<Option<User>, StoreError> {
        let found = match reference {
            Reference::Id(id) => self.directory.find::<User>(id).await?,
            Reference::Name(name) => self.directory.named::<User>(name).await?,
            Reference::Elsewhere(_) => None,
        };
        Ok(found.filter(|user| user.enabled).map(|found| found.record))
    }

    /// An application credential that has not expired.
    async fn find_credential(
        &self,
        reference: &CredentialReference,
    ) -> Result<Option<ApplicationCredential>, StoreError> {
        let catalog = &self.directory.catalog;
        let found = match reference {
            CredentialReference::Id(id) => catalog.identity_record::<ApplicationCredential>(id).await?,
            CredentialReference::Name { user, name } => match self.find_user(user).await? {
                Some(user) => catalog.identity_record_named(user.id.as_str(), name).await?,
                None => None,
            },
        };
        let now = Timestamp::now();
        Ok(found
            .map(|found| found.record)
            .filter(|found| found.expires_at.is_none_or(|end| end > now)))
    }

    /// The project of the requested scope.
    async fn project_of(
        &self,
        user: &User,
        login: &Login,
        proven: &Proven,
    ) -> Result<Option<ProjectId>, Refusal> {
        if let Some(credential) = &proven.credential {
            return match login.scope {
                Scope::Default => Ok(Some(credential.project_id.clone())),
                _ => Err(Refusal::unauthorized_because(
                    "Application credentials cannot request a scope.",
                )),
            };
        }
        let asked = match &login.scope {
            Scope::Unscoped => None,
            Scope::Default => self.default_project(user, proven).await?,
            Scope::Project(project) => {
                let found = match project {
                    Reference::Id(id) => self.directory.find::<Project>(id).await?,
                    Reference::Name(name) => self.directory.named::<Project>(name).await?,
                    Reference::Elsewhere(_) => None,
                };
                Some(found.ok_or_else(Refusal::unauthorized)?.record.id)
            }
            Scope::Domain => {
                return Err(Refusal::unauthorized_because(
                    "Tokens are for projects here: no domain has roles to give.",
                ));
            }
            Scope::System => {
                return Err(Refusal::unauthorized_because(
                    "Tokens are for projects here: there is no system scope. Ask for a project in which you are an \
                     administrator.",
                ));
            }
        };
        // A token of an application credential is for its project, and so are those that are issued for it.
        let parent = proven.parent.as_ref();
        let bound = parent.filter(|parent| parent.application_credential.is_some());
        match bound {
            Some(bound) if bound.project_id != asked => Err(Refusal::unauthorized()),
            _ => Ok(asked),
        }
    }

    /// The user's default project, if it is enabled and the user has a role there.
    async fn default_project(&self, user: &User, proven: &Proven) -> Result<Option<ProjectId>, Refusal> {
        if let Some(parent) = &proven.parent
            && parent.application_credential.is_some()
        {
            return Ok(parent.project_id.clone());
        }
        let Some(default) = &user.default_project else {
            return Ok(None);
        };
        let projects = self.directory.projects_of(&user.id).await?;
        Ok(projects
            .into_iter()
            .map(|project| project.id)
            .find(|id| id == default))
    }
}
