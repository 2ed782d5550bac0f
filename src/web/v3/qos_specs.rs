//! `/qos-specs`: limits of I/O, and the volume types that refer to them (cinder: `api/contrib/qos_specs_manage.py`).
//!
//! A type is associated and disassociated by `GET`, as in Cinder.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::prelude::*;
use super::python;
use super::query::{part_of, sort_by_keys};
use crate::model::qos_specs::qos_specs_not_found;
use crate::model::{QosConsumer, QosSpecs, QosSpecsId, VolumeTypeId};
use crate::store::catalog::Direction;
use crate::verbs::qos_specs::{
    AssociateQosSpecs, CreateQosSpecs, DeleteQosSpecs, DisassociateQosSpecs, QosSpecsChange, UpdateQosSpecs,
};
use crate::web::routes::answers::{Page, Parameter, query};
use crate::web::schema::Check::Items as ItemsCheck;
use crate::web::schema::prelude::*;
use crate::web::views::shape::{self, Shape, field};
use crate::web::views::{LinkBase, Links, Listed};

const SPECS: Shape = Shape::Named(
    "qos_specs",
    &Shape::Object(&[
        field("id", Shape::Uuid),
        field("name", Shape::Text),
        field("consumer", Shape::Enum(&["front-end", "back-end", "both"])),
        field("specs", Shape::Map(&shape::TEXT_OR_NULL)),
    ]),
);

pub(super) const ONE: Shape = Shape::Object(&[field("qos_specs", SPECS), field("links", shape::LINKS)]);

pub(super) const PAGE: Page = Page {
    name: "qos_specs",
    item: SPECS,
    links: Some("qos_specs_links"),
    counts: false,
};

/// What the body said.
pub(super) const SET: Shape = Shape::Object(&[field("qos_specs", Shape::Map(&shape::TEXT_OR_NULL))]);

pub(super) const ASSOCIATIONS: Shape = Shape::Object(&[field(
    "qos_associations",
    Shape::List(&Shape::Object(&[
        field("association_type", Shape::Text),
        field("name", Shape::Text),
        field("id", Shape::Uuid),
    ])),
)]);

pub(super) const SORT_KEYS: Shape = Shape::Enum(&["created_at", "updated_at", "id", "name", "consumer"]);
pub(super) const FILTERS: &[Parameter] = &[
    query("id", Shape::Text),
    query("name", Shape::Text),
    query("consumer", Shape::Text),
];
pub(super) const FORCE: &[Parameter] = &[query("force", Shape::Boolean)];
pub(super) const TYPE: &[Parameter] = &[query("vol_type_id", Shape::Uuid).required()];

const TRIMMED_NAME: Schema = Schema(&[Type(&[Kind::String]), FormatCheck(Format::TrimmedName)]);

pub(super) const CREATE: Schema = envelope!(
    "qos_specs",
    Schema(&[
        Type(&[Kind::Object]),
        Properties(&[("name", TRIMMED_NAME)]),
        Required(&["name"]),
    ])
);

pub(super) const UPDATE: Schema = envelope!("qos_specs", EXTRA_SPECS_WITH_NULL);

const KEYS: Schema = Schema(&[Type(&[Kind::Array]), ItemsCheck(STRING_255), UniqueItems]);

pub(super) const DELETE_KEYS: Schema = object!([("keys", KEYS)], Required(&["keys"]));

pub(super) async fn list(caller: Caller, state: State, mut query: Query) -> HandlerResult {
    let text = query.text().to_owned();
    let paging = query.take_paging()?;
    let mut sort = query.take_sorting()?.keys(sort_key)?;
    let stored = state.catalog.all_qos_specs().await?;
    let mut found: Vec<&QosSpecs> = stored
        .iter()
        .map(|stored| &stored.record)
        .filter(|specs| query.filters().into_iter().all(|filter| matches(specs, filter)))
        .collect();
    let last = sort
        .first()
        .map_or(Direction::Descending, |(_, direction)| *direction);
    sort.extend([(BY_CREATION, last), (BY_ID, last)]);
    sort_by_keys(&mut found, &sort, |a, b, order| order(a, b));
    let page = part_of(found, &paging, |specs| specs.id.to_string())
        .ok_or_else(|| qos_specs_not_found(paging.marker.as_deref().unwrap_or_default()))?;
    let next = page.last().filter(|_| page.len() >= paging.limit).map(|last| {
        let link = caller.next_link("qos-specs", &text, &last.id.to_string());
        ("qos_specs_links", link)
    });
    ok(&Listed {
        name: "qos_specs",
        items: page.iter().map(|specs| SpecsView(specs)),
        next,
        count: None,
    })
}

/// How two are ordered by a key.
type Order = fn(&QosSpecs, &QosSpecs) -> Ordering;

const BY_CREATION: Order = |a, b| a.created_at.cmp(&b.created_at);
const BY_ID: Order = |a, b| a.id.cmp(&b.id);

fn sort_key(name: &str) -> Option<Order> {
    Some(match name {
        "created_at" => BY_CREATION,
        "updated_at" => |a, b| a.updated_at.cmp(&b.updated_at),
        "id" => BY_ID,
        "name" => |a, b| a.name.cmp(&b.name),
        "consumer" => |a, b| a.consumer.cmp(&b.consumer),
        _ => return None,
    })
}

/// Unknown filters match nothing.
fn matches(specs: &QosSpecs, (key, value): (&str, &str)) -> bool {
    match key {
        "id" => specs.id.to_string() == value,
        "name" => specs.name == value,
        "consumer" => specs.consumer.as_str() == value,
        _ => false,
    }
}

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let id = specs_id(&path)?;
    let found = state.catalog.qos_specs(id).await?;
    let found = found.ok_or_else(|| qos_specs_not_found(id))?;
    detail(&caller, &found)
}

pub(super) async fn create(caller: Caller, state: State, body: Body) -> HandlerResult {
    let given = body.value()["qos_specs"]
        .as_object()
        .ok_or_else(Fault::malformed)?;
    let mut given = given.clone();
    let name = given
        .remove("name")
        .and_then(|name| Some(name.as_str()?.trim().to_owned()));
    let (consumer, specs) = read(&given).map_err(Fault::invalid_input)?;
    let message = CreateQosSpecs {
        name: name.unwrap_or_default(),
        consumer: consumer?.unwrap_or(QosConsumer::BackEnd),
        specs,
    };
    detail(&caller, &caller.ask(&state, message).await?)
}

pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let given = body.value()["qos_specs"]
        .as_object()
        .ok_or_else(Fault::malformed)?;
    let (consumer, specs) = read(given).map_err(Fault::invalid_input)?;
    let id = specs_id(&path)?;
    let change = QosSpecsChange::Set {
        consumer: consumer?,
        specs,
    };
    caller.ask(&state, UpdateQosSpecs { id, change }).await?;
    ok(body.value())
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath, query: Query) -> HandlerResult {
    let force = query.bool("force")?;
    let id = specs_id(&path)?;
    caller.ask(&state, DeleteQosSpecs { id, force }).await?;
    Ok(accepted())
}

pub(super) async fn delete_keys(
    caller: Caller,
    state: State,
    path: SubjectPath,
    body: Body,
) -> HandlerResult {
    let keys = body.value()["keys"].as_array().into_iter().flatten();
    let keys = keys.filter_map(Value::as_str).map(str::to_owned).collect();
    let id = specs_id(&path)?;
    let change = QosSpecsChange::DeleteKeys(keys);
    caller.ask(&state, UpdateQosSpecs { id, change }).await?;
    Ok(accepted())
}

#[derive(Serialize)]
struct Association<'a> {
    association_type: &'a str,
    name: &'a str,
    id: VolumeTypeId,
}

pub(super) async fn associations(_: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let id = specs_id(&path)?;
    if state.catalog.qos_specs(id).await?.is_none() {
        return Err(qos_specs_not_found(id).into());
    }
    let types = state.catalog.volume_types().await?;
    let associated = types.iter().filter(|one| one.qos_specs_id == Some(id));
    let associations = associated.map(|one| Association {
        association_type: "volume_type",
        name: &one.name,
        id: one.id,
    });
    ok(&Named("qos_associations", Items(associations)))
}

pub(super) async fn associate(
    caller: Caller,
    state: State,
    path: SubjectPath,
    query: Query,
) -> HandlerResult {
    let (id, volume_type_id) = (specs_id(&path)?, type_id(&query)?);
    let message = AssociateQosSpecs { id, volume_type_id };
    caller.ask(&state, message).await?;
    Ok(accepted())
}

pub(super) async fn disassociate(
    caller: Caller,
    state: State,
    path: SubjectPath,
    query: Query,
) -> HandlerResult {
    let volume_type_id = Some(type_id(&query)?);
    let id = specs_id(&path)?;
    caller
        .ask(&state, DisassociateQosSpecs { id, volume_type_id })
        .await?;
    Ok(accepted())
}

pub(super) async fn disassociate_all(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let (id, volume_type_id) = (specs_id(&path)?, None);
    caller
        .ask(&state, DisassociateQosSpecs { id, volume_type_id })
        .await?;
    Ok(accepted())
}

fn specs_id(path: &SubjectPath) -> Result<QosSpecsId, Fault> {
    let id = python::uuid(&path.id).map(QosSpecsId);
    Ok(id.ok_or_else(|| qos_specs_not_found(&path.id))?)
}

fn type_id(query: &Query) -> Result<VolumeTypeId, Fault> {
    let text = query.get("vol_type_id").filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Fault::bad_request("Volume Type id must not be None."))?;
    python::uuid(text)
        .map(VolumeTypeId)
        .ok_or_else(|| Fault::not_found(format!("Volume type {text} could not be found.")))
}

/// The limits by key.
type Limits = BTreeMap<String, Option<String>>;

/// The consumer, which may be invalid, and the limits (cinder: `utils.py` `validate_dictionary_string_length`).
///
/// # Errors
/// Which key or value has the wrong type or length.
fn read(given: &Map<String, Value>) -> Result<(Result<Option<QosConsumer>, Fault>, Limits), String> {
    let mut specs = Limits::new();
    for (key, value) in given {
        check_length(&format!("Key \"{key}\""), key, 1)?;
        let value = match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            _ => return Err(format!("Value for key \"{key}\" is not a string or unicode")),
        };
        if let Some(text) = &value {
            check_length(&format!("Value for key \"{key}\""), text, 0)?;
        }
        specs.insert(key.clone(), value);
    }
    let consumer = specs.remove("consumer").flatten().map(|text| {
        QosConsumer::of(&text).ok_or_else(|| {
            let text =
                "Invalid qos specs: Valid consumer of QoS specs are: ['front-end', 'back-end', 'both']";
            Fault::bad_request(text)
        })
    });
    Ok((consumer.transpose(), specs))
}

fn check_length(what: &str, text: &str, least: usize) -> Result<(), String> {
    match text.chars().count() {
        length if length < least => Err(format!("{what} has a minimum character requirement of {least}.")),
        length if length > 255 => Err(format!("{what} has {length} characters, more than 255.")),
        _ => Ok(()),
    }
}

struct SpecsView<'a>(&'a QosSpecs);

impl Serialize for SpecsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("id", &self.0.id)?;
        map.serialize_entry("name", &self.0.name)?;
        map.serialize_entry("consumer", self.0.consumer.as_str())?;
        map.serialize_entry("specs", &self.0.specs)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Detail<'a> {
    qos_specs: SpecsView<'a>,
    links: Links<'a, QosSpecsId>,
}

fn detail(caller: &Caller, specs: &QosSpecs) -> HandlerResult {
    let links = LinkBase::new(caller, "qos-specs");
    ok(&Detail {
        qos_specs: SpecsView(specs),
        links: links.of(specs.id),
    })
}
