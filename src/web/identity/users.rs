//! `/users` (keystone: `api/users.py`, `identity/schema.py`).

use serde_json::Value;

use super::body::Given;
use super::body::schemas::*;
use super::refusal::Refusal;
use super::requester::Requester;
use super::resource::Resource;
use super::view;
use crate::model::identity::{Attributes, DEFAULT_DOMAIN};
use crate::model::volume::Secret;
use crate::model::{IdentityRecord, ProjectId, User, UserId};
use crate::rng;

/// Fields that are no further attributes.
const KNOWN: [&str; 9] = [
    "id",
    "name",
    "password",
    "enabled",
    "domain_id",
    "default_project_id",
    "options",
    "links",
    "password_expires_at",
];

const FIELDS: crate::web::schema::Check = Properties(&[
    ("name", NAME),
    ("password", TEXT_OR_NULL),
    ("enabled", BOOLEAN),
    ("default_project_id", ID_OR_NULL),
    ("description", TEXT_OR_NULL),
    ("domain_id", ID_OR_NULL),
    ("options", OBJECT),
]);

impl Resource for User {
    const NAMES: (&'static str, &'static str) = ("user", "users");
    const PATHS: (&'static str, &'static str) = ("/v3/users", "/v3/users/{id}");
    const SCHEMAS: (Schema, Schema) = (
        Schema(&[Type(&[Kind::Object]), FIELDS, Required(&["name"])]),
        Schema(&[Type(&[Kind::Object]), FIELDS, NotEmpty]),
    );

    fn view(&self, api: &str) -> Value {
        view::user(api, self)
    }

    fn into_record(self) -> IdentityRecord {
        IdentityRecord::User(self)
    }

    fn unnamed() -> Self {
        Self {
            id: UserId(rng::id().simple().to_string()),
            name: String::new(),
            password_hash: Secret::new(""),
            domain: DEFAULT_DOMAIN.to_owned(),
            default_project: None,
            enabled: true,
            attributes: Attributes::new(),
        }
    }

    async fn give(&mut self, requester: &Requester, given: &Given) -> Result<(), Refusal> {
        given.keeps(&[("domain_id", DEFAULT_DOMAIN)])?;
        if let Some(name) = given.text("name") {
            name.clone_into(&mut self.name);
        }
        if let Some(enabled) = given.boolean("enabled") {
            self.enabled = enabled;
        }
        if let Some(project) = given.get("default_project_id") {
            self.default_project = project.as_str().map(ProjectId::from);
        }
        if let Some(password) = given.get("password") {
            self.password_hash = match password.as_str() {
                Some(password) => requester.identity.hash(&Secret::new(password)).await?,
                None => Secret::new(""),
            };
        }
        given.further(&KNOWN, &mut self.attributes);
        Ok(())
    }

    async fn own(requester: &Requester) -> Result<Vec<Self>, Refusal> {
        Ok(vec![requester.session.user.clone()])
    }
}
