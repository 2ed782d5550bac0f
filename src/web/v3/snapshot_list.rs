//! `GET /snapshots` and `/snapshots/detail`.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use super::query::Query;
use super::{python, snapshot_query};
use crate::model::{Snapshot, SnapshotId};
use crate::store::catalog::{Catalog, ListError, SnapshotQuery};
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::offload::Offload;
use crate::web::state::WebState;
use crate::web::views::snapshot::{SnapshotSummary, SnapshotViews};
use crate::web::views::{Json, Listed};

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
        Json::of(&Listed {
            name: "snapshots",
            items: page.snapshots.iter().map(SnapshotSummary),
            next: page.next(&caller, "snapshots"),
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
        let views = SnapshotViews::extended(&caller);
        Json::of(&Listed {
            name: "snapshots",
            items: page.snapshots.iter().map(|snapshot| views.detail(snapshot)),
            next: page.next(&caller, "snapshots/detail"),
            count: page.count,
        })
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// A page of snapshots, and what a link to the next needs.
struct Page {
    snapshots: Vec<Snapshot>,
    next: Option<SnapshotId>,
    count: Option<u64>,
    query: String,
}

impl Page {
    fn next(&self, caller: &Caller, path: &str) -> Option<(&'static str, serde_json::Value)> {
        let link = caller.next_link(path, &self.query, &self.next?.to_string());
        Some(("snapshots_links", link))
    }
}

/// Which snapshots are listed.
struct Wanted {
    query: SnapshotQuery,
    with_count: bool,
    text: String,
}

fn unknown_marker(marker: &str) -> Fault {
    Fault::not_found(format!("Snapshot {marker} could not be found."))
}

impl Wanted {
    fn read(caller: &Caller, mut query: Query) -> Result<Self, Fault> {
        let text = query.text().to_owned();
        let sorting = query.take_sorting()?;
        let paging = query.take_paging()?;
        let mut with_count = false;
        if caller.version.at_least(45) {
            with_count = query.bool("with_count")?;
            query.take("with_count");
        }
        // Unlike with volumes, what is no boolean is false.
        let all_tenants = query.get("all_tenants").and_then(python::bool_from_string);
        let all_tenants = caller.context.is_admin && all_tenants == Some(true);
        let filters = snapshot_query::filters(caller, &mut query)?;
        let sort = sorting.keys(|key| snapshot_query::sort_key(caller.version, key))?;
        let marker = match &paging.marker {
            None => None,
            Some(marker) => Some(
                python::uuid(marker)
                    .map(SnapshotId)
                    .ok_or_else(|| unknown_marker(marker))?,
            ),
        };
        let query = SnapshotQuery {
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
        let found = catalog
            .snapshots(&self.query)
            .await
            .map_err(|error| match error {
                ListError::UnknownMarker(marker) => unknown_marker(&marker),
                ListError::Store(error) => error.into(),
            })?;
        let count = match self.with_count {
            true => Some(catalog.snapshot_total(&self.query).await?),
            false => None,
        };
        Ok(Page {
            snapshots: found.records,
            next: found.next,
            count,
            query: self.text,
        })
    }
}
