//! No verb changes the group once the lock of it is lost, whichever of its commands is the next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pumice::drivers::lvm::{LvmDriver, LvmType};
use pumice::drivers::ownership::{Ownership, Place};
use pumice::drivers::{Access, DriverError, DriverResult, VolumeDriver, Work};
use pumice::model::{Reference, SnapshotId, StorageName, VolumeSpec};
use serde_json::{Value, json};

use self::harness::{Effect, Lock, Scene, Verb, all_are_fenced, verbs_of};
use super::group::{Group, volume, work};

#[path = "../../src/drivers/testing/fence.rs"]
mod harness;

/// A group with a volume that grew after its first snapshot, another that lies there inactive, and one of another program.
struct Prepared {
    group: Group,
    one: VolumeSpec,
    idle: VolumeSpec,
    first: SnapshotId,
    contents: BTreeMap<String, (Value, String)>,
}

impl Prepared {
    fn new(kind: LvmType) -> Self {
        let group = Group::new(kind);
        let (driver, one, idle, first) = (group.driver(), volume(1), volume(1), SnapshotId::new());
        driver.create_volume(&work(), &one).unwrap();
        driver.create_snapshot(&work(), &one, first).unwrap();
        driver.create_snapshot(&work(), &one, SnapshotId::new()).unwrap();
        driver.extend_volume(&work(), &one, 2).unwrap();
        driver.create_volume(&work(), &idle).unwrap();
        group.change(&idle.storage_name(), "active", false.into());
        group.put("stranger", &json!({ "active": false }));
        group.put(
            "strangers-snapshot",
            &json!({ "kind": "s", "origin": one.storage_name() }),
        );
        if kind == LvmType::Thin {
            // It is made to zero its blocks.
            group.put(&group.pool(), &json!({ "kind": "t", "attr": "twi-aot---" }));
            let of_volume = json!({ "kind": "V", "origin": one.storage_name(), "pool": group.pool() });
            group.put("strangers-snapshot", &of_volume);
        }
        let contents = group.contents();
        Self {
            group,
            one,
            idle,
            first,
            contents,
        }
    }
}

struct Fenced<'a> {
    at: &'a Prepared,
    driver: LvmDriver,
    lock: Lock,
}

impl<'a> Fenced<'a> {
    fn new(at: &'a Prepared) -> Self {
        at.group.restore(&at.contents);
        Self {
            at,
            driver: at.group.driver(),
            lock: Lock::taken(),
        }
    }
}

impl Scene for Fenced<'_> {
    fn work(&self) -> Work {
        self.lock.work()
    }

    fn lock(&self) -> PathBuf {
        self.lock.file()
    }

    fn record(&self, changes: usize, lock: &Path) {
        self.at.group.lose_after(changes, lock);
    }

    fn changes(&self) -> Vec<String> {
        self.at.group.changes()
    }
}

fn verbs<'a>(kind: LvmType) -> Vec<Verb<Fenced<'a>>> {
    let where_thin = match kind {
        LvmType::Thin => Effect::Changes,
        _ => Effect::Reads,
    };
    vec![
        ("setup", where_thin, |scene, work| scene.driver.setup(work)),
        ("create_volume", Effect::Changes, |scene, work| {
            scene.driver.create_volume(work, &volume(1)).map(drop)
        }),
        ("create_volume", Effect::Changes, |scene, work| {
            scene.driver.create_volume(work, &scene.at.idle).map(drop)
        }),
        ("create_volume_from_snapshot", Effect::Changes, |scene, work| {
            let snapshot = scene.at.first;
            scene
                .driver
                .create_volume_from_snapshot(work, &volume(2), snapshot)
                .map(drop)
        }),
        ("create_cloned_volume", Effect::Changes, |scene, work| {
            let source = scene.at.one.id;
            scene
                .driver
                .create_cloned_volume(work, &volume(3), source)
                .map(drop)
        }),
        ("delete_volume", Effect::Changes, |scene, work| {
            scene.driver.delete_volume(work, &scene.at.idle)
        }),
        ("extend_volume", Effect::Changes, |scene, work| {
            scene.driver.extend_volume(work, &scene.at.one, 4)
        }),
        ("create_snapshot", Effect::Changes, |scene, work| {
            scene
                .driver
                .create_snapshot(work, &scene.at.one, SnapshotId::new())
        }),
        ("delete_snapshot", Effect::Changes, |scene, work| {
            scene.driver.delete_snapshot(work, &scene.at.one, scene.at.first)
        }),
        ("delete_storage", Effect::Changes, |scene, work| {
            let name = StorageName::Snapshot(scene.at.first);
            scene.driver.delete_storage(work, &scene.at.one, name)
        }),
        ("retype_volume", Effect::Reads, |scene, work| {
            scene.driver.retype_volume(work, &scene.at.one).map(drop)
        }),
        ("revert_to_snapshot", Effect::Changes, |scene, work| {
            let then = VolumeSpec {
                size: 2,
                ..scene.at.one.clone()
            };
            scene.driver.revert_to_snapshot(work, &then, scene.at.first)
        }),
        ("manage_volume", Effect::Changes, |scene, work| {
            let theirs = Reference::named("stranger");
            scene.driver.manage_volume(work, &volume(1), &theirs).map(drop)
        }),
        ("manage_snapshot", Effect::Changes, |scene, work| {
            let theirs = Reference::named("strangers-snapshot");
            let snapshot = SnapshotId::new();
            scene
                .driver
                .manage_snapshot(work, &scene.at.one, snapshot, &theirs)
                .map(drop)
        }),
        ("activate", Effect::Changes, |scene, work| {
            scene.driver.activate(work, &scene.at.idle)
        }),
        ("open_volume", Effect::Changes, |scene, work| {
            scene
                .driver
                .open_volume(work, &scene.at.idle, Access::Write)
                .map(drop)
        }),
        ("open_volume", Effect::Changes, |scene, work| {
            scene
                .driver
                .open_volume(work, &scene.at.idle, Access::Read)
                .map(drop)
        }),
        ("stats", where_thin, |scene, work| {
            scene.driver.stats(work).map(drop)
        }),
        ("list_existing", Effect::Reads, |scene, work| {
            scene.driver.list_existing(work).map(drop)
        }),
        ("copy_volume_to_file", Effect::Changes, |scene, work| {
            let file = scene.at.group.bin().join("file");
            scene.driver.copy_volume_to_file(work, &scene.at.idle, &file)
        }),
        ("copy_file_to_volume", Effect::Changes, |scene, work| {
            let file = scene.at.group.bin().join("file");
            std::fs::write(&file, "new").unwrap();
            scene.driver.copy_file_to_volume(work, &file, &scene.at.idle)
        }),
        ("rename_volume", Effect::Changes, |scene, work| {
            scene.driver.rename_volume(work, scene.at.idle.id, volume(1).id)
        }),
    ]
}

fn no_verb_changes_a_group_once_its_lock_is_lost(kind: LvmType) {
    let driver = include_str!("../../src/drivers/lvm/mod.rs");
    let mut required = verbs_of(driver, "impl LvmDriver");
    required.extend(verbs_of(
        include_str!("../../src/drivers/mod.rs"),
        "pub trait VolumeDriver: Send + Sync",
    ));
    let prepared = Prepared::new(kind);
    all_are_fenced(&required, &verbs(kind), || Fenced::new(&prepared));
}

#[test]
fn no_verb_changes_a_thick_group_once_its_lock_is_lost() {
    no_verb_changes_a_group_once_its_lock_is_lost(LvmType::Thick);
}

#[test]
fn no_verb_changes_a_thin_group_once_its_lock_is_lost() {
    no_verb_changes_a_group_once_its_lock_is_lost(LvmType::Thin);
}
