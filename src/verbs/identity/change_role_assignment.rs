//! Give a user a role in a project, or take it away (keystone: `assignment/core.py`, `create_grant`, `delete_grant`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the user has the role, or has it no more and its tokens for the project are revoked | nothing has changed |

use super::hold;
use crate::model::{IdentityKey, ProjectId, RoleAssignment, RoleId, UserId};
use crate::verbs::prelude::*;

/// What is done with the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleChange {
    /// It is given; nothing happens if the user has it.
    Add,
    /// It is taken away; 404 if the user does not have it.
    Remove,
}

/// Change the roles of a user in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRoleAssignment {
    /// The user.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The role.
    pub role_id: RoleId,
    /// The change.
    pub change: RoleChange,
    /// Those of the three that are records, and not of the configuration.
    pub requires: Vec<IdentityKey>,
}
call!(ChangeRoleAssignment => ApiTopic, "change_role_assignment", since 6, reply ());

impl Request for ChangeRoleAssignment {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let catalog = &at.control.catalog;
        let mut changes = catalog.change();
        hold(catalog, &mut changes, &self.requires).await?;
        let was = catalog.role_assignment(&self.user_id, &self.project_id).await?;
        let mut now = was.as_ref().map_or_else(
            || RoleAssignment {
                user_id: self.user_id.clone(),
                project_id: self.project_id.clone(),
                roles: Default::default(),
                token_generation: 0,
            },
            |was| was.record.clone(),
        );
        let is_changed = match self.change {
            RoleChange::Add => now.roles.insert(self.role_id.clone()),
            RoleChange::Remove => now.roles.remove(&self.role_id),
        };
        match (self.change, is_changed) {
            (RoleChange::Add, false) => return Ok(Began::Done(())),
            (RoleChange::Remove, false) => return Err(self.not_assigned().into()),
            (RoleChange::Remove, true) => now.token_generation += 1,
            (RoleChange::Add, true) => {}
        }
        match &was {
            Some(was) => changes.update(was, &now),
            None => changes.insert(&now),
        };
        changes.commit().await?;
        tracing::info!(
            user_id = %self.user_id, project_id = %self.project_id, role_id = %self.role_id, change = ?self.change,
            by = %at.context.user_id, "role assignment changed"
        );
        Ok(Began::Done(()))
    }
}

impl ChangeRoleAssignment {
    /// 404 with Keystone's text.
    pub fn not_assigned(&self) -> Error {
        Error::not_found(format!(
            "Could not find role assignment with role: {}, user or group: {}, project, domain, or system: {}.",
            self.role_id, self.user_id, self.project_id
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let of = |change, requires| ChangeRoleAssignment {
            user_id: "u".into(),
            project_id: "p".into(),
            role_id: "r".into(),
            change,
            requires,
        };
        crate::golden::message(&[
            ("add", of(RoleChange::Add, vec![IdentityKey::User("u".into())])),
            ("remove", of(RoleChange::Remove, Vec::new())),
        ]);
    }
}
