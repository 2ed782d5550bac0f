//! Users, projects, roles and tokens of the embedded identity.
//!
//! Users and projects are few: a look-up by name scans them. Tokens are many, so they have an index by hash, and one by
//! expiry.

use super::keys::TIME_BYTES;
use super::prelude::*;
use crate::model::{Project, RoleAssignment, Token, TokenHash, User, UserId};

impl Catalog {
    /// A user by id.
    pub async fn user(&self, id: &UserId) -> Result<Option<Stored<User>>, StoreError> {
        self.record(&user_key(id)).await
    }

    /// All users, by id.
    pub async fn users(&self) -> Result<Vec<Stored<User>>, StoreError> {
        self.all(key(keys::USER).prefix()).await
    }

    /// A user by name.
    pub async fn user_by_name(&self, domain: &str, name: &str) -> Result<Option<Stored<User>>, StoreError> {
        Ok(self
            .users()
            .await?
            .into_iter()
            .find(|user| user.domain == domain && user.name == name))
    }

    /// A project by id.
    pub async fn project(&self, id: &ProjectId) -> Result<Option<Stored<Project>>, StoreError> {
        self.record(&project_key(id)).await
    }

    /// All projects, by id.
    pub async fn projects(&self) -> Result<Vec<Stored<Project>>, StoreError> {
        self.all(key(keys::PROJECT).prefix()).await
    }

    /// A project by name.
    pub async fn project_by_name(
        &self,
        domain: &str,
        name: &str,
    ) -> Result<Option<Stored<Project>>, StoreError> {
        Ok(self
            .projects()
            .await?
            .into_iter()
            .find(|found| found.domain == domain && found.name == name))
    }

    /// The roles that a user has, in each of its projects.
    pub async fn roles_of(&self, user: &UserId) -> Result<Vec<Stored<RoleAssignment>>, StoreError> {
        self.all(key(keys::ROLES).text(user.as_str()).prefix()).await
    }

    /// A token by its hash. It may have expired: the caller compares the time.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<Stored<Token>>, StoreError> {
        self.record(&token_key(hash)).await
    }

    /// Expired tokens, the longest expired first, of up to `limit` rows. A caller that deletes them calls again from
    /// the beginning while there is a `next`.
    pub async fn expired_tokens(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Page<Stored<Token>, Timestamp>, StoreError> {
        self.expired(keys::TOKEN_BY_EXPIRY, now, limit).await
    }
}

impl Changes {
    /// Inserts or updates a user. The caller has checked that the name is free.
    pub fn put_user(&mut self, user: &User) -> &mut Self {
        self.put(user_key(&user.id), user);
        self
    }

    /// Inserts or updates a project. The caller has checked that the name is free.
    pub fn put_project(&mut self, project: &Project) -> &mut Self {
        self.put(project_key(&project.id), project);
        self
    }

    /// Sets all roles of a user in a project; an empty set deletes the assignment.
    pub fn put_roles(&mut self, assignment: &RoleAssignment) -> &mut Self {
        let key = key(keys::ROLES)
            .text(assignment.user_id.as_str())
            .text(assignment.project_id.as_str())
            .end();
        if assignment.roles.is_empty() {
            self.delete_key(key);
        } else {
            self.put(key, assignment);
        }
        self
    }
}

impl Indexed for User {
    fn key(&self) -> Key {
        user_key(&self.id)
    }
}

impl Indexed for Project {
    fn key(&self) -> Key {
        project_key(&self.id)
    }
}

impl Indexed for Token {
    fn key(&self) -> Key {
        token_key(&self.hash)
    }
}

fn user_key(id: &UserId) -> Key {
    key(keys::USER).text(id.as_str()).end()
}

fn project_key(id: &ProjectId) -> Key {
    key(keys::PROJECT).text(id.as_str()).end()
}

fn token_key(hash: &TokenHash) -> Key {
    key(keys::TOKEN).bytes(&hash.0).end()
}

impl Kind for Token {
    const TABLES: &'static [Table] = &[keys::TOKEN];
    const INDEXES: &'static [Table] = &[keys::TOKEN_BY_EXPIRY];

    fn rows(&self) -> Rows {
        let by_expiry = key(keys::TOKEN_BY_EXPIRY).time(self.expires_at);
        Rows::from([(by_expiry.bytes(&self.hash.0).end(), Vec::new())])
    }

    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        let hash = row.0.get(keys::TOKEN_BY_EXPIRY.len() + TIME_BYTES..)?;
        Some(token_key(&TokenHash(hash.try_into().ok()?)))
    }
}
