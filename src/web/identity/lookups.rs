//! Lists that cannot be changed: domains, services, endpoints and regions; what a user may log in to; and what of Keystone there is not.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::directory::{DEFAULT_DOMAIN_NAME, built_in_roles};
use super::lists::{Answer, filtered, list};
use super::refusal::Refusal;
use super::requester::Requester;
use super::resource::find;
use super::view;
use crate::model::identity::{DEFAULT_DOMAIN, IMPLIED_ROLES};
use crate::model::{User, UserId};
use crate::web::routes::{Access, Routes};

/// Lists that are always empty, because there is nothing of the kind.
const EMPTY: [(&str, &str); 17] = [
    ("/v3/groups", "groups"),
    ("/v3/credentials", "credentials"),
    ("/v3/policies", "policies"),
    ("/v3/limits", "limits"),
    ("/v3/registered_limits", "registered_limits"),
    ("/v3/auth/domains", "domains"),
    ("/v3/OS-TRUST/trusts", "trusts"),
    ("/v3/OS-FEDERATION/identity_providers", "identity_providers"),
    ("/v3/OS-FEDERATION/mappings", "mappings"),
    ("/v3/OS-FEDERATION/service_providers", "service_providers"),
    ("/v3/users/{id}/credentials/OS-EC2", "credentials"),
    ("/v3/projects/{id}/groups/{group}/roles", "roles"),
    ("/v3/domains/{id}/groups/{group}/roles", "roles"),
    ("/v3/system/groups/{id}/roles", "roles"),
    ("/v3/users/{id}/groups", "groups"),
    ("/v3/users/{id}/access_rules", "access_rules"),
    ("/v3/domains/{id}/users/{user}/roles", "roles"),
];

/// What Keystone has and this service has not.
const LATER: [(&str, &str); 22] = [
    ("POST", "/v3/groups"),
    ("POST", "/v3/credentials"),
    ("POST", "/v3/policies"),
    ("POST", "/v3/limits"),
    ("POST", "/v3/registered_limits"),
    ("POST", "/v3/OS-TRUST/trusts"),
    ("POST", "/v3/domains"),
    ("PATCH", "/v3/domains/{id}"),
    ("DELETE", "/v3/domains/{id}"),
    ("POST", "/v3/services"),
    ("PATCH", "/v3/services/{id}"),
    ("DELETE", "/v3/services/{id}"),
    ("POST", "/v3/endpoints"),
    ("PATCH", "/v3/endpoints/{id}"),
    ("DELETE", "/v3/endpoints/{id}"),
    ("POST", "/v3/regions"),
    ("PATCH", "/v3/regions/{id}"),
    ("DELETE", "/v3/regions/{id}"),
    ("PUT", "/v3/domains/{id}/users/{user}/roles/{role}"),
    ("PUT", "/v3/system/users/{id}/roles/{role}"),
    ("PUT", "/v3/projects/{id}/groups/{group}/roles/{role}"),
    ("PUT", "/v3/roles/{id}/implies/{role}"),
];

/// Adds the routes, relative to `/identity`.
pub(super) fn routes(routes: &mut Routes) {
    routes.get("/v3/auth/catalog", Access::Identity, catalog);
    routes.get("/v3/auth/projects", Access::Identity, auth_projects);
    routes.get("/v3/auth/system", Access::Identity, auth_system);
    routes.get("/v3/users/{id}/projects", Access::Identity, user_projects);
    routes.get("/v3/domains", Access::Identity, domains);
    routes.get("/v3/domains/{id}", Access::Identity, domain);
    routes.get("/v3/services", Access::Identity, services);
    routes.get("/v3/services/{id}", Access::Identity, service);
    routes.get("/v3/endpoints", Access::Identity, endpoints);
    routes.get("/v3/endpoints/{id}", Access::Identity, endpoint);
    routes.get("/v3/regions", Access::Identity, regions);
    routes.get("/v3/regions/{id}", Access::Identity, region);
    routes.get("/v3/system/users/{id}/roles", Access::Identity, system_roles);
    routes.get("/v3/role_inferences", Access::Identity, role_inferences);
    for (path, name) in EMPTY {
        let answer = move |request: HttpRequest, requester: Requester| empty(request, requester, name);
        routes.get(path, Access::Identity, answer);
    }
    for (method, path) in LATER {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        routes.later_with(method, path, Access::Identity, later);
    }
}

/// 403 for those who may not do it in Keystone either.
async fn later(request: HttpRequest, requester: Requester) -> Answer {
    requester.administrates(&format!("{} {}", request.method(), request.path()))?;
    Err(Refusal::not_implemented())
}

async fn empty(request: HttpRequest, requester: Requester, name: &'static str) -> Answer {
    let path = request.path().split_once("/v3/").map_or("", |(_, path)| path);
    Ok(list(&requester, name, path, Vec::new()))
}

/// Which roles include others (keystone: `list_role_inference_rules`).
async fn role_inferences(requester: Requester) -> Answer {
    requester.administrates("identity:list_role_inference_rules")?;
    let mut rules = Vec::new();
    for id in &built_in_roles()[..IMPLIED_ROLES - 1] {
        let roles = requester.directory().with_implied(&[id.clone()].into()).await?;
        let mut views = roles.iter().map(|role| view::whole_role(&requester.api, role));
        let prior = views.next();
        rules.push(json!({"prior_role": prior, "implies": views.collect::<Vec<_>>()}));
    }
    Ok(list(&requester, "role_inferences", "role_inferences", rules))
}

async fn system_roles(requester: Requester, user: web::Path<String>) -> Answer {
    requester.administrates("identity:list_system_grants_for_user")?;
    let path = format!("system/users/{}/roles", find::<User>(&requester, &user).await?.id);
    Ok(list(&requester, "roles", &path, Vec::new()))
}

async fn catalog(requester: Requester) -> Answer {
    let catalog = requester.catalog(&requester.session).ok_or_else(|| {
        Refusal::forbidden_because("A project-scoped token is required to produce a service catalog.")
    })?;
    let links = json!({"self": format!("{}/auth/catalog", requester.api)});
    Ok(HttpResponse::Ok().json(json!({"catalog": catalog, "links": links})))
}

async fn projects_of(requester: &Requester, user: &UserId) -> Result<Vec<Value>, Refusal> {
    let projects = requester.directory().projects_of(user).await?;
    Ok(projects
        .iter()
        .map(|project| view::project(&requester.api, project))
        .collect())
}

async fn auth_projects(requester: Requester) -> Answer {
    let items = projects_of(&requester, &requester.session.user.id).await?;
    Ok(list(&requester, "projects", "auth/projects", items))
}

async fn auth_system(requester: Requester) -> Answer {
    let links = json!({"self": format!("{}/auth/system", requester.api)});
    Ok(HttpResponse::Ok().json(json!({"system": [], "links": links})))
}

async fn user_projects(request: HttpRequest, requester: Requester, id: web::Path<String>) -> Answer {
    requester.is_or_administrates(&id, "identity:list_user_projects")?;
    let user = find::<User>(&requester, &id).await?.record.id;
    let items = filtered(&request, projects_of(&requester, &user).await?);
    Ok(list(
        &requester,
        "projects",
        &format!("users/{id}/projects"),
        items,
    ))
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
    let items = all_endpoints(&requester);
    Ok(list(
        &requester,
        "endpoints",
        "endpoints",
        filtered(&request, items),
    ))
}

fn all_endpoints(requester: &Requester) -> Vec<Value> {
    let region = &requester.identity.options.region;
    view::endpoints(&requester.api, &requester.base, region).collect()
}

async fn endpoint(requester: Requester, id: web::Path<String>) -> Answer {
    requester.administrates("identity:get_endpoint")?;
    let found = all_endpoints(&requester)
        .into_iter()
        .find(|endpoint| endpoint["id"] == **id);
    let found = found.ok_or_else(|| Refusal::not_found("endpoint", &id))?;
    Ok(HttpResponse::Ok().json(json!({"endpoint": found})))
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
