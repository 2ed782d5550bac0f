//! Users, projects and roles: those of the configuration, in memory, and those of the store, read each time.
//!
//! Both are read as one. What the configuration defines cannot be changed over the API, and comes first: a stored record with
//! its name is found by its id only. Nothing of the store is remembered, so there is nothing to be out of date.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::LazyLock;

use super::bootstrap::ADMIN;
use super::options::UserOptions;
use crate::model::identity::{Attributes, BUILT_IN_ROLES, DEFAULT_DOMAIN, IMPLIED_ROLES, id_for, role_id};
use crate::model::volume::Secret;
use crate::model::{IdentityKey, Project, ProjectId, Role, RoleAssignment, RoleId, User, UserId};
use crate::store::StoreError;
use crate::store::catalog::{Catalog, IdentityKind};

/// The default domain's name.
pub const DEFAULT_DOMAIN_NAME: &str = "Default";

/// The ids of the built-in roles.
static BUILT_IN: LazyLock<[RoleId; BUILT_IN_ROLES.len()]> = LazyLock::new(|| BUILT_IN_ROLES.map(role_id));

/// The id of the user of that name in the configuration.
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
        attributes: Attributes::new(),
    }
}

/// A project with that name.
pub fn project(name: &str) -> Project {
    Project {
        id: ProjectId(id_for("project", name)),
        name: name.to_owned(),
        domain: DEFAULT_DOMAIN.to_owned(),
        enabled: true,
        description: String::new(),
        tags: BTreeSet::new(),
        attributes: Attributes::new(),
        token_generation: 0,
    }
}

fn role(name: &str) -> Role {
    Role {
        id: role_id(name),
        name: name.to_owned(),
        description: None,
        attributes: Attributes::new(),
    }
}

/// What the configuration defines, and the built-in roles.
#[derive(Clone, Debug)]
pub struct Configured {
    users: BTreeMap<String, User>,
    projects: BTreeMap<String, Project>,
    roles: BTreeMap<String, Role>,
    assignments: BTreeMap<(UserId, ProjectId), BTreeSet<RoleId>>,
}

impl Default for Configured {
    fn default() -> Self {
        let roles = BUILT_IN_ROLES.map(role);
        Self {
            users: BTreeMap::new(),
            projects: BTreeMap::new(),
            roles: roles.map(|role| (role.id.0.clone(), role)).into(),
            assignments: BTreeMap::new(),
        }
    }
}

impl Configured {
    /// Adds a user with its password hash. A repeated name adds roles; the first project is the default.
    pub fn add(&mut self, options: &UserOptions, password_hash: Secret) {
        let project = project(&options.project);
        let user = user(&options.name, password_hash, project.id.clone());
        let place = (user.id.clone(), project.id.clone());
        let roles = options.roles.iter().map(|name| role(&name.trim().to_lowercase()));
        for role in roles {
            self.assignments
                .entry(place.clone())
                .or_default()
                .insert(role.id.clone());
            self.roles.entry(role.id.0.clone()).or_insert(role);
        }
        self.users.entry(user.id.0.clone()).or_insert(user);
        self.projects.entry(project.id.0.clone()).or_insert(project);
    }

    /// A record by its id.
    pub fn get<R: Listed>(&self, id: &str) -> Option<&R> {
        R::configured(self).get(id)
    }

    /// A record by its name.
    pub fn named<R: Listed>(&self, name: &str) -> Option<&R> {
        R::configured(self).values().find(|record| record.has_name(name))
    }

    /// The roles of a user in a project.
    pub fn roles_in(&self, user: &UserId, project: &ProjectId) -> BTreeSet<RoleId> {
        let place = (user.clone(), project.clone());
        self.assignments.get(&place).cloned().unwrap_or_default()
    }

    /// All assignments.
    fn assignments(&self) -> impl Iterator<Item = RoleAssignment> + '_ {
        self.assignments
            .iter()
            .map(|((user, project), roles)| RoleAssignment {
                user_id: user.clone(),
                project_id: project.clone(),
                roles: roles.clone(),
                token_generation: 0,
            })
    }
}

/// A kind of record that the configuration may define.
pub trait Listed: IdentityKind + Clone {
    /// The owner of its names.
    const OWNER: &'static str;

    /// The records of the configuration, by id.
    fn configured(configured: &Configured) -> &BTreeMap<String, Self>;

    /// Its key.
    fn identity_key(&self) -> IdentityKey;

    /// Whether it is found by this name.
    fn has_name(&self, name: &str) -> bool {
        self.name() == name
    }
}

impl Listed for User {
    const OWNER: &'static str = DEFAULT_DOMAIN;

    fn configured(configured: &Configured) -> &BTreeMap<String, Self> {
        &configured.users
    }

    fn identity_key(&self) -> IdentityKey {
        IdentityKey::User(self.id.clone())
    }
}

impl Listed for Project {
    const OWNER: &'static str = DEFAULT_DOMAIN;

    fn configured(configured: &Configured) -> &BTreeMap<String, Self> {
        &configured.projects
    }

    fn identity_key(&self) -> IdentityKey {
        IdentityKey::Project(self.id.clone())
    }
}

impl Listed for Role {
    const OWNER: &'static str = "";

    fn configured(configured: &Configured) -> &BTreeMap<String, Self> {
        &configured.roles
    }

    fn identity_key(&self) -> IdentityKey {
        IdentityKey::Role(self.id.clone())
    }

    /// Policy compares the names of roles case-insensitively: none may look like another to it.
    fn has_name(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// A record, and where it is from.
#[derive(Clone, Debug)]
pub struct Found<R> {
    /// The record.
    pub record: R,
    /// Whether it is from the configuration, and so cannot be changed.
    pub is_configured: bool,
}

impl<R> Deref for Found<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.record
    }
}

/// All users, projects and roles.
pub struct Directory {
    /// Those of the configuration.
    pub configured: Configured,
    /// The others.
    pub catalog: Catalog,
    /// Whether the configuration has users: then the `admin` of the first start is not in force.
    pub has_users: bool,
}

impl Directory {
    /// A record by its id.
    pub async fn find<R: Listed>(&self, id: &str) -> Result<Option<Found<R>>, StoreError> {
        if let Some(record) = self.configured.get::<R>(id) {
            return Ok(Some(configured(record)));
        }
        let stored = self.catalog.identity_record::<R>(id).await?;
        Ok(stored.and_then(|stored| self.in_force(stored.record)))
    }

    /// A record by its name.
    pub async fn named<R: Listed>(&self, name: &str) -> Result<Option<Found<R>>, StoreError> {
        if let Some(record) = self.configured.named::<R>(name) {
            return Ok(Some(configured(record)));
        }
        let stored = self.catalog.identity_record_named::<R>(R::OWNER, name).await?;
        Ok(stored.and_then(|stored| self.in_force(stored.record)))
    }

    /// All records of a kind, those of the configuration first.
    pub async fn all<R: Listed>(&self) -> Result<Vec<Found<R>>, StoreError> {
        let of_configuration = R::configured(&self.configured);
        let mut all: Vec<Found<R>> = of_configuration.values().map(configured).collect();
        let stored = self.catalog.identity_records::<R>().await?.into_iter();
        let stored = stored.filter(|stored| !of_configuration.contains_key(stored.id()));
        all.extend(stored.filter_map(|stored| self.in_force(stored.record)));
        Ok(all)
    }

    /// The `admin` of the first start counts only while the configuration names no users, as clients with its password
    /// would not be expected then.
    pub fn in_force<R: Listed>(&self, record: R) -> Option<Found<R>> {
        let is_first_admin = record.identity_key() == IdentityKey::User(user_id(ADMIN));
        (!is_first_admin || !self.has_users).then_some(Found {
            record,
            is_configured: false,
        })
    }

    /// The roles that a user was given in a project.
    pub async fn roles_in(&self, user: &UserId, project: &ProjectId) -> Result<BTreeSet<RoleId>, StoreError> {
        let mut roles = self.configured.roles_in(user, project);
        let stored = self.catalog.role_assignment(user, project).await?;
        roles.extend(stored.into_iter().flat_map(|stored| stored.record.roles));
        Ok(roles)
    }

    /// All assignments of a user, of a project or (if neither is given) at all. A pair may be twice in it: by the configuration
    /// and by the store.
    pub async fn assignments(
        &self,
        user: Option<&UserId>,
        project: Option<&ProjectId>,
    ) -> Result<Vec<RoleAssignment>, StoreError> {
        let stored = match (user, project) {
            (Some(user), _) => self.catalog.roles_of(user).await?,
            (None, Some(project)) => self.catalog.roles_in_project(project).await?,
            (None, None) => self.catalog.role_assignments().await?,
        };
        let stored = stored.into_iter().map(|stored| stored.record);
        let all = self.configured.assignments().chain(stored);
        Ok(all
            .filter(|one| user.is_none_or(|user| one.user_id == *user))
            .filter(|one| project.is_none_or(|project| one.project_id == *project))
            .filter(|one| !one.roles.is_empty())
            .collect())
    }

    /// The enabled projects in which a user has a role.
    pub async fn projects_of(&self, user: &UserId) -> Result<Vec<Project>, StoreError> {
        let assignments = self.assignments(Some(user), None).await?;
        let ids: BTreeSet<ProjectId> = assignments.into_iter().map(|one| one.project_id).collect();
        let mut projects = Vec::new();
        for id in &ids {
            let found = self.find::<Project>(id.as_str()).await?;
            projects.extend(found.filter(|project| project.enabled).map(|found| found.record));
        }
        Ok(projects)
    }

    /// These roles, without those that are deleted, with those that they imply: the most powerful first.
    pub async fn with_implied(&self, ids: &BTreeSet<RoleId>) -> Result<Vec<Role>, StoreError> {
        let mut roles = Vec::new();
        for id in with_implied(ids) {
            let role = match self.configured.get::<Role>(id.as_str()) {
                Some(role) => Some(role.clone()),
                None => self.find::<Role>(id.as_str()).await?.map(|found| found.record),
            };
            roles.extend(role);
        }
        Ok(roles)
    }
}

fn configured<R: Clone>(record: &R) -> Found<R> {
    Found {
        record: record.clone(),
        is_configured: true,
    }
}

/// The ids of the built-in roles, in their order.
pub fn built_in_roles() -> &'static [RoleId] {
    BUILT_IN.as_slice()
}

/// Whether this is the role of administrators.
pub fn is_admin(role: &Role) -> bool {
    role.id == BUILT_IN[0]
}

/// Roles with those they imply: admin → member → reader, as in Keystone's bootstrap.
pub fn with_implied(roles: &BTreeSet<RoleId>) -> Vec<RoleId> {
    let implying = &BUILT_IN[..IMPLIED_ROLES];
    let first = implying.iter().position(|role| roles.contains(role));
    let implied = &implying[first.unwrap_or(IMPLIED_ROLES)..];
    let others = roles.iter().filter(|role| !implying.contains(role));
    implied.iter().chain(others).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::memory::MemoryStore;

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
    fn roles_imply_those_below_them() {
        let implied = |roles: &[&str]| with_implied(&roles.iter().map(|role| role_id(role)).collect());
        let ids = |names: &[&str]| names.iter().map(|name| role_id(name)).collect::<Vec<_>>();
        assert_eq!(implied(&["admin"]), ids(&["admin", "member", "reader"]));
        assert_eq!(
            implied(&["member", "auditor"]),
            ids(&["member", "reader", "auditor"])
        );
        assert_eq!(implied(&["reader"]), ids(&["reader"]));
        assert_eq!(implied(&["service"]), ids(&["service"]));
        assert!(implied(&[]).is_empty());
    }

    #[actix_web::test]
    async fn a_name_that_comes_again_is_the_same_user_elsewhere() {
        let mut configured = Configured::default();
        configured.add(&options("ann", "red", &["Admin"]), Secret::new("h"));
        configured.add(&options("ann", "blue", &["reader"]), Secret::new("h"));
        configured.add(&options("bob", "red", &["member"]), Secret::new("h"));
        let directory = Directory {
            configured,
            catalog: Catalog::open(Arc::new(MemoryStore::default())).await.unwrap(),
            has_users: true,
        };
        let ann = directory.named::<User>("ann").await.unwrap().unwrap();
        let projects = directory.projects_of(&ann.id).await.unwrap();
        let mut names: Vec<_> = projects.iter().map(|project| project.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["blue", "red"]);
        let red = directory.named::<Project>("red").await.unwrap().unwrap();
        assert_eq!(ann.default_project.as_ref(), Some(&red.id));
        let roles = directory.roles_in(&ann.id, &red.id).await.unwrap();
        assert_eq!(roles, [role_id("admin")].into());
        let blue = directory.named::<Project>("blue").await.unwrap().unwrap();
        let bob = directory.named::<User>("bob").await.unwrap().unwrap();
        assert!(directory.roles_in(&bob.id, &blue.id).await.unwrap().is_empty());
    }
}
