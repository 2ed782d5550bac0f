//! Every verb, broken off at each of its commands, before and after that did its work, and run again. Whatever happens on the way, no
//! space goes back to the group before what was in it is wiped.

use pumice::drivers::lvm::{LvmDriver, LvmType};
use pumice::drivers::{DriverResult, VolumeDriver};
use pumice::model::{Reference, SnapshotId, StorageName, VolumeSpec};

use super::group::{Group, volume, work};

/// A group in which a volume of 1 GiB holds `new`, its snapshot `old`, and both are known.
struct Scene {
    group: Group,
    driver: LvmDriver,
    one: VolumeSpec,
    two: VolumeSpec,
    snapshot: SnapshotId,
}

impl Scene {
    fn new(kind: LvmType) -> Self {
        let group = Group::new(kind);
        let scene = Self {
            driver: group.driver(),
            group,
            one: volume(1),
            two: volume(2),
            snapshot: SnapshotId::new(),
        };
        scene.driver.create_volume(&work(), &scene.one).unwrap();
        scene.group.write(&scene.one.storage_name(), "old");
        scene
            .driver
            .create_snapshot(&work(), &scene.one, scene.snapshot)
            .unwrap();
        scene.group.write(&scene.one.storage_name(), "new");
        scene
    }
}

/// Runs `verb` without a fault, then with one at each of its commands, again after that, and a second time after it was done.
fn wherever_it_fails(kind: LvmType, prepare: impl Fn(&Scene), verb: impl Fn(&Scene) -> DriverResult<()>) {
    let scene = Scene::new(kind);
    prepare(&scene);
    let prepared = scene.group.contents();
    let id = scene.two.id.to_string();
    verb(&scene).unwrap();
    let wanted = scene.group.contents();
    assert_eq!(scene.group.leaks(), "", "given back unwiped");
    for number in 1.. {
        for when in ["before", "after"] {
            scene.group.restore(&prepared);
            scene.group.commands();
            scene.group.fail_at(number, when);
            let first = verb(&scene);
            if !scene.group.has_failed(number) {
                assert!(number > 1, "it has commands that can fail");
                return;
            }
            scene.group.fail_at(0, "never");
            let broken = scene.group.contents();
            let tried = scene.group.commands();
            for time in ["again", "once more"] {
                if let Err(error) = verb(&scene) {
                    panic!("{time} after {number} {when}: {error}; was {broken:?} by {tried:#?}");
                }
                assert_eq!(
                    scene.group.contents(),
                    wanted,
                    "{time} after a fault {when} command {number} ({first:?}) of {tried:#?}; was {broken:#?}"
                );
            }
            assert_eq!(
                scene.group.leaks(),
                "",
                "given back unwiped: {when} {number} of {tried:#?}"
            );
            // Or it is not tried again, but what it left is removed.
            if !broken.keys().any(|name| name.contains(&id)) {
                continue;
            }
            scene.group.restore(&broken);
            scene.driver.delete_volume(&work(), &scene.two).unwrap();
            assert_eq!(
                scene.group.leaks(),
                "",
                "given back unwiped: {when} {number} of {tried:#?}"
            );
            let left = scene.group.names();
            assert!(
                !left.iter().any(|name| name.contains(&id)),
                "{left:?} after a fault {when} command {number}"
            );
        }
    }
}

fn both(prepare: impl Fn(&Scene), verb: impl Fn(&Scene) -> DriverResult<()>) {
    for kind in [LvmType::Thick, LvmType::Thin] {
        wherever_it_fails(kind, &prepare, &verb);
    }
}

fn nothing(_: &Scene) {}

#[test]
fn a_volume_is_made_whatever_goes_wrong_on_the_way() {
    both(nothing, |scene| {
        scene.driver.create_volume(&work(), &scene.two).map(|_| ())
    });
}

#[test]
fn a_volume_of_a_snapshot_is_whole_or_not_there() {
    both(nothing, |scene| {
        scene
            .driver
            .create_volume_from_snapshot(&work(), &scene.two, scene.snapshot)?;
        assert_eq!(scene.group.read(&scene.two.storage_name()), "old");
        Ok(())
    });
}

#[test]
fn a_clone_is_whole_or_not_there() {
    both(nothing, |scene| {
        scene
            .driver
            .create_cloned_volume(&work(), &scene.two, scene.one.id)?;
        assert_eq!(scene.group.read(&scene.two.storage_name()), "new");
        assert_eq!(scene.group.names().len(), 3, "its snapshot is gone");
        Ok(())
    });
}

#[test]
fn a_volume_with_a_snapshot_grows_whatever_goes_wrong_on_the_way() {
    both(nothing, |scene| {
        scene.driver.extend_volume(&work(), &scene.one, 3)
    });
}

#[test]
fn a_snapshot_is_taken_whatever_goes_wrong_on_the_way() {
    let another = SnapshotId::new();
    both(nothing, |scene| {
        scene.driver.create_snapshot(&work(), &scene.one, another)
    });
}

#[test]
fn a_revert_never_loses_the_snapshot_and_ends_with_its_content() {
    both(nothing, |scene| {
        let done = scene
            .driver
            .revert_to_snapshot(&work(), &scene.one, scene.snapshot);
        let snapshot = StorageName::Snapshot(scene.snapshot).to_string();
        assert_eq!(scene.group.read(&snapshot), "old");
        done?;
        assert_eq!(scene.group.read(&scene.one.storage_name()), "old");
        Ok(())
    });
}

#[test]
fn a_volume_that_grew_is_cut_by_its_revert_and_keeps_its_snapshots() {
    let another = SnapshotId::new();
    both(
        |scene| {
            scene
                .driver
                .create_snapshot(&work(), &scene.one, another)
                .unwrap();
            scene.driver.extend_volume(&work(), &scene.one, 3).unwrap();
        },
        |scene| {
            let done = scene
                .driver
                .revert_to_snapshot(&work(), &scene.one, scene.snapshot);
            let snapshot = StorageName::Snapshot(scene.snapshot).to_string();
            assert_eq!(scene.group.read(&snapshot), "old");
            done?;
            let (volume, content) = &scene.group.contents()[&scene.one.storage_name()];
            assert_eq!(
                (&volume["size"], content.as_str()),
                (&(1_u64 << 30).into(), "old")
            );
            Ok(())
        },
    );
}

#[test]
fn whoever_comes_after_a_killed_revert_finds_a_volume() {
    for kind in [LvmType::Thick, LvmType::Thin] {
        let scene = Scene::new(kind);
        scene.driver.extend_volume(&work(), &scene.one, 2).unwrap();
        let prepared = scene.group.contents();
        for number in 1..12 {
            for when in ["before", "after"] {
                scene.group.restore(&prepared);
                scene.group.fail_at(number, when);
                let reverted = scene
                    .driver
                    .revert_to_snapshot(&work(), &scene.one, scene.snapshot);
                scene.group.fail_at(0, "never");
                // Before an export.
                scene.driver.activate(&work(), &scene.one).unwrap();
                let left = scene.group.contents();
                assert_eq!(left.len(), 2, "{kind:?} {number} {when}: {left:#?}");
                let (volume, content) = &left[&scene.one.storage_name()];
                assert_eq!(volume["active"], true, "{left:#?}");
                assert!(
                    ["new", "old", "half of it"].contains(&content.as_str()),
                    "{content}"
                );
                let (cow, content) = &left[&StorageName::Snapshot(scene.snapshot).to_string()];
                assert_eq!(content, "old");
                assert_eq!(cow["tags"].as_array().unwrap().len(), 0);
                if kind == LvmType::Thick {
                    assert_eq!(cow["kind"], "s", "{number} {when} {reverted:?} {left:#?}");
                }
            }
        }
    }
}

#[test]
fn deleting_twice_is_deleting_once() {
    both(nothing, |scene| {
        scene
            .driver
            .delete_snapshot(&work(), &scene.one, scene.snapshot)?;
        scene.driver.delete_volume(&work(), &scene.one)?;
        assert_eq!(scene.group.names().len(), 0);
        Ok(())
    });
}

#[test]
fn managing_twice_is_managing_once() {
    both(
        |scene| {
            let stranger = volume(1);
            scene.driver.create_volume(&work(), &stranger).unwrap();
            scene
                .driver
                .rename_volume(&work(), stranger.id, scene.two.id)
                .unwrap();
            let name = scene.two.storage_name();
            let mut state = scene.group.state();
            let lv = state["lvs"].as_object_mut().unwrap().remove(&name).unwrap();
            state["lvs"]["stranger"] = lv;
            state["lvs"]["stranger"]["active"] = false.into();
            scene.group.set_state(&state);
            scene.group.write("stranger", "theirs");
        },
        |scene| {
            let reference = Reference::named("stranger");
            let managed = scene.driver.manage_volume(&work(), &scene.two, &reference)?;
            assert_eq!(managed.size, 1);
            assert_eq!(scene.group.read(&scene.two.storage_name()), "theirs");
            Ok(())
        },
    );
}

/// A named verb of a scene.
type Verb = (&'static str, fn(&Scene) -> DriverResult<()>);

#[test]
fn a_command_that_crashes_after_its_work_does_not_fail_its_verb() {
    let verbs: [Verb; 4] = [
        ("create_volume_from_snapshot", |scene| {
            let driver = &scene.driver;
            driver
                .create_volume_from_snapshot(&work(), &scene.two, scene.snapshot)
                .map(|_| ())
        }),
        ("delete_snapshot", |scene| {
            scene.driver.delete_snapshot(&work(), &scene.one, scene.snapshot)
        }),
        ("extend_volume", |scene| {
            scene.driver.extend_volume(&work(), &scene.one, 2)
        }),
        ("create_volume", |scene| {
            scene.driver.create_volume(&work(), &scene.two).map(|_| ())
        }),
    ];
    for kind in [LvmType::Thick, LvmType::Thin] {
        let scene = Scene::new(kind);
        let prepared = scene.group.contents();
        for (name, verb) in verbs {
            scene.group.restore(&prepared);
            verb(&scene).unwrap();
            let wanted = scene.group.contents();
            for number in 1..10 {
                scene.group.restore(&prepared);
                scene.group.commands();
                scene.group.fail_at(number, "crash");
                let ended = verb(&scene);
                let commands = scene.group.commands();
                // A copy that is killed from outside fails its verb.
                if commands.iter().any(|command| command.starts_with("pumice")) && ended.is_err() {
                    continue;
                }
                ended.unwrap_or_else(|error| panic!("{kind:?} {name} {number}: {error} {commands:#?}"));
                assert_eq!(
                    scene.group.contents(),
                    wanted,
                    "{kind:?} {name} {number} {commands:#?}"
                );
            }
        }
    }
}
