//! `/attachments` (since 3.27): who has a volume, and how to reach it.

use std::cmp::Ordering;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::query::{Paging, Query, part_of, sort_by_keys};
use super::{find_volume, python, resource_filters};
use crate::model::{Attachment, AttachmentId, ProjectId, VolumeId};
use crate::store::catalog::{Catalog, Direction, ListError, is_like};
use crate::verbs::attachment::complete_attachment::CompleteAttachment;
use crate::verbs::attachment::delete_attachment::DeleteAttachment;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::offload::Offload;
use crate::web::request::Body;
use crate::web::routes::{ActionOn, Subject, SubjectPath};
use crate::web::schema;
use crate::web::state::WebState;
use crate::web::views::attachment::{AttachmentDetail, AttachmentSummary};
use crate::web::views::{Items, Json, Named, ok};

fn not_found(id: &str) -> Fault {
    Fault::not_found(format!(
        "Volume attachment could not be found with filter: attachment_id = {id}."
    ))
}

/// An attachment whose volume the caller may see. (Cinder shows those of others, with their secrets; we do not.)
async fn find(state: &WebState, caller: &Caller, id: &str) -> Result<Attachment, Fault> {
    let attachment_id = python::uuid(id).map(AttachmentId).ok_or_else(|| not_found(id))?;
    let found = state.catalog.attachment(attachment_id).await?;
    let found = found.filter(|attachment| caller.sees(&attachment.project_id));
    Ok(found.ok_or_else(|| not_found(id))?.record)
}

pub(super) async fn no_summary(_caller: Caller) -> Result<HttpResponse, Fault> {
    Err(Fault::no_such_resource())
}

pub(super) async fn show(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
) -> Result<HttpResponse, Fault> {
    let attachment = find(&state, &caller, &path.id).await?;
    ok(&Named("attachment", AttachmentDetail(&attachment)))
}

pub(super) async fn create(
    caller: Caller,
    state: web::Data<WebState>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let message = schema::attachments::create(body.value());
    find_volume(&state, &caller, &message.volume_id).await?;
    let attachment = caller.ask(&state, message).await?;
    ok(&Named("attachment", AttachmentDetail(&attachment)))
}

pub(super) async fn update(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let message = schema::attachments::update(&path.id, body.value())?;
    find(&state, &caller, &path.id).await?;
    let attachment = caller.ask(&state, message).await?;
    ok(&Named("attachment", AttachmentDetail(&attachment)))
}

pub(super) async fn delete(
    caller: Caller,
    state: web::Data<WebState>,
    path: web::Path<SubjectPath>,
) -> Result<HttpResponse, Fault> {
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
pub(super) async fn complete(on: ActionOn<Attachment>) -> Result<HttpResponse, Fault> {
    let attachment_id = on.id.clone();
    on.ask(CompleteAttachment { attachment_id }).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    query: Query,
) -> Result<HttpResponse, Fault> {
    let wanted = Wanted::read(caller, query)?;
    let rows = wanted.rows_at_most();
    let read = move || async move {
        let page = wanted.page(&state.catalog).await?;
        Json::of(&Named("attachments", Items(page.iter().map(AttachmentSummary))))
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

pub(super) async fn detail(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    query: Query,
) -> Result<HttpResponse, Fault> {
    let wanted = Wanted::read(caller, query)?;
    let rows = wanted.rows_at_most();
    let read = move || async move {
        let page = wanted.page(&state.catalog).await?;
        Json::of(&Named("attachments", Items(page.iter().map(AttachmentDetail))))
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// A filter that attachments must match.
type Filter = Box<dyn Fn(&Attachment) -> bool>;

/// Which attachments are listed.
struct Wanted {
    caller: Caller,
    query: Query,
    paging: Paging,
    sort: Vec<(SortKey, Direction)>,
    everybody: bool,
    is_indexed: bool,
}

impl Wanted {
    fn read(caller: Caller, mut query: Query) -> Result<Self, Fault> {
        let sorting = query.take_sorting()?;
        let paging = query.take_paging()?;
        if caller.version.at_least(31) {
            resource_filters::reject_invalid(&caller, &query, "attachment")?;
        }
        let everybody = caller.context.is_admin && query.get("all_tenants").is_some();
        query.take("all_tenants");
        let sort = sorting.keys(sort_key)?;
        let newest_first = [(SortKey::CreatedAt, Direction::Descending)];
        let is_indexed = filters(&caller, &query).is_empty() && paging.offset == 0 && sort == newest_first;
        Ok(Self {
            caller,
            query,
            paging,
            sort,
            everybody,
            is_indexed,
        })
    }

    fn rows_at_most(&self) -> Option<usize> {
        self.is_indexed.then_some(self.paging.limit)
    }

    async fn page(self, catalog: &Catalog) -> Result<Vec<Attachment>, Fault> {
        let project = (!self.everybody).then_some(&self.caller.context.project_id);
        let found = match self.is_indexed {
            true => indexed(catalog, project, &self.paging).await?,
            false => {
                let of_volume = self.query.get("volume_id").and_then(python::uuid);
                let mut all = candidates(catalog, project, of_volume.map(VolumeId)).await?;
                let filters = filters(&self.caller, &self.query);
                all.retain(|attachment| filters.iter().all(|filter| filter(attachment)));
                // By time and id where all keys are equal.
                let first = self.sort.first();
                let rest = first.map_or(Direction::Descending, |(_, direction)| *direction);
                let sort = [self.sort, vec![(SortKey::CreatedAt, rest), (SortKey::Id, rest)]].concat();
                sort_by_keys(&mut all, &sort, compare);
                part_of(all, &self.paging, |attachment| attachment.id.to_string())
            }
        };
        found.ok_or_else(|| not_found(self.paging.marker.as_deref().unwrap_or_default()))
    }
}

/// The usual page, along the catalog's index. `None` for an unknown marker.
async fn indexed(
    catalog: &Catalog,
    project: Option<&ProjectId>,
    paging: &Paging,
) -> Result<Option<Vec<Attachment>>, Fault> {
    let marker = match paging.marker.as_deref().map(python::uuid) {
        None => None,
        Some(Some(id)) => Some(AttachmentId(id)),
        Some(None) => return Ok(None),
    };
    match catalog.attachments(project, marker, paging.limit).await {
        Ok(page) => Ok(Some(page.records)),
        Err(ListError::UnknownMarker(_)) => Ok(None),
        Err(ListError::Store(error)) => Err(error.into()),
    }
}

/// All that may match: those of the one volume, or all of the project. Attachments are as few as things that are plugged in.
async fn candidates(
    catalog: &Catalog,
    project: Option<&ProjectId>,
    of_volume: Option<VolumeId>,
) -> Result<Vec<Attachment>, Fault> {
    if let Some(volume) = of_volume {
        let found = catalog.volume_attachments(volume).await?;
        let seen = |attachment: &Attachment| project.is_none_or(|project| *project == attachment.project_id);
        return Ok(found
            .into_iter()
            .map(|stored| stored.record)
            .filter(seen)
            .collect());
    }
    match catalog.attachments(project, None, usize::MAX).await {
        Ok(all) => Ok(all.records),
        Err(ListError::UnknownMarker(marker)) => Err(not_found(&marker)),
        Err(ListError::Store(error)) => Err(error.into()),
    }
}

/// Before 3.31 a member's foreign filters are ignored. What is no field of an attachment matches nothing.
fn filters(caller: &Caller, query: &Query) -> Vec<Filter> {
    let allowed = resource_filters::of("attachment");
    query
        .filters()
        .into_iter()
        .filter(|(name, _)| caller.context.is_admin || allowed.contains(name))
        .map(|(name, value)| match name.strip_suffix('~') {
            Some(name) if caller.version.at_least(34) => like(name.to_owned(), value.to_owned()),
            _ => filter(name, value.to_owned()),
        })
        .collect()
}

/// `key~=part`: what an attachment has there has this part.
fn like(name: String, part: String) -> Filter {
    Box::new(move |attachment| text_of(attachment, &name).is_some_and(|text| is_like(&text, &part)))
}

/// What an attachment has in a field, as text.
fn text_of(attachment: &Attachment, name: &str) -> Option<String> {
    match name {
        "id" => Some(attachment.id.to_string()),
        "volume_id" => Some(attachment.volume_id.to_string()),
        "instance_id" | "instance_uuid" => attachment.instance_uuid.map(|id| id.to_string()),
        "status" | "attach_status" => Some(attachment.status.as_str().to_owned()),
        "attached_host" => attachment.attached_host.clone(),
        "attach_mode" => attachment.mode.map(|mode| mode.as_str().to_owned()),
        "mountpoint" => attachment.mountpoint.clone(),
        "project_id" => Some(attachment.project_id.as_str().to_owned()),
        _ => None,
    }
}

fn filter(name: &str, value: String) -> Filter {
    let id = python::uuid(&value);
    match name {
        "id" => Box::new(move |attachment| Some(attachment.id.0) == id),
        "volume_id" => Box::new(move |attachment| Some(attachment.volume_id.0) == id),
        // An empty one filters nothing (cinder: `if search_opts.get('instance_id')`).
        "instance_id" | "instance_uuid" if value.is_empty() => Box::new(|_| true),
        "instance_id" | "instance_uuid" => {
            Box::new(move |attachment| id.is_some() && attachment.instance_uuid == id)
        }
        name => {
            let name = name.to_owned();
            Box::new(move |attachment| text_of(attachment, &name).is_some_and(|text| text == value))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SortKey {
    CreatedAt,
    UpdatedAt,
    Id,
    VolumeId,
    Instance,
    Status,
    Host,
    Mode,
    Mountpoint,
    AttachedAt,
    DetachedAt,
}

fn sort_key(name: &str) -> Option<SortKey> {
    Some(match name {
        "created_at" => SortKey::CreatedAt,
        "updated_at" => SortKey::UpdatedAt,
        "id" => SortKey::Id,
        "volume_id" => SortKey::VolumeId,
        "instance_uuid" => SortKey::Instance,
        "attach_status" | "status" => SortKey::Status,
        "attached_host" => SortKey::Host,
        "attach_mode" => SortKey::Mode,
        "mountpoint" => SortKey::Mountpoint,
        "attach_time" => SortKey::AttachedAt,
        "detach_time" => SortKey::DetachedAt,
        _ => return None,
    })
}

fn compare(a: &Attachment, b: &Attachment, key: SortKey) -> Ordering {
    match key {
        SortKey::CreatedAt => a.created_at.cmp(&b.created_at),
        SortKey::UpdatedAt => a.updated_at.cmp(&b.updated_at),
        SortKey::Id => a.id.cmp(&b.id),
        SortKey::VolumeId => a.volume_id.cmp(&b.volume_id),
        SortKey::Instance => a.instance_uuid.cmp(&b.instance_uuid),
        SortKey::Status => a.status.as_str().cmp(b.status.as_str()),
        SortKey::Host => a.attached_host.cmp(&b.attached_host),
        SortKey::Mode => a
            .mode
            .map(|mode| mode.as_str())
            .cmp(&b.mode.map(|mode| mode.as_str())),
        SortKey::Mountpoint => a.mountpoint.cmp(&b.mountpoint),
        SortKey::AttachedAt => a.attached_at.cmp(&b.attached_at),
        SortKey::DetachedAt => a.detached_at.cmp(&b.detached_at),
    }
}
