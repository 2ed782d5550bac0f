//! The roles of users in projects (keystone: `api/projects.py`, `ProjectUserGrantResource`, and `api/role_assignments.py`).

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::directory::{Found, Listed};
use super::lists::{Answer, filter, flag, list};
use super::refusal::Refusal;
use super::requester::Requester;
use super::resource::find;
use super::view;
use crate::model::{IdentityKey, Project, ProjectId, Role, User, UserId};
use crate::verbs::identity::{ChangeRoleAssignment, RoleChange};
use crate::web::routes::{Access, Routes};

/// The paths of the roles of a user in a project, and of one of them.
const GRANTS: &str = "/v3/projects/{project}/users/{user}/roles";
const GRANT: &str = "/v3/projects/{project}/users/{user}/roles/{role}";

/// Adds the routes, relative to `/identity`.
pub(super) fn routes(routes: &mut Routes) {
    routes.get("/v3/role_assignments", Access::Identity, role_assignments);
    routes.get(GRANTS, Access::Identity, grants);
    routes.get(GRANT, Access::Identity, check);
    routes.put(GRANT, Access::Identity, grant);
    routes.delete(GRANT, Access::Identity, revoke);
}

type Path = web::Path<(String, String, String)>;

/// The user, project and role of a path; 404 for the first that is not there.
struct Grant {
    user: Found<User>,
    project: Found<Project>,
    role: Found<Role>,
}

impl Grant {
    async fn of(requester: &Requester, path: Path) -> Result<Self, Refusal> {
        let (project, user, role) = path.into_inner();
        Ok(Self {
            role: find(requester, &role).await?,
            user: find(requester, &user).await?,
            project: find(requester, &project).await?,
        })
    }

    /// The message that changes it.
    fn message(&self, change: RoleChange) -> ChangeRoleAssignment {
        ChangeRoleAssignment {
            user_id: self.user.id.clone(),
            project_id: self.project.id.clone(),
            role_id: self.role.id.clone(),
            change,
            requires: [stored(&self.user), stored(&self.project), stored(&self.role)]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    /// Whether the configuration grants it.
    fn is_configured(&self, requester: &Requester) -> bool {
        let configured = &requester.directory().configured;
        configured
            .roles_in(&self.user.id, &self.project.id)
            .contains(&self.role.id)
    }
}

/// The key of a record, unless the configuration defines it.
fn stored<R: Listed>(found: &Found<R>) -> Option<IdentityKey> {
    (!found.is_configured).then(|| found.identity_key())
}

async fn grants(requester: Requester, path: web::Path<(String, String)>) -> Answer {
    requester.administrates("identity:list_grants")?;
    let (project, user) = path.into_inner();
    let (user, project) = (
        find::<User>(&requester, &user).await?,
        find::<Project>(&requester, &project).await?,
    );
    let mut roles = Vec::new();
    for id in requester.directory().roles_in(&user.id, &project.id).await? {
        let role = requester.directory().find::<Role>(id.as_str()).await?;
        roles.extend(role.map(|role| view::whole_role(&requester.api, &role)));
    }
    let path = format!("projects/{}/users/{}/roles", project.id, user.id);
    Ok(list(&requester, "roles", &path, roles))
}

async fn check(requester: Requester, path: Path) -> Answer {
    requester.administrates("identity:check_grant")?;
    let grant = Grant::of(&requester, path).await?;
    let roles = requester
        .directory()
        .roles_in(&grant.user.id, &grant.project.id)
        .await?;
    match roles.contains(&grant.role.id) {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(grant.message(RoleChange::Remove).not_assigned().into()),
    }
}

async fn grant(requester: Requester, path: Path) -> Answer {
    requester.administrates("identity:create_grant")?;
    let grant = Grant::of(&requester, path).await?;
    if !grant.is_configured(&requester) {
        requester.call(grant.message(RoleChange::Add)).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

async fn revoke(requester: Requester, path: Path) -> Answer {
    requester.administrates("identity:revoke_grant")?;
    let grant = Grant::of(&requester, path).await?;
    if grant.is_configured(&requester) {
        let what = format!(
            "{} of {} in {}",
            grant.role.name, grant.user.name, grant.project.name
        );
        return Err(Refusal::is_configured("role", &what));
    }
    requester.call(grant.message(RoleChange::Remove)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Records by id, each read once.
struct Cache<'a, R> {
    requester: &'a Requester,
    known: BTreeMap<String, Option<R>>,
}

impl<'a, R: Listed> Cache<'a, R> {
    fn new(requester: &'a Requester) -> Self {
        Self {
            requester,
            known: BTreeMap::new(),
        }
    }

    /// The record; `None` if it is deleted.
    async fn get(&mut self, id: &str) -> Result<Option<R>, Refusal> {
        if let Some(known) = self.known.get(id) {
            return Ok(known.clone());
        }
        let found = self
            .requester
            .directory()
            .find::<R>(id)
            .await?
            .map(|found| found.record);
        self.known.insert(id.to_owned(), found.clone());
        Ok(found)
    }
}

async fn role_assignments(request: HttpRequest, requester: Requester) -> Answer {
    requester.administrates("identity:list_role_assignments")?;
    let user = filter(&request, "user.id").map(UserId);
    let project = filter(&request, "scope.project.id").map(ProjectId);
    let role = filter(&request, "role.id");
    let other = [
        "group.id",
        "scope.domain.id",
        "scope.system",
        "scope.OS-INHERIT:inherited_to",
    ];
    let (with_names, is_effective) = (flag(&request, "include_names"), flag(&request, "effective"));
    let mut items: Vec<Value> = Vec::new();
    let (mut users, mut projects, mut roles) = (
        Cache::<User>::new(&requester),
        Cache::<Project>::new(&requester),
        Cache::<Role>::new(&requester),
    );
    let all = match other.iter().any(|name| filter(&request, name).is_some()) {
        true => Vec::new(),
        false => {
            requester
                .directory()
                .assignments(user.as_ref(), project.as_ref())
                .await?
        }
    };
    for assignment in all {
        let user = users.get(assignment.user_id.as_str()).await?;
        let project = projects.get(assignment.project_id.as_str()).await?;
        let (Some(user), Some(project)) = (user, project) else {
            continue;
        };
        for id in &assignment.roles {
            let Some(assigned) = roles.get(id.as_str()).await? else {
                continue;
            };
            let implied = match is_effective {
                true => requester.directory().with_implied(&[id.clone()].into()).await?,
                false => vec![assigned.clone()],
            };
            for effective in implied {
                if role.as_ref().is_some_and(|role| *role != effective.id.0) {
                    continue;
                }
                let prior = (effective.id != assigned.id).then_some(&assigned);
                let parts = (&user, &project, &effective);
                items.push(view::assignment(&requester.api, parts, prior, with_names));
            }
        }
    }
    Ok(list(&requester, "role_assignments", "role_assignments", items))
}
