//! Delete a user, project, role or application credential, with what belongs to it (keystone: `delete_user`, `delete_project`,
//! `delete_role`, `delete_application_credential`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the record is deleted, and its tokens are worth nothing; its assignments and credentials are deleted, or without effect and noted to be deleted | nothing has changed |
//!
//! As in Keystone, volumes of a deleted project remain; an administrator may delete them.

use super::find;
use crate::model::{ApplicationCredential, IdentityKey, Project, Role, User, UserId};
use crate::store::catalog::{Catalog, Changes, IdentityKind};
use crate::verbs::prelude::*;

/// Delete a record of the embedded identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteIdentityRecord {
    /// The record.
    pub record: IdentityKey,
}
call!(DeleteIdentityRecord => ApiTopic, "delete_identity_record", since 6, reply ());

impl Request for DeleteIdentityRecord {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let catalog = &at.control.catalog;
        let mut changes = catalog.change();
        match &self.record {
            IdentityKey::User(id) => {
                delete::<User>(catalog, &mut changes, &self.record).await?;
                forget_generation(catalog, &mut changes, id).await?;
            }
            IdentityKey::Project(_) => delete::<Project>(catalog, &mut changes, &self.record).await?,
            IdentityKey::Role(_) => delete::<Role>(catalog, &mut changes, &self.record).await?,
            IdentityKey::ApplicationCredential(_) => {
                delete::<ApplicationCredential>(catalog, &mut changes, &self.record).await?;
            }
        }
        catalog.delete_dependents(&mut changes, &self.record).await?;
        changes.commit().await?;
        let (kind, id) = self.record.parts();
        tracing::info!(kind, id, by = %at.context.user_id, "identity record deleted");
        Ok(Began::Done(()))
    }
}

async fn delete<R: IdentityKind>(
    catalog: &Catalog,
    changes: &mut Changes,
    key: &IdentityKey,
) -> Result<(), Interrupt> {
    changes.delete(&find::<R>(catalog, key).await?);
    Ok(())
}

/// Tokens of a user that is not there are worth nothing, whatever their generation.
async fn forget_generation(catalog: &Catalog, changes: &mut Changes, user: &UserId) -> Result<(), Interrupt> {
    if let Some(generation) = catalog.token_generation(user).await? {
        changes.delete_token_generation(&generation);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let of = |record| DeleteIdentityRecord { record };
        crate::golden::message(&[
            ("user", of(IdentityKey::User("u".into()))),
            ("project", of(IdentityKey::Project("p".into()))),
            ("role", of(IdentityKey::Role("r".into()))),
            ("credential", of(IdentityKey::ApplicationCredential("c".into()))),
        ]);
    }
}
