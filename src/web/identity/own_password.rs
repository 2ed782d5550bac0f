//! `POST /users/{id}/password`: users change their own password (keystone: `change_password`). As in Keystone, the old password
//! is the proof, and no token is asked for.

use actix_web::{HttpRequest, HttpResponse, web};

use super::Identity;
use super::body::schemas::*;
use super::body::{Given, Json};
use super::lists::Answer;
use super::login::Reference;
use super::refusal::Refusal;
use super::requester::call_as_service;
use crate::control::TRIES;
use crate::model::volume::Secret;
use crate::model::{IdentityRecord, User};
use crate::verbs::identity::UpdateIdentityRecord;
use crate::web::client_address::client_address;

const SCHEMA: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[("original_password", TEXT), ("password", TEXT)]),
    Required(&["original_password", "password"]),
    NoOthers,
]);

pub(super) async fn change(
    request: HttpRequest,
    identity: web::Data<Identity>,
    id: web::Path<String>,
    Json(body): Json,
) -> Answer {
    let given = Given::of(body.as_ref(), "user", SCHEMA)?;
    let secret = |field| Secret::new(given.text(field).unwrap_or_default());
    let (old, new) = (secret("original_password"), secret("password"));
    let reference = Reference::Id(id.into_inner());
    for _ in 0..TRIES {
        // The record that the password was checked against: it is replaced only if it is still the same.
        let was = identity
            .check_password(&reference, &old, client_address(&request))
            .await?;
        if identity
            .directory
            .configured
            .get::<User>(was.id.as_str())
            .is_some()
        {
            return Err(Refusal::is_configured("user", &was.name));
        }
        let user = was.id.clone();
        let now = User {
            password_hash: identity.hash(&new).await?,
            ..was.clone()
        };
        let message = UpdateIdentityRecord {
            was: IdentityRecord::User(was),
            now: IdentityRecord::User(now),
        };
        if call_as_service(&identity, &request, &user, message).await? {
            return Ok(HttpResponse::NoContent().finish());
        }
    }
    Err(Refusal::changed_meanwhile())
}
