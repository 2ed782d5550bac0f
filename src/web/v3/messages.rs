//! `/messages` (since 3.3): user messages: why an accepted request failed later, for its owner.

use super::list::{self, FieldName, Filters, ListedPage, Listing};
use super::prelude::*;
use super::query::{Paging, Sorting};
use crate::model::UserMessage;
use crate::store::catalog::{Catalog, Filter, MessageField};
use crate::verbs::message::DeleteMessage;
use crate::web::routes::answers::Parameter;
use crate::web::views::LinkBase;
use crate::web::views::message;
use crate::web::views::message::MessageView;
use crate::web::views::shape::Shape;

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let message = list::find::<Messages>(&state, &caller, &path.id).await?;
    let links = LinkBase::new(&caller, "messages");
    ok(&Named(
        "message",
        MessageView {
            message: &message,
            links: &links,
        },
    ))
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    list::find::<Messages>(&state, &caller, &path.id).await?;
    let message_id = path.into_inner().id;
    caller.ask(&state, DeleteMessage { message_id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) enum Messages {}

impl Listing for Messages {
    type Record = UserMessage;

    const RESOURCE: Option<&'static str> = Some("message");
    const LINKS: Option<&'static str> = Some("messages_links");
    const NAME: &'static str = "messages";
    const SUMMARY: Shape = message::MESSAGE;
    const DETAIL: Shape = message::MESSAGE;
    const PARAMETERS: &'static [Parameter] = &[];
    const PAGED_SINCE: Option<u16> = Some(5);
    const FILTERED_SINCE: u16 = 5;
    const FIELDS: &'static [FieldName<MessageField>] = &[
        FieldName::both("id", MessageField::Id),
        FieldName::sort("created_at", MessageField::CreatedAt),
        FieldName::both("event_id", MessageField::EventId),
        FieldName::both("resource_type", MessageField::ResourceType),
        FieldName::both("resource_uuid", MessageField::ResourceUuid),
        FieldName::both("request_id", MessageField::RequestId),
        FieldName::both("message_level", MessageField::Level),
        FieldName::filter("project_id", MessageField::ProjectId),
        FieldName::sort("expires_at", MessageField::ExpiresAt),
        FieldName::sort("guaranteed_until", MessageField::ExpiresAt),
    ];

    fn not_found(id: &str) -> Fault {
        Fault::not_found(format!("Message {id} could not be found."))
    }

    fn path(_: bool) -> &'static str {
        "messages"
    }

    /// Paging, sorting and filters were added in 3.5; before, the query is ignored.
    fn in_version(caller: &Caller, query: Query) -> Query {
        match caller.version.at_least(5) {
            true => query,
            false => Query::parse("", usize::MAX),
        }
    }

    fn take_part(_: &Caller, query: &mut Query) -> Result<(Paging, Sorting), Fault> {
        Ok((query.take_paging()?, query.take_sorting()?))
    }

    fn is_of_all(caller: &Caller, _: &mut Query) -> Result<bool, Fault> {
        Ok(caller.context.is_admin)
    }

    fn filter(_: &Caller, name: &str, value: &str) -> Result<Filters<Self>, Fault> {
        Ok(vec![match Self::field(name) {
            Some(field @ (MessageField::Id | MessageField::ResourceUuid)) => list::id(field, value),
            Some(field) => Filter::Is(field, vec![value.to_owned()]),
            None => Filter::Nothing,
        }])
    }

    async fn view(
        _: &Catalog,
        caller: &Caller,
        page: ListedPage<UserMessage>,
        _: bool,
    ) -> Result<Json, Fault> {
        let links = &LinkBase::new(caller, "messages");
        let (messages, frame) = page.into_parts();
        frame.around(
            "messages",
            messages.iter().map(|message| MessageView { message, links }),
        )
    }
}
