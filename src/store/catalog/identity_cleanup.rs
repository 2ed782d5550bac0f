//! Deletes what belongs to a deleted user, project or role: assignments and application credentials.
//!
//! A few are deleted in the commit of the record itself. If there are more, that commit writes a [`PendingCleanup`], and
//! the others are deleted later, some in each commit. Until then they have no effect, because what they refer to is not there,
//! and no id is used again.

use super::prelude::*;
use super::role_assignments::AssignmentsOf;
use crate::model::bounds::RECORDS_IN_A_COMMIT;
use crate::model::{ApplicationCredential, IdentityKey, PendingCleanup};
use crate::store::CommitError;

impl Catalog {
    /// Adds to a commit that deletes this record that some of its dependents are deleted with it, and the others later.
    pub async fn delete_dependents(&self, changes: &mut Changes, of: &IdentityKey) -> Result<(), StoreError> {
        if self.delete_some_dependents(changes, of).await? {
            changes.insert(&PendingCleanup { of: of.clone() });
        }
        Ok(())
    }

    /// Deletes the remaining dependents of all deleted records. Returns how many records were completed.
    ///
    /// # Errors
    /// When the store fails; the rest is deleted by the next call.
    pub async fn clean_up_identity(&self) -> Result<usize, CommitError> {
        let pending = self
            .all::<PendingCleanup>(key(keys::PENDING_CLEANUP).prefix())
            .await?;
        for cleanup in &pending {
            loop {
                let mut changes = self.change();
                let has_more = self.delete_some_dependents(&mut changes, &cleanup.of).await?;
                if !has_more {
                    changes.delete(cleanup);
                }
                match changes.commit().await {
                    Ok(_) if has_more => {}
                    Ok(_) => break,
                    // Another node does the same.
                    Err(CommitError::Conflict(_)) => return Ok(0),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(pending.len())
    }

    /// Adds the deletion of some dependents; whether there are more.
    async fn delete_some_dependents(
        &self,
        changes: &mut Changes,
        of: &IdentityKey,
    ) -> Result<bool, StoreError> {
        let most = RECORDS_IN_A_COMMIT;
        let limit = most + 1;
        let (assignments, credentials) = match of {
            IdentityKey::User(user) => (
                self.some_role_assignments(AssignmentsOf::User(user), limit)
                    .await?,
                self.identity_records_of::<ApplicationCredential>(user.as_str(), limit)
                    .await?,
            ),
            IdentityKey::Project(project) => (
                self.some_role_assignments(AssignmentsOf::Project(project), limit)
                    .await?,
                self.credentials_of_project(project.as_str(), limit).await?,
            ),
            IdentityKey::Role(role) => (
                self.some_role_assignments(AssignmentsOf::Role(role), limit)
                    .await?,
                Vec::new(),
            ),
            IdentityKey::ApplicationCredential(_) => (Vec::new(), Vec::new()),
        };
        for assignment in assignments.iter().take(most) {
            match of {
                IdentityKey::Role(role) => {
                    let mut now = assignment.record.clone();
                    now.roles.remove(role);
                    changes.update(assignment, &now);
                }
                _ => {
                    changes.delete(assignment);
                }
            }
        }
        let room = most - assignments.len().min(most);
        for credential in credentials.iter().take(room) {
            changes.delete(credential);
        }
        Ok(assignments.len() > most || credentials.len() > room)
    }
}

impl Indexed for PendingCleanup {
    fn key(&self) -> Key {
        let (kind, id) = self.of.parts();
        key(keys::PENDING_CLEANUP).text(kind).text(id).end()
    }
}
