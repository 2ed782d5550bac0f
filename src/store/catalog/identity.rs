//! Users, projects, roles and application credentials of the embedded identity: records with an id, and a name that is unique
//! for its owner.
//!
//! Names are unique by their row: a commit that would write a row that exists is a conflict.

use super::prelude::*;
use crate::model::{ApplicationCredential, Project, Role, User};
use crate::store::record::Record;

/// A kind of record of the embedded identity with a name.
pub trait IdentityKind: Record {
    /// The tables of its records, and of its index rows: those by name come first.
    const TABLES_AND_INDEXES: (&'static [Table], &'static [Table]);

    /// Its id.
    fn id(&self) -> &str;

    /// The owner of its name, such as a domain; empty if it has none.
    fn owner(&self) -> &str;

    /// Its name, unique for the owner.
    fn name(&self) -> &str;

    /// The project in its index by project, if it has one.
    fn project(&self) -> Option<&str> {
        None
    }
}

impl<R: IdentityKind> Kind for R {
    const TABLES: &'static [Table] = R::TABLES_AND_INDEXES.0;
    const INDEXES: &'static [Table] = R::TABLES_AND_INDEXES.1;

    fn rows(&self) -> Rows {
        let by_project = key(keys::APPLICATION_CREDENTIAL_BY_PROJECT);
        let by_project = self
            .project()
            .map(|project| by_project.text(project).text(self.id()).end());
        [Some(name_key::<R>(self.owner(), self.name())), by_project]
            .into_iter()
            .flatten()
            .map(|row| (row, self.id().as_bytes().to_vec()))
            .collect()
    }

    fn record_of(_row: &Key, value: &[u8]) -> Option<Key> {
        Some(identity_key::<R>(std::str::from_utf8(value).ok()?))
    }
}

/// A conflict if another record has the name of a new or renamed one.
impl<R: IdentityKind> Indexed for R {
    fn key(&self) -> Key {
        identity_key::<R>(self.id())
    }

    fn count(was: Option<&Self>, now: Option<&Self>, changes: &mut Changes) {
        if let Some(now) = now
            && was.is_none_or(|was| (was.owner(), was.name()) != (now.owner(), now.name()))
        {
            changes.condition(Condition::Absent(name_key::<R>(now.owner(), now.name())));
        }
    }
}

impl Catalog {
    /// A record by its id.
    pub async fn identity_record<R: IdentityKind>(&self, id: &str) -> Result<Option<Stored<R>>, StoreError> {
        self.record(&identity_key::<R>(id)).await
    }

    /// A record by its name.
    pub async fn identity_record_named<R: IdentityKind>(
        &self,
        owner: &str,
        name: &str,
    ) -> Result<Option<Stored<R>>, StoreError> {
        let row = name_key::<R>(owner, name);
        let Some(found) = self.store.get(&row).await? else {
            return Ok(None);
        };
        let Some(key) = R::record_of(&row, &found.value) else {
            return Err(StoreError::new(format!("{row:?} holds no id")));
        };
        // A record that was renamed meanwhile has another name now.
        let record = self.record::<R>(&key).await?;
        Ok(record.filter(|record| record.owner() == owner && record.name() == name))
    }

    /// All records of a kind, by id.
    pub async fn identity_records<R: IdentityKind>(&self) -> Result<Vec<Stored<R>>, StoreError> {
        self.all(key(R::TABLES_AND_INDEXES.0[0]).prefix()).await
    }

    /// Up to `limit` records whose names have this owner, by name.
    pub async fn identity_records_of<R: IdentityKind>(
        &self,
        owner: &str,
        limit: usize,
    ) -> Result<Vec<Stored<R>>, StoreError> {
        let names = key(R::TABLES_AND_INDEXES.1[0]).text(owner).prefix();
        self.identity_records_in(names, limit).await
    }

    /// Whether there are at least so many records of a kind.
    pub async fn has_identity_records<R: IdentityKind>(&self, count: usize) -> Result<bool, StoreError> {
        let prefix = key(R::TABLES_AND_INDEXES.0[0]).prefix();
        Ok(self.range(prefix, None, false, count).await?.len() >= count)
    }

    /// Up to `limit` application credentials for a project.
    pub(super) async fn credentials_of_project(
        &self,
        project: &str,
        limit: usize,
    ) -> Result<Vec<Stored<ApplicationCredential>>, StoreError> {
        let rows = key(keys::APPLICATION_CREDENTIAL_BY_PROJECT)
            .text(project)
            .prefix();
        self.identity_records_in(rows, limit).await
    }

    /// The records of up to `limit` rows of an index.
    async fn identity_records_in<R: Kind>(
        &self,
        prefix: Vec<u8>,
        limit: usize,
    ) -> Result<Vec<Stored<R>>, StoreError> {
        let rows = self.range(prefix, None, false, limit).await?;
        let keys: Vec<Key> = rows
            .iter()
            .filter_map(|(row, entry)| R::record_of(row, &entry.value))
            .collect();
        self.records(&keys).await
    }
}

pub(super) fn identity_key<R: IdentityKind>(id: &str) -> Key {
    key(R::TABLES_AND_INDEXES.0[0]).text(id).end()
}

fn name_key<R: IdentityKind>(owner: &str, name: &str) -> Key {
    key(R::TABLES_AND_INDEXES.1[0]).text(owner).text(name).end()
}

macro_rules! identity_kinds {
    ($($kind:ty: $table:ident by $names:ident $($by_project:ident $project:ident)?, owner $owner:expr;)+) => {$(
        impl IdentityKind for $kind {
            const TABLES_AND_INDEXES: (&'static [Table], &'static [Table]) =
                (&[keys::$table], &[keys::$names, $(keys::$by_project)?]);

            fn id(&self) -> &str {
                self.id.as_str()
            }

            fn owner(&self) -> &str {
                let owner: fn(&$kind) -> &str = $owner;
                owner(self)
            }

            fn name(&self) -> &str {
                &self.name
            }

            $(fn project(&self) -> Option<&str> {
                Some(self.$project.as_str())
            })?
        }
    )+};
}

identity_kinds! {
    User: USER by USER_BY_NAME, owner |user| &user.domain;
    Project: PROJECT by PROJECT_BY_NAME, owner |project| &project.domain;
    Role: ROLE by ROLE_BY_NAME, owner |_| "";
    ApplicationCredential: APPLICATION_CREDENTIAL by APPLICATION_CREDENTIAL_BY_NAME
        APPLICATION_CREDENTIAL_BY_PROJECT project_id, owner |credential| credential.user_id.as_str();
}
