//! LIO with an emulated kernel. `tests/guest` and `examples/target_verbs.rs` use the real one.

use std::path::Path;

use serde_json::json;

use super::place::FABRIC;
use super::{LioOptions, LioTarget};
use crate::drivers::targets::backing::Backing;
use crate::drivers::targets::configfs::Tree;
use crate::drivers::targets::configfs::emulation::Emulation;
use crate::drivers::targets::configfs::scenes::{self, Fenced};
use crate::drivers::targets::{Export, TargetDriver};
use crate::drivers::testing::fence::{Effect, Verb, all_are_fenced, verbs_of};
use crate::drivers::testing::{connector, volume, work};
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::volume::Secret;
use crate::model::{AttachMode, ConnectionInfo, VolumeSpec};

const GUEST: &str = "iqn.1993-08.org.debian:01:guest";
const OTHER: &str = "iqn.1993-08.org.debian:01:other";
const FILE: &str = "/srv/volume";
const DEVICE: &str = "/dev/volume-3";
const PORTALS: [&str; 2] = ["192.0.2.1:3260", "[2001:db8::1]:3260"];

/// Files have 1 GiB unless they are named `grown`; a device's name ends with its minor number.
fn probe(path: &Path) -> DriverResult<Backing> {
    let path = path.to_str().unwrap();
    Ok(match path.rsplit_once('-') {
        Some((_, minor)) if path.starts_with("/dev") => Backing::Device {
            major: 254,
            minor: minor.parse().unwrap(),
        },
        _ => Backing::File { bytes: 1 << 30 },
    })
}

fn twice_as_large(_: &Path) -> DriverResult<Backing> {
    Ok(Backing::File { bytes: 2 << 30 })
}

fn options() -> LioOptions {
    LioOptions {
        portals: PORTALS.map(|portal| portal.parse().unwrap()).to_vec(),
        // Nothing has to be prepared: `configfs` is not used while the emulation has the fabric.
        configfs: "/nonexistent".into(),
        ..LioOptions::new("host@file", "192.0.2.1:3260".parse().unwrap())
    }
}

/// A process's target over a kernel.
fn target(kernel: &Emulation) -> LioTarget {
    LioTarget::over(options(), tree_with_fabric(kernel), probe)
}

fn tree_with_fabric(kernel: &Emulation) -> Tree {
    let tree = Tree::new(kernel.clone());
    tree.editor(&work()).make(Path::new(FABRIC)).unwrap();
    tree
}

fn specimen() -> VolumeSpec {
    VolumeSpec {
        provider_auth: Some(Secret::new("CHAP name567890123456789 password90123456")),
        ..volume(1)
    }
}

fn export(target: &LioTarget, volume: &VolumeSpec, path: &str) -> DriverResult<Export> {
    target.ensure_export(&work(), volume, Path::new(path))
}

fn attach(target: &LioTarget, volume: &VolumeSpec, path: &str, who: &str) -> DriverResult<ConnectionInfo> {
    let export = export(target, volume, path)?;
    target.grant_access(&work(), volume, &export, &connector(who), AttachMode::Rw)
}

fn revoke(target: &LioTarget, volume: &VolumeSpec, who: &str) {
    let who = connector(who);
    target.revoke_access(&work(), volume, Some(&who)).unwrap();
}

fn killed_anywhere(
    begin: impl Fn(&LioTarget, &VolumeSpec),
    verb: impl Fn(&LioTarget, &VolumeSpec) -> DriverResult<()>,
) {
    let volume = specimen();
    scenes::killed_anywhere(
        target,
        |target| begin(target, &volume),
        |target| verb(target, &volume),
    );
}

fn attach_both(target: &LioTarget, volume: &VolumeSpec, path: &str) {
    for who in [GUEST, OTHER] {
        attach(target, volume, path, who).unwrap();
    }
}

#[test]
fn killed_anywhere_an_export_is_completed() {
    for path in [FILE, DEVICE] {
        killed_anywhere(|_, _| {}, |target, volume| export(target, volume, path).map(drop));
    }
}

#[test]
fn killed_anywhere_an_initiator_is_let_in() {
    killed_anywhere(
        |target, volume| drop(export(target, volume, DEVICE).unwrap()),
        |target, volume| attach(target, volume, DEVICE, GUEST).map(drop),
    );
}

#[test]
fn killed_anywhere_an_initiator_is_shut_out() {
    killed_anywhere(
        |target, volume| attach_both(target, volume, DEVICE),
        |target, volume| target.revoke_access(&work(), volume, Some(&connector(GUEST))),
    );
}

#[test]
fn killed_anywhere_an_export_goes_and_leaves_nothing() {
    let begin = |target: &LioTarget, volume: &VolumeSpec| attach_both(target, volume, FILE);
    killed_anywhere(begin, |target, volume| target.remove_export(&work(), volume));
    let kernel = Emulation::new();
    let volume = specimen();
    begin(&target(&kernel), &volume);
    target(&kernel).remove_export(&work(), &volume).unwrap();
    assert!(!kernel.shows("volume-"), "{:#?}", kernel.shown());
}

#[test]
fn a_half_made_export_goes_too() {
    let volume = specimen();
    let straight = Emulation::new();
    attach(&target(&straight), &volume, DEVICE, GUEST).unwrap();
    for stop in 0..straight.changes() {
        let kernel = Emulation::new();
        let killed = target(&kernel);
        kernel.stop_after(stop);
        let _ = attach(&killed, &volume, DEVICE, GUEST);
        kernel.go_on();
        target(&kernel).remove_export(&work(), &volume).unwrap();
        assert!(!kernel.shows("volume-"));
        assert!(target(&kernel).list_exports(&work()).unwrap().is_empty());
    }
}

#[test]
fn killed_anywhere_another_device_takes_the_place_of_the_first() {
    for (first, second) in [
        (DEVICE, "/dev/volume-4"),
        (FILE, DEVICE),
        (DEVICE, FILE),
        (FILE, "/srv/other"),
    ] {
        killed_anywhere(
            |target, volume| drop(attach(target, volume, first, GUEST).unwrap()),
            |target, volume| export(target, volume, second).map(drop),
        );
    }
    let (kernel, volume) = (Emulation::new(), specimen());
    let target = target(&kernel);
    attach(&target, &volume, DEVICE, GUEST).unwrap();
    export(&target, &volume, "/dev/volume-4").unwrap();
    assert!(kernel.shows("Minor: 4"));
    assert!(!kernel.shows("Minor: 3"));
}

#[test]
fn whom_a_killed_removal_left_is_not_let_in_by_the_next_export() {
    let (kernel, volume) = (Emulation::new(), specimen());
    let first = target(&kernel);
    attach(&first, &volume, FILE, GUEST).unwrap();
    kernel.stop_after(1);
    first.remove_export(&work(), &volume).unwrap_err();
    kernel.go_on();
    attach(&target(&kernel), &volume, FILE, OTHER).unwrap();
    assert!(!kernel.shows(GUEST));
    assert!(kernel.shows(OTHER));
}

#[test]
fn connection_data_are_cinders() {
    let (kernel, volume) = (Emulation::new(), specimen());
    let info = attach(&target(&kernel), &volume, DEVICE, GUEST).unwrap();
    let iqn = format!("iqn.2010-10.org.openstack:volume-{}", volume.id);
    let [first, second] = PORTALS;
    assert_eq!(info.driver_volume_type, "iscsi");
    assert_eq!(
        serde_json::Value::Object(info.data()),
        json!({
            "target_discovered": false, "target_portal": first, "target_iqn": iqn, "target_lun": 0,
            "target_portals": [first, second], "target_iqns": [iqn, iqn], "target_luns": [0, 0],
            "volume_id": volume.id.to_string(), "auth_method": "CHAP", "auth_username": "name567890123456789",
            "auth_password": "password90123456", "encrypted": false, "qos_specs": null, "access_mode": "rw",
            "cacheable": false
        })
    );
    let export_data = export(&target(&kernel), &volume, DEVICE).unwrap();
    let location = format!("{first};{second},1 {iqn} 0");
    assert_eq!(export_data.provider_location, location);
}

#[test]
fn an_export_keeps_its_secret_across_processes() {
    let (kernel, volume) = (Emulation::new(), volume(1));
    let first = target(&kernel);
    let info = attach(&first, &volume, FILE, GUEST).unwrap();
    assert_eq!(attach(&first, &volume, FILE, GUEST).unwrap(), info);
    assert_eq!(attach(&target(&kernel), &volume, FILE, GUEST).unwrap(), info);
}

#[test]
fn a_changed_secret_applies_to_all_initiators_with_access() {
    let (kernel, mut volume) = (Emulation::new(), specimen());
    let target = target(&kernel);
    attach(&target, &volume, FILE, GUEST).unwrap();
    volume.provider_auth = Some(Secret::new("CHAP another another567890"));
    export(&target, &volume, FILE).unwrap();
    let mut shown = kernel.shown().into_iter();
    assert!(shown.any(|line| line.ends_with("auth/userid = another")));
    assert!(!kernel.shows("name567890123456789"));
}

#[test]
fn one_hosts_readonly_attachment_does_not_take_the_others_right_to_write() {
    let (kernel, mut volume) = (Emulation::new(), specimen());
    let target = target(&kernel);
    let export_data = export(&target, &volume, FILE).unwrap();
    let enter = |volume: &VolumeSpec, mode| {
        target
            .grant_access(&work(), volume, &export_data, &connector(GUEST), mode)
            .unwrap();
        let shown = kernel.shown();
        let is_protect = |line: &&String| line.contains("write_protect = ");
        shown.iter().find(is_protect).unwrap().ends_with('1')
    };
    assert!(enter(&volume, AttachMode::Ro));
    assert!(enter(&volume, AttachMode::Ro));
    assert!(!enter(&volume, AttachMode::Rw));
    assert!(!enter(&volume, AttachMode::Ro));
    volume.readonly = true;
    assert!(enter(&volume, AttachMode::Rw));
    volume.readonly = false;
    assert!(!enter(&volume, AttachMode::Rw));
}

#[test]
fn only_granted_initiators_have_access_and_all_can_be_revoked_at_once() {
    let (kernel, volume) = (Emulation::new(), specimen());
    let target = target(&kernel);
    attach_both(&target, &volume, FILE);
    for stranger in ["", "..", "a/b"] {
        let answer = attach(&target, &volume, FILE, stranger);
        assert!(matches!(answer, Err(DriverError::Refused { .. })), "{stranger}");
        revoke(&target, &volume, stranger);
    }
    let is_acl = |line: &&String| line.ends_with("/auth/userid = name567890123456789");
    let acls = || kernel.shown().iter().filter(is_acl).count();
    assert_eq!(acls(), 2);
    revoke(&target, &volume, GUEST);
    assert_eq!(acls(), 1);
    for _ in 0..2 {
        target.revoke_access(&work(), &volume, None).unwrap();
        assert_eq!(acls(), 0);
    }
}

#[test]
fn an_initiator_is_known_however_its_name_is_spelled() {
    const SPELLED: &str = "iqn.1993-08.org.debian:01:GUEST";
    let (kernel, volume) = (Emulation::new(), specimen());
    let (target, tree) = (target(&kernel), Tree::new(kernel.clone()));
    let place = target.place(&volume);
    let acls = || tree.folders(&place.acls()).unwrap();
    export(&target, &volume, FILE).unwrap();
    // As created by versions that did not normalize names.
    tree.editor(&work()).make(&place.acl(SPELLED)).unwrap();
    for spelled in [SPELLED, GUEST] {
        attach(&target, &volume, FILE, spelled).unwrap();
        assert_eq!(acls(), [GUEST]);
    }
    tree.editor(&work()).make(&place.acl(SPELLED)).unwrap();
    attach(&target, &volume, FILE, OTHER).unwrap();
    revoke(&target, &volume, SPELLED);
    assert_eq!(acls(), [OTHER]);
}

#[test]
fn a_target_of_another_spelling_stands_until_it_goes_and_comes_back_normalized() {
    let (kernel, mut volume) = (Emulation::new(), specimen());
    let tree = tree_with_fabric(&kernel);
    let spelled = LioOptions {
        target_prefix: "iqn.2010-10.org.OpenStack:".to_owned(),
        ..options()
    };
    let large = format!("{}{}", spelled.target_prefix, volume.storage_name());
    let targets = || -> Vec<String> {
        let mut names = tree.folders(Path::new(FABRIC)).unwrap();
        names.retain(|name| name.contains("volume-"));
        names
    };
    let target = LioTarget::over(spelled, tree.clone(), probe);
    // As created by an earlier version: its record has the name.
    volume.provider_location = Some(format!("192.0.2.1:3260,1 {large} 0"));
    export(&target, &volume, FILE).unwrap();
    assert_eq!(targets(), [large.as_str()]);
    // It is found even if it is not in the record any more.
    volume.provider_location = None;
    let export_data = export(&target, &volume, FILE).unwrap();
    let location = export_data.provider_location;
    assert!(location.contains(&large), "{location}");
    target.remove_export(&work(), &volume).unwrap();
    assert!(targets().is_empty());
    export(&target, &volume, FILE).unwrap();
    assert_eq!(targets(), [large.to_lowercase()]);
}

#[test]
fn a_portal_is_the_same_however_it_is_spelled() {
    let (kernel, volume) = (Emulation::new(), specimen());
    let (target, tree) = (target(&kernel), Tree::new(kernel.clone()));
    export(&target, &volume, FILE).unwrap();
    let portals = target.place(&volume).portals();
    let spelled = "[2001:DB8:0:0:0:0:0:1]:3260";
    let work = work();
    let editor = tree.editor(&work);
    editor.remove(&portals.join("[2001:db8::1]:3260")).unwrap();
    for portal in [spelled, "[2001:db8::2]:3260"] {
        editor.make(&portals.join(portal)).unwrap();
    }
    export(&target, &volume, FILE).unwrap();
    assert_eq!(tree.folders(&portals).unwrap(), ["192.0.2.1:3260", spelled]);
}

#[test]
fn the_kernel_gets_the_new_length_of_an_extended_file() {
    let (kernel, volume) = (Emulation::new(), specimen());
    attach(&target(&kernel), &volume, FILE, GUEST).unwrap();
    let grown = LioTarget::over(options(), Tree::new(kernel.clone()), twice_as_large);
    for _ in 0..2 {
        grown.resized(&work(), &volume).unwrap();
        assert!(kernel.shows("Size: 2147483648"));
    }
    let before = kernel.shown();
    grown.ensure_export(&work(), &volume, Path::new(FILE)).unwrap();
    assert_eq!(kernel.shown(), before);
}

#[test]
fn exports_are_listed_by_whose_they_are() {
    let kernel = Emulation::new();
    let (one, other) = (specimen(), specimen());
    export(&target(&kernel), &one, FILE).unwrap();
    let options = LioOptions {
        owner: "host@other".to_owned(),
        ..options()
    };
    let elsewhere = LioTarget::over(options, Tree::new(kernel.clone()), probe);
    elsewhere.ensure_export(&work(), &other, Path::new(FILE)).unwrap();
    for (target, volume) in [(target(&kernel), one), (elsewhere, other)] {
        assert_eq!(target.list_exports(&work()).unwrap(), [volume.storage_name()]);
    }
}

#[test]
fn cleared_exports_change_the_generation_until_restored() {
    let (kernel, volume) = (Emulation::new(), specimen());
    let target = target(&kernel);
    assert_eq!(target.generation(), None);
    target.watch.look();
    assert!(target.generation().is_some());
    let export_data = export(&target, &volume, FILE).unwrap();
    let before = target.generation();
    target.watch.look();
    assert_eq!(target.generation(), before);
    kernel.clear();
    target.watch.look();
    assert_ne!(target.generation(), before);
    let answer = target.grant_access(&work(), &volume, &export_data, &connector(GUEST), AttachMode::Rw);
    assert!(matches!(answer, Err(DriverError::Failed { .. })));
    tree_with_fabric(&kernel);
    assert_eq!(export(&target, &volume, FILE).unwrap(), export_data);
}

#[test]
fn a_kernel_without_lio_is_reported_at_setup() {
    let home = tempfile::tempdir().unwrap();
    let target = LioTarget::new(LioOptions {
        configfs: home.path().to_owned(),
        modprobe: "false".into(),
        ..options()
    });
    let Err(DriverError::Failed { operator, .. }) = target.setup(&work()) else {
        panic!("there is nothing to set up");
    };
    assert!(operator.contains("target_core_mod"), "{operator}");
    assert_eq!(target.generation(), None);
    target.remove_export(&work(), &volume(1)).unwrap();
    target.revoke_access(&work(), &volume(1), None).unwrap();
    target.resized(&work(), &volume(1)).unwrap();
    assert!(target.list_exports(&work()).unwrap().is_empty());
    target.shutdown();
}

/// An export of a file with two initiators.
struct Attached {
    target: LioTarget,
    volume: VolumeSpec,
    export: Export,
    _root: tempfile::TempDir,
}

impl Attached {
    fn fenced() -> Fenced<Self> {
        let (kernel, volume, root) = (Emulation::new(), specimen(), tempfile::tempdir().unwrap());
        std::fs::create_dir(root.path().join("target")).unwrap();
        let before = target(&kernel);
        attach_both(&before, &volume, FILE);
        let options = LioOptions {
            configfs: root.path().to_owned(),
            discard: true,
            ..options()
        };
        let attached = Self {
            export: export(&before, &volume, FILE).unwrap(),
            target: LioTarget::over(options, Tree::new(kernel.clone()), |path| match path.to_str() {
                Some(FILE) => twice_as_large(path),
                _ => probe(path),
            }),
            volume,
            _root: root,
        };
        Fenced::new(kernel, attached)
    }

    fn export(&self, work: &Work, volume: &VolumeSpec, path: &str) -> DriverResult<()> {
        self.target.ensure_export(work, volume, Path::new(path)).map(drop)
    }
}

#[test]
fn no_verb_changes_the_kernel_once_the_lock_is_lost() {
    let verbs: [Verb<Fenced<Attached>>; 12] = [
        ("setup", Effect::Changes, |scene, work| {
            scene.kernel.clear();
            scene.target.setup(work)
        }),
        ("ensure_export", Effect::Changes, |scene, work| {
            scene.export(work, &specimen(), FILE)
        }),
        ("ensure_export", Effect::Changes, |scene, work| {
            scene.export(work, &specimen(), DEVICE)
        }),
        // A file that was extended meanwhile, and another device.
        ("ensure_export", Effect::Changes, |scene, work| {
            scene.export(work, &scene.volume, FILE)
        }),
        ("ensure_export", Effect::Changes, |scene, work| {
            scene.export(work, &scene.volume, DEVICE)
        }),
        ("ensure_export", Effect::Changes, |scene, work| {
            scene.kernel.clear();
            scene.export(work, &specimen(), FILE)
        }),
        ("remove_export", Effect::Changes, |scene, work| {
            scene.target.remove_export(work, &scene.volume)
        }),
        ("grant_access", Effect::Changes, |scene, work| {
            let who = connector("iqn.1993-08.org.debian:01:third");
            let (target, volume) = (&scene.target, &scene.volume);
            let granted = target.grant_access(work, volume, &scene.export, &who, AttachMode::Ro);
            granted.map(drop)
        }),
        ("revoke_access", Effect::Changes, |scene, work| {
            let who = connector(GUEST);
            scene.target.revoke_access(work, &scene.volume, Some(&who))
        }),
        ("revoke_access", Effect::Changes, |scene, work| {
            scene.target.revoke_access(work, &scene.volume, None)
        }),
        ("resized", Effect::Changes, |scene, work| {
            scene.target.resized(work, &scene.volume)
        }),
        ("list_exports", Effect::Reads, |scene, work| {
            scene.target.list_exports(work).map(drop)
        }),
    ];
    let required = verbs_of(include_str!("../mod.rs"), "pub trait TargetDriver: Send + Sync");
    all_are_fenced(&required, &verbs, Attached::fenced);
}
