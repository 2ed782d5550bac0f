//! Users, projects and roles, as one table in memory. They are few, and every request needs them.
//!
//! Ids are derived from names, so that a configured user or project has the same id, and owns the same volumes,
//! after a restart.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::options::UserOptions;
use crate::model::identity::DEFAULT_DOMAIN;
use crate::model::volume::Secret;
use crate::model::{Project, ProjectId, RoleAssignment, User, UserId};

/// The default domain's name.
pub const DEFAULT_DOMAIN_NAME: &str = "Default";

/// Roles that imply others, the most powerful first.
const IMPLIED: [&str; 3] = ["admin", "member", "reader"];

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    users: BTreeMap<UserId, User>,
    projects: BTreeMap<ProjectId, Project>,
    roles: BTreeMap<(UserId, ProjectId), BTreeSet<String>>,
}

/// 32 hexadecimal digits derived from kind and name: the format of Keystone's ids.
pub fn id_for(kind: &str, name: &str) -> String {
    let digest = Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(name)
        .finalize();
    hex::encode(&digest[..16])
}

/// The id of a user of that name.
pub fn user_id(name: &str) -> UserId {
    UserId(id_for("user", name))
}

/// A user with that name.
pub fn user(name: &str, password_hash: Secret, default_project: ProjectId) -> User {
    User {
        id: user_id(name),
        name: name.to_owned(),
        password_hash,
        domain: DEFAULT_DOMAIN.to_owned(),
        default_project: Some(default_project),
        enabled: true,
    }
}

/// A project with that name.
pub fn project(name: &str) -> Project {
    Project {
        id: ProjectId(id_for("project", name)),
        name: name.to_owned(),
        domain: DEFAULT_DOMAIN.to_owned(),
        enabled: true,
    }
}

impl Directory {
    /// The table of the stored records.
    pub fn of(
        users: impl IntoIterator<Item = User>,
        projects: impl IntoIterator<Item = Project>,
        assignments: impl IntoIterator<Item = RoleAssignment>,
    ) -> Self {
        let mut directory = Self {
            users: users.into_iter().map(|user| (user.id.clone(), user)).collect(),
            projects: projects
                .into_iter()
                .map(|project| (project.id.clone(), project))
                .collect(),
            roles: BTreeMap::new(),
        };
        for assignment in assignments {
            let place = directory
                .roles
                .entry((assignment.user_id, assignment.project_id))
                .or_default();
            place.extend(assignment.roles);
        }
        directory
    }

    /// Adds a configured user with its password hash. A repeated name adds roles; the first project is the default.
    pub fn add(&mut self, options: &UserOptions, password_hash: Secret) {
        let project = project(&options.project);
        let user = user(&options.name, password_hash, project.id.clone());
        let place = self
            .roles
            .entry((user.id.clone(), project.id.clone()))
            .or_default();
        place.extend(options.roles.iter().map(|role| role.trim().to_lowercase()));
        self.users.entry(user.id.clone()).or_insert(user);
        self.projects.entry(project.id.clone()).or_insert(project);
    }

    /// An enabled user, by id.
    pub fn user(&self, id: &UserId) -> Option<&User> {
        self.users.get(id).filter(|user| user.enabled)
    }

    /// An enabled user, by name.
    pub fn user_by_name(&self, name: &str) -> Option<&User> {
        self.users.values().find(|user| user.enabled && user.name == name)
    }

    /// An enabled project, by id.
    pub fn project(&self, id: &ProjectId) -> Option<&Project> {
        self.projects.get(id).filter(|project| project.enabled)
    }

    /// An enabled project, by name.
    pub fn project_by_name(&self, name: &str) -> Option<&Project> {
        self.projects
            .values()
            .find(|project| project.enabled && project.name == name)
    }

    /// All users, by id.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// All projects, by id.
    pub fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.values()
    }

    /// All assignments: user, project, roles (implied ones not included).
    pub fn assignments(&self) -> impl Iterator<Item = (&User, &Project, &BTreeSet<String>)> {
        self.roles.iter().filter_map(|((user, project), roles)| {
            Some((self.users.get(user)?, self.projects.get(project)?, roles))
        })
    }

    /// The projects in which a user has a role.
    pub fn projects_of(&self, user: &UserId) -> Vec<&Project> {
        self.roles
            .range((user.clone(), ProjectId(String::new()))..)
            .take_while(|((holder, _), _)| holder == user)
            .filter(|(_, roles)| !roles.is_empty())
            .filter_map(|((_, project), _)| self.project(project))
            .collect()
    }

    /// The roles of a user in a project with those they imply, the most powerful first; empty if there are none.
    pub fn roles_in(&self, user: &UserId, project: &ProjectId) -> Vec<String> {
        self.roles
            .get(&(user.clone(), project.clone()))
            .map(with_implied)
            .unwrap_or_default()
    }

    /// The names of all roles.
    pub fn role_names(&self) -> BTreeSet<String> {
        IMPLIED
            .iter()
            .map(|role| (*role).to_owned())
            .chain(self.roles.values().flatten().cloned())
            .collect()
    }
}

/// Roles with those they imply: admin → member → reader, as in Keystone's bootstrap.
pub fn with_implied(roles: &BTreeSet<String>) -> Vec<String> {
    let first = IMPLIED
        .iter()
        .position(|role| roles.contains(*role))
        .unwrap_or(IMPLIED.len());
    let implied = IMPLIED[first..].iter().map(|role| (*role).to_owned());
    implied
        .chain(
            roles
                .iter()
                .filter(|role| !IMPLIED.contains(&role.as_str()))
                .cloned(),
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, project: &str, roles: &[&str]) -> UserOptions {
        UserOptions {
            name: name.to_owned(),
            password: None,
            password_hash: None,
            project: project.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        }
    }

    #[test]
    fn the_same_name_has_the_same_id_after_a_restart() {
        assert_eq!(id_for("project", "admin"), id_for("project", "admin"));
        assert_ne!(id_for("project", "admin"), id_for("user", "admin"));
        assert_ne!(id_for("a", "bc"), id_for("ab", "c"));
        assert_eq!(id_for("project", "admin").len(), 32);
    }

    #[test]
    fn roles_imply_those_below_them() {
        let implied = |roles: &[&str]| with_implied(&roles.iter().map(|role| (*role).to_owned()).collect());
        assert_eq!(implied(&["admin"]), ["admin", "member", "reader"]);
        assert_eq!(implied(&["member", "auditor"]), ["member", "reader", "auditor"]);
        assert_eq!(implied(&["reader"]), ["reader"]);
        assert_eq!(implied(&["auditor"]), ["auditor"]);
        assert!(implied(&[]).is_empty());
    }

    #[test]
    fn a_name_that_comes_again_is_the_same_user_elsewhere() {
        let mut directory = Directory::default();
        directory.add(&options("ann", "red", &["Admin"]), Secret::new("h"));
        directory.add(&options("ann", "blue", &["reader"]), Secret::new("h"));
        directory.add(&options("bob", "red", &["member"]), Secret::new("h"));
        let ann = directory.user_by_name("ann").unwrap();
        let mut names: Vec<_> = directory
            .projects_of(&ann.id)
            .iter()
            .map(|project| project.name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["blue", "red"]);
        let red = directory.project_by_name("red").unwrap();
        assert_eq!(ann.default_project.as_ref(), Some(&red.id));
        assert_eq!(
            directory.roles_in(&ann.id, &red.id),
            ["admin", "member", "reader"]
        );
        let bob = directory.user_by_name("bob").unwrap();
        assert!(
            directory
                .roles_in(&bob.id, &directory.project_by_name("blue").unwrap().id)
                .is_empty()
        );
    }
}
