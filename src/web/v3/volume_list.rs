//! `GET /volumes`, `/volumes/detail` and `/volumes/summary`.

use std::collections::{BTreeMap, HashSet};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::query::Query;
use super::{python, volume_query};
use crate::model::{AttachStatus, Attachment, Volume, VolumeId};
use crate::store::catalog::{Catalog, ListError, VolumeQuery};
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::offload::Offload;
use crate::web::state::WebState;
use crate::web::views::volume::{VolumeViews, type_names};
use crate::web::views::{Json, Listed, Named};

pub(super) async fn list(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    query: Query,
) -> Result<HttpResponse, Fault> {
    let wanted = Wanted::read(&caller, query)?;
    let rows = wanted.rows_at_most();
    let read = move || async move {
        let page = wanted.page(&state.catalog).await?;
        let views = VolumeViews::extended(&caller);
        Json::of(&Listed {
            name: "volumes",
            items: page.volumes.iter().map(|volume| views.summary(volume)),
            next: page.next(&caller, "volumes"),
            count: page.count,
        })
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

pub(super) async fn detail(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    query: Query,
) -> Result<HttpResponse, Fault> {
    let wanted = Wanted::read(&caller, query)?;
    let rows = wanted.rows_at_most();
    let read = move || async move {
        let page = wanted.page(&state.catalog).await?;
        let types = state.catalog.volume_types().await?;
        let types = type_names(types.iter().map(|stored| &stored.record));
        let attachments = attachments(&state.catalog, &page.volumes).await?;
        let views = VolumeViews::extended(&caller);
        Json::of(&Listed {
            name: "volumes",
            items: page
                .volumes
                .iter()
                .zip(&attachments)
                .map(|(volume, attached)| views.detail(volume, &types, attached)),
            next: page.next(&caller, "volumes/detail"),
            count: page.count,
        })
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// The attachments of each volume. Only those that have any are asked for: most of a long list has none.
async fn attachments(catalog: &Catalog, volumes: &[Volume]) -> Result<Vec<Vec<Attachment>>, Fault> {
    let attached: Vec<usize> = volumes
        .iter()
        .enumerate()
        .filter(|(_, volume)| volume.attach_status != AttachStatus::Detached)
        .map(|(at, _)| at)
        .collect();
    let mut of_volumes = vec![Vec::new(); volumes.len()];
    if attached.is_empty() {
        return Ok(of_volumes);
    }
    let ids: Vec<VolumeId> = attached.iter().map(|at| volumes[*at].id).collect();
    for (at, of_this) in attached.into_iter().zip(catalog.volumes_attachments(&ids).await?) {
        of_volumes[at] = of_this;
    }
    Ok(of_volumes)
}

/// A page of volumes, and what a link to the next needs.
struct Page {
    volumes: Vec<Volume>,
    next: Option<VolumeId>,
    count: Option<u64>,
    query: String,
}

impl Page {
    fn next(&self, caller: &Caller, path: &str) -> Option<(&'static str, serde_json::Value)> {
        let link = caller.next_link(path, &self.query, &self.next?.to_string());
        Some(("volumes_links", link))
    }
}

/// Which volumes are listed.
struct Wanted {
    query: VolumeQuery,
    with_count: bool,
    text: String,
}

fn unknown_marker(marker: &str) -> Fault {
    Fault::not_found(format!("Volume {marker} could not be found."))
}

impl Wanted {
    fn read(caller: &Caller, mut query: Query) -> Result<Self, Fault> {
        let text = query.text().to_owned();
        let paging = query.take_paging()?;
        let sorting = query.take_sorting()?;
        let mut with_count = false;
        if caller.version.at_least(45) {
            with_count = query.bool("with_count")?;
            query.take("with_count");
        }
        let all_tenants = caller.context.is_admin && query.bool("all_tenants")?;
        let filters = volume_query::filters(caller, &mut query)?;
        let sort = sorting.keys(volume_query::sort_key)?;
        let marker = match &paging.marker {
            None => None,
            Some(marker) => Some(
                python::uuid(marker)
                    .map(VolumeId)
                    .ok_or_else(|| unknown_marker(marker))?,
            ),
        };
        let query = VolumeQuery {
            project: (!all_tenants).then(|| caller.context.project_id.clone()),
            sort,
            filters,
            marker,
            offset: paging.offset,
            limit: paging.limit,
        };
        Ok(Self {
            query,
            with_count,
            text,
        })
    }

    /// Whatever is counted may be much.
    fn rows_at_most(&self) -> Option<usize> {
        self.query.rows_at_most().filter(|_| !self.with_count)
    }

    async fn page(self, catalog: &Catalog) -> Result<Page, Fault> {
        let found = catalog.volumes(&self.query).await.map_err(|error| match error {
            ListError::UnknownMarker(marker) => unknown_marker(&marker),
            ListError::Store(error) => error.into(),
        })?;
        let count = match self.with_count {
            true => Some(catalog.volume_totals(&self.query).await?.0),
            false => None,
        };
        Ok(Page {
            volumes: found.records,
            next: found.next,
            count,
            query: self.text,
        })
    }
}

#[derive(Serialize)]
struct Summary {
    total_count: u64,
    total_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, Vec<String>>>,
}

pub(super) async fn summary(
    caller: Caller,
    state: web::Data<WebState>,
    offload: Offload,
    query: Query,
) -> Result<HttpResponse, Fault> {
    let all_tenants = query.bool("all_tenants")? && caller.context.is_admin;
    let wanted = VolumeQuery {
        project: (!all_tenants).then(|| caller.context.project_id.clone()),
        ..VolumeQuery::default()
    };
    let with_metadata = caller.version.at_least(36);
    // The totals of one project are two counters.
    let rows = (!with_metadata && !all_tenants).then_some(2);
    let read = move || async move {
        let (total_count, total_size) = state.catalog.volume_totals(&wanted).await?;
        let metadata = match with_metadata {
            true => Some(distinct_metadata(&state.catalog, &wanted).await?),
            false => None,
        };
        Json::of(&Named(
            "volume-summary",
            Summary {
                total_count,
                total_size,
                metadata,
            },
        ))
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// Every metadata key of these volumes, with its different values.
async fn distinct_metadata(
    catalog: &Catalog,
    query: &VolumeQuery,
) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen: HashSet<(String, String)> = HashSet::new();
    let note = |volume: &Volume| {
        for (key, value) in &volume.metadata {
            if seen.insert((key.clone(), value.clone())) {
                found.entry(key.clone()).or_default().push(value.clone());
            }
        }
    };
    catalog.each_volume(query, note).await?;
    Ok(found)
}
