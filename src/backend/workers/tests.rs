//! Which verbs wait for which, and how they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{LockSet, Maintenance, WorkError, Workers};
use crate::backend::testing::first;
use crate::drivers::ownership::{Ownership, Place};
use crate::drivers::{DriverError, Work};
use crate::model::spec::VolumeSource;
use crate::model::{SnapshotId, VolumeId};

const LONG: Duration = Duration::from_secs(30);

/// Blocks until cancelled, as a driver that checks its limits does.
fn until_cancelled(work: &Work) -> Result<(), DriverError> {
    loop {
        work.check()?;
        std::thread::yield_now();
    }
}

async fn until_running(workers: &Workers) {
    while workers.running() == 0 {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_verb_that_hangs_is_cancelled_at_its_limit() {
    let workers = Workers::new(1);
    let limit = Duration::from_millis(50);
    let answer = workers.run(Maintenance::Stats, limit, until_cancelled).await;
    let is_late = matches!(answer, Err(WorkError::Driver(DriverError::TimedOut)));
    assert!(is_late, "{answer:?}");
    // Its permit is free again.
    let seven = workers.run(Maintenance::Stats, LONG, |_| Ok(7)).await;
    assert_eq!(seven.unwrap(), 7);
}

#[actix::test]
async fn no_more_than_the_bound_run_at_once_and_one_per_volume() {
    let workers = Workers::new(2);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let volume = VolumeId::new();
    let on_volume = Arc::new(AtomicUsize::new(0));
    let mut runs = Vec::new();
    for index in 0..12 {
        let (now, most, on_volume) = (now.clone(), most.clone(), on_volume.clone());
        let target = (index % 2 == 0).then_some(volume);
        runs.push(workers.run(target.unwrap_or_else(VolumeId::new), LONG, move |_| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            if target.is_some() {
                let before = on_volume.fetch_add(1, Ordering::SeqCst);
                assert_eq!(before, 0, "two verbs on one volume");
            }
            std::thread::yield_now();
            if target.is_some() {
                on_volume.fetch_sub(1, Ordering::SeqCst);
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }));
    }
    for answer in futures_util::future::join_all(runs).await {
        answer.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[actix::test]
async fn copies_that_take_for_ever_leave_room_for_short_verbs() {
    let workers = Workers::new(2);
    let source = VolumeId::new();
    let from = VolumeSource::Volume { id: source, size: 1 };
    let copy = || LockSet::volume(VolumeId::new()).moving_data(true);
    let first = workers.run(copy().and_source(&from), LONG, until_cancelled);
    let second = workers.run(copy(), LONG, until_cancelled);
    let short = async {
        until_running(&workers).await;
        // The source can be attached while it is copied, and other volumes created.
        for volume in [source, VolumeId::new()] {
            workers.run(volume, LONG, |_| Ok(())).await.unwrap();
        }
        assert_eq!(workers.running(), 1, "the second copy waits");
        workers.stop();
    };
    let (first, second, ()) = futures_util::future::join3(first, second, short).await;
    for ended in [first, second] {
        assert!(matches!(ended, Err(WorkError::Stopping)));
    }
}

#[actix::test]
async fn a_source_stays_as_it_is_while_it_is_copied() {
    let workers = Workers::new(4);
    let (source, snapshot) = (VolumeId::new(), SnapshotId::new());
    let from = VolumeSource::Snapshot {
        id: snapshot,
        volume_id: source,
        size: 1,
    };
    let copying = Arc::new(AtomicUsize::new(0));
    let theirs = copying.clone();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let locks = LockSet::volume(VolumeId::new()).and_source(&from);
    let copy = workers.run(locks, LONG, move |_| {
        theirs.store(1, Ordering::SeqCst);
        gone.recv().unwrap();
        theirs.store(2, Ordering::SeqCst);
        Ok(())
    });
    let others = async {
        while copying.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let seen = copying.clone();
        let delete = workers.run(LockSet::snapshot(snapshot), LONG, move |_| {
            Ok(seen.load(Ordering::SeqCst))
        });
        let extend = async {
            let locks = LockSet::volume(source).and(LockSet::content_of(source));
            workers.run(locks, LONG, |_| Ok(())).await.unwrap();
            go.send(()).unwrap();
        };
        futures_util::future::join(delete, extend).await.0.unwrap()
    };
    let (copied, copies_before_delete) = futures_util::future::join(copy, others).await;
    copied.unwrap();
    assert_eq!(copies_before_delete, 2);
}

#[actix::test]
async fn a_panicking_verb_is_distinguished() {
    let workers = Workers::new(1);
    let verb = |_: &Work| -> Result<(), DriverError> { panic!("ouch") };
    let answer = workers.run(Maintenance::Stats, LONG, verb).await;
    assert!(matches!(answer, Err(WorkError::Panicked(text)) if text == "ouch"));
    assert_eq!(workers.running(), 0);
}

#[actix::test]
async fn stopping_parks_what_runs() {
    let workers = Workers::new(1);
    let run = workers.run(Maintenance::Stats, LONG, until_cancelled);
    let stop = async {
        until_running(&workers).await;
        workers.stop();
    };
    let (answer, ()) = futures_util::future::join(run, stop).await;
    assert!(matches!(answer, Err(WorkError::Stopping)), "{answer:?}");
}

#[actix::test]
async fn a_cancelled_command_ends_what_runs_and_what_waits_and_no_other() {
    let workers = Workers::new(4);
    let (ours, theirs) = (first(), first());
    let volume = VolumeId::new();
    let locks = |command| LockSet::volume(volume).of_command(command);
    let _running = [workers.begin_command(ours), workers.begin_command(theirs)];
    let runs = workers.run(locks(ours), LONG, until_cancelled);
    let waits = workers.run(locks(ours), LONG, |_| Ok(()));
    let other = workers.run(locks(theirs), LONG, |_| Ok(7));
    let cancel = async {
        until_running(&workers).await;
        assert!(workers.cancel(ours));
    };
    let (runs, waits, other, ()) = futures_util::future::join4(runs, waits, other, cancel).await;
    for ended in [runs, waits] {
        let is_cancelled = matches!(ended, Err(WorkError::Driver(DriverError::Cancelled)));
        assert!(is_cancelled, "{ended:?}");
    }
    assert_eq!(other.unwrap(), 7);
    // The verbs of a revert do not belong to a command.
    workers.run(volume, LONG, |_| Ok(())).await.unwrap();
}

#[actix::test]
async fn a_command_that_is_over_cannot_be_cancelled() {
    let workers = Workers::new(1);
    let over = first();
    drop(workers.begin_command(over));
    assert!(!workers.cancel(over));
    assert!(!workers.cancel(first()));
}

#[actix::test]
async fn progress_is_reported_per_command_while_it_runs() {
    let workers = Workers::new(2);
    let copy = first();
    let locks = LockSet::volume(VolumeId::new()).of_command(copy);
    let run = workers.run(locks, LONG, |work| {
        work.progressed(3, 4);
        until_cancelled(work)
    });
    let look = async {
        while workers.progress() != [(copy, 3, 4)] {
            tokio::task::yield_now().await;
        }
        workers.stop();
    };
    let (ended, ()) = futures_util::future::join(run, look).await;
    assert!(matches!(ended, Err(WorkError::Stopping)));
    assert_eq!(workers.progress(), []);
}

#[actix_rt::test]
async fn a_failure_is_reported_while_the_storage_cannot_be_seen_and_nothing_once_another_owns_it() {
    let home = tempfile::tempdir().unwrap();
    let (folder, aside) = (home.path().join("volumes"), home.path().join("aside"));
    std::fs::create_dir(&folder).unwrap();
    let ownership = Ownership::of(vec![Place::folder(&folder)]);
    ownership.take().unwrap();
    let workers = Workers::with_ownership(2, ownership);
    assert!(workers.may_report(false).await && workers.may_report(true).await);
    std::fs::rename(&folder, &aside).unwrap();
    assert!(!workers.may_report(false).await && workers.may_report(true).await);
    std::fs::rename(&aside, &folder).unwrap();
    assert!(workers.may_report(false).await && workers.may_report(true).await);
    std::fs::remove_file(folder.join(".pumice.lock")).unwrap();
    let successor = Ownership::of(vec![Place::folder(&folder)]);
    successor.take().unwrap();
    assert!(!workers.may_report(false).await && !workers.may_report(true).await);
}
