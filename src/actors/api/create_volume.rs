//! Make a volume: Cinder's Api flow (cinder: `volume/flows/api/create_volume.py`).
//!
//! | step | what is true after it |
//! |---|---|
//! | `extract_volume_request` | all that the request names was found, all rules hold; nothing has changed |
//! | `reserve_quota` | Quota holds room for it, for a while |
//! | `create_record` | volume (`creating`), usage and operation are on disk, within all limits |
//! | `commit_quota` | the hold is let go: the usage counts now |
//! | `cast_to_scheduler` | the scheduler was told, or the journal will tell it |
//!
//! From `create_record` on the volume cannot be lost, so nothing after it fails: what could not be sent is sent again.

mod extract;

use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use tracing::warn;

use self::extract::Extracted;
use super::commands::Records;
use super::lookup::{TRIES, Unchanged, growth_failed, until_not_overtaken};
use super::record_changes::remove_volume;
use super::{ApiActor, specs_of};
use crate::flow::{Flow, Step};
use crate::messages::api::CreateVolume;
use crate::messages::quota::{Commit, Reserve, Reserved, Rollback};
use crate::model::{Context, Error, Operation, Result, Volume};
use crate::store::CommitError;

/// What the steps hand on.
pub(super) struct State {
    api: Rc<ApiActor>,
    context: Context,
    request: CreateVolume,
    extracted: Option<Extracted>,
    reserved: Option<Reserved>,
    /// The type was changed, renamed or deleted after it was looked up: what was extracted does not hold any more.
    overtaken: bool,
}

impl ApiActor {
    /// Serves [`CreateVolume`]: the reply is the volume in `creating`.
    pub(super) async fn create_volume(
        self: Rc<Self>,
        context: Context,
        request: CreateVolume,
    ) -> Result<Volume> {
        let mut state = State {
            api: Rc::clone(&self),
            context,
            request,
            extracted: None,
            reserved: None,
            overtaken: false,
        };
        let mut tries = 0;
        let report = loop {
            let report = flow().run(&mut state, 1, Rc::clone(&self.observer)).await;
            tries += 1;
            if !std::mem::take(&mut state.overtaken) || tries >= TRIES {
                break report;
            }
        };
        report.result?;
        let extracted = state
            .extracted
            .ok_or_else(|| Error::internal("the flow made nothing"))?;
        let id = extracted.operation.id;
        match self.timers.get(id) {
            Some(_) => self.deps.finished.note_steps(id, report.steps),
            // A fast backend: it has ended before this request has.
            None => self.deps.finished.amend(id, report.steps),
        }
        Ok(extracted.volume)
    }
}

fn flow() -> Flow<State, Error> {
    Flow::new("create_volume")
        .then(ExtractVolumeRequest)
        .then(ReserveQuota)
        .then(CreateRecord)
        .then(CommitQuota)
        .then(CastToScheduler)
}

impl State {
    fn extracted(&self) -> Result<&Extracted> {
        self.extracted
            .as_ref()
            .ok_or_else(|| Error::internal("nothing was extracted"))
    }
}

struct ExtractVolumeRequest;

#[async_trait(?Send)]
impl Step<State, Error> for ExtractVolumeRequest {
    fn name(&self) -> &'static str {
        "extract_volume_request"
    }

    async fn execute(&self, state: &mut State) -> Result<()> {
        let extracted = state.api.extract(&state.context, &state.request).await?;
        state.extracted = Some(extracted);
        Ok(())
    }
}

struct ReserveQuota;

#[async_trait(?Send)]
impl Step<State, Error> for ReserveQuota {
    fn name(&self) -> &'static str {
        "reserve_quota"
    }

    async fn execute(&self, state: &mut State) -> Result<()> {
        if state.reserved.is_some() {
            return Ok(());
        }
        let extracted = state.extracted()?;
        let message = Reserve {
            project_id: extracted.volume.project_id.clone(),
            deltas: extracted.deltas.clone(),
            volume_size: Some(extracted.volume.size),
        };
        let deps = &state.api.deps;
        let reserved = deps
            .quota
            .call(&state.context, message, state.api.options.call_timeout)
            .await?;
        state.reserved = Some(reserved);
        Ok(())
    }

    async fn revert(&self, state: &mut State, _cause: &Error) {
        let Some(reserved) = state.reserved.take() else {
            return;
        };
        state.api.roll_back(&state.context, reserved).await;
    }
}

struct CreateRecord;

#[async_trait(?Send)]
impl Step<State, Error> for CreateRecord {
    fn name(&self) -> &'static str {
        "create_record"
    }

    async fn execute(&self, state: &mut State) -> Result<()> {
        let extracted = state.extracted()?;
        let Extracted {
            volume,
            operation,
            volume_type,
            deltas,
            ..
        } = extracted;
        let catalog = &state.api.deps.catalog;
        let mut changes = catalog.change();
        changes.require_volume_type(volume_type);
        extracted.require_origin(&mut changes);
        changes
            .insert_volume(volume)
            .insert_operation(operation)
            .add_usage(&volume.project_id, deltas);
        for (resource, limit) in state.reserved.iter().flat_map(|reserved| &reserved.limits) {
            if *limit >= 0 && deltas.contains_key(resource) {
                changes.within_limit(&volume.project_id, resource, *limit);
            }
        }
        match changes.commit().await {
            Ok(_) => {
                state.api.drive(operation);
                Ok(())
            }
            // Done already: fresh ids are nobody else's.
            Err(CommitError::Conflict(_)) if is_there(state).await? => {
                state.api.drive(operation);
                Ok(())
            }
            Err(error) => match growth_failed(error, deltas, Some(volume_type)) {
                Unchanged::Refused(error) => Err(error),
                Unchanged::Overtaken => {
                    state.overtaken = true;
                    Err(
                        Error::unavailable("The service is temporarily unable to handle the request.", 1)
                            .with_operator("the volume type or the source was changed meanwhile"),
                    )
                }
            },
        }
    }

    /// Takes the record away again, unless a host was chosen in the meantime: then the operation will end what it began.
    async fn revert(&self, state: &mut State, cause: &Error) {
        let Ok(Extracted { operation, .. }) = state.extracted() else {
            return;
        };
        let taken: Result<()> = until_not_overtaken!(take_away(&state.api, operation).await);
        if let Err(error) = taken {
            warn!(
                operation = %operation.id,
                %cause,
                error = error.for_operator(),
                "a record is left to its operation"
            );
        }
    }
}

async fn is_there(state: &State) -> Result<bool> {
    let Extracted {
        volume, operation, ..
    } = state.extracted()?;
    let found = state.api.deps.catalog.volume(volume.id).await;
    let found = found.map_err(|error| super::lookup::store_failed(&error))?;
    Ok(found.is_some_and(|found| found.operation == Some(operation.id)))
}

async fn take_away(api: &ApiActor, operation: &Operation) -> Result<(), Unchanged> {
    let catalog = &api.deps.catalog;
    let (Some(volume), Some(operation)) = (
        catalog.volume(operation.volume_id).await?,
        catalog.operation(operation.id).await?,
    ) else {
        return Ok(());
    };
    if volume.host.is_some() || operation.pool.is_some() {
        return Ok(());
    }
    let mut changes = catalog.change();
    remove_volume(&mut changes, &volume, &[]);
    changes.end_operation(&operation);
    changes.commit().await?;
    api.is_not_in_the_journal(operation.id);
    Ok(())
}

struct CommitQuota;

#[async_trait(?Send)]
impl Step<State, Error> for CommitQuota {
    fn name(&self) -> &'static str {
        "commit_quota"
    }

    async fn execute(&self, state: &mut State) -> Result<()> {
        if let Some(reserved) = &state.reserved {
            state.api.commit_hold(&state.context, reserved).await;
        }
        Ok(())
    }
}

struct CastToScheduler;

#[async_trait(?Send)]
impl Step<State, Error> for CastToScheduler {
    fn name(&self) -> &'static str {
        "cast_to_scheduler"
    }

    async fn execute(&self, state: &mut State) -> Result<()> {
        let Extracted {
            volume,
            operation,
            volume_type,
            origin,
            ..
        } = state.extracted()?;
        let extra_specs: BTreeMap<_, _> = specs_of(Some(volume_type));
        let records = Records {
            operation,
            volume,
            attachments: &[],
            snapshots: &[],
            extra_specs: &extra_specs,
            source: origin.as_ref().map(|origin| &origin.volume.record),
        };
        state.api.dispatch(&records, 0).await;
        Ok(())
    }
}

impl ApiActor {
    /// The hold's request is on disk. A hold that does not hear of it runs out by itself.
    pub(super) async fn commit_hold(&self, context: &Context, reserved: &Reserved) {
        if let Err(error) = self.deps.quota.cast(context, Commit { id: reserved.id }).await {
            warn!(%error, "a quota hold is left to run out");
        }
    }

    /// The hold's request came to nothing.
    pub(super) async fn roll_back(&self, context: &Context, reserved: Reserved) {
        if let Err(error) = self.deps.quota.cast(context, Rollback { id: reserved.id }).await {
            warn!(%error, "a quota hold is left to run out");
        }
    }
}
