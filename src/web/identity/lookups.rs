//! What one may look up: oneself, one's projects, and for administrators everybody. All of it is read-only: users are
//! the configuration's.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::asker::Asker;
use super::directory::{DEFAULT_DOMAIN_NAME, id_for};
use super::refusal::Refusal;
use super::view;
use crate::model::identity::DEFAULT_DOMAIN;
use crate::model::{ProjectId, UserId};
use crate::web::links::decode_query;
use crate::web::routes::{Access, Routes};

type Answer = Result<HttpResponse, Refusal>;

/// Adds them, relative to `/identity`.
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

fn list(asker: &Asker, name: &str, path: &str, items: Vec<Value>) -> HttpResponse {
    HttpResponse::Ok().json(view::collection(name, items, &format!("{}/{path}", asker.api)))
}

/// The value of a filter in the query.
fn filter(request: &HttpRequest, name: &str) -> Option<String> {
    decode_query(request.query_string())
        .into_iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value)
}

/// Keeps what the query's `name` and `domain_id` allow.
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

async fn catalog(asker: Asker) -> Answer {
    let catalog = asker.catalog(&asker.session).ok_or_else(|| {
        Refusal::forbidden_because("A project-scoped token is required to produce a service catalog.")
    })?;
    let links = json!({"self": format!("{}/auth/catalog", asker.api)});
    Ok(HttpResponse::Ok().json(json!({"catalog": catalog, "links": links})))
}

fn projects_of(asker: &Asker, user: &UserId) -> Vec<Value> {
    asker
        .directory
        .projects_of(user)
        .into_iter()
        .map(|project| view::project(&asker.api, project))
        .collect()
}

async fn auth_projects(asker: Asker) -> Answer {
    let items = projects_of(&asker, &asker.session.token.user_id);
    Ok(list(&asker, "projects", "auth/projects", items))
}

async fn auth_domains(asker: Asker) -> Answer {
    Ok(list(&asker, "domains", "auth/domains", Vec::new()))
}

async fn auth_system(asker: Asker) -> Answer {
    let links = json!({"self": format!("{}/auth/system", asker.api)});
    Ok(HttpResponse::Ok().json(json!({"system": [], "links": links})))
}

async fn users(request: HttpRequest, asker: Asker) -> Answer {
    asker.administrates("identity:list_users")?;
    let items = asker
        .directory
        .users()
        .map(|user| view::user(&asker.api, user))
        .collect();
    Ok(list(&asker, "users", "users", filtered(&request, items)))
}

async fn user(asker: Asker, id: web::Path<String>) -> Answer {
    let id = UserId(id.into_inner());
    if asker.session.token.user_id != id {
        asker.administrates("identity:get_user")?;
    }
    let user = asker
        .directory
        .user(&id)
        .ok_or_else(|| Refusal::not_found("user", id.as_str()))?;
    Ok(HttpResponse::Ok().json(json!({"user": view::user(&asker.api, user)})))
}

async fn user_projects(asker: Asker, id: web::Path<String>) -> Answer {
    let id = UserId(id.into_inner());
    if asker.session.token.user_id != id {
        asker.administrates("identity:list_user_projects")?;
        asker
            .directory
            .user(&id)
            .ok_or_else(|| Refusal::not_found("user", id.as_str()))?;
    }
    Ok(list(
        &asker,
        "projects",
        &format!("users/{id}/projects"),
        projects_of(&asker, &id),
    ))
}

/// All projects for an administrator; for others their own, where Keystone would refuse: the answer is what they meant.
async fn projects(request: HttpRequest, asker: Asker) -> Answer {
    let items = if asker.is_admin() {
        asker
            .directory
            .projects()
            .map(|project| view::project(&asker.api, project))
            .collect()
    } else {
        projects_of(&asker, &asker.session.token.user_id)
    };
    Ok(list(&asker, "projects", "projects", filtered(&request, items)))
}

async fn project(asker: Asker, id: web::Path<String>) -> Answer {
    let id = ProjectId(id.into_inner());
    let own = !asker
        .directory
        .roles_in(&asker.session.token.user_id, &id)
        .is_empty();
    if !own {
        asker.administrates("identity:get_project")?;
    }
    let project = asker
        .directory
        .project(&id)
        .ok_or_else(|| Refusal::not_found("project", id.as_str()))?;
    Ok(HttpResponse::Ok().json(json!({"project": view::project(&asker.api, project)})))
}

async fn roles(request: HttpRequest, asker: Asker) -> Answer {
    asker.administrates("identity:list_roles")?;
    let items = asker
        .directory
        .role_names()
        .iter()
        .map(|name| view::whole_role(&asker.api, name))
        .collect();
    Ok(list(&asker, "roles", "roles", filtered(&request, items)))
}

async fn role(asker: Asker, id: web::Path<String>) -> Answer {
    asker.administrates("identity:get_role")?;
    let names = asker.directory.role_names();
    let name = names.iter().find(|name| id_for("role", name) == *id);
    let name = name.ok_or_else(|| Refusal::not_found("role", &id))?;
    Ok(HttpResponse::Ok().json(json!({"role": view::whole_role(&asker.api, name)})))
}

async fn role_assignments(request: HttpRequest, asker: Asker) -> Answer {
    asker.administrates("identity:list_role_assignments")?;
    let (user, project) = (filter(&request, "user.id"), filter(&request, "scope.project.id"));
    let wanted = |filter: &Option<String>, id: &str| filter.as_deref().is_none_or(|wanted| wanted == id);
    let items = asker
        .directory
        .assignments()
        .filter(|(who, place, _)| wanted(&user, who.id.as_str()) && wanted(&project, place.id.as_str()))
        .flat_map(|(who, place, roles)| {
            roles
                .iter()
                .map(|role| view::assignment(&asker.api, who, place, role))
                .collect::<Vec<_>>()
        })
        .collect();
    Ok(list(&asker, "role_assignments", "role_assignments", items))
}

async fn domains(request: HttpRequest, asker: Asker) -> Answer {
    asker.administrates("identity:list_domains")?;
    Ok(list(
        &asker,
        "domains",
        "domains",
        filtered(&request, vec![view::whole_domain(&asker.api)]),
    ))
}

async fn domain(asker: Asker, id: web::Path<String>) -> Answer {
    // By name, too: clients that look a name up ask for it as an id first, and spare the second question.
    if *id != DEFAULT_DOMAIN && *id != DEFAULT_DOMAIN_NAME {
        return Err(Refusal::not_found("domain", &id));
    }
    Ok(HttpResponse::Ok().json(json!({"domain": view::whole_domain(&asker.api)})))
}

async fn services(request: HttpRequest, asker: Asker) -> Answer {
    asker.administrates("identity:list_services")?;
    let items = view::services(&asker.api).collect();
    Ok(list(&asker, "services", "services", filtered(&request, items)))
}

async fn service(asker: Asker, id: web::Path<String>) -> Answer {
    asker.administrates("identity:get_service")?;
    let found = view::services(&asker.api).find(|service| service["id"] == **id);
    let found = found.ok_or_else(|| Refusal::not_found("service", &id))?;
    Ok(HttpResponse::Ok().json(json!({"service": found})))
}

async fn endpoints(request: HttpRequest, asker: Asker) -> Answer {
    asker.administrates("identity:list_endpoints")?;
    let mut items: Vec<Value> =
        view::endpoints(&asker.api, &asker.base, &asker.identity.options.region).collect();
    for key in ["interface", "service_id", "region_id"] {
        if let Some(wanted) = filter(&request, key) {
            items.retain(|item| item[key] == *wanted);
        }
    }
    Ok(list(&asker, "endpoints", "endpoints", items))
}

async fn regions(asker: Asker) -> Answer {
    let items = vec![view::region(&asker.api, &asker.identity.options.region)];
    Ok(list(&asker, "regions", "regions", items))
}

async fn region(asker: Asker, id: web::Path<String>) -> Answer {
    if *id != asker.identity.options.region {
        return Err(Refusal::not_found("region", &id));
    }
    Ok(HttpResponse::Ok().json(json!({"region": view::region(&asker.api, &id)})))
}
