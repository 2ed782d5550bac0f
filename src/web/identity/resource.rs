//! What users, projects and roles have in common: they are listed, shown, created, changed and deleted alike (keystone:
//! `server/flask/common.py`). Administrators may do all of it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

use super::body::{Given, Json};
use super::directory::{Found, Listed};
use super::lists::{Answer, filtered, list};
use super::refusal::Refusal;
use super::requester::Requester;
use crate::control::TRIES;
use crate::model::IdentityRecord;
use crate::verbs::identity::{CreateIdentityRecord, DeleteIdentityRecord, UpdateIdentityRecord};
use crate::web::routes::{Access, Routes};
use crate::web::schema::Schema;

/// A kind of record with routes of its own.
pub(super) trait Resource: Listed + PartialEq + 'static {
    /// Its name, and that of a list of them.
    const NAMES: (&'static str, &'static str);
    /// The paths of all, and of one.
    const PATHS: (&'static str, &'static str);
    /// The schemas of the bodies of creating and changing one.
    const SCHEMAS: (Schema, Schema);

    /// As clients see it.
    fn view(&self, api: &str) -> Value;

    /// As it is sent.
    fn into_record(self) -> IdentityRecord;

    /// A new one, before it is given its fields.
    fn unnamed() -> Self;

    /// Gives it these fields.
    async fn give(&mut self, requester: &Requester, given: &Given) -> Result<(), Refusal>;

    /// Those that the requester may see without being an administrator.
    async fn own(requester: &Requester) -> Result<Vec<Self>, Refusal>;

    /// Whether the list of all shows to others what is their own, where Keystone would refuse.
    const LISTS_OWN: bool = false;
}

/// Adds the routes of a kind.
pub(super) fn routes<R: Resource>(routes: &mut Routes) {
    let (all, one) = R::PATHS;
    routes.get(all, Access::Identity, index::<R>);
    routes.post(all, Access::Identity, create::<R>);
    routes.get(one, Access::Identity, show::<R>);
    routes.patch(one, Access::Identity, update::<R>);
    routes.delete(one, Access::Identity, delete::<R>);
}

async fn index<R: Resource>(request: HttpRequest, requester: Requester) -> Answer {
    let (_, all) = R::NAMES;
    let views: Vec<Value> = if requester.is_admin() {
        let found = requester.directory().all::<R>().await?;
        found.iter().map(|found| found.view(&requester.api)).collect()
    } else if R::LISTS_OWN {
        let own = R::own(&requester).await?;
        own.iter().map(|own| own.view(&requester.api)).collect()
    } else {
        return Err(Refusal::forbidden(&format!("identity:list_{all}")));
    };
    Ok(list(&requester, all, all, filtered(&request, views)))
}

async fn show<R: Resource>(requester: Requester, id: web::Path<String>) -> Answer {
    let (one, _) = R::NAMES;
    let found = if requester.is_admin() {
        find::<R>(&requester, &id).await?.record
    } else {
        let own = R::own(&requester).await?.into_iter().find(|own| own.id() == *id);
        own.ok_or_else(|| Refusal::forbidden(&format!("identity:get_{one}")))?
    };
    Ok(HttpResponse::Ok().json(enveloped(&requester, &found)))
}

async fn create<R: Resource>(requester: Requester, Json(body): Json) -> Answer {
    let (one, _) = R::NAMES;
    requester.administrates(&format!("identity:create_{one}"))?;
    let given = Given::of(body.as_ref(), one, R::SCHEMAS.0)?;
    let mut new = R::unnamed();
    new.give(&requester, &given).await?;
    has_free_name(&requester, &new)?;
    let message = CreateIdentityRecord {
        record: new.clone().into_record(),
        requires: Vec::new(),
    };
    requester.call(message).await?;
    Ok(HttpResponse::Created().json(enveloped(&requester, &new)))
}

async fn update<R: Resource>(requester: Requester, id: web::Path<String>, Json(body): Json) -> Answer {
    let (one, _) = R::NAMES;
    requester.administrates(&format!("identity:update_{one}"))?;
    changeable::<R>(&requester, &id).await?;
    let given = Given::of(body.as_ref(), one, R::SCHEMAS.1)?;
    given.keeps(&[("id", &id)])?;
    for _ in 0..TRIES {
        let was = changeable::<R>(&requester, &id).await?;
        let mut now = was.clone();
        now.give(&requester, &given).await?;
        if now.name() != was.name() {
            has_free_name(&requester, &now)?;
        }
        let message = UpdateIdentityRecord {
            was: was.into_record(),
            now: now.clone().into_record(),
        };
        if requester.call(message).await? {
            return Ok(HttpResponse::Ok().json(enveloped(&requester, &now)));
        }
    }
    Err(Refusal::changed_meanwhile())
}

async fn delete<R: Resource>(requester: Requester, id: web::Path<String>) -> Answer {
    let (one, _) = R::NAMES;
    requester.administrates(&format!("identity:delete_{one}"))?;
    let record = changeable::<R>(&requester, &id).await?.identity_key();
    requester.call(DeleteIdentityRecord { record }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// 404 if it is not there.
pub(super) async fn find<R: Resource>(requester: &Requester, id: &str) -> Result<Found<R>, Refusal> {
    let found = requester.directory().find::<R>(id).await?;
    found.ok_or_else(|| Refusal::not_found(R::NAMES.0, id))
}

/// 404 if it is not there, 403 if the configuration defines it.
async fn changeable<R: Resource>(requester: &Requester, id: &str) -> Result<R, Refusal> {
    let found = find::<R>(requester, id).await?;
    match found.is_configured {
        true => Err(Refusal::is_configured(R::NAMES.0, found.name())),
        false => Ok(found.record),
    }
}

/// 409 if a record of the configuration has the name; for those of the store, the commit finds out.
fn has_free_name<R: Resource>(requester: &Requester, new: &R) -> Result<(), Refusal> {
    match requester.directory().configured.named::<R>(new.name()) {
        Some(_) => Err(new.clone().into_record().name_is_taken().into()),
        None => Ok(()),
    }
}

/// A record under its name.
fn enveloped<R: Resource>(requester: &Requester, record: &R) -> Value {
    let view = record.view(&requester.api);
    Value::Object(Map::from_iter([(R::NAMES.0.to_owned(), view)]))
}
