//! `/messages` (since 3.3): why something went wrong after its 202, in words for its owner.

use std::cmp::Ordering;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::query::{Paging, Query, part_of, sort_by_keys};
use super::{python, resource_filters};
use crate::model::{MessageId, ProjectId, UserMessage};
use crate::store::catalog::{Direction, ListError, is_like};
use crate::verbs::delete_message::DeleteMessage;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::offload::Offload;
use crate::web::routes::SubjectPath;
use crate::web::state::WebState;
use crate::web::views::message::{LEVEL, MessageView, event_id};
use crate::web::views::{Json, LinkBase, Listed, Named, ok};

fn not_found(id: &str) -> Fault {
    Fault::not_found(format!("Message {id} could not be found."))
}

async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<UserMessage, Fault> {
    let message_id = python::uuid(id).map(MessageId).ok_or_else(|| not_found(id))?;
    let found = state.catalog.message(message_id).await?;
    let found = found.filter(|message| caller.sees(&message.project_id));
    Ok(found.ok_or_else(|| not_found(id))?.record)
}

pub(super) async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
) -> Result<HttpResponse, Fault> {
    let message = find(&state, &caller, &path.id).await?;
    let links = LinkBase::new(&caller, "messages");
    ok(&Named(
        "message",
        MessageView {
            message: &message,
            links: &links,
        },
    ))
}

pub(super) async fn delete(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
) -> Result<HttpResponse, Fault> {
    find(&state, &caller, &path.id).await?;
    let message_id = path.into_inner().id;
    caller.ask(&state, DeleteMessage { message_id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    mut query: Query,
) -> Result<HttpResponse, Fault> {
    let text = query.text().to_owned();
    // Paging, sorting and filters came with 3.5; before it, the query says nothing.
    if !caller.version.at_least(5) {
        query = Query::parse("", usize::MAX);
    }
    let paging = query.take_paging()?;
    let sorting = query.take_sorting()?;
    if caller.version.at_least(31) {
        resource_filters::reject_invalid(&caller, &query, "message")?;
    }
    let sort = sorting.keys(sort_key)?;
    query.take("all_tenants");
    let newest_first = [(SortKey::CreatedAt, Direction::Descending)];
    let is_indexed = query.filters().is_empty() && paging.offset == 0 && sort == newest_first;
    let rows = is_indexed.then_some(paging.limit);
    let read = move || async move {
        let project = (!caller.context.is_admin).then_some(&caller.context.project_id);
        let page = match is_indexed {
            true => indexed(&state, project, &paging).await?,
            false => {
                let mut found = all(&state, project).await?;
                let (filters, like) = (query.filters(), caller.version.at_least(34));
                found.retain(|message| filters.iter().all(|filter| passes(message, filter, like)));
                sort_by_keys(&mut found, &sort, compare);
                part_of(found, &paging, |message| message.id.to_string())
            }
        };
        let page = page.ok_or_else(|| not_found(paging.marker.as_deref().unwrap_or_default()))?;
        let next = page.last().filter(|_| page.len() >= paging.limit).map(|last| {
            (
                "messages_links",
                caller.next_link("messages", &text, &last.id.to_string()),
            )
        });
        let links = LinkBase::new(&caller, "messages");
        Json::of(&Listed {
            name: "messages",
            items: page.iter().map(|message| MessageView {
                message,
                links: &links,
            }),
            next,
            count: None,
        })
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// Whether a message has what a filter asks for; `like`: the version has `name~=part`.
fn passes(message: &UserMessage, (name, value): &(&str, &str), like: bool) -> bool {
    match name.strip_suffix('~') {
        Some(name) if like => text_of(message, name).is_some_and(|text| is_like(&text, value)),
        _ => matches(message, name, value),
    }
}

/// The usual page, along the catalog's index. `None` for an unknown marker.
async fn indexed(
    state: &WebState,
    project: Option<&ProjectId>,
    paging: &Paging,
) -> Result<Option<Vec<UserMessage>>, Fault> {
    let marker = match paging.marker.as_deref().map(python::uuid) {
        None => None,
        Some(Some(id)) => Some(MessageId(id)),
        Some(None) => return Ok(None),
    };
    match state.catalog.messages(project, marker, paging.limit).await {
        Ok(page) => Ok(Some(page.records)),
        Err(ListError::UnknownMarker(_)) => Ok(None),
        Err(ListError::Store(error)) => Err(error.into()),
    }
}

async fn all(state: &WebState, project: Option<&ProjectId>) -> Result<Vec<UserMessage>, Fault> {
    match state.catalog.messages(project, None, usize::MAX).await {
        Ok(found) => Ok(found.records),
        Err(ListError::UnknownMarker(marker)) => Err(not_found(&marker)),
        Err(ListError::Store(error)) => Err(error.into()),
    }
}

/// What is no field of a message matches nothing.
fn matches(message: &UserMessage, name: &str, value: &str) -> bool {
    match name {
        "resource_uuid" => message.resource_uuid.is_some() && message.resource_uuid == python::uuid(value),
        "id" => python::uuid(value) == Some(message.id.0),
        name => text_of(message, name).is_some_and(|text| text == value),
    }
}

/// What a message has in a field, as text.
fn text_of(message: &UserMessage, name: &str) -> Option<String> {
    match name {
        "id" => Some(message.id.to_string()),
        "resource_uuid" => message.resource_uuid.map(|id| id.to_string()),
        "resource_type" => Some(message.resource_type.clone()),
        "event_id" => Some(event_id(message)),
        "request_id" => Some(message.request_id.clone()),
        "message_level" => Some(LEVEL.to_owned()),
        "project_id" => Some(message.project_id.as_str().to_owned()),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SortKey {
    CreatedAt,
    Id,
    EventId,
    ResourceType,
    ResourceUuid,
    RequestId,
    Level,
    ExpiresAt,
}

fn sort_key(name: &str) -> Option<SortKey> {
    Some(match name {
        "created_at" => SortKey::CreatedAt,
        "id" => SortKey::Id,
        "event_id" => SortKey::EventId,
        "resource_type" => SortKey::ResourceType,
        "resource_uuid" => SortKey::ResourceUuid,
        "request_id" => SortKey::RequestId,
        "message_level" => SortKey::Level,
        "expires_at" | "guaranteed_until" => SortKey::ExpiresAt,
        _ => return None,
    })
}

fn compare(a: &UserMessage, b: &UserMessage, key: SortKey) -> Ordering {
    match key {
        SortKey::CreatedAt => a.created_at.cmp(&b.created_at),
        SortKey::Id => a.id.cmp(&b.id),
        SortKey::EventId => event_id(a).cmp(&event_id(b)),
        SortKey::ResourceType => a.resource_type.cmp(&b.resource_type),
        SortKey::ResourceUuid => a.resource_uuid.cmp(&b.resource_uuid),
        SortKey::RequestId => a.request_id.cmp(&b.request_id),
        SortKey::Level => Ordering::Equal,
        SortKey::ExpiresAt => a.expires_at.cmp(&b.expires_at),
    }
}
