//! `/users/{id}/application_credentials` (keystone: `api/users.py`, `application_credential/`). A user creates its own; an
//! administrator may see and delete those of others.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::body::schemas::*;
use super::body::{Given, Json};
use super::directory::Listed;
use super::lists::{Answer, filtered, list};
use super::refusal::Refusal;
use super::requester::Requester;
use super::resource::find;
use super::seal::base64_url;
use super::view;
use crate::model::bounds::APPLICATION_CREDENTIALS;
use crate::model::volume::Secret;
use crate::model::{
    ApplicationCredential, ApplicationCredentialId, IdentityKey, IdentityRecord, RoleId, Timestamp, User,
};
use crate::rng;
use crate::verbs::identity::{CreateIdentityRecord, DeleteIdentityRecord};
use crate::web::routes::{Access, Routes};

const ALL: &str = "/v3/users/{id}/application_credentials";
const ONE: &str = "/v3/users/{id}/application_credentials/{credential}";

/// Adds the routes, relative to `/identity`.
pub(super) fn routes(routes: &mut Routes) {
    routes.get(ALL, Access::Identity, index);
    routes.post(ALL, Access::Identity, create);
    routes.get(ONE, Access::Identity, show);
    routes.delete(ONE, Access::Identity, delete);
}

const SCHEMA: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[
        ("name", NAME),
        ("description", TEXT_OR_NULL),
        ("secret", TEXT_OR_NULL),
        ("expires_at", TEXT_OR_NULL),
        (
            "roles",
            Schema(&[
                Type(&[Kind::Array]),
                Items(Schema(&[
                    Type(&[Kind::Object]),
                    Properties(&[("id", TEXT), ("name", NAME)]),
                    NotEmpty,
                    AtMostOne,
                    NoOthers,
                ])),
            ]),
        ),
        ("unrestricted", BOOLEAN),
        ("access_rules", LIST),
    ]),
    Required(&["name"]),
]);

async fn index(request: HttpRequest, requester: Requester, user: web::Path<String>) -> Answer {
    requester.is_or_administrates(&user, "identity:list_application_credentials")?;
    let user = find::<User>(&requester, &user).await?.record;
    let catalog = &requester.directory().catalog;
    let found = catalog
        .identity_records_of::<ApplicationCredential>(user.id.as_str(), 2 * APPLICATION_CREDENTIALS)
        .await?;
    let mut views = Vec::new();
    for credential in &found {
        views.push(viewed(&requester, credential).await?);
    }
    let path = format!("users/{}/application_credentials", user.id);
    Ok(list(
        &requester,
        "application_credentials",
        &path,
        filtered(&request, views),
    ))
}

async fn show(requester: Requester, path: web::Path<(String, String)>) -> Answer {
    let credential = owned(&requester, &path, "identity:get_application_credential").await?;
    let view = viewed(&requester, &credential).await?;
    Ok(HttpResponse::Ok().json(json!({"application_credential": view})))
}

async fn create(requester: Requester, user: web::Path<String>, Json(body): Json) -> Answer {
    if !requester.is(&user) {
        return Err(Refusal::forbidden("identity:create_application_credential"));
    }
    is_unrestricted(&requester)?;
    let given = Given::of(body.as_ref(), "application_credential", SCHEMA)?;
    if !given.list("access_rules").is_empty() {
        return Err(Refusal::not_implemented());
    }
    let project = requester.session.project.as_ref().ok_or_else(|| {
        invalid("a token for a project is required to create one, and it is for that project")
    })?;
    let secret = match given.text("secret") {
        Some(secret) => Secret::new(secret),
        None => Secret::new(base64_url(&rng::number::<[u8; 64]>())),
    };
    let credential = ApplicationCredential {
        id: ApplicationCredentialId(rng::id().simple().to_string()),
        name: given.text("name").unwrap_or_default().to_owned(),
        description: given.text("description").map(str::to_owned),
        user_id: requester.session.user.id.clone(),
        project_id: project.id.clone(),
        roles: roles(&requester, &given)?,
        secret_hash: requester.identity.hash(&secret).await?,
        expires_at: given.text("expires_at").map(expiry).transpose()?,
        is_unrestricted: given.boolean("unrestricted") == Some(true),
    };
    let configured = &requester.directory().configured;
    let user = configured.get::<User>(credential.user_id.as_str());
    let project_is_stored = configured
        .get::<crate::model::Project>(project.id.as_str())
        .is_none();
    let requires = [
        user.is_none()
            .then(|| IdentityKey::User(credential.user_id.clone())),
        project_is_stored.then(|| project.identity_key()),
    ];
    let message = CreateIdentityRecord {
        record: IdentityRecord::ApplicationCredential(credential.clone()),
        requires: requires.into_iter().flatten().collect(),
    };
    requester.call(message).await?;
    let mut view = viewed(&requester, &credential).await?;
    view["secret"] = json!(secret.reveal());
    Ok(HttpResponse::Created().json(json!({"application_credential": view})))
}

async fn delete(requester: Requester, path: web::Path<(String, String)>) -> Answer {
    let credential = owned(&requester, &path, "identity:delete_application_credential").await?;
    is_unrestricted(&requester)?;
    let record = IdentityKey::ApplicationCredential(credential.id);
    requester.call(DeleteIdentityRecord { record }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The credential of a path, which the requester owns or administrates.
async fn owned(
    requester: &Requester,
    path: &(String, String),
    action: &str,
) -> Result<ApplicationCredential, Refusal> {
    let (user, id) = path;
    requester.is_or_administrates(user, action)?;
    let found = requester
        .directory()
        .catalog
        .identity_record::<ApplicationCredential>(id)
        .await?;
    let found = found.filter(|found| found.user_id.as_str() == user);
    let found = found.ok_or_else(|| Refusal::not_found("Application Credential", id))?;
    Ok(found.record)
}

async fn viewed(requester: &Requester, credential: &ApplicationCredential) -> Result<Value, Refusal> {
    let mut roles = Vec::new();
    for id in &credential.roles {
        let role = requester
            .directory()
            .find::<crate::model::Role>(id.as_str())
            .await?;
        roles.extend(role.map(|role| role.record));
    }
    Ok(view::credential(&requester.api, credential, &roles))
}

/// 403 for a token of a credential that may not manage others.
fn is_unrestricted(requester: &Requester) -> Result<(), Refusal> {
    match &requester.session.credential {
        Some(credential) if !credential.is_unrestricted => Err(Refusal::forbidden(
            "Using method 'application_credential' is not allowed for managing additional application credentials.",
        )),
        _ => Ok(()),
    }
}

/// The requested roles, which the requester must have; all that it has if none are given.
fn roles(requester: &Requester, given: &Given) -> Result<BTreeSet<RoleId>, Refusal> {
    let own = &requester.session.roles;
    if given.list("roles").is_empty() {
        return Ok(own.iter().map(|role| role.id.clone()).collect());
    }
    let wanted = given.list("roles").iter().map(|wanted| {
        let found = own
            .iter()
            .find(|role| wanted["id"] == *role.id.0 || wanted["name"] == *role.name);
        found
            .map(|role| role.id.clone())
            .ok_or_else(|| invalid("a role that the user does not have in the project cannot be given to it"))
    });
    wanted.collect()
}

fn expiry(text: &str) -> Result<Timestamp, Refusal> {
    let end = Timestamp::parse(text)
        .ok_or_else(|| invalid("expires_at is not a time such as 2030-01-31T12:00:00"))?;
    match end > Timestamp::now() {
        true => Ok(end),
        false => Err(invalid("expires_at is in the past")),
    }
}

/// 400 (keystone: `ApplicationCredentialValidationError`).
fn invalid(why: &str) -> Refusal {
    Refusal::bad_request(format!("Invalid application credential: {why}."))
}
