//! What the store costs on this machine: `cargo run --release --example store_figures [DIRECTORY [VOLUMES]]`.
//!
//! With a number of volumes it fills a store with so many in one process, and measures memory in a fresh one.
//!
//! Commits made durable a second beside the rate at which the disk syncs at all, pages of volumes at several sizes of the
//! catalog, memory, disk and the time to open.

#![expect(clippy::print_stdout, reason = "it is a program that prints figures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pumice::model::quota::{Resource, volume_deltas};
use pumice::model::{
    BackendName, Operation, OperationId, ProjectId, Timestamp, Volume, VolumeId, VolumeStatus, VolumeTypeId,
};
use pumice::store::Store;
use pumice::store::catalog::{Catalog, Changes, Direction, VolumeField, VolumeFilter, VolumeQuery};
use pumice::store::record::operation_v1::{OperationKind, OperationV1};
use pumice::store::sled::{SledOptions, SledStore};

type Fallible<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Fallible {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .unwrap_or_else(|| "target/store_figures".to_owned());
    let directory = Path::new(&directory);
    let store = directory.join("store");
    if let Some(volumes) = arguments.next() {
        let volumes = volumes.parse()?;
        return actix::System::new().block_on(async {
            if store.exists() {
                reopen(&store, volumes).await
            } else {
                fill(&store, volumes).await
            }
        });
    }
    if directory.exists() {
        std::fs::remove_dir_all(directory)?;
    }
    std::fs::create_dir_all(directory)?;
    raw_syncs(&directory.join("raw"))?;
    actix::System::new().block_on(measure(&store))
}

async fn fill(path: &Path, volumes: u64) -> Fallible {
    let catalog = Catalog::open(Arc::new(SledStore::open(path, &SledOptions::default())?)).await?;
    add_volumes(&catalog, 0, volumes, None).await?;
    println!(
        "{volumes} volumes: {} MiB resident after filling",
        resident_mib()?
    );
    Ok(())
}

async fn reopen(path: &Path, volumes: u64) -> Fallible {
    println!("{} MiB resident before", resident_mib()?);
    let started = Instant::now();
    let store = Arc::new(SledStore::open(path, &SledOptions::default())?);
    println!(
        "opened in {:?}, {} MiB resident",
        started.elapsed(),
        resident_mib()?
    );
    let catalog = Catalog::open(store.clone()).await?;
    pages(&catalog, volumes).await?;
    println!("{} MiB resident after pages", resident_mib()?);
    creates(&store, &catalog, None, 64).await?;
    overwrite(&store, &catalog).await?;
    let on_disk = store.size_on_disk().await?.unwrap_or(0) >> 20;
    println!(
        "{} MiB resident after creates, {on_disk} MiB on disk",
        resident_mib()?
    );
    Ok(())
}

async fn add_volumes(catalog: &Catalog, from: u64, to: u64, kind: Option<VolumeTypeId>) -> Fallible<u64> {
    let mut volumes = from;
    while volumes < to {
        let mut changes = catalog.change();
        for n in 0..20 {
            let (volume, _) = volume(volumes + n, kind);
            changes
                .insert(&volume)
                .add_usage(&volume.project_id, &worth(&volume));
        }
        changes.commit().await?;
        volumes += 20;
    }
    Ok(volumes)
}

/// How often the disk can say that a small write is safe.
fn raw_syncs(path: &Path) -> Fallible {
    let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
    let started = Instant::now();
    let mut syncs = 0_u32;
    while started.elapsed() < Duration::from_secs(2) {
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        syncs += 1;
    }
    println!(
        "the disk alone: {:.0} syncs/s of 4 KiB appended",
        f64::from(syncs) / started.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn measure(path: &Path) -> Fallible {
    let store = Arc::new(SledStore::open(path, &SledOptions::default())?);
    let catalog = Catalog::open(store.clone()).await?;
    let kind = catalog.volume_types().await?.first().map(|kind| kind.id);
    for committers in [1, 8, 64, 256] {
        creates(&store, &catalog, kind, committers).await?;
    }
    let mut volumes = catalog.volume_totals(&VolumeQuery::default()).await?.0;
    for size in [10_000, 100_000] {
        volumes = add_volumes(&catalog, volumes, size, kind).await?;
        pages(&catalog, volumes).await?;
        churn(&catalog).await?;
        let on_disk = store.size_on_disk().await?.unwrap_or(0);
        println!(
            "{volumes} volumes: {} MiB resident, {} MiB on disk",
            resident_mib()?,
            on_disk >> 20
        );
    }
    drop(catalog);
    drop(store);
    let started = Instant::now();
    let store = SledStore::open(path, &SledOptions::default())?;
    println!("{volumes} volumes: opened in {:?}", started.elapsed());
    let catalog = Catalog::open(Arc::new(store)).await?;
    pages(&catalog, volumes).await?;
    println!(
        "{volumes} volumes: {} MiB resident after opening and a few pages",
        resident_mib()?
    );
    Ok(())
}

/// Create requests as the Api commits them: volume, its rows, its operation, four counters and two ceilings.
async fn creates(
    store: &SledStore,
    catalog: &Catalog,
    kind: Option<VolumeTypeId>,
    committers: u64,
) -> Fallible {
    let stats = store.stats();
    let read = || {
        [
            &stats.commits,
            &stats.groups,
            &stats.evaluate_micros,
            &stats.apply_micros,
            &stats.flush_micros,
        ]
        .map(|counter| counter.load(Ordering::Relaxed))
    };
    let before = read();
    let started = Instant::now();
    let workers = (0..committers).map(|worker| async move {
        let mut n = worker;
        while started.elapsed() < Duration::from_secs(3) {
            let mut changes = catalog.change();
            create(&mut changes, n, kind);
            changes.commit().await?;
            n += committers;
        }
        Fallible::Ok(())
    });
    for result in futures_util::future::join_all(workers).await {
        result?;
    }
    let elapsed = started.elapsed().as_secs_f64();
    let after = read();
    let [commits, groups, evaluate, apply, flush] = std::array::from_fn(|n| after[n] - before[n]);
    let per_group = |micros: u64| micros / groups.max(1);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = commits as f64 / elapsed;
    println!(
        "{committers} committers: {rate:.0} durable creates/s, {} to a flush; each flush: evaluate {} us, apply {} us, sync {} us",
        commits / groups.max(1),
        per_group(evaluate),
        per_group(apply),
        per_group(flush),
    );
    Ok(())
}

/// The same few volumes change for a while: whether the file stops growing.
async fn overwrite(store: &SledStore, catalog: &Catalog) -> Fallible {
    let query = VolumeQuery {
        limit: 64,
        ..VolumeQuery::default()
    };
    let volumes = catalog.page::<Volume>(&query).await?.records;
    for _ in 0..6 {
        let before = store.size_on_disk().await?.unwrap_or(0) >> 20;
        let started = Instant::now();
        let workers = volumes.iter().map(|volume| async move {
            let mut updates = 0_u32;
            while started.elapsed() < Duration::from_secs(5) {
                let Some(was) = catalog.volume(volume.id).await? else {
                    break;
                };
                let mut now = was.record.clone();
                now.status = if updates.is_multiple_of(2) {
                    VolumeStatus::InUse
                } else {
                    VolumeStatus::Available
                };
                let mut changes = catalog.change();
                changes.update(&was, &now);
                changes.commit().await?;
                updates += 1;
            }
            Fallible::Ok(updates)
        });
        let mut updates = 0;
        for result in futures_util::future::join_all(workers).await {
            updates += result?;
        }
        let after = store.size_on_disk().await?.unwrap_or(0) >> 20;
        println!("  {updates} updates of 64 volumes: {before} MiB on disk before, {after} MiB after");
    }
    Ok(())
}

/// Volumes change again and again: what an index in a log leaves behind.
async fn churn(catalog: &Catalog) -> Fallible {
    let query = VolumeQuery {
        limit: 500,
        ..VolumeQuery::default()
    };
    let started = Instant::now();
    let mut updates = 0_u32;
    for round in 0..4_u32 {
        for volume in catalog.page::<Volume>(&query).await?.records {
            let Some(was) = catalog.volume(volume.id).await? else {
                continue;
            };
            let mut now = volume;
            now.status = if round % 2 == 0 {
                VolumeStatus::InUse
            } else {
                VolumeStatus::Available
            };
            let mut changes = catalog.change();
            changes.update(&was, &now);
            changes.commit().await?;
            updates += 1;
        }
    }
    println!(
        "  {updates} updates one after the other: {:?} each",
        started.elapsed() / updates
    );
    Ok(())
}

async fn pages(catalog: &Catalog, volumes: u64) -> Fallible {
    let project = Some(ProjectId::from("project-1"));
    let all = VolumeQuery {
        limit: 1000,
        ..VolumeQuery::default()
    };
    let status = VolumeFilter::Is(VolumeField::Status, vec!["available".to_owned()]);
    let name = VolumeFilter::Is(VolumeField::Name, vec!["volume-77".to_owned()]);
    for (what, query) in [
        ("newest 1000 of all", all.clone()),
        (
            "newest 1000 of a project",
            VolumeQuery {
                project: project.clone(),
                ..all.clone()
            },
        ),
        (
            "newest 20 of a project",
            VolumeQuery {
                project: project.clone(),
                limit: 20,
                ..all.clone()
            },
        ),
        (
            "1000 by name",
            VolumeQuery {
                sort: vec![(VolumeField::Name, Direction::Ascending)],
                ..all.clone()
            },
        ),
        (
            "1000 of a status",
            VolumeQuery {
                filters: vec![status],
                ..all.clone()
            },
        ),
        (
            "one by name",
            VolumeQuery {
                filters: vec![name],
                ..all.clone()
            },
        ),
        (
            "1000 by updated_at (a walk)",
            VolumeQuery {
                sort: vec![(VolumeField::UpdatedAt, Direction::Descending)],
                ..all.clone()
            },
        ),
    ] {
        let started = Instant::now();
        let page = catalog.page::<Volume>(&query).await?.records;
        let first = started.elapsed();
        let started = Instant::now();
        catalog.page::<Volume>(&query).await?;
        println!(
            "  {volumes} volumes, {what}: {first:?}, again {:?} ({} found)",
            started.elapsed(),
            page.len()
        );
    }
    let ids: Vec<VolumeId> = catalog
        .page::<Volume>(&all)
        .await?
        .records
        .iter()
        .map(|volume| volume.id)
        .collect();
    let started = Instant::now();
    catalog.volumes_attachments(&ids).await?;
    println!(
        "  {volumes} volumes, attachments of a page of 1000: {:?}",
        started.elapsed()
    );
    let started = Instant::now();
    catalog.volume_totals(&VolumeQuery { project, ..all }).await?;
    println!(
        "  {volumes} volumes, totals of a project: {:?}",
        started.elapsed()
    );
    Ok(())
}

fn volume(n: u64, kind: Option<VolumeTypeId>) -> (Volume, Operation) {
    let operation = OperationId::new();
    let volume = Volume {
        name: Some(format!("volume-{n}")),
        description: Some("made by the figures".to_owned()),
        volume_type_id: kind,
        host: Some(BackendName::new("node-1", "file").pool("pool")),
        placed: true,
        metadata: BTreeMap::from([("purpose".to_owned(), "figures".to_owned())]),
        shared_targets: Some(false),
        operation: Some(operation),
        ..Volume::new(
            format!("project-{}", n % 10).into(),
            "8a2b1c5de0f94a7e9d3f6b7c8d9e0f1a".into(),
            10,
            VolumeStatus::Available,
            "nova".to_owned(),
            Timestamp::now(),
        )
    };
    let operation = OperationV1 {
        id: operation,
        kind: OperationKind::CreateVolume { hints: None },
        volume_id: volume.id,
        project_id: volume.project_id.clone(),
        user_id: volume.user_id.clone(),
        request_id: "req-1b4e28ba-2fa1-11d2-883f-0016d3cca427".to_owned(),
        attempt: 1,
        pool: None,
        tried: Vec::new(),
        previous_status: None,
        reserved: BTreeMap::new(),
        steps: Vec::new(),
        created_at: volume.created_at,
        deadline: volume.created_at.plus(Duration::from_secs(3600)),
    }
    .upgrade()
    .expect("a journal entry of version 1 is read");
    (volume, operation)
}

fn worth(volume: &Volume) -> BTreeMap<Resource, i64> {
    volume_deltas(volume.size, volume.volume_type_id)
}

fn create(changes: &mut Changes, n: u64, kind: Option<VolumeTypeId>) {
    let (mut volume, operation) = volume(n, kind);
    volume.status = VolumeStatus::Creating;
    volume.host = None;
    volume.placed = false;
    changes
        .insert(&volume)
        .insert(&operation)
        .add_usage(&volume.project_id, &worth(&volume))
        .within_limit(&volume.project_id, &Resource::volumes(), 1_000_000)
        .within_limit(&volume.project_id, &Resource::gigabytes(), 100_000_000);
}

/// Resident memory of this process.
fn resident_mib() -> Fallible<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib >> 10)
}
