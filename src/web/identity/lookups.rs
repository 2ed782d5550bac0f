//! Lookups: a user's own user and projects, and all of them for administrators. Everything is read-only: users are
//! defined by the configuration.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::directory::{DEFAULT_DOMAIN_NAME, id_for};
use super::refusal::Refusal;
use super::requester::Requester;
use super::view;
use crate::model::identity::DEFAULT_DOMAIN;
use crate::model::{ProjectId, UserId};
use crate::web::links::decode_query;
use crate::web::routes::{Access, Routes};

type Answer = Result<HttpResponse, Refusal>;

/// Adds the routes, relative to `/identity`.
pub(super) fn routes(routes: &mut Routes) {
    routes.get("/v3/auth/catalog", Access::Identity, catalog);
    routes.get("/v3/auth/projects", Access::Identity, auth_projects);
    routes.get("/v3/auth/domains", Access::Identity, auth_domains);
    routes.get("/v3/auth/system", Access::Identity, auth_system);
    routes.get("/v3/users", Access::Identity, users);
    routes.get("/v3/users/{id}", Access::Identity, user);
    routes.get("/v3/users/{id}/projects", Access::Identity, user_projects);
    routes.get("/v3/projects", Access::Identity, projects);
    routes.get("/v3/projects/{id}", Access::Identity, project);
    routes.get("/v3/roles", Access::Identity, roles);
    routes.get("/v3/roles/{id}", Access::Identity, role);
    routes.get("/v3/role_assignments", Access::Identity, role_assignments);
    routes.get("/v3/domains", Access::Identity, domains);
    routes.get("/v3/domains/{id}", Access::Identity, domain);
    routes.get("/v3/services", Access::Identity, services);
    routes.get("/v3/services/{id}", Access::Identity, service);
    routes.get("/v3/endpoints", Access::Identity, endpoints);
    routes.get("/v3/regions", Access::Identity, regions);
    routes.get("/v3/regions/{id}", Access::Identity, region);
}

fn list(requester: &Requester, name: &str, path: &str, items: Vec<Value>) -> HttpResponse {
    HttpResponse::Ok().json(view::collection(
        name,
        items,
        &format!("{}/{path}", requester.api),
    ))
}

/// The value of a filter in the query.
fn filter(request: &HttpRequest, name: &str) -> Option<String> {
    decode_query(request.query_string())
        .into_iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value)
}

/// The items that match the query's `name` and `domain_id`.
fn filtered(request: &HttpRequest, mut items: Vec<Value>) -> Vec<Value> {
    for key in ["name", "domain_id", "type", "enabled"] {
        if let Some(wanted) = filter(request, key) {
            items.retain(|item| match &item[key] {
                Value::String(text) => *text == wanted,
                Value::Bool(flag) => wanted.eq_ignore_ascii_case(if *flag { "true" } else { "false" }),
                _ => true,
            });
        }
    }
    items
}

async fn catalog(requester: Requester) -> Answer {
    let catalog = requester.catalog(&requester.session).ok_or_else(|| {
        Refusal::forbidden_because("A project-scoped token is required to produce a service catalog.")
    })?;
    let links = json!({"self": format!("{}/auth/catalog", requester.api)});
    Ok(HttpResponse::Ok().json(json!({"catalog": catalog, "links": links})))
}

fn projects_of(requester: &Requester, user: &UserId) -> Vec<Value> {
    requester
        .directory
        .projects_of(user)
        .into_iter()
        .map(|project| view::project(&requester.api, project))
        .collect()
}

async fn auth_projects(requester: Requester) -> Answer {
    let items = projects_of(&requester, &requester.session.token.user_id);
    Ok(list(&requester, "projects", "auth/projects", items))
}

async fn auth_domains(requester: Requester) -> Answer {
    Ok(list(&requester, "domains", "auth/domains", Vec::new()))
}

async fn auth_system(requester: Requester) -> Answer {
    let links = json!({"self": format!("{}/auth/system", requester.api)});
    Ok(HttpResponse::Ok().json(json!({"system": [], "links": links})))
}

async fn users(request: HttpRequest, requester: Requester) -> Answer {
    requester.administrates("identity:list_users")?;
    let items = requester
        .directory
        .users()
        .map(|user| view::user(&requester.api, user))
        .collect();
    Ok(list(&requester, "users", "users", filtered(&request, items)))
}

async fn user(requester: Requester, id: web::Path<String>) -> Answer {
    let id = UserId(id.into_inner());
    if requester.session.token.user_id != id {
        requester.administrates("identity:get_user")?;
    }
    let user = requester
        .directory
        .user(&id)
        .ok_or_else(|| Refusal::not_found("user", id.as_str()))?;
    Ok(HttpResponse::Ok().json(json!({"user": view::user(&requester.api, user)})))
}

async fn user_projects(requester: Requester, id: web::Path<String>) -> Answer {
    let id = UserId(id.into_inner());
    if requester.session.token.user_id != id {
        requester.administrates("identity:list_user_projects")?;
        requester
            .directory
            .user(&id)
            .ok_or_else(|| Refusal::not_found("user", id.as_str()))?;
    }
    Ok(list(
        &requester,
        "projects",
        &format!("users/{id}/projects"),
        projects_of(&requester, &id),
    ))
}

/// All projects for an administrator; for others their own, where Keystone would refuse.
async fn projects(request: HttpRequest, requester: Requester) -> Answer {
    let items = if requester.is_admin() {
        requester
            .directory
            .projects()
            .map(|project| view::project(&requester.api, project))
            .collect()
    } else {
        projects_of(&requester, &requester.session.token.user_id)
    };
    Ok(list(
        &requester,
        "projects",
        "projects",
        filtered(&request, items),
    ))
}

async fn project(requester: Requester, id: web::Path<String>) -> Answer {
    let id = ProjectId(id.into_inner());
    let own = !requester
        .directory
        .roles_in(&requester.session.token.user_id, &id)
        .is_empty();
    if !own {
        requester.administrates("identity:get_project")?;
    }
    let project = requester
        .directory
        .project(&id)
        .ok_or_else(|| Refusal::not_found("project", id.as_str()))?;
    Ok(HttpResponse::Ok().json(json!({"project": view::project(&requester.api, project)})))
}

async fn roles(request: HttpRequest, requester: Requester) -> Answer {
    requester.administrates("identity:list_roles")?;
    let items = requester
        .directory
        .role_names()
        .iter()
        .map(|name| view::whole_role(&requester.api, name))
        .collect();
    Ok(list(&requester, "roles", "roles", filtered(&request, items)))
}

async fn role(requester: Requester, id: web::Path<String>) -> Answer {
    requester.administrates("identity:get_role")?;
    let names = requester.directory.role_names();
    let name = names.iter().find(|name| id_for("role", name) == *id);
    let name = name.ok_or_else(|| Refusal::not_found("role", &id))?;
    Ok(HttpResponse::Ok().json(json!({"role": view::whole_role(&requester.api, name)})))
}

async fn role_assignments(request: HttpRequest, requester: Requester) -> Answer {
    requester.administrates("identity:list_role_assignments")?;
    let (user, project) = (filter(&request, "user.id"), filter(&request, "scope.project.id"));
    let wanted = |filter: &Option<String>, id: &str| filter.as_deref().is_none_or(|wanted| wanted == id);
    let items = requester
        .directory
        .assignments()
        .filter(|(who, place, _)| wanted(&user, who.id.as_str()) && wanted(&project, place.id.as_str()))
        .flat_map(|(who, place, roles)| {
            roles
                .iter()
                .map(|role| view::assignment(&requester.api, who, place, role))
                .collect::<Vec<_>>()
        })
        .collect();
    Ok(list(&requester, "role_assignments", "role_assignments", items))
}

async fn domains(request: HttpRequest, requester: Requester) -> Answer {
    requester.administrates("identity:list_domains")?;
    Ok(list(
        &requester,
        "domains",
        "domains",
        filtered(&request, vec![view::whole_domain(&requester.api)]),
    ))
}

async fn domain(requester: Requester, id: web::Path<String>) -> Answer {
    // By name, too: clients that look up a name request it as an id first; this saves them the second request.
    if *id != DEFAULT_DOMAIN && *id != DEFAULT_DOMAIN_NAME {
        return Err(Refusal::not_found("domain", &id));
    }
    Ok(HttpResponse::Ok().json(json!({"domain": view::whole_domain(&requester.api)})))
}

async fn services(request: HttpRequest, requester: Requester) -> Answer {
    requester.administrates("identity:list_services")?;
    let items = view::services(&requester.api).collect();
    Ok(list(
        &requester,
        "services",
        "services",
        filtered(&request, items),
    ))
}

async fn service(requester: Requester, id: web::Path<String>) -> Answer {
    requester.administrates("identity:get_service")?;
    let found = view::services(&requester.api).find(|service| service["id"] == **id);
    let found = found.ok_or_else(|| Refusal::not_found("service", &id))?;
    Ok(HttpResponse::Ok().json(json!({"service": found})))
}

async fn endpoints(request: HttpRequest, requester: Requester) -> Answer {
    requester.administrates("identity:list_endpoints")?;
    let mut items: Vec<Value> = view::endpoints(
        &requester.api,
        &requester.base,
        &requester.identity.options.region,
    )
    .collect();
    for key in ["interface", "service_id", "region_id"] {
        if let Some(wanted) = filter(&request, key) {
            items.retain(|item| item[key] == *wanted);
        }
    }
    Ok(list(&requester, "endpoints", "endpoints", items))
}

async fn regions(requester: Requester) -> Answer {
    let items = vec![view::region(&requester.api, &requester.identity.options.region)];
    Ok(list(&requester, "regions", "regions", items))
}

async fn region(requester: Requester, id: web::Path<String>) -> Answer {
    if *id != requester.identity.options.region {
        return Err(Refusal::not_found("region", &id));
    }
    Ok(HttpResponse::Ok().json(json!({"region": view::region(&requester.api, &id)})))
}
