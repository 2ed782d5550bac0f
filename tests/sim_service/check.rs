//! The records and storage, compared with what was promised: the records among themselves, with the storage, and with
//! the answers to clients.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use futures_util::FutureExt;
use pumice::model::quota::Resource;
use pumice::model::transitions::claims_storage;
use pumice::model::{
    Attachment, AttachmentStatus, Operation, ProjectId, Snapshot, SnapshotId, SnapshotStatus, Volume,
    VolumeId, VolumeStatus,
};
use pumice::store::catalog::{Catalog, VolumeQuery, verify};

use crate::acknowledged::Existence;
use crate::history::History;
use crate::nodes::World;
use crate::parts::{POOR_GIGABYTES, PROJECTS};

/// The store in memory answers at once.
fn now<T, E: Debug>(answer: impl Future<Output = Result<T, E>>) -> T {
    let answer = answer.now_or_never().expect("nothing to wait for");
    answer.expect("a sound store")
}

pub fn catalog(world: &World) -> Catalog {
    now(Catalog::open(world.store()))
}

pub fn open_operations(catalog: &Catalog) -> Vec<Operation> {
    let open = now(catalog.operations(None, 10_000)).records;
    open.into_iter().map(|stored| stored.record).collect()
}

struct Records {
    volumes: BTreeMap<VolumeId, Volume>,
    snapshots: BTreeMap<SnapshotId, Snapshot>,
    attachments: Vec<Attachment>,
}

impl Records {
    fn read(catalog: &Catalog) -> Self {
        let query = VolumeQuery {
            limit: 10_000,
            ..VolumeQuery::default()
        };
        let volumes = now(catalog.page::<Volume>(&query)).records;
        let mut records = Self {
            volumes: volumes.into_iter().map(|volume| (volume.id, volume)).collect(),
            snapshots: BTreeMap::new(),
            attachments: Vec::new(),
        };
        for id in records.volumes.keys() {
            let snapshots = now(catalog.volume_snapshots(*id)).into_iter();
            records
                .snapshots
                .extend(snapshots.map(|snapshot| (snapshot.id, snapshot.record)));
            let attachments = now(catalog.volume_attachments(*id)).into_iter();
            records
                .attachments
                .extend(attachments.map(|attachment| attachment.record));
        }
        records
    }

    fn backend_of(&self, volume: VolumeId) -> Option<String> {
        let host = self.volumes.get(&volume)?.host.as_ref()?;
        Some(host.backend.to_string())
    }
}

/// Everything that is not as promised.
pub fn faults(world: &World) -> Vec<String> {
    let catalog = catalog(world);
    let records = Records::read(&catalog);
    let mut wrong = world.history.borrow().facts.faults.clone();
    let findings = now(verify::verify(&catalog));
    wrong.extend(findings.iter().map(|finding| finding.to_string()));
    for operation in open_operations(&catalog) {
        wrong.push(format!("an operation is open: {operation:?}"));
    }
    rests(world, &records, &mut wrong);
    storage_is_recorded(world, &records, &mut wrong);
    records_are_stored(world, &records, &mut wrong);
    let poor = ProjectId::from(PROJECTS[0]);
    let usage = now(catalog.usage(&poor));
    let used = usage.get(&Resource::gigabytes()).copied().unwrap_or_default();
    if used.in_use > POOR_GIGABYTES {
        wrong.push(format!("{} GiB of {POOR_GIGABYTES} are used", used.in_use));
    }
    let history = world.history.borrow();
    for name in &history.refused {
        if records
            .volumes
            .values()
            .any(|volume| volume.name.as_ref() == Some(name))
        {
            wrong.push(format!("{name} was refused, and is there"));
        }
    }
    let shown = |volume: &&Volume| volume.copy_of().is_none();
    let shown: Vec<&Volume> = records.volumes.values().filter(shown).collect();
    let names: BTreeSet<_> = shown.iter().map(|volume| &volume.name).collect();
    if names.len() != shown.len() {
        wrong.push("a volume was made twice".to_owned());
    }
    compare_facts(world, &records, &history, &mut wrong);
    for router in world.routers.borrow().iter() {
        for actor in router.actors() {
            if let Some(failure) = &actor.last_failure {
                wrong.push(format!("{} failed: {failure:?}", actor.address));
            }
        }
    }
    wrong
}

/// Nothing is on its way, and nothing has failed that had no reason to.
fn rests(world: &World, records: &Records, wrong: &mut Vec<String>) {
    let strict = world.plan.excuses_nothing();
    for volume in records.volumes.values() {
        if volume.status.is_transient() || (strict && volume.status.is_error()) {
            wrong.push(format!("{} rests in {}", volume.id, volume.status));
        }
    }
    for snapshot in records.snapshots.values() {
        let is_well = match snapshot.status {
            SnapshotStatus::Available => true,
            SnapshotStatus::Error | SnapshotStatus::ErrorDeleting => !strict,
            _ => false,
        };
        if !is_well {
            wrong.push(format!("snapshot {} rests in {:?}", snapshot.id, snapshot.status));
        }
    }
    for attachment in &records.attachments {
        if attachment.operation.is_some() {
            wrong.push(format!("attachment {} is on its way", attachment.id));
        }
    }
}

/// Nothing is on a storage that has no record, or one that says it is elsewhere.
fn storage_is_recorded(world: &World, records: &Records, wrong: &mut Vec<String>) {
    for storage in &world.storages {
        let here = Some(storage.backend());
        for id in storage.driver.volumes() {
            let mut volumes = records.volumes.values();
            let is_recorded =
                volumes.any(|volume| volume.storage_id() == id && records.backend_of(volume.id) == here);
            if !is_recorded {
                let record = records.volumes.get(&id);
                wrong.push(format!("volume {id} is left on {here:?}: {record:?}"));
            }
        }
        for id in storage.driver.snapshots() {
            let volume = records.snapshots.get(&id).map(|snapshot| snapshot.volume_id);
            if volume.and_then(|volume| records.backend_of(volume)) != here {
                wrong.push(format!("snapshot {id} is left on {here:?}"));
            }
        }
        for name in storage.target.exports() {
            let mut volumes = records.volumes.values();
            let volume = volumes.find(|volume| volume.storage_name() == name);
            if volume.and_then(|volume| records.backend_of(volume.id)) != here {
                wrong.push(format!("the export of {name} is left on {here:?}"));
            }
        }
    }
}

/// What has a record is where that says, as large as that says, and exported if somebody has it.
fn records_are_stored(world: &World, records: &Records, wrong: &mut Vec<String>) {
    for volume in records.volumes.values().filter(|volume| claims_storage(volume)) {
        let backend = records.backend_of(volume.id);
        let mut storages = world.storages.iter();
        let Some(storage) = storages.find(|storage| Some(storage.backend()) == backend) else {
            wrong.push(format!("{} is {} and nowhere", volume.id, volume.status));
            continue;
        };
        let size = storage.driver.size(volume.storage_id());
        let may_differ = volume.status == VolumeStatus::ErrorExtending;
        if size.is_none() || (size != Some(volume.size) && !may_differ) {
            wrong.push(format!(
                "{} is {} with {} GiB, but its storage has {size:?}",
                volume.id, volume.status, volume.size
            ));
        }
        let is_connected = |attachment: &&Attachment| {
            attachment.volume_id == volume.id
                && matches!(
                    attachment.status,
                    AttachmentStatus::Attached | AttachmentStatus::Attaching
                )
        };
        let connected = records
            .attachments
            .iter()
            .any(|attachment| is_connected(&attachment));
        let exported = storage.target.exports().contains(&volume.storage_name());
        if connected && !exported {
            wrong.push(format!("{} is attached, but not exported", volume.id));
        }
        if exported && !connected && world.plan.excuses_nothing() {
            wrong.push(format!("{} is exported, but not attached", volume.id));
        }
    }
    for snapshot in records.snapshots.values() {
        let there = world
            .storages
            .iter()
            .any(|storage| storage.driver.snapshots().contains(&snapshot.id));
        if snapshot.status == SnapshotStatus::Available && !there {
            wrong.push(format!("snapshot {} is available, and nowhere", snapshot.id));
        }
    }
}

/// Compares records with the answers to clients. What belongs to a volume is of interest only if that surely exists.
fn compare_facts(
    world: &World,
    records: &Records,
    History { facts, owners, .. }: &History,
    wrong: &mut Vec<String>,
) {
    let strict = world.plan.excuses_nothing();
    for (id, known) in &facts.resources {
        if known
            .volume
            .is_some_and(|volume| !facts.resources[&volume].exists())
        {
            continue;
        }
        let volume = records.volumes.get(&VolumeId(*id));
        let snapshot = records.snapshots.get(&SnapshotId(*id));
        let attachment = records.attachments.iter().find(|found| found.id.0 == *id);
        let is_there = volume.is_some() || snapshot.is_some() || attachment.is_some();
        // A delete that failed is excused where a driver may fail.
        let has_failed = volume.is_some_and(|found| found.status == VolumeStatus::ErrorDeleting)
            || snapshot.is_some_and(|found| found.status == SnapshotStatus::ErrorDeleting);
        let is_excused = has_failed && !strict && known.existence == Existence::Gone;
        let existence = known.existence.contradiction(is_there).filter(|_| !is_excused);
        let mut say = |why: Option<String>, what: &str| {
            wrong.extend(why.map(|why| format!("{what}{} {id} {why}", known.kind)));
        };
        say(existence.map(str::to_owned), "");
        if let Some(volume) = volume.filter(|_| known.exists()) {
            let owner = PROJECTS[owners[id] % 2];
            let has_other = volume.project_id.as_str() != owner;
            say(
                has_other.then(|| format!("is {}", volume.project_id)),
                "the project of ",
            );
            let size = known.sizes.contradiction(&u64::from(volume.size));
            say(size.filter(|_| strict), "the size of ");
            let note = volume.metadata.get("note").cloned();
            say(known.metadata.contradiction(&note), "the note of ");
        }
        if let Some(attachment) = attachment.filter(|_| known.exists()) {
            let status = known.statuses.contradiction(attachment.status.as_str());
            say(status, "the status of ");
        }
    }
}
