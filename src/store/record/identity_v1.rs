//! Version 1 of users, projects and role assignments: without attributes, and with roles by their names, which could not change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::identity::role_id;
use crate::model::volume::Secret;
use crate::model::{Project, ProjectId, RoleAssignment, User, UserId};

/// A user.
#[derive(Serialize, Deserialize)]
pub(super) struct UserV1 {
    id: UserId,
    name: String,
    password_hash: Secret,
    domain: String,
    default_project: Option<ProjectId>,
    enabled: bool,
}

/// A project.
#[derive(Serialize, Deserialize)]
pub(super) struct ProjectV1 {
    id: ProjectId,
    name: String,
    domain: String,
    enabled: bool,
}

/// The roles that a user has in a project.
#[derive(Serialize, Deserialize)]
pub(super) struct RoleAssignmentV1 {
    user_id: UserId,
    project_id: ProjectId,
    roles: BTreeSet<String>,
}

impl From<UserV1> for User {
    fn from(was: UserV1) -> Self {
        Self {
            id: was.id,
            name: was.name,
            password_hash: was.password_hash,
            domain: was.domain,
            default_project: was.default_project,
            enabled: was.enabled,
            attributes: BTreeMap::new(),
        }
    }
}

impl From<ProjectV1> for Project {
    fn from(was: ProjectV1) -> Self {
        Self {
            id: was.id,
            name: was.name,
            domain: was.domain,
            enabled: was.enabled,
            description: String::new(),
            tags: BTreeSet::new(),
            attributes: BTreeMap::new(),
            token_generation: 0,
        }
    }
}

impl From<RoleAssignmentV1> for RoleAssignment {
    fn from(was: RoleAssignmentV1) -> Self {
        Self {
            user_id: was.user_id,
            project_id: was.project_id,
            roles: was.roles.iter().map(|name| role_id(name)).collect(),
            token_generation: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::decode;

    #[test]
    fn roles_of_an_earlier_version_are_the_same_by_their_ids() {
        let hexadecimal = include_str!("../../../tests/golden/records/role_assignment.full.v1.hex");
        let bytes = hex::decode(hexadecimal.replace('\n', "")).unwrap();
        let roles = decode::<RoleAssignment>(&bytes).unwrap().roles;
        assert_eq!(roles, [role_id("admin"), role_id("member")].into());
    }
}
