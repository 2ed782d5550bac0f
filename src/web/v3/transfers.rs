//! `/volume-transfers`, and its older name `/os-volume-transfer`: volumes that change their project. The older name knows neither
//! snapshots that stay (3.55), nor pages and orders (3.59), nor encrypted volumes (3.70), whatever the version.

use std::cmp::Ordering;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::query::{Paging, Query, part_of, sort_by_keys};
use super::{accepted, python};
use crate::model::volume::Secret;
use crate::model::{ProjectId, Transfer, TransferId, VolumeId};
use crate::store::catalog::{Direction, ListError};
use crate::verbs::transfer::accept_transfer::AcceptTransfer;
use crate::verbs::transfer::create_transfer::CreateTransfer;
use crate::verbs::transfer::delete_transfer::DeleteTransfer;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::offload::Offload;
use crate::web::request::Body;
use crate::web::routes::SubjectPath;
use crate::web::schema::Check::{AnyOf, Matches, Required, Type};
use crate::web::schema::parameter_types::{BOOLEAN, UUID};
use crate::web::schema::{Kind, Pattern, Schema, boolean, object, text, trimmed};
use crate::web::state::WebState;
use crate::web::views::transfer::{COLLECTION, Shown, TransferView};
use crate::web::views::{Json, LinkBase, Listed, Named, answer};

/// Whether a route has the newer name.
pub(super) const NEW: bool = true;
pub(super) const OLD: bool = false;

/// `name_skip_leading_trailing_spaces`: not blank, at most 255 characters without the blanks around it. (Its own words are never
/// told, for null would do as well.)
const NAME: Schema = Schema(&[AnyOf(&[
    Schema(&[
        Type(&[Kind::String]),
        Matches(Pattern {
            text: "",
            matches: |name| (1..=255).contains(&name.trim().chars().count()),
        }),
    ]),
    Schema(&[Type(&[Kind::Null])]),
])]);

macro_rules! in_envelope {
    ($name:literal, $fields:tt, $required:literal) => {
        object!(
            [($name, object!($fields, Required(&[$required])))],
            Required(&[$name])
        )
    };
}

pub(super) const CREATE: Schema =
    in_envelope!("transfer", [("volume_id", UUID), ("name", NAME)], "volume_id");

pub(super) const CREATE_V355: Schema = in_envelope!(
    "transfer",
    [("volume_id", UUID), ("name", NAME), ("no_snapshots", BOOLEAN)],
    "volume_id"
);

pub(super) const ACCEPT: Schema = in_envelope!(
    "accept",
    [("auth_key", Schema(&[Type(&[Kind::String, Kind::Integer])]))],
    "auth_key"
);

fn not_found(id: &str) -> Fault {
    Fault::not_found(format!("Transfer {id} could not be found."))
}

/// A transfer of a volume that the caller may see.
async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<Transfer, Fault> {
    let transfer_id = python::uuid(id).map(TransferId).ok_or_else(|| not_found(id))?;
    let found = state.catalog.transfer(transfer_id).await?;
    let found = found.filter(|transfer| caller.sees(&transfer.source_project_id));
    Ok(found.ok_or_else(|| not_found(id))?.record)
}

pub(super) async fn create<const NAME: bool>(
    caller: Caller,
    state: web::Data<WebState>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let wanted = &body.value()["transfer"];
    let volume_id = text(wanted, "volume_id").unwrap_or_default();
    let found = match python::uuid(volume_id).map(VolumeId) {
        Some(id) => state.catalog.volume(id).await?,
        None => None,
    };
    found
        .filter(|volume| caller.sees(&volume.project_id))
        .ok_or_else(|| Fault::not_found(format!("Volume {volume_id} could not be found.")))?;
    let message = CreateTransfer {
        volume_id: volume_id.to_owned(),
        name: trimmed(wanted, "name"),
        no_snapshots: boolean(wanted, "no_snapshots").unwrap_or_default(),
        encrypted_too: NAME == NEW && caller.version.at_least(70),
    };
    let made = caller.ask(&state, message).await?;
    let view = TransferView {
        transfer: &made.transfer,
        links: &LinkBase::new(&caller, COLLECTION),
        shown: Shown::New(caller.version, &made.auth_key),
    };
    answer(StatusCode::ACCEPTED, &Named("transfer", view))
}

pub(super) async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
) -> Result<HttpResponse, Fault> {
    let transfer = find(&state, &caller, &path.id).await?;
    let view = TransferView {
        transfer: &transfer,
        links: &LinkBase::new(&caller, COLLECTION),
        shown: Shown::Detail(caller.version),
    };
    answer(StatusCode::OK, &Named("transfer", view))
}

pub(super) async fn accept(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let auth_key = &body.value()["accept"]["auth_key"];
    let message = AcceptTransfer {
        transfer_id: path.into_inner().id,
        auth_key: Secret::new(
            auth_key
                .as_str()
                .map_or_else(|| auth_key.to_string(), str::to_owned),
        ),
    };
    let transfer = caller.ask(&state, message).await?;
    let view = TransferView {
        transfer: &transfer,
        links: &LinkBase::new(&caller, COLLECTION),
        shown: Shown::Summary,
    };
    answer(StatusCode::ACCEPTED, &Named("transfer", view))
}

pub(super) async fn delete(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
) -> Result<HttpResponse, Fault> {
    find(&state, &caller, &path.id).await?;
    let transfer_id = path.into_inner().id;
    caller.ask(&state, DeleteTransfer { transfer_id }).await?;
    Ok(accepted())
}

pub(super) async fn list<const NAME: bool>(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    query: Query,
) -> Result<HttpResponse, Fault> {
    page::<NAME>(caller, state, offload, query, Shown::Summary).await
}

pub(super) async fn detail<const NAME: bool>(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    query: Query,
) -> Result<HttpResponse, Fault> {
    let shown = Shown::Detail(caller.version);
    page::<NAME>(caller, state, offload, query, shown).await
}

async fn page<const NAME: bool>(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    mut query: Query,
    shown: Shown<'static>,
) -> Result<HttpResponse, Fault> {
    let text = query.text().to_owned();
    let (paging, sort) = match NAME == NEW && caller.version.at_least(59) {
        true => {
            let paging = query.take_paging()?;
            (paging, query.take_sorting()?.keys(sort_key)?)
        }
        // What asks for a page or an order is a filter there, which nothing matches (as in Cinder).
        false => {
            let paging = Paging {
                marker: None,
                offset: 0,
                ..query.clone().take_paging()?
            };
            (paging, vec![(SortKey::CreatedAt, Direction::Ascending)])
        }
    };
    let all_tenants = query.take("all_tenants");
    let all_tenants = all_tenants.and_then(|word| python::bool_from_string(&word));
    let everybody = caller.context.is_admin && all_tenants == Some(true);
    if !everybody {
        query.take("project_id");
    }
    let newest_first = [(SortKey::CreatedAt, Direction::Descending)];
    let is_indexed = query.filters().is_empty() && paging.offset == 0 && sort == newest_first;
    let rows = is_indexed.then_some(paging.limit);
    let read = move || async move {
        let project = (!everybody).then_some(&caller.context.project_id);
        let page = match is_indexed {
            true => indexed(&state, project, &paging).await?,
            false => {
                let mut found = all(&state, project).await?;
                let filters = query.filters();
                found.retain(|transfer| filters.iter().all(|(name, value)| matches(transfer, name, value)));
                // By time and id where all keys are equal.
                let rest = sort
                    .first()
                    .map_or(Direction::Descending, |(_, direction)| *direction);
                let sort = [sort, vec![(SortKey::CreatedAt, rest), (SortKey::Id, rest)]].concat();
                sort_by_keys(&mut found, &sort, compare);
                part_of(found, &paging, |transfer| transfer.id.to_string())
            }
        };
        let page = page.ok_or_else(|| not_found(paging.marker.as_deref().unwrap_or_default()))?;
        let next = page.last().filter(|_| page.len() >= paging.limit).map(|last| {
            (
                "transfers_links",
                caller.next_link(COLLECTION, &text, &last.id.to_string()),
            )
        });
        let links = LinkBase::new(&caller, COLLECTION);
        Json::of(&Listed {
            name: "transfers",
            items: page.iter().map(|transfer| TransferView {
                transfer,
                links: &links,
                shown,
            }),
            next,
            count: None,
        })
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// The usual page, along the catalog's index. `None` for an unknown marker.
async fn indexed(
    state: &WebState,
    project: Option<&ProjectId>,
    paging: &Paging,
) -> Result<Option<Vec<Transfer>>, Fault> {
    let marker = match paging.marker.as_deref().map(python::uuid) {
        None => None,
        Some(Some(id)) => Some(TransferId(id)),
        Some(None) => return Ok(None),
    };
    match state.catalog.transfers(project, marker, paging.limit).await {
        Ok(page) => Ok(Some(page.records)),
        Err(ListError::UnknownMarker(_)) => Ok(None),
        Err(ListError::Store(error)) => Err(error.into()),
    }
}

async fn all(state: &WebState, project: Option<&ProjectId>) -> Result<Vec<Transfer>, Fault> {
    match state.catalog.transfers(project, None, usize::MAX).await {
        Ok(found) => Ok(found.records),
        Err(ListError::UnknownMarker(marker)) => Err(not_found(&marker)),
        Err(ListError::Store(error)) => Err(error.into()),
    }
}

/// What is no field of a transfer matches nothing. `name` is what its clients call `display_name`.
fn matches(transfer: &Transfer, name: &str, value: &str) -> bool {
    let is = |flag| python::bool_from_string(value) == Some(flag);
    match name {
        "id" => transfer.id.to_string() == value,
        "volume_id" => transfer.volume_id.to_string() == value,
        "name" | "display_name" => transfer.name.as_deref() == Some(value),
        "source_project_id" | "project_id" => transfer.source_project_id.as_str() == value,
        "no_snapshots" => is(transfer.no_snapshots),
        "accepted" => is(false),
        _ => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SortKey {
    CreatedAt,
    Id,
    VolumeId,
    Name,
    Project,
    NoSnapshots,
    /// A column of Cinder's that is the same for all that are open.
    Same,
}

fn sort_key(name: &str) -> Option<SortKey> {
    Some(match name {
        "created_at" => SortKey::CreatedAt,
        "id" => SortKey::Id,
        "volume_id" => SortKey::VolumeId,
        "display_name" => SortKey::Name,
        "source_project_id" => SortKey::Project,
        "no_snapshots" => SortKey::NoSnapshots,
        "updated_at" | "expires_at" | "destination_project_id" | "accepted" => SortKey::Same,
        _ => return None,
    })
}

fn compare(a: &Transfer, b: &Transfer, key: SortKey) -> Ordering {
    match key {
        SortKey::CreatedAt => a.created_at.cmp(&b.created_at),
        SortKey::Id => a.id.cmp(&b.id),
        SortKey::VolumeId => a.volume_id.cmp(&b.volume_id),
        SortKey::Name => a.name.cmp(&b.name),
        SortKey::Project => a.source_project_id.cmp(&b.source_project_id),
        SortKey::NoSnapshots => a.no_snapshots.cmp(&b.no_snapshots),
        SortKey::Same => Ordering::Equal,
    }
}
