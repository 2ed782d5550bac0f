//! The verbs of the embedded identity: users, projects, roles, application credentials, and the roles of users in projects.
//!
//! The identity service of `web` reads the records, checks who may change them, and sends the result. What the configuration
//! defines has no record, and cannot be changed: the service does not send it.

mod change_role_assignment;
mod create_identity_record;
mod delete_identity_record;
mod update_identity_record;

pub use self::change_role_assignment::{ChangeRoleAssignment, RoleChange};
pub use self::create_identity_record::CreateIdentityRecord;
pub use self::delete_identity_record::DeleteIdentityRecord;
pub use self::update_identity_record::UpdateIdentityRecord;
use super::RequestVisitor;
use crate::control::Interrupt;
use crate::model::{IdentityKey, IdentityRecord, Project, Role, User};
use crate::store::CommitError;
use crate::store::catalog::{Catalog, Changes, IdentityKind, Stored};

/// Visits their requests.
pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateIdentityRecord>();
    visitor.request::<UpdateIdentityRecord>();
    visitor.request::<DeleteIdentityRecord>();
    visitor.request::<ChangeRoleAssignment>();
}

/// A record that must exist.
async fn find<R: IdentityKind>(catalog: &Catalog, key: &IdentityKey) -> Result<Stored<R>, Interrupt> {
    let found = catalog.identity_record::<R>(key.parts().1).await?;
    found.ok_or_else(|| key.not_found().into())
}

/// Requires that these records exist, and are not deleted at the same time: they are written again, so that a deletion
/// that has not seen the new dependent meets a conflict.
async fn hold(catalog: &Catalog, changes: &mut Changes, records: &[IdentityKey]) -> Result<(), Interrupt> {
    async fn rewrite<R: IdentityKind>(
        catalog: &Catalog,
        changes: &mut Changes,
        key: &IdentityKey,
    ) -> Result<(), Interrupt> {
        let stored = find::<R>(catalog, key).await?;
        changes.update(&stored, &stored.record);
        Ok(())
    }
    for key in records {
        match key {
            IdentityKey::User(_) => rewrite::<User>(catalog, changes, key).await?,
            IdentityKey::Project(_) => rewrite::<Project>(catalog, changes, key).await?,
            IdentityKey::Role(_) => rewrite::<Role>(catalog, changes, key).await?,
            // Nothing belongs to one.
            IdentityKey::ApplicationCredential(_) => {}
        }
    }
    Ok(())
}

/// Commits a new or renamed record; 409 if another record has its name.
async fn commit(catalog: &Catalog, changes: Changes, record: &IdentityRecord) -> Result<(), Interrupt> {
    match changes.commit().await {
        Ok(_) => Ok(()),
        Err(CommitError::Conflict(_)) if other_has_its_name(catalog, record).await? => {
            Err(record.name_is_taken().into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn other_has_its_name(catalog: &Catalog, record: &IdentityRecord) -> Result<bool, Interrupt> {
    async fn other<R: IdentityKind>(catalog: &Catalog, record: &R) -> Result<bool, Interrupt> {
        let found = catalog.identity_record_named::<R>(record.owner(), record.name());
        Ok(found.await?.is_some_and(|found| found.id() != record.id()))
    }
    match record {
        IdentityRecord::User(user) => other(catalog, user).await,
        IdentityRecord::Project(project) => other(catalog, project).await,
        IdentityRecord::Role(role) => other(catalog, role).await,
        IdentityRecord::ApplicationCredential(credential) => other(catalog, credential).await,
    }
}
