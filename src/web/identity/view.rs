//! Keystone's JSON of tokens, the catalog, users, projects, roles (keystone: `common/render_token.py`, `catalog/`).

use serde_json::{Map, Value, json};

use super::directory::DEFAULT_DOMAIN_NAME;
use super::seal::base64_url;
use super::tokens::Session;
use crate::model::identity::{Attributes, DEFAULT_DOMAIN, id_for};
use crate::model::{ApplicationCredential, Project, Role, Timestamp, User};

/// A service of the catalog, and the path of its endpoint. Both types have the same API: old clients look for
/// `volumev3`, new ones for `block-storage`. Each has a name of its own: clients look for services by name, and refuse two of one.
const SERVICES: [(&str, &str, &str); 3] = [
    ("identity", "keystone", "/identity/v3"),
    ("volumev3", "pumicev3", "/v3/$(project_id)s"),
    ("block-storage", "pumice", "/v3/$(project_id)s"),
];

const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

/// The default domain, as nested in other objects.
pub fn domain() -> Value {
    json!({"id": DEFAULT_DOMAIN, "name": DEFAULT_DOMAIN_NAME})
}

/// Times in Keystone's format.
fn time(time: Timestamp) -> String {
    format!("{time}Z")
}

/// A role, as nested in other objects.
pub fn role(role: &Role) -> Value {
    json!({"id": role.id, "name": role.name})
}

/// A user or project, as nested in other objects.
fn nested(id: &str, name: &str) -> Value {
    json!({"domain": domain(), "id": id, "name": name})
}

/// The body of a token.
pub fn token(session: &Session, catalog: Option<Value>) -> Value {
    let token = &session.token;
    let audit_ids: Vec<String> = [Some(token.audit_id), token.audit_chain]
        .iter()
        .flatten()
        .map(|id| base64_url(id.as_bytes()))
        .collect();
    let mut user = nested(session.user.id.as_str(), &session.user.name);
    user["password_expires_at"] = Value::Null;
    let mut body = json!({
        "methods": token.methods(),
        "user": user,
        "audit_ids": audit_ids,
        "expires_at": time(token.expires_at),
        "issued_at": time(token.issued_at),
    });
    if let Some(project) = &session.project {
        body["project"] = nested(project.id.as_str(), &project.name);
        body["is_domain"] = json!(false);
        body["roles"] = session.roles.iter().map(role).collect();
        if let Some(catalog) = catalog {
            body["catalog"] = catalog;
        }
    }
    if let Some(credential) = &session.credential {
        body["application_credential"] = json!({
            "id": credential.id, "name": credential.name, "restricted": !credential.is_unrestricted,
        });
    }
    json!({ "token": body })
}

/// The service catalog for a project.
pub fn catalog(base_url: &str, region: &str, project_id: &str) -> Value {
    let services = SERVICES.iter().map(|(kind, name, path)| {
        let url = format!("{base_url}{}", path.replace("$(project_id)s", project_id));
        let endpoints: Vec<Value> = INTERFACES
            .iter()
            .map(|interface| {
                json!({
                    "id": endpoint_id(kind, interface),
                    "interface": interface,
                    "region_id": region,
                    "url": url,
                    "region": region,
                })
            })
            .collect();
        json!({"endpoints": endpoints, "id": id_for("service", kind), "type": kind, "name": name})
    });
    services.collect()
}

fn endpoint_id(kind: &str, interface: &str) -> String {
    id_for("endpoint", &format!("{kind}/{interface}"))
}

/// The services, as `GET /services` has them.
pub fn services(api: &str) -> impl Iterator<Item = Value> + '_ {
    SERVICES.iter().map(move |(kind, name, _)| {
        let id = id_for("service", kind);
        json!({"id": id, "type": kind, "name": name, "enabled": true,
               "links": {"self": format!("{api}/services/{id}")}})
    })
}

/// The endpoints, as `GET /endpoints` has them.
pub fn endpoints<'a>(api: &'a str, base_url: &'a str, region: &'a str) -> impl Iterator<Item = Value> + 'a {
    SERVICES.iter().flat_map(move |(kind, _, path)| {
        INTERFACES.iter().map(move |interface| {
            let id = endpoint_id(kind, interface);
            json!({"id": id, "interface": interface, "region_id": region, "region": region,
                   "service_id": id_for("service", kind), "url": format!("{base_url}{path}"), "enabled": true,
                   "links": {"self": format!("{api}/endpoints/{id}")}})
        })
    })
}

/// The attributes of a record, with its fields over them.
fn with_attributes(attributes: &Attributes, fields: Value) -> Value {
    let attributes = attributes.iter().map(|(name, text)| {
        let value = serde_json::from_str(text).unwrap_or(Value::Null);
        (name.clone(), value)
    });
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Value::Object(attributes.chain(fields).collect())
}

/// A user, as `GET /users/{id}` has it.
pub fn user(api: &str, user: &User) -> Value {
    let fields = json!({
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain,
        "default_project_id": user.default_project,
        "enabled": user.enabled,
        "password_expires_at": null,
        "options": {},
        "links": {"self": format!("{api}/users/{}", user.id)},
    });
    with_attributes(&user.attributes, fields)
}

/// A project, as `GET /projects/{id}` has it.
pub fn project(api: &str, project: &Project) -> Value {
    let fields = json!({
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain,
        "description": project.description,
        "enabled": project.enabled,
        "parent_id": project.domain,
        "is_domain": false,
        "tags": project.tags,
        "options": {},
        "links": {"self": format!("{api}/projects/{}", project.id)},
    });
    with_attributes(&project.attributes, fields)
}

/// A role, as `GET /roles/{id}` has it.
pub fn whole_role(api: &str, role: &Role) -> Value {
    let fields = json!({
        "id": role.id,
        "name": role.name,
        "domain_id": null,
        "description": role.description,
        "options": {},
        "links": {"self": format!("{api}/roles/{}", role.id)},
    });
    with_attributes(&role.attributes, fields)
}

/// An application credential with its roles, without its secret.
pub fn credential(api: &str, credential: &ApplicationCredential, roles: &[Role]) -> Value {
    let roles: Vec<Value> = roles
        .iter()
        .map(|role| json!({"id": role.id, "name": role.name, "domain_id": null}))
        .collect();
    json!({
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "system": null,
        "roles": roles,
        "expires_at": credential.expires_at.map(|end| end.to_string()),
        "unrestricted": credential.is_unrestricted,
        "access_rules": [],
        "links": {"self": format!(
            "{api}/users/{}/application_credentials/{}", credential.user_id, credential.id)},
    })
}

/// The domain, as `GET /domains/{id}` has it.
pub fn whole_domain(api: &str) -> Value {
    json!({
        "id": DEFAULT_DOMAIN,
        "name": DEFAULT_DOMAIN_NAME,
        "description": "The default domain",
        "enabled": true,
        "tags": [],
        "options": {},
        "links": {"self": format!("{api}/domains/{DEFAULT_DOMAIN}")},
    })
}

/// The region, as `GET /regions/{id}` has it.
pub fn region(api: &str, name: &str) -> Value {
    json!({"id": name, "description": "", "parent_region_id": null,
           "links": {"self": format!("{api}/regions/{name}")}})
}

/// A role assignment. `prior` is the assigned role that implies this one.
pub fn assignment(
    api: &str,
    (user, project, role): (&User, &Project, &Role),
    prior: Option<&Role>,
    with_names: bool,
) -> Value {
    let assigned = &prior.unwrap_or(role).id;
    let link = format!("{api}/projects/{}/users/{}/roles/{assigned}", project.id, user.id);
    let mut links = json!({"assignment": link});
    if let Some(prior) = prior {
        links["prior_role"] = json!(format!("{api}/prior_role/{}/implies/{}", prior.id, role.id));
    }
    match with_names {
        true => json!({
            "role": self::role(role),
            "user": nested(user.id.as_str(), &user.name),
            "scope": {"project": nested(project.id.as_str(), &project.name)},
            "links": links,
        }),
        false => json!({
            "role": {"id": role.id},
            "user": {"id": user.id},
            "scope": {"project": {"id": project.id}},
            "links": links,
        }),
    }
}

/// A list under its name, with Keystone's links.
pub fn collection(name: &str, items: Vec<Value>, url: &str) -> Value {
    let mut body = Map::new();
    body.insert(name.to_owned(), Value::Array(items));
    body.insert(
        "links".to_owned(),
        json!({"next": null, "self": url, "previous": null}),
    );
    Value::Object(body)
}

/// The version document of v3.
pub fn version(api: &str) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{api}/")}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::SERVICES;

    #[test]
    fn a_service_is_found_by_its_name() {
        let names: BTreeSet<_> = SERVICES.iter().map(|(_, name, _)| name).collect();
        assert_eq!(names.len(), SERVICES.len());
    }
}
