//! Grow a volume (cinder: `volume/api.py` `_extend`, `scheduler/manager.py` `extend_volume`).
//!
//! Checks in Cinder's order: more than before, the type's bounds, the status, quota. Then the pool is asked for room: if it
//! has none the client still gets its 202, the volume stays as it is, and a user message says why, which is where Cinder
//! ends too. The growth is counted as `reserved` by the operation until the backend has made it.

use std::rc::Rc;

use super::lookup::{Unchanged, check_type_size, growth_failed, until_not_overtaken};
use super::verdict::Complaint;
use super::{ApiActor, specs_of};
use crate::messages::api::ExtendVolume;
use crate::messages::quota::{Reserve, Reserved};
use crate::messages::scheduler::{RequestSpec, ValidateExtend};
use crate::model::quota::extend_deltas;
use crate::model::transitions::{Verb, check_growth, decide, must_have_storage};
use crate::model::user_message::{Action, Detail};
use crate::model::{
    AttachStatus, Context, Error, ErrorKind, Operation, OperationKind, PoolName, Result, Timestamp, Volume,
    VolumeType,
};
use crate::store::catalog::Stored;
use crate::transport::CallError;

impl ApiActor {
    /// Serves [`ExtendVolume`].
    pub(super) async fn extend_volume(self: Rc<Self>, context: Context, request: ExtendVolume) -> Result<()> {
        let volume = self.find_volume(&context, &request.volume_id).await?;
        let volume_type = self.type_of(&volume).await?;
        check_growth(&volume, request.new_size)?;
        if let Some(volume_type) = volume_type.as_deref() {
            check_type_size(volume_type, request.new_size)?;
        }
        decide(
            &volume,
            &[],
            Verb::Extend {
                attached_too: request.attached_too,
            },
        )?;
        let growth = request.new_size - volume.size;
        let deltas = extend_deltas(growth, volume.volume_type_id);
        let hold = Reserve {
            project_id: volume.project_id.clone(),
            deltas,
            volume_size: Some(request.new_size),
        };
        let reserved = self
            .deps
            .quota
            .call(&context, hold, self.options.call_timeout)
            .await?;
        let begun = self.begin_to_extend(&context, &request, &volume, volume_type.as_ref(), &reserved);
        match begun.await {
            Ok(true) => self.commit_hold(&context, &reserved).await,
            Ok(false) => self.roll_back(&context, reserved).await,
            Err(error) => {
                self.roll_back(&context, reserved).await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// False if the pool has no room.
    async fn begin_to_extend(
        &self,
        context: &Context,
        request: &ExtendVolume,
        volume: &Volume,
        volume_type: Option<&Stored<VolumeType>>,
        reserved: &Reserved,
    ) -> Result<bool> {
        must_have_storage(volume)?;
        let Some(pool) = volume.host.clone() else {
            return Err(Error::internal("a volume that can grow has a host"));
        };
        let validate = validate(
            volume,
            volume_type.map(|found| &found.record),
            pool.clone(),
            request.new_size - volume.size,
        );
        match self
            .scheduler()
            .call(context, validate, self.options.call_timeout)
            .await
        {
            Ok(()) => {}
            // Not knowing the pool yet is another thing than knowing that it is full.
            Err(CallError::Refused(refusal)) if !matches!(refusal.kind, ErrorKind::Unavailable { .. }) => {
                self.complain_of_no_room(context, volume, &refusal).await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        let (operation, volume) =
            until_not_overtaken!(self.try_to_extend(context, request, &pool, reserved).await)?;
        self.begin(&operation, &volume).await;
        Ok(true)
    }

    async fn try_to_extend(
        &self,
        context: &Context,
        request: &ExtendVolume,
        pool: &PoolName,
        reserved: &Reserved,
    ) -> Result<(Operation, Volume), Unchanged> {
        let volume: Stored<Volume> = self.settled_volume(context, &request.volume_id).await?;
        check_growth(&volume, request.new_size)?;
        let status = decide(
            &volume,
            &[],
            Verb::Extend {
                attached_too: request.attached_too,
            },
        )?;
        let kind = OperationKind::ExtendVolume {
            new_size: request.new_size,
        };
        let mut operation = self.new_operation(context, kind, &volume, Some(pool.clone()));
        // Another extend may have ended since the hold was taken.
        let growth = request.new_size - volume.size;
        let volume_type = self.type_of(&volume).await?;
        if volume.consumes_quota {
            operation.reserved = extend_deltas(growth, volume.volume_type_id);
        }
        let mut extending = volume.record.clone();
        extending.previous_status = Some(volume.status);
        extending.status = status;
        extending.operation = Some(operation.id);
        extending.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes
            .update_volume(&volume, &extending)
            .insert_operation(&operation);
        for (resource, limit) in &reserved.limits {
            if *limit >= 0 && operation.reserved.contains_key(resource) {
                changes.within_limit(&volume.project_id, resource, *limit);
            }
        }
        changes
            .commit()
            .await
            .map_err(|error| growth_failed(error, &operation.reserved, volume_type.as_deref()))?;
        Ok((operation, extending))
    }

    async fn complain_of_no_room(&self, context: &Context, volume: &Volume, refusal: &Error) -> Result<()> {
        tracing::info!(volume = %volume.id, why = refusal.for_operator(), "no room to extend a volume");
        let complaint = Complaint {
            action: Action::ExtendVolume,
            detail: Detail::NoBackendAvailable,
            cause: None,
        };
        let mut changes = self.deps.catalog.change();
        changes.insert_message(&Self::complaint_about(context, volume, &complaint));
        changes.commit().await.map_err(Error::internal)?;
        Ok(())
    }
}

fn validate(
    volume: &Volume,
    volume_type: Option<&VolumeType>,
    pool: PoolName,
    growth: u32,
) -> ValidateExtend {
    ValidateExtend {
        request: RequestSpec {
            volume_id: volume.id,
            size: growth,
            availability_zone: None,
            extra_specs: specs_of(volume_type),
            resource_backend: Some(pool.clone()),
            hints: None,
            tried: Vec::new(),
        },
        pool,
        attached: volume.attach_status == AttachStatus::Attached,
    }
}
