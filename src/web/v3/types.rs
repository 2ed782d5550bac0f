//! `/types`: volume types.

use std::cmp::Ordering;

use super::prelude::*;
use super::query::{part_of, sort_by_keys};
use super::{find_type, python, resource_filters};
use crate::model::VolumeType;
use crate::store::catalog::Direction;
use crate::verbs::volume_type::{DeleteVolumeType, UpdateVolumeType};
use crate::web::policy::{admin, member};
use crate::web::routes::answers::{Page, Parameter, query};
use crate::web::schema::literal::{self, Literal};
use crate::web::schema::volume_types as schema;
use crate::web::views::Listed;
use crate::web::views::shape::Shape;
use crate::web::views::volume_type;
use crate::web::views::volume_type::{ManagedTypeView, TypeView, is_user_visible};

pub(super) const PAGE: Page = Page {
    name: "volume_types",
    item: volume_type::TYPE,
    links: Some("volume_type_links"),
    counts: false,
};

pub(super) const SORT_KEYS: Shape = Shape::Enum(&[
    "created_at",
    "updated_at",
    "id",
    "name",
    "description",
    "is_public",
    "qos_specs_id",
]);

pub(super) const FILTERS: &[Parameter] = &[
    query("is_public", Shape::Text),
    query("extra_specs", Shape::Text).since(52),
];

pub(super) async fn list(caller: Caller, state: State, offload: Offload, mut query: Query) -> HandlerResult {
    let text = query.text().to_owned();
    let paging = query.take_paging()?;
    let sorting = query.take_sorting()?;
    if caller.version.at_least(52) {
        resource_filters::reject_invalid(&caller, &query, "volume_type")?;
    }
    let wanted = Wanted::read(&caller, &query)?;
    let sort = sorting.keys(sort_key)?;
    let read = move || async move {
        let stored = state.catalog.volume_types().await?;
        let mut types: Vec<&VolumeType> = stored
            .iter()
            .map(|stored| &stored.record)
            .filter(|one| wanted.matches(&caller, one))
            .collect();
        sort_by(&mut types, sort);
        let page = part_of(types, &paging, |one| one.id.to_string()).ok_or_else(|| {
            Fault::not_found(format!(
                "Volume type {} could not be found.",
                paging.marker.as_deref().unwrap_or_default()
            ))
        })?;
        let next = page.last().filter(|_| page.len() >= paging.limit).map(|last| {
            (
                "volume_type_links",
                caller.next_link("types", &text, &last.id.to_string()),
            )
        });
        Json::of(&Listed {
            name: "volume_types",
            items: page.iter().map(|one| TypeView::new(&caller, one)),
            next,
            count: None,
        })
    };
    Ok(offload.run(None, read).await?.answer(StatusCode::OK))
}

struct Wanted {
    /// `None`: both kinds.
    is_public: Option<bool>,
    /// These extra specs and values; `None`: any.
    extra_specs: Option<std::collections::BTreeMap<String, String>>,
    /// The caller filters by extra specs that it may not see: nothing matches.
    nothing: bool,
}

impl Wanted {
    fn read(caller: &Caller, query: &Query) -> Result<Self, Fault> {
        let is_public = if caller.context.is_admin {
            is_public(query.get("is_public"))?
        } else {
            Some(true)
        };
        let mut wanted = Self {
            is_public,
            extra_specs: None,
            nothing: false,
        };
        let Some(text) = query.get("extra_specs").filter(|_| caller.version.at_least(52)) else {
            return Ok(wanted);
        };
        match literal::read(text).and_then(Literal::into_text_map) {
            Some(specs) => {
                let sees_all = caller.can(admin("volume_extension:types_extra_specs:read_sensitive"));
                wanted.nothing = !sees_all && specs.keys().any(|key| !is_user_visible(key));
                wanted.extra_specs = Some(specs);
            }
            None => wanted.nothing = true,
        }
        Ok(wanted)
    }

    fn matches(&self, caller: &Caller, one: &VolumeType) -> bool {
        // A list of public types includes the private ones of the caller's project.
        let openness = match self.is_public {
            None => true,
            Some(true) => one.is_open_to(&caller.context.project_id),
            Some(false) => !one.is_public,
        };
        let specs = self
            .extra_specs
            .iter()
            .flatten()
            .all(|(key, value)| one.extra_specs.get(key).is_some_and(|spec| spec == value));
        !self.nothing && openness && specs
    }
}

fn is_public(text: Option<&str>) -> Result<Option<bool>, Fault> {
    match text {
        None => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("none") => Ok(None),
        Some(text) => match python::bool_from_string(text) {
            Some(is_public) => Ok(Some(is_public)),
            None => Err(Fault::bad_request(format!("Invalid is_public filter [{text}]"))),
        },
    }
}

/// How two types are ordered by a key.
type Order = fn(&VolumeType, &VolumeType) -> Ordering;

const BY_CREATION: Order = |a, b| a.created_at.cmp(&b.created_at);
const BY_ID: Order = |a, b| a.id.cmp(&b.id);

fn sort_key(name: &str) -> Option<Order> {
    Some(match name {
        "created_at" => BY_CREATION,
        "updated_at" => |a, b| a.updated_at.cmp(&b.updated_at),
        "id" => BY_ID,
        "name" => |a, b| a.name.cmp(&b.name),
        "description" => |a, b| a.description.cmp(&b.description),
        "is_public" => |a, b| a.is_public.cmp(&b.is_public),
        "qos_specs_id" => |a, b| a.qos_specs_id.cmp(&b.qos_specs_id),
        _ => return None,
    })
}

/// By the keys in turn, and by time and id where they are equal.
fn sort_by(types: &mut [&VolumeType], mut sort: Vec<(Order, Direction)>) {
    let rest = sort
        .first()
        .map_or(Direction::Descending, |(_, direction)| *direction);
    sort.extend([(BY_CREATION, rest), (BY_ID, rest)]);
    sort_by_keys(types, &sort, |a, b, order| order(a, b));
}

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    if path.id == "default" {
        let project_default = state
            .catalog
            .project_default_type(&caller.context.project_id)
            .await?;
        let found = match project_default {
            Some(default) => state.catalog.volume_type(default.volume_type_id).await?,
            None => {
                state
                    .catalog
                    .volume_type_by_name(&state.default_volume_type)
                    .await?
            }
        };
        let found = found.ok_or_else(|| Fault::not_found("Default volume type can not be found."))?;
        return ok(&Named("volume_type", TypeView::of_default(&caller, &found)));
    }
    let found = find_type(&state, &caller, &path.id).await?;
    ok(&Named("volume_type", TypeView::new(&caller, &found)))
}

pub(super) async fn create(caller: Caller, state: State, body: Body) -> HandlerResult {
    let message = schema::create(body.value());
    let volume_type = caller.ask(&state, message).await?;
    let with_access = caller.can(member("volume_extension:volume_type_access"));
    managed(&volume_type, with_access)
}

pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let change = schema::update(body.value());
    schema::check_update(&change)?;
    let id = find_type(&state, &caller, &path.id).await?.id;
    let volume_type = caller.ask(&state, UpdateVolumeType { id, change }).await?;
    managed(&volume_type, false)
}

fn managed(volume_type: &VolumeType, with_access: bool) -> HandlerResult {
    let view = ManagedTypeView {
        volume_type,
        with_access,
    };
    ok(&Named("volume_type", view))
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let id = find_type(&state, &caller, &path.id).await?.id;
    caller.ask(&state, DeleteVolumeType { id }).await?;
    Ok(accepted())
}
