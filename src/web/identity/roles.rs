//! `/roles` (keystone: `api/roles.py`, `assignment/schema.py`). Roles of a domain, and implied ones besides the built-in, there are not.

use serde_json::Value;

use super::body::Given;
use super::body::schemas::*;
use super::refusal::Refusal;
use super::requester::Requester;
use super::resource::Resource;
use super::view;
use crate::model::identity::Attributes;
use crate::model::{IdentityRecord, Role, RoleId};
use crate::rng;

/// Fields that are no further attributes.
const KNOWN: [&str; 6] = ["id", "name", "description", "domain_id", "options", "links"];

const FIELDS: crate::web::schema::Check = Properties(&[
    ("name", NAME),
    ("description", TEXT_OR_NULL),
    ("domain_id", ID_OR_NULL),
    ("options", OBJECT),
]);

impl Resource for Role {
    const NAMES: (&'static str, &'static str) = ("role", "roles");
    const PATHS: (&'static str, &'static str) = ("/v3/roles", "/v3/roles/{id}");
    const SCHEMAS: (Schema, Schema) = (
        Schema(&[Type(&[Kind::Object]), FIELDS, Required(&["name"])]),
        Schema(&[Type(&[Kind::Object]), FIELDS, NotEmpty]),
    );

    fn view(&self, api: &str) -> Value {
        view::whole_role(api, self)
    }

    fn into_record(self) -> IdentityRecord {
        IdentityRecord::Role(self)
    }

    fn unnamed() -> Self {
        Self {
            id: RoleId(rng::id().simple().to_string()),
            name: String::new(),
            description: None,
            attributes: Attributes::new(),
        }
    }

    async fn give(&mut self, _requester: &Requester, given: &Given) -> Result<(), Refusal> {
        given.keeps(&[])?;
        if given.text("domain_id").is_some() {
            return Err(Refusal::forbidden_because(
                "Roles of this service are of no domain.",
            ));
        }
        if let Some(name) = given.text("name") {
            name.clone_into(&mut self.name);
        }
        if let Some(description) = given.get("description") {
            self.description = description.as_str().map(str::to_owned);
        }
        given.further(&KNOWN, &mut self.attributes);
        Ok(())
    }

    async fn own(_requester: &Requester) -> Result<Vec<Self>, Refusal> {
        Ok(Vec::new())
    }
}
