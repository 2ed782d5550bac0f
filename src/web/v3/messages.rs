//! `/messages` (since 3.3): why something went wrong after its 202, in words for its owner.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::query::{Query, part_of};
use super::{ask, python, resource_filters};
use crate::messages::api::DeleteMessage;
use crate::model::{MessageId, UserMessage};
use crate::store::catalog::{Direction, ListError, is_like};
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::state::WebState;
use crate::web::views::message::{LEVEL, MessageView, event_id};
use crate::web::views::{LinkBase, Listed, Named, ok};

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(super::resource("/messages").route(web::get().to(list)))
        .service(
            super::resource("/messages/{message_id}")
                .route(web::get().to(show))
                .route(web::delete().to(delete)),
        );
}

/// The first version with messages.
const SINCE: u16 = 3;

#[derive(Deserialize)]
struct OfMessage {
    message_id: String,
}

fn not_found(id: &str) -> Fault {
    Fault::not_found(format!("Message {id} could not be found."))
}

async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<UserMessage, Fault> {
    let message_id = python::uuid(id).map(MessageId).ok_or_else(|| not_found(id))?;
    let found = state.catalog.message(message_id).await?;
    let found = found.filter(|message| caller.sees(&message.project_id));
    Ok(found.ok_or_else(|| not_found(id))?.record)
}

async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfMessage>,
) -> Result<HttpResponse, Fault> {
    caller.since(SINCE)?;
    let message = find(&state, &caller, &path.message_id).await?;
    caller.may(Rule("message:get"))?;
    let links = LinkBase::new(&caller, "messages");
    ok(&Named(
        "message",
        MessageView {
            message: &message,
            links: &links,
        },
    ))
}

async fn delete(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<OfMessage>,
) -> Result<HttpResponse, Fault> {
    caller.since(SINCE)?;
    find(&state, &caller, &path.message_id).await?;
    caller.may(Rule("message:delete"))?;
    let message_id = path.into_inner().message_id;
    ask(&state, &caller, DeleteMessage { message_id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn list(caller: Caller, state: web::Data<WebState>, mut query: Query) -> Result<HttpResponse, Fault> {
    caller.since(SINCE)?;
    caller.may(Rule("message:get_all"))?;
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
    let project = (!caller.context.is_admin).then_some(&caller.context.project_id);
    let mut found = match state.catalog.messages(project, None, usize::MAX).await {
        Ok(found) => found.records,
        Err(ListError::UnknownMarker(marker)) => return Err(not_found(&marker)),
        Err(ListError::Store(error)) => return Err(error.into()),
    };
    let filters = query.filters();
    let like = caller.version.at_least(34);
    found.retain(|message| {
        filters.iter().all(|(name, value)| match name.strip_suffix('~') {
            Some(name) if like => text_of(message, name).is_some_and(|text| is_like(&text, value)),
            _ => matches(message, name, value),
        })
    });
    for (key, direction) in sort.into_iter().rev() {
        found.sort_by(|a, b| match direction {
            Direction::Ascending => key(a).cmp(&key(b)),
            Direction::Descending => key(b).cmp(&key(a)),
        });
    }
    let page = part_of(found, &paging, |message| message.id.to_string())
        .ok_or_else(|| not_found(paging.marker.as_deref().unwrap_or_default()))?;
    let next = page.last().filter(|_| page.len() >= paging.limit).map(|last| {
        (
            "messages_links",
            caller.next_link("messages", &text, &last.id.to_string()),
        )
    });
    let links = LinkBase::new(&caller, "messages");
    ok(&Listed {
        name: "messages",
        items: page.iter().map(|message| MessageView {
            message,
            links: &links,
        }),
        next,
        count: None,
    })
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

/// The text that messages are sorted by; times sort as their text does.
fn sort_key(name: &str) -> Option<fn(&UserMessage) -> String> {
    Some(match name {
        "created_at" => |message| message.created_at.to_string(),
        "id" => |message| message.id.to_string(),
        "event_id" => event_id,
        "resource_type" => |message| message.resource_type.clone(),
        "resource_uuid" => |message| message.resource_uuid.map(|id| id.to_string()).unwrap_or_default(),
        "request_id" => |message| message.request_id.clone(),
        "message_level" => |_| LEVEL.to_owned(),
        "expires_at" | "guaranteed_until" => |message| message.expires_at.to_string(),
        _ => return None,
    })
}
