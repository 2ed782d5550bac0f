//! Programs that hang, babble, crash or refuse: each ends in a defined state, and what must not be touched is not.

use std::time::{Duration, Instant};

use pumice::drivers::lvm::{LvmDriver, LvmOptions, LvmType, VolumeClear};
use pumice::drivers::{DriverError, DriverResult, VolumeDriver, Work};
use pumice::model::{Reference, SnapshotId, StorageName};
use serde_json::json;

use super::group::{Group, volume, work};

#[test]
fn a_volume_is_one_command() {
    for kind in [LvmType::Thick, LvmType::Thin] {
        let group = Group::new(kind);
        let one = volume(3);
        group.driver().create_volume(&work(), &one).unwrap();
        let commands = group.commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        let size = if kind == LvmType::Thin { "-V" } else { "-L" };
        assert!(
            commands[0].starts_with("lvcreate -y") && commands[0].contains(&format!("{size} 3221225472b")),
            "{commands:?}"
        );
    }
}

#[test]
fn a_report_of_everything_is_one_command() {
    let group = Group::new(LvmType::Thick);
    let driver = group.driver();
    for _ in 0..3 {
        driver.create_volume(&work(), &volume(1)).unwrap();
    }
    group.commands();
    let stats = driver.stats(&work()).unwrap();
    assert_eq!(stats[0].total_volumes, 3);
    assert!(stats[0].extra["location_info"].starts_with("LVMVolumeDriver:localhost:"));
    driver.list_existing(&work()).unwrap();
    assert_eq!(group.commands().len(), 2);
}

#[test]
fn a_volume_of_another_size_is_not_taken_for_ours() {
    let group = Group::new(LvmType::Thick);
    let (driver, one) = (group.driver(), volume(1));
    driver.create_volume(&work(), &one).unwrap();
    let mut other = one.clone();
    other.size = 2;
    assert!(matches!(
        driver.create_volume(&work(), &other),
        Err(DriverError::Failed { .. })
    ));
    group.change(&one.storage_name(), "tags", json!(["pumice.copying"]));
    assert!(
        driver.create_volume(&work(), &one).is_err(),
        "one that is half-made is no volume"
    );
    assert!(driver.activate(&work(), &one).is_err());
    assert!(driver.list_existing(&work()).unwrap().is_empty());
}

#[test]
fn a_crash_of_lvms_is_tried_again_once() {
    let group = Group::new(LvmType::Thick);
    group.program("lvcreate", "kill -SEGV $$");
    let error = group.driver().create_volume(&work(), &volume(1)).unwrap_err();
    assert!(matches!(error, DriverError::Failed { .. }), "{error}");
    assert_eq!(group.commands().len(), 2);
    let flag = group.bin().join("crashed");
    let script = format!("test -e {0} || {{ touch {0}; exit 139; }}", flag.display());
    group.program("lvcreate", &script);
    let error = group.driver().create_volume(&work(), &volume(1)).unwrap_err();
    // Well ended, but this one makes nothing: it is not believed.
    assert!(
        matches!(&error, DriverError::Failed { operator, .. } if operator.contains("it succeeded, but there is no volume-")),
        "{error}"
    );
    let programs: Vec<String> = group.commands();
    assert_eq!(programs.len(), 3, "twice, and a look: {programs:?}");
}

#[test]
fn a_removal_that_ended_well_and_removed_nothing_is_not_believed() {
    let group = Group::new(LvmType::Thick);
    let (driver, one) = (group.driver(), volume(1));
    driver.create_volume(&work(), &one).unwrap();
    group.program("lvremove", "exit 0");
    let error = driver.delete_volume(&work(), &one).unwrap_err();
    assert!(
        matches!(&error, DriverError::Failed { operator, .. } if operator.contains("still exists")),
        "{error}"
    );
}

#[test]
fn babble_instead_of_a_report_removes_nothing() {
    let group = Group::new(LvmType::Thick);
    let (driver, one) = (group.driver(), volume(1));
    driver.create_volume(&work(), &one).unwrap();
    group.commands();
    for babble in [
        "echo '{ \"report\": [ { \"lv\": ['",
        "echo hello",
        "true",
        "head -c 300000 /dev/urandom",
    ] {
        group.program("lvs", babble);
        for error in [
            driver.delete_volume(&work(), &one).unwrap_err(),
            driver.extend_volume(&work(), &one, 2).unwrap_err(),
            driver.stats(&work()).unwrap_err(),
        ] {
            assert!(matches!(error, DriverError::Failed { .. }), "{babble}: {error}");
        }
    }
    let commands = group.commands();
    assert!(
        commands.iter().all(|command| command.starts_with("lvs")),
        "{commands:?}"
    );
}

#[test]
fn a_command_that_hangs_is_ended_in_time() {
    let group = Group::new(LvmType::Thick);
    group.program("lvcreate", "sleep 100");
    let begun = Instant::now();
    let short = Work::within(Duration::from_millis(300));
    let error = group.driver().create_volume(&short, &volume(1)).unwrap_err();
    assert!(matches!(error, DriverError::TimedOut), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_group_that_is_not_there_is_no_success() {
    let group = Group::new(LvmType::Thick);
    let gone =
        "echo '  Volume group \"vg\" not found' >&2; echo '  Cannot process volume group vg' >&2; exit 5";
    for program in ["lvs", "vgs", "lvremove", "lvcreate"] {
        group.program(program, gone);
    }
    let (driver, one) = (group.driver(), volume(1));
    for error in [
        driver.setup(&work()).unwrap_err(),
        driver.delete_volume(&work(), &one).unwrap_err(),
        driver
            .delete_snapshot(&work(), &one, SnapshotId::new())
            .unwrap_err(),
        driver.create_volume(&work(), &one).unwrap_err(),
    ] {
        let DriverError::NotFound { client, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(client, "The storage backend is not available.");
    }
}

#[test]
fn what_is_not_there_is_deleted() {
    let group = Group::new(LvmType::Thin);
    let driver = group.driver();
    driver.delete_volume(&work(), &volume(1)).unwrap();
    driver
        .delete_snapshot(&work(), &volume(1), SnapshotId::new())
        .unwrap();
}

#[test]
fn what_is_open_is_neither_wiped_nor_removed() {
    for kind in [LvmType::Thick, LvmType::Thin] {
        let group = Group::new(kind);
        let (driver, one, snapshot) = (group.driver(), volume(1), SnapshotId::new());
        driver.create_volume(&work(), &one).unwrap();
        driver.create_snapshot(&work(), &one, snapshot).unwrap();
        group.write(&one.storage_name(), "precious");
        group.change(&one.storage_name(), "open", true.into());
        group.change(&StorageName::Snapshot(snapshot).to_string(), "open", true.into());
        group.commands();
        for error in [
            driver.delete_volume(&work(), &one).unwrap_err(),
            driver.delete_snapshot(&work(), &one, snapshot).unwrap_err(),
            driver.revert_to_snapshot(&work(), &one, snapshot).unwrap_err(),
        ] {
            assert!(matches!(error, DriverError::Busy { .. }), "{error}");
        }
        let looked = |command: &String| command.starts_with("lvs") || command.starts_with("udevadm");
        let commands = group.commands();
        assert!(commands.iter().all(looked), "{commands:?}");
        assert_eq!(group.read(&one.storage_name()), "precious");
    }
}

#[test]
fn a_thick_volume_that_has_snapshots_is_not_removed_with_them() {
    let group = Group::new(LvmType::Thick);
    let (driver, one, snapshot) = (group.driver(), volume(1), SnapshotId::new());
    driver.create_volume(&work(), &one).unwrap();
    driver.create_snapshot(&work(), &one, snapshot).unwrap();
    group.commands();
    let error = driver.delete_volume(&work(), &one).unwrap_err();
    assert!(matches!(error, DriverError::Busy { .. }), "{error}");
    assert_eq!(group.commands().len(), 1, "it looked, and no more");
    assert_eq!(group.names().len(), 2);
}

#[test]
fn a_thin_volume_outlives_what_it_was_made_of() {
    let group = Group::new(LvmType::Thin);
    let (driver, one, two) = (group.driver(), volume(1), volume(1));
    driver.create_volume(&work(), &one).unwrap();
    driver.create_cloned_volume(&work(), &two, one.id).unwrap();
    driver.delete_volume(&work(), &one).unwrap();
    assert_eq!(group.names(), [two.storage_name()]);
}

#[test]
fn a_full_group_says_so_and_keeps_nothing() {
    let group = Group::new(LvmType::Thick);
    let mut state = group.state();
    state["free"] = json!(1_u64 << 30);
    group.set_state(&state);
    let (driver, one) = (group.driver(), volume(1));
    driver.create_volume(&work(), &one).unwrap();
    for error in [
        driver.create_volume(&work(), &volume(2)).unwrap_err(),
        driver
            .create_cloned_volume(&work(), &volume(2), one.id)
            .unwrap_err(),
    ] {
        assert!(matches!(error, DriverError::NoSpace { .. }), "{error}");
    }
    assert_eq!(group.names(), [one.storage_name()]);
}

#[test]
fn a_volume_is_wiped_as_far_as_was_asked_for() {
    for (clear, size, wanted) in [
        (VolumeClear::Zero, 0, Some("--length 1073741824")),
        (VolumeClear::Zero, 100, Some("--length 104857600")),
        (VolumeClear::None, 0, None),
    ] {
        let group = Group::new(LvmType::Thick);
        let driver = LvmDriver::new(LvmOptions {
            volume_clear: clear,
            volume_clear_size: size,
            ..group.options()
        });
        let one = volume(1);
        driver.create_volume(&work(), &one).unwrap();
        group.commands();
        driver.delete_volume(&work(), &one).unwrap();
        let commands = group.commands();
        let wipe = commands.iter().find(|command| command.starts_with("pumice wipe"));
        assert_eq!(wipe.is_some(), wanted.is_some(), "{commands:?}");
        if let (Some(wipe), Some(wanted)) = (wipe, wanted) {
            assert!(wipe.contains(wanted), "{wipe}");
        }
    }
}

#[test]
fn a_snapshot_is_taken_off_its_origin_and_wiped_before_its_room_is_given_back() {
    for (clear, is_wiped) in [(VolumeClear::Zero, true), (VolumeClear::None, false)] {
        for overflowed in [false, true] {
            let group = Group::new(LvmType::Thick);
            let driver = LvmDriver::new(LvmOptions {
                volume_clear: clear,
                ..group.options()
            });
            let (one, snapshot) = (volume(1), SnapshotId::new());
            let name = StorageName::Snapshot(snapshot).to_string();
            driver.create_volume(&work(), &one).unwrap();
            group.write(&one.storage_name(), "secret");
            driver.create_snapshot(&work(), &one, snapshot).unwrap();
            // A process that has its origin open continues.
            group.change(&one.storage_name(), "open", true.into());
            if overflowed {
                group.change(&name, "attr", "swi-I-s---".into());
            }
            group.commands();
            driver.delete_snapshot(&work(), &one, snapshot).unwrap();
            let commands = group.commands();
            let wipe = commands.iter().find(|command| command.starts_with("pumice wipe"));
            assert_eq!(wipe.is_some(), is_wiped, "{commands:?}");
            // Its room is larger than what it is a snapshot of.
            assert!(
                wipe.is_none_or(|wipe| wipe.contains("--length 1073745920")),
                "{wipe:?}"
            );
            assert_eq!(group.leaks().is_empty(), is_wiped);
            assert_eq!(group.names(), [one.storage_name()]);
        }
    }
}

#[test]
fn a_thin_pool_zeroes_its_blocks_whatever_it_was_made_with() {
    let driver_of = |group: &Group, clear| {
        LvmDriver::new(LvmOptions {
            volume_clear: clear,
            ..group.options()
        })
    };
    let zeroes = |group: &Group| group.state()["lvs"][group.pool()]["attr"] == "twi-aotz--";
    // One that is made.
    let group = Group::new(LvmType::Thin);
    driver_of(&group, VolumeClear::Zero).setup(&work()).unwrap();
    assert!(zeroes(&group), "{}", group.state());
    // One that was there, or that another program changes while it is served.
    for (clear, wanted) in [(VolumeClear::Zero, true), (VolumeClear::None, false)] {
        let group = Group::new(LvmType::Thin);
        let unzeroed = json!({ "kind": "t", "attr": "twi-aot---" });
        group.put(&group.pool(), &unzeroed);
        let driver = driver_of(&group, clear);
        driver.setup(&work()).unwrap();
        assert_eq!(zeroes(&group), wanted);
        group.put(&group.pool(), &unzeroed);
        driver.stats(&work()).unwrap();
        assert_eq!(zeroes(&group), wanted);
        group.commands();
        driver.stats(&work()).unwrap();
        assert_eq!(group.commands().len(), 1, "what is on is not turned on again");
    }
}

#[test]
fn a_copy_into_a_pool_that_does_not_zero_its_blocks_writes_zeros_as_well() {
    for (attr, wanted) in [
        ("twi-aot---", "--target anything"),
        ("twi-aotz--", "--target zeros"),
    ] {
        let group = Group::new(LvmType::Thin);
        group.put(&group.pool(), &json!({ "kind": "t", "attr": attr }));
        let driver = LvmDriver::new(LvmOptions {
            volume_clear: VolumeClear::None,
            ..group.options()
        });
        driver.setup(&work()).unwrap();
        // Made when the backend was a thick one.
        let thick = volume(1);
        group.put(&thick.storage_name(), &json!({}));
        group.commands();
        driver
            .create_cloned_volume(&work(), &volume(1), thick.id)
            .unwrap();
        let commands = group.commands();
        let copy = commands.iter().find(|command| command.starts_with("pumice copy"));
        assert!(copy.is_some_and(|copy| copy.contains(wanted)), "{commands:?}");
    }
}

/// What is there and what it holds is the same after a verb that was refused.
fn untouched(group: &Group, what: &str, verb: impl FnOnce() -> DriverResult<()>) {
    let before = group.contents();
    let error = verb().expect_err(what);
    assert_eq!(group.contents(), before, "{what}: {error}");
    assert_eq!(group.leaks(), "");
}

#[test]
fn a_revert_that_is_refused_has_changed_nothing() {
    let group = Group::new(LvmType::Thick);
    let (driver, mut one) = (group.driver(), volume(1));
    let (first, latest) = (SnapshotId::new(), SnapshotId::new());
    let name = |snapshot| StorageName::Snapshot(snapshot).to_string();
    driver.create_volume(&work(), &one).unwrap();
    driver.create_snapshot(&work(), &one, first).unwrap();
    driver.extend_volume(&work(), &one, 2).unwrap();
    one.size = 2;
    driver.create_snapshot(&work(), &one, latest).unwrap();
    driver.extend_volume(&work(), &one, 3).unwrap();
    one.size = 3;
    group.write(&one.storage_name(), "new");
    let revert = || driver.revert_to_snapshot(&work(), &one, latest);
    untouched(&group, "snapshots of several sizes", revert);
    driver.delete_snapshot(&work(), &one, first).unwrap();
    let other = SnapshotId::new();
    group.put(
        &name(other),
        &json!({"kind": "s", "origin": one.storage_name(), "virtual": 2_u64 << 30, "open": true}),
    );
    untouched(&group, "another snapshot is in use", revert);
    group.change(&name(other), "open", false.into());
    group.change(&name(other), "attr", "swi-I-s---".into());
    untouched(&group, "another snapshot ran full", revert);
    driver.delete_snapshot(&work(), &one, other).unwrap();
    group.change(&name(latest), "attr", "swi-I-s---".into());
    untouched(&group, "the snapshot ran full", revert);
    group.change(&name(latest), "attr", json!(null));
    revert().unwrap();
    assert_eq!(group.leaks(), "");
}

#[test]
fn a_group_with_a_missing_disk_is_down_and_no_verb_begins_in_it() {
    for kind in [LvmType::Thick, LvmType::Thin] {
        let group = Group::new(kind);
        let (driver, one, two, snapshot) = (group.driver(), volume(1), volume(2), SnapshotId::new());
        driver.create_volume(&work(), &one).unwrap();
        driver.create_snapshot(&work(), &one, snapshot).unwrap();
        group.put("stranger", &json!({}));
        group.write(&one.storage_name(), "precious");
        group.fail_at(1, "before");
        let mut state = group.state();
        state["missing"] = 1.into();
        group.set_state(&state);
        let error = driver.stats(&work()).unwrap_err();
        assert!(
            error.to_string().contains("1 of its disks cannot be found"),
            "{error}"
        );
        untouched(&group, "revert", || {
            driver.revert_to_snapshot(&work(), &one, snapshot)
        });
        untouched(&group, "extend", || driver.extend_volume(&work(), &one, 2));
        untouched(&group, "from snapshot", || {
            driver
                .create_volume_from_snapshot(&work(), &two, snapshot)
                .map(drop)
        });
        untouched(&group, "clone", || {
            driver.create_cloned_volume(&work(), &two, one.id).map(drop)
        });
        untouched(&group, "manage", || {
            let reference = Reference::named("stranger");
            driver.manage_volume(&work(), &two, &reference).map(drop)
        });
        if kind == LvmType::Thick {
            untouched(&group, "delete snapshot", || {
                driver.delete_snapshot(&work(), &one, snapshot)
            });
            let commands = group.commands();
            assert!(
                !commands.iter().any(|command| command.starts_with("pumice")),
                "{commands:?}"
            );
        }
        driver.delete_volume(&work(), &volume(1)).unwrap();
    }
}

#[test]
fn what_finds_no_room_in_the_end_does_not_begin() {
    let group = Group::new(LvmType::Thick);
    let (driver, one, snapshot) = (group.driver(), volume(2), SnapshotId::new());
    driver.create_volume(&work(), &one).unwrap();
    driver.create_snapshot(&work(), &one, snapshot).unwrap();
    let mut state = group.state();
    state["free"] = json!(3_u64 << 30);
    group.set_state(&state);
    group.commands();
    for error in [
        driver.extend_volume(&work(), &one, 6).unwrap_err(),
        driver
            .create_cloned_volume(&work(), &volume(2), one.id)
            .unwrap_err(),
    ] {
        assert!(matches!(error, DriverError::NoSpace { .. }), "{error}");
    }
    let commands = group.commands();
    assert!(
        commands.iter().all(|command| command.starts_with("lvs")),
        "{commands:?}"
    );
}

#[test]
fn what_is_in_another_pool_of_the_group_is_not_adopted() {
    let group = Group::new(LvmType::Thin);
    group.put("d0", &json!({ "kind": "V", "pool": "other" }));
    let (driver, one) = (group.driver(), volume(1));
    untouched(&group, "adopt", || {
        driver
            .manage_volume(&work(), &one, &Reference::named("d0"))
            .map(drop)
    });
    assert!(driver.list_existing(&work()).unwrap().is_empty());
}

#[test]
fn lvm_reads_the_configuration_that_it_is_given() {
    let group = Group::new(LvmType::Thick);
    let note = group.bin().join("environment");
    group.program("lvcreate", &format!("env >{}", note.display()));
    let (file, missing) = (group.bin().join("lvm.conf"), group.bin().join("no/lvm.conf"));
    std::fs::write(&file, "").unwrap();
    for (conf_file, is_given) in [(file, true), (missing, false)] {
        let driver = LvmDriver::new(LvmOptions {
            conf_file: Some(conf_file),
            suppress_fd_warnings: is_given,
            ..group.options()
        });
        driver.create_volume(&work(), &volume(1)).unwrap_err();
        let environment = std::fs::read_to_string(&note).unwrap();
        assert!(environment.contains("LC_ALL=C\n"));
        assert!(!environment.contains("DM_DISABLE_UDEV"));
        let variable = format!("LVM_SYSTEM_DIR={}\n", group.bin().display());
        assert_eq!(environment.contains(&variable), is_given, "{environment}");
        assert_eq!(environment.contains("LVM_SUPPRESS_FD_WARNINGS=1"), is_given);
    }
}

#[test]
fn a_reference_that_names_nothing_is_refused_in_cinders_words() {
    let group = Group::new(LvmType::Thick);
    let (driver, one) = (group.driver(), volume(1));
    for (reference, words) in [
        (
            Reference::named("nothing"),
            "Manage existing volume failed due to invalid backend reference nothing: Specified logical volume does not exist.",
        ),
        (
            Reference::from_json(json!({"source-id": "x"}).as_object().unwrap()),
            "Reference must contain source-name element.",
        ),
    ] {
        let error = driver.manage_volume(&work(), &one, &reference).unwrap_err();
        let DriverError::Refused { client } = error else {
            panic!("{error}")
        };
        assert!(client.contains(words), "{client}");
    }
}

#[test]
fn a_source_in_the_middle_of_its_revert_is_not_cloned() {
    let group = Group::new(LvmType::Thin);
    let (driver, one, snapshot) = (group.driver(), volume(1), SnapshotId::new());
    driver.create_volume(&work(), &one).unwrap();
    driver.create_snapshot(&work(), &one, snapshot).unwrap();
    group.fail_at(2, "after");
    assert!(driver.revert_to_snapshot(&work(), &one, snapshot).is_err());
    group.fail_at(0, "never");
    let error = driver
        .create_cloned_volume(&work(), &volume(1), one.id)
        .unwrap_err();
    assert!(matches!(error, DriverError::Busy { .. }), "{error}");
    driver.extend_volume(&work(), &one, 2).unwrap();
    driver.create_cloned_volume(&work(), &volume(2), one.id).unwrap();
}
