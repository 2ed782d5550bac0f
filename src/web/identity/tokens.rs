//! Tokens: issued at login, sealed (`seal`), and stored by their holders only.
//!
//! A token is validated each time it is used, so no cache has to be invalidated:
//!
//! | what invalidates it | how it is detected |
//! |---|---|
//! | it expires | `expires_at` in the token |
//! | its user changed the password | the credential's fingerprint in the token |
//! | all tokens of its user were revoked, or the user was disabled | the user's generation, in the store |
//! | its project was disabled, or a role there was taken from its user | the generations in these records |
//! | it was revoked | a row in the store, until it would have expired |
//! | user, project, role or application credential are removed | the directory |
//!
//! The store holds the keys, so tokens survive a restart; it holds no token, so a flood of logins does not fill it. Rows of revoked
//! tokens are bounded per user: beyond the bound, all of the user's tokens are revoked.

use std::collections::BTreeSet;
use std::time::Duration;

use super::directory::{Directory, is_admin, with_implied};
use super::seal::{self, Claims, Unproven};
use crate::model::identity::{RevokedToken, TokenGeneration, TokenKey, TokenKeys};
use crate::model::volume::Secret;
use crate::model::{ApplicationCredential, Project, ProjectId, Role, RoleId, Timestamp, User, UserId};
use crate::rng;
use crate::store::catalog::{Catalog, TokenState};
use crate::store::{CommitError, StoreError};
use crate::web::auth::{Principal, Scope};

/// How many rows are removed in one commit.
const REMOVED_AT_ONCE: usize = 50;

/// The most individually revoked tokens of a user that are stored.
const REVOKED_OF_A_USER: usize = 1000;

/// After this time new tokens are sealed with a new key.
const KEY_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// A valid token in use.
#[derive(Debug)]
pub struct Session {
    /// Its claims.
    pub token: Claims,
    /// Its user.
    pub user: User,
    /// Its project, if it is scoped.
    pub project: Option<Project>,
    /// The roles there, implied ones included.
    pub roles: Vec<Role>,
    /// The application credential that it was issued for.
    pub credential: Option<ApplicationCredential>,
}

/// A request for a new token.
pub struct TokenRequest {
    /// The user.
    pub user: User,
    /// The project.
    pub project_id: Option<ProjectId>,
    /// Whether a password was checked for it.
    pub by_password: bool,
    /// The application credential whose secret was checked for it.
    pub credential: Option<ApplicationCredential>,
    /// The token for which it is issued, if any: the new one expires at the same time.
    pub parent: Option<Claims>,
}

impl Session {
    /// Whether the user is an administrator in the token's project.
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(is_admin)
    }

    /// The user, for handlers.
    pub fn principal(self) -> Principal {
        Principal {
            scope: match self.project {
                Some(_) => Scope::Project,
                None => Scope::None,
            },
            is_admin: self.is_admin(),
            user_id: self.user.id,
            project_id: self
                .project
                .map_or_else(|| ProjectId(String::new()), |project| project.id),
            roles: self.roles.into_iter().map(|role| role.name).collect(),
        }
    }
}

/// All tokens.
pub struct Tokens {
    catalog: Catalog,
    lifetime: Duration,
}

/// Why a token could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// There are no keys, or the user's id is too long.
    #[error("a token for user {0} cannot be sealed")]
    Seal(UserId),
    /// The store failed.
    #[error("reading the keys of tokens")]
    Store(#[from] StoreError),
}

impl Tokens {
    /// Tokens whose keys are in this catalog; missing keys are created.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(catalog: Catalog, lifetime: Duration) -> Result<(Self, TokenKeys), CommitError> {
        let tokens = Self { catalog, lifetime };
        let keys = tokens.renew_keys(Timestamp::now()).await?;
        Ok((tokens, keys))
    }

    /// Creates a new key when the newest is old, and deletes those whose last token has expired.
    ///
    /// # Errors
    /// When the store fails.
    async fn renew_keys(&self, now: Timestamp) -> Result<TokenKeys, CommitError> {
        loop {
            let stored = self.catalog.token_keys().await?;
            let mut keys = match &stored {
                Some(stored) => stored.record.clone(),
                None => TokenKeys {
                    credentials: random_key(),
                    keys: Vec::new(),
                },
            };
            if keys
                .keys
                .first()
                .is_none_or(|key| key.made_at.plus(KEY_LIFETIME) <= now)
            {
                let number = keys.keys.iter().map(|key| key.number).max().unwrap_or(0);
                let key = TokenKey {
                    number: number.wrapping_add(1),
                    secret: random_key(),
                    made_at: now,
                };
                keys.keys.insert(0, key);
            }
            // A key sealed its last token when its successor was created.
            let mut succeeded_at = None;
            keys.keys.retain(|key| {
                let next_at: Option<Timestamp> = succeeded_at.replace(key.made_at);
                next_at.is_none_or(|next_at| next_at.plus(self.lifetime) > now)
            });
            if stored.as_ref().is_some_and(|stored| stored.record == keys) {
                return Ok(keys);
            }
            let mut changes = self.catalog.change();
            changes.put_token_keys(&keys, stored.as_ref());
            match changes.commit().await {
                Ok(_) => return Ok(keys),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Issues a token; its text is stored nowhere.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn issue(&self, request: TokenRequest) -> Result<(Secret, Claims), IssueError> {
        let TokenRequest {
            user,
            project_id,
            by_password,
            credential,
            parent,
        } = request;
        // Whole seconds: Keystone's tokens expire at them, and some clients compare the texts.
        let now = Timestamp::now();
        let end = now.plus(self.lifetime);
        let ends = [
            Some(Timestamp(end.0 - end.0.rem_euclid(1_000_000))),
            parent.as_ref().map(|parent| parent.expires_at),
            credential.as_ref().and_then(|credential| credential.expires_at),
        ];
        let of_parent = parent
            .as_ref()
            .and_then(|parent| parent.application_credential.clone());
        let mut claims = Claims {
            credential: seal::Fingerprint::default(),
            generation: 0,
            user_id: user.id.clone(),
            project_id,
            issued_at: now,
            expires_at: ends.into_iter().flatten().min().unwrap_or(end),
            audit_id: rng::id(),
            audit_chain: parent
                .as_ref()
                .map(|parent| parent.audit_chain.unwrap_or(parent.audit_id)),
            by_token: parent.is_some(),
            by_password: by_password || parent.is_some_and(|parent| parent.by_password),
            application_credential: credential.map(|credential| credential.id).or(of_parent),
        };
        let state = self.catalog.token_state(claims.subject()).await?;
        // If a crash lost the generation read here, it would be reused, and revoked tokens would become valid again.
        self.catalog.wait_durable().await?;
        let unsealed = || IssueError::Seal(user.id.clone());
        let keys = state.keys.ok_or_else(unsealed)?;
        claims.credential = seal::fingerprint(&keys, &user.id, &user.password_hash);
        claims.generation = state.generation;
        let text = seal::seal(&claims, &keys).ok_or_else(unsealed)?;
        Ok((text, claims))
    }

    /// The session of a token; `None` if it is not valid at that time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resolve(
        &self,
        text: &str,
        directory: &Directory,
        at: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        let Some(token) = Unproven::read(text) else {
            return Ok(None);
        };
        let state = self.catalog.token_state(token.subject()).await?;
        let Some(worth) = worth(token, state, directory, at) else {
            return Ok(None);
        };
        let roles = directory.with_implied(&worth.roles).await?;
        let is_worthless = worth.project.is_some() && roles.is_empty();
        Ok((!is_worthless).then_some(Session {
            token: worth.token,
            user: worth.user,
            project: worth.project,
            credential: worth.credential,
            roles,
        }))
    }

    /// Revokes a token; if too many of its user were revoked one by one, all of them.
    ///
    /// # Errors
    /// When the store fails; the token may still be valid.
    pub async fn revoke(&self, token: &Claims) -> Result<(), CommitError> {
        let revoked = self
            .catalog
            .revoked_tokens(&token.user_id, REVOKED_OF_A_USER)
            .await?;
        if revoked.len() >= REVOKED_OF_A_USER {
            tracing::warn!(
                user_id = %token.user_id,
                revoked = revoked.len(),
                "too many tokens of the user were revoked one by one; all of them are revoked now"
            );
            return self.revoke_all(&token.user_id).await;
        }
        let mut changes = self.catalog.change();
        changes.insert(&RevokedToken {
            user_id: token.user_id.clone(),
            audit_id: token.audit_id,
            expires_at: token.expires_at,
        });
        match changes.commit().await {
            // Another request revoked it first.
            Ok(_) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Revokes all tokens of a user.
    ///
    /// # Errors
    /// When the store fails; they may still be valid.
    pub async fn revoke_all(&self, user: &UserId) -> Result<(), CommitError> {
        loop {
            let stored = self.catalog.token_generation(user).await?;
            let generation = stored.as_ref().map_or(0, |stored| stored.record.generation);
            let mut changes = self.catalog.change();
            changes.put_token_generation(
                &TokenGeneration {
                    user_id: user.clone(),
                    generation: generation + 1,
                },
                stored.as_ref(),
            );
            match changes.commit().await {
                Ok(_) => break,
                // Another request revoked them just now; a token may have been issued since that was read.
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // This also covers the individually revoked tokens. Remaining rows are deleted when they expire.
        let revoked = self.catalog.revoked_tokens(user, REMOVED_AT_ONCE).await?;
        let mut changes = self.catalog.change();
        for token in &revoked {
            changes.delete(token);
        }
        match changes.commit().await {
            Ok(_) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes expired rows, and token rows of earlier formats; renews the keys. Returns the number of deleted rows.
    ///
    /// # Errors
    /// When the store fails; the rest is deleted by the next sweep.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, CommitError> {
        self.renew_keys(now).await?;
        let mut swept = 0;
        loop {
            let expired = self.catalog.expired_revocations(now, REMOVED_AT_ONCE).await?;
            let kept_before = self
                .catalog
                .expired_tokens(Timestamp(i64::MAX), REMOVED_AT_ONCE)
                .await?;
            let found = expired.records.len() + kept_before.records.len();
            let mut changes = self.catalog.change();
            for token in &expired.records {
                changes.delete(token);
            }
            for token in &kept_before.records {
                changes.delete(token);
            }
            if found > 0 {
                match changes.commit().await {
                    Ok(_) => swept += found,
                    // One of them was deleted meanwhile; the next sweep deletes the others.
                    Err(CommitError::Conflict(_)) => return Ok(swept),
                    Err(error) => return Err(error),
                }
            }
            if expired.next.is_none() && kept_before.next.is_none() {
                return Ok(swept);
            }
        }
    }
}

fn random_key() -> Secret {
    Secret::new(hex::encode(rng::number::<[u8; 32]>()))
}

/// What a valid token is worth: a session whose roles are not read yet.
struct Worth {
    token: Claims,
    user: User,
    project: Option<Project>,
    roles: BTreeSet<RoleId>,
    credential: Option<ApplicationCredential>,
}

/// What a token is worth, given the current state; `None` if it is not valid.
fn worth(token: Unproven, state: TokenState, directory: &Directory, now: Timestamp) -> Option<Worth> {
    let keys = state.keys.as_ref()?;
    let token = token.proven(keys)?;
    if token.expires_at <= now || state.is_revoked || token.generation != state.generation {
        return None;
    }
    let configured = &directory.configured;
    let user = configured.get::<User>(token.user_id.as_str()).cloned();
    let user = user.or_else(|| directory.in_force(state.user?).map(|found| found.record));
    let user = user.filter(|user| user.enabled)?;
    if token.credential != seal::fingerprint(keys, &user.id, &user.password_hash) {
        return None;
    }
    let Some(project) = &token.project_id else {
        return token.application_credential.is_none().then(|| Worth {
            user,
            project: None,
            roles: BTreeSet::new(),
            credential: None,
            token,
        });
    };
    let project = configured
        .get::<Project>(project.as_str())
        .cloned()
        .or(state.project);
    let project = project.filter(|project| project.enabled)?;
    let mut roles = configured.roles_in(&user.id, &project.id);
    roles.extend(
        state
            .assignment
            .into_iter()
            .flat_map(|assignment| assignment.roles),
    );
    if token.application_credential.is_some() {
        let credential = state.credential.as_ref().filter(|credential| {
            (&credential.user_id, &credential.project_id) == (&user.id, &project.id)
                && credential.expires_at.is_none_or(|end| end > now)
        })?;
        roles = with_implied(&roles).into_iter().collect();
        roles.retain(|role| credential.roles.contains(role));
    }
    Some(Worth {
        user,
        project: Some(project),
        roles,
        credential: state.credential,
        token,
    })
}

#[cfg(test)]
mod tests;
