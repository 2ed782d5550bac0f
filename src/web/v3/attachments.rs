//! `/attachments` (since 3.27): the attachments of volumes, and their connections.

use super::list::{self, FieldName, Filters, ListedPage, Listing};
use super::prelude::*;
use super::{find_volume, resource_filters};
use crate::model::Attachment;
use crate::store::catalog::{AttachmentField, Catalog, Filter};
use crate::verbs::attachment::{CompleteAttachment, DeleteAttachment};
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema;
use crate::web::views::attachment;
use crate::web::views::attachment::{AttachmentDetail, AttachmentSummary};
use crate::web::views::shape::Shape;

/// An attachment whose volume the caller may see. (Cinder also shows those of other projects, with their
/// secrets; Pumice does not.)
async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<Attachment, Fault> {
    Ok(list::find::<Attachments>(state, caller, id).await?.record)
}

pub(super) async fn no_summary(_caller: Caller) -> HandlerResult {
    Err(Fault::no_such_resource())
}

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let attachment = find(&state, &caller, &path.id).await?;
    ok(&Named("attachment", AttachmentDetail(&attachment)))
}

pub(super) async fn create(caller: Caller, state: State, body: Body) -> HandlerResult {
    let message = schema::attachments::create(body.value());
    if !caller.has_been_answered() {
        find_volume(&state, &caller, &message.volume_id).await?;
    }
    let attachment = caller.ask(&state, message).await?;
    ok(&Named("attachment", AttachmentDetail(&attachment)))
}

pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let message = schema::attachments::update(&path.id, body.value())?;
    find(&state, &caller, &path.id).await?;
    let attachment = caller.ask(&state, message).await?;
    ok(&Named("attachment", AttachmentDetail(&attachment)))
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    find(&state, &caller, &path.id).await?;
    let attachment_id = path.into_inner().id;
    let others = caller.ask(&state, DeleteAttachment { attachment_id }).await?;
    ok(&Named("attachments", Items(others.iter().map(AttachmentSummary))))
}

impl Subject for Attachment {
    async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<Self, Fault> {
        find(state, caller, id).await
    }
}

/// `os-complete`
pub(super) async fn complete(on: ActionOn<Attachment>) -> HandlerResult {
    let attachment_id = on.id.clone();
    on.ask(CompleteAttachment { attachment_id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Attachments. (Cinder has no links to further pages of them.)
pub(super) enum Attachments {}

impl Listing for Attachments {
    type Record = Attachment;

    const RESOURCE: Option<&'static str> = Some("attachment");
    const LINKS: Option<&'static str> = None;
    const NAME: &'static str = "attachments";
    const SUMMARY: Shape = attachment::SUMMARY;
    const DETAIL: Shape = attachment::DETAIL;
    const PARAMETERS: &'static [Parameter] = &[query("all_tenants", Shape::Text)];
    const FIELDS: &'static [FieldName<AttachmentField>] = &[
        FieldName::both("id", AttachmentField::Id),
        FieldName::sort("created_at", AttachmentField::CreatedAt),
        FieldName::sort("updated_at", AttachmentField::UpdatedAt),
        FieldName::both("volume_id", AttachmentField::VolumeId),
        FieldName::filter("instance_id", AttachmentField::InstanceUuid),
        FieldName::both("instance_uuid", AttachmentField::InstanceUuid),
        FieldName::both("status", AttachmentField::Status),
        FieldName::both("attach_status", AttachmentField::Status),
        FieldName::both("attached_host", AttachmentField::AttachedHost),
        FieldName::both("attach_mode", AttachmentField::AttachMode),
        FieldName::both("mountpoint", AttachmentField::Mountpoint),
        FieldName::filter("project_id", AttachmentField::ProjectId),
        FieldName::sort("attach_time", AttachmentField::AttachedAt),
        FieldName::sort("detach_time", AttachmentField::DetachedAt),
    ];

    fn not_found(id: &str) -> Fault {
        Fault::not_found(format!(
            "Volume attachment could not be found with filter: attachment_id = {id}."
        ))
    }

    fn path(_: bool) -> &'static str {
        "attachments"
    }

    fn is_of_all(caller: &Caller, query: &mut Query) -> Result<bool, Fault> {
        Ok(caller.context.is_admin && query.get("all_tenants").is_some())
    }

    fn is_allowed(_: &Caller, name: &str) -> bool {
        resource_filters::of("attachment").contains(&name)
    }

    fn filter(_: &Caller, name: &str, value: &str) -> Result<Filters<Self>, Fault> {
        Ok(match Self::field(name) {
            // An empty value is no filter (cinder: `if search_opts.get('instance_id')`).
            Some(AttachmentField::InstanceUuid) if value.is_empty() => Vec::new(),
            Some(
                field @ (AttachmentField::Id | AttachmentField::VolumeId | AttachmentField::InstanceUuid),
            ) => vec![list::id(field, value)],
            Some(field) => vec![Filter::Is(field, vec![value.to_owned()])],
            None => vec![Filter::Nothing],
        })
    }

    async fn view(
        _: &Catalog,
        _: &Caller,
        page: ListedPage<Attachment>,
        detail: bool,
    ) -> Result<Json, Fault> {
        let (attachments, frame) = page.into_parts();
        match detail {
            true => frame.around("attachments", attachments.iter().map(AttachmentDetail)),
            false => frame.around("attachments", attachments.iter().map(AttachmentSummary)),
        }
    }
}
