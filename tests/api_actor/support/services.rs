//! The scripted scheduler and quota.

use std::rc::Rc;

use pumice::messages::Message;
use pumice::messages::api::{FailureKind, Outcome};
use pumice::messages::quota::{Ceilings, CheckQuota, QuotaTopic};
use pumice::messages::scheduler::{GetPools, PlaceVolume, PoolView, SchedulerTopic, ValidateExtend};
use pumice::messages::volume::{CommandId, VolumeTopic};
use pumice::model::service::BackendStats;
use pumice::model::{Context, Error, PoolName, Timestamp};
use pumice::store::catalog::Catalog;
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{Actor, Endpoint, Handle, Router, Serve};
use pumice::verbs::notifications::notify_placed;
use pumice::verbs::volume::{CreateVolumeCommand, ScheduleVolume};

use super::backend::send_report;
use super::builders::failed;
use super::script::{Reaction, SCHEDULE, Shared};

struct FakeQuota(Shared);

pub fn start_quota(script: &Shared) -> Endpoint {
    let script = script.clone();
    EndpointBuilder::new(None, 1024, move || Rc::new(FakeQuota(script.clone())))
        .serves::<CheckQuota>()
        .start()
}

impl Actor for FakeQuota {
    type Topic = QuotaTopic;
}

impl Serve<CheckQuota> for FakeQuota {
    async fn serve(self: Rc<Self>, _context: Context, message: CheckQuota) -> Result<Ceilings, Error> {
        let script = self.0.lock();
        if let Some(error) = script.refuse_quota.clone() {
            return Err(error);
        }
        assert!(!message.deltas.is_empty());
        Ok(Ceilings {
            limits: script.limits.clone(),
        })
    }
}

struct FakeScheduler {
    script: Shared,
    router: Router,
    catalog: Catalog,
}

pub fn start_scheduler(script: &Shared, router: &Router, catalog: &Catalog) -> Endpoint {
    let (script, router, catalog) = (script.clone(), router.clone(), catalog.clone());
    let builder = EndpointBuilder::new(None, 4096, move || {
        Rc::new(FakeScheduler {
            script: script.clone(),
            router: router.clone(),
            catalog: catalog.clone(),
        })
    });
    builder
        .serves::<ScheduleVolume>()
        .serves::<PlaceVolume>()
        .serves::<ValidateExtend>()
        .serves::<GetPools>()
        .start()
}

impl Actor for FakeScheduler {
    type Topic = SchedulerTopic;
}

impl FakeScheduler {
    fn react<M: Message>(&self, name: &'static str, message: M) -> Reaction {
        self.script.lock().react(name, message)
    }

    async fn report_failure(&self, context: &Context, command: CommandId, kind: FailureKind) {
        send_report(&self.router, context, command, None, failed(kind)).await;
    }
}

impl Serve<ScheduleVolume> for FakeScheduler {
    async fn serve(self: Rc<Self>, context: Context, message: ScheduleVolume) -> Result<(), Error> {
        let command = CommandId {
            operation: message.operation,
            attempt: message.attempt,
        };
        match self.react(SCHEDULE, message.clone()) {
            Reaction::Lose => return Ok(()),
            Reaction::Fail(kind) => {
                self.report_failure(&context, command, kind).await;
                return Ok(());
            }
            Reaction::Succeed | Reaction::ReportTwice => {}
        }
        let chosen = {
            let pools = &self.script.lock().pools;
            pools
                .iter()
                .find(|pool| !message.request.tried.contains(pool))
                .cloned()
        };
        let Some(chosen) = chosen else {
            self.report_failure(&context, command, FailureKind::NoValidBackend)
                .await;
            return Ok(());
        };
        let volume = self.catalog.volume(message.request.volume_id).await.unwrap();
        let operation = self.catalog.operation(message.operation).await.unwrap();
        let (Some(volume), Some(operation)) = (volume, operation) else {
            return Ok(());
        };
        if operation.attempt != message.attempt || operation.pool.is_some() {
            return Ok(());
        }
        let mut placed = volume.record.clone();
        placed.host = Some(chosen.clone());
        placed.placed = true;
        let mut at_work = operation.record.clone();
        at_work.pool = Some(chosen.clone());
        let mut changes = self.catalog.change();
        changes.update(&volume, &placed).update(&operation, &at_work);
        notify_placed(&mut changes, &at_work, &placed);
        if changes.commit().await.is_err() {
            return Ok(());
        }
        let backend: Handle<VolumeTopic> = self.router.server(&chosen.backend.to_string());
        let create = CreateVolumeCommand {
            command,
            volume: message.volume.on(chosen),
            remaining_ms: 1000,
        };
        let _ = backend.cast(&context, create).await;
        Ok(())
    }
}

impl Serve<PlaceVolume> for FakeScheduler {
    async fn serve(self: Rc<Self>, context: Context, message: PlaceVolume) -> Result<(), Error> {
        let (command, request, among) = (message.command, &message.request, &message.among);
        let chosen = {
            let pools = &self.script.lock().pools;
            let passes = |pool: &&PoolName| among.has(pool) && !request.tried.contains(pool);
            let preferred = message.prefer.iter().find(passes);
            preferred.or_else(|| pools.iter().find(passes)).cloned()
        };
        match (self.react(PlaceVolume::NAME, message), chosen) {
            (Reaction::Lose, _) => {}
            (Reaction::Fail(kind), _) => self.report_failure(&context, command, kind).await,
            (_, None) => {
                let kind = FailureKind::NoValidBackend;
                self.report_failure(&context, command, kind).await;
            }
            (_, Some(pool)) => {
                let placed = Outcome::Placed { pool };
                send_report(&self.router, &context, command, None, placed).await;
            }
        }
        Ok(())
    }
}

impl Serve<ValidateExtend> for FakeScheduler {
    async fn serve(self: Rc<Self>, _context: Context, message: ValidateExtend) -> Result<(), Error> {
        match self.react(ValidateExtend::NAME, message) {
            Reaction::Fail(_) => Err(Error::bad_request("No valid backend was found.")),
            _ => Ok(()),
        }
    }
}

impl Serve<GetPools> for FakeScheduler {
    async fn serve(self: Rc<Self>, _context: Context, _message: GetPools) -> Result<Vec<PoolView>, Error> {
        let pools = self.script.lock().pools.clone();
        let view = |name: PoolName| PoolView {
            backend: BackendStats {
                backend: name.backend.clone(),
                volume_backend_name: "fake".to_owned(),
                vendor_name: "v".to_owned(),
                driver_version: "1".to_owned(),
                storage_protocol: "iSCSI".to_owned(),
                availability_zone: "nova".to_owned(),
                up: true,
                reason: None,
                pools: Vec::new(),
                timestamp: Timestamp::now(),
            },
            name,
            usable: true,
            index: 0,
        };
        Ok(pools.into_iter().map(view).collect())
    }
}
