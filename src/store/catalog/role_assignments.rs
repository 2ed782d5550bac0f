//! The roles of users in projects: by user, and by project and role so that they can be deleted with these.

use super::keys::{KeyOf, split_text};
use super::prelude::*;
use crate::model::{RoleAssignment, RoleId, UserId};

impl Catalog {
    /// The roles of a user in a project.
    pub async fn role_assignment(
        &self,
        user: &UserId,
        project: &ProjectId,
    ) -> Result<Option<Stored<RoleAssignment>>, StoreError> {
        self.record(&assignment_key(user, project)).await
    }

    /// The roles that a user has, in each of its projects.
    pub async fn roles_of(&self, user: &UserId) -> Result<Vec<Stored<RoleAssignment>>, StoreError> {
        self.all(key(keys::ROLES).text(user.as_str()).prefix()).await
    }

    /// The roles of all users.
    pub async fn role_assignments(&self) -> Result<Vec<Stored<RoleAssignment>>, StoreError> {
        self.all(key(keys::ROLES).prefix()).await
    }

    /// The roles of all users in a project.
    pub async fn roles_in_project(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<Stored<RoleAssignment>>, StoreError> {
        let mut walk = Walk::new(key(keys::ROLES_BY_PROJECT).text(project.as_str()).prefix(), false);
        let mut found = Vec::new();
        while let Some(rows) = walk.next(self).await? {
            let keys: Vec<Key> = rows.iter().filter_map(|(row, _)| record_of_row(row)).collect();
            found.extend(self.records(&keys).await?);
        }
        Ok(found)
    }

    /// Up to `limit` assignments of this user, project or role.
    pub(super) async fn some_role_assignments(
        &self,
        of: AssignmentsOf<'_>,
        limit: usize,
    ) -> Result<Vec<Stored<RoleAssignment>>, StoreError> {
        let rows = match of {
            AssignmentsOf::User(user) => key(keys::ROLES).text(user.as_str()),
            AssignmentsOf::Project(project) => key(keys::ROLES_BY_PROJECT).text(project.as_str()),
            AssignmentsOf::Role(role) => key(keys::ROLES_BY_ROLE).text(role.as_str()),
        };
        let rows = self.range(rows.prefix(), None, false, limit).await?;
        let keys: Vec<Key> = rows.iter().filter_map(|(row, _)| record_of_row(row)).collect();
        self.records(&keys).await
    }
}

/// A record to which assignments belong.
#[derive(Clone, Copy)]
pub(super) enum AssignmentsOf<'a> {
    User(&'a UserId),
    Project(&'a ProjectId),
    Role(&'a RoleId),
}

pub(super) fn assignment_key(user: &UserId, project: &ProjectId) -> Key {
    pair(key(keys::ROLES), user, project)
}

fn pair(key: KeyOf, user: &UserId, project: &ProjectId) -> Key {
    key.text(user.as_str()).text(project.as_str()).end()
}

/// The key of the record, from a key of its own table or of an index.
fn record_of_row(row: &Key) -> Option<Key> {
    let (table, parts) = row.0.split_first_chunk::<2>()?;
    let (first, rest) = split_text(parts)?;
    let (second, rest) = split_text(rest)?;
    let (user, project) = match table {
        table if table == keys::ROLES => (first, second),
        table if table == keys::ROLES_BY_PROJECT => (second, first),
        _ => (second, split_text(rest)?.0),
    };
    Some(assignment_key(&user.into(), &project.into()))
}

impl Kind for RoleAssignment {
    const TABLES: &'static [Table] = &[keys::ROLES];
    const INDEXES: &'static [Table] = &[keys::ROLES_BY_PROJECT, keys::ROLES_BY_ROLE];

    fn rows(&self) -> Rows {
        let by_project = key(keys::ROLES_BY_PROJECT)
            .text(self.project_id.as_str())
            .text(self.user_id.as_str())
            .end();
        let by_role = |role: &RoleId| {
            let role = key(keys::ROLES_BY_ROLE).text(role.as_str());
            pair(role, &self.user_id, &self.project_id)
        };
        let rows = self.roles.iter().map(by_role).chain([by_project]);
        rows.map(|row| (row, Vec::new())).collect()
    }

    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        record_of_row(row)
    }
}

impl Indexed for RoleAssignment {
    fn key(&self) -> Key {
        assignment_key(&self.user_id, &self.project_id)
    }
}
