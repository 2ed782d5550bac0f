//! `/projects` (keystone: `api/projects.py`, `resource/schema.py`). There is no hierarchy: the parent of each is the domain.

use serde_json::Value;

use super::body::Given;
use super::body::schemas::*;
use super::refusal::Refusal;
use super::requester::Requester;
use super::resource::Resource;
use super::view;
use crate::model::identity::{Attributes, DEFAULT_DOMAIN};
use crate::model::{IdentityRecord, Project, ProjectId};
use crate::rng;

/// Fields that are no further attributes.
const KNOWN: [&str; 10] = [
    "id",
    "name",
    "description",
    "enabled",
    "domain_id",
    "parent_id",
    "is_domain",
    "tags",
    "options",
    "links",
];

/// The most tags of a project (keystone: `resource/schema.py`).
const TAGS_OF_A_PROJECT: usize = 80;

const FIELDS: crate::web::schema::Check = Properties(&[
    ("description", TEXT_OR_NULL),
    ("domain_id", ID_OR_NULL),
    ("enabled", BOOLEAN),
    ("is_domain", BOOLEAN),
    ("parent_id", ID_OR_NULL),
    ("name", PROJECT_NAME),
    ("tags", TAGS),
    ("options", OBJECT),
]);

impl Resource for Project {
    const NAMES: (&'static str, &'static str) = ("project", "projects");
    const PATHS: (&'static str, &'static str) = ("/v3/projects", "/v3/projects/{id}");
    const SCHEMAS: (Schema, Schema) = (
        Schema(&[Type(&[Kind::Object]), FIELDS, Required(&["name"])]),
        Schema(&[Type(&[Kind::Object]), FIELDS, NotEmpty]),
    );
    const LISTS_OWN: bool = true;

    fn view(&self, api: &str) -> Value {
        view::project(api, self)
    }

    fn into_record(self) -> IdentityRecord {
        IdentityRecord::Project(self)
    }

    fn unnamed() -> Self {
        Self {
            id: ProjectId(rng::id().simple().to_string()),
            name: String::new(),
            domain: DEFAULT_DOMAIN.to_owned(),
            enabled: true,
            description: String::new(),
            tags: Default::default(),
            attributes: Attributes::new(),
            token_generation: 0,
        }
    }

    async fn give(&mut self, _requester: &Requester, given: &Given) -> Result<(), Refusal> {
        given.keeps(&[("domain_id", DEFAULT_DOMAIN), ("parent_id", DEFAULT_DOMAIN)])?;
        if given.boolean("is_domain") == Some(true) {
            return Err(Refusal::forbidden_because(
                "This service has one domain: no project acts as another.",
            ));
        }
        if let Some(name) = given.text("name") {
            name.clone_into(&mut self.name);
        }
        if let Some(description) = given.get("description") {
            self.description = description.as_str().unwrap_or_default().to_owned();
        }
        if let Some(enabled) = given.boolean("enabled") {
            self.enabled = enabled;
        }
        if given.get("tags").is_some() {
            let tags = given.list("tags");
            if tags.len() > TAGS_OF_A_PROJECT {
                return Err(Refusal::bad_request(format!(
                    "Invalid input for field 'tags': there are more than {TAGS_OF_A_PROJECT}"
                )));
            }
            self.tags = tags.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        given.further(&KNOWN, &mut self.attributes);
        Ok(())
    }

    async fn own(requester: &Requester) -> Result<Vec<Self>, Refusal> {
        let user = &requester.session.user.id;
        Ok(requester.directory().projects_of(user).await?)
    }
}
