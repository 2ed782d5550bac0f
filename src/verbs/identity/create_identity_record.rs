//! Create a user, project, role or application credential (keystone: `identity/core.py`, `resource/core.py`, `assignment/core.py`,
//! `application_credential/core.py`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the record exists with its name; what it belongs to exists, too | nothing has changed |

use super::{commit, hold};
use crate::model::bounds::{self, APPLICATION_CREDENTIALS, IDENTITY_ATTRIBUTES, PROJECTS, ROLES, USERS};
use crate::model::{ApplicationCredential, IdentityKey, IdentityRecord, Project, Role, User};
use crate::store::catalog::{Catalog, Changes};
use crate::verbs::prelude::*;

/// Create a record of the embedded identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateIdentityRecord {
    /// The record.
    pub record: IdentityRecord,
    /// The records that it belongs to.
    pub requires: Vec<IdentityKey>,
}
call!(CreateIdentityRecord => ApiTopic, "create_identity_record", since 6, reply ());

impl Request for CreateIdentityRecord {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let catalog = &at.control.catalog;
        check_size(None, &self.record)?;
        check_number(catalog, &self.record).await?;
        let mut changes = catalog.change();
        hold(catalog, &mut changes, &self.requires).await?;
        insert(&mut changes, &self.record);
        commit(catalog, changes, &self.record).await?;
        let key = self.record.key();
        let (kind, id) = key.parts();
        tracing::info!(kind, id, by = %at.context.user_id, "identity record created");
        Ok(Began::Done(()))
    }
}

fn insert(changes: &mut Changes, record: &IdentityRecord) {
    match record {
        IdentityRecord::User(user) => changes.insert(user),
        IdentityRecord::Project(project) => changes.insert(project),
        IdentityRecord::Role(role) => changes.insert(role),
        IdentityRecord::ApplicationCredential(credential) => changes.insert(credential),
    };
}

/// Refuses attributes that are too large, unless they do not become larger.
pub(super) fn check_size(was: Option<&IdentityRecord>, now: &IdentityRecord) -> Result<()> {
    let size = |record: &IdentityRecord| match record {
        IdentityRecord::User(user) => bounds::pairs(&user.attributes),
        IdentityRecord::Project(project) => {
            let tags: usize = project.tags.iter().map(|tag| bounds::text(tag)).sum();
            bounds::pairs(&project.attributes) + bounds::text(&project.description) + tags
        }
        IdentityRecord::Role(role) => {
            bounds::pairs(&role.attributes) + role.description.as_deref().map_or(0, bounds::text)
        }
        IdentityRecord::ApplicationCredential(credential) => {
            credential.description.as_deref().map_or(0, bounds::text)
        }
    };
    IDENTITY_ATTRIBUTES.check(was.map_or(0, size), size(now))
}

/// Refuses one more than the most. Several that are created at once may exceed it by their number.
async fn check_number(catalog: &Catalog, record: &IdentityRecord) -> Result<(), Interrupt> {
    let (is_full, most, what) = match record {
        IdentityRecord::User(_) => (catalog.has_identity_records::<User>(USERS).await?, USERS, "users"),
        IdentityRecord::Project(_) => (
            catalog.has_identity_records::<Project>(PROJECTS).await?,
            PROJECTS,
            "projects",
        ),
        IdentityRecord::Role(_) => (catalog.has_identity_records::<Role>(ROLES).await?, ROLES, "roles"),
        IdentityRecord::ApplicationCredential(credential) => {
            let user = credential.user_id.as_str();
            let of_user = catalog
                .identity_records_of::<ApplicationCredential>(user, APPLICATION_CREDENTIALS)
                .await?;
            (
                of_user.len() >= APPLICATION_CREDENTIALS,
                APPLICATION_CREDENTIALS,
                "application credentials of the user",
            )
        }
    };
    match is_full {
        true => Err(Error::forbidden(format!("There may be no more than {most} {what}.")).into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::identity::samples;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let of = |record, requires| CreateIdentityRecord { record, requires };
        let credential = samples::credential();
        let requires = vec![
            IdentityKey::User(credential.user_id.clone()),
            IdentityKey::Project(credential.project_id.clone()),
        ];
        crate::golden::message(&[
            ("user", of(IdentityRecord::User(samples::user()), Vec::new())),
            (
                "project",
                of(IdentityRecord::Project(samples::project()), Vec::new()),
            ),
            ("role", of(IdentityRecord::Role(samples::role()), Vec::new())),
            (
                "credential",
                of(IdentityRecord::ApplicationCredential(credential), requires),
            ),
        ]);
    }
}
