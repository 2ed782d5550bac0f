//! nvmet with an emulated kernel. `tests/guest/nvmet` uses the real one.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{InfoVersion, NvmetOptions, NvmetTarget};
use crate::drivers::targets::configfs::Tree;
use crate::drivers::targets::configfs::emulation::Emulation;
use crate::drivers::targets::configfs::scenes::{Fenced, killed_anywhere};
use crate::drivers::targets::{Export, TargetDriver};
use crate::drivers::testing::fence::{Effect, Verb, all_are_fenced, verbs_of};
use crate::drivers::testing::{volume, work};
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

const GUEST: &str = "nqn.2014-08.org.nvmexpress:uuid:guest";
const OTHER: &str = "nqn.2014-08.org.nvmexpress:uuid:other";

fn connector(nqn: &str) -> Connector {
    let mut object = Map::new();
    object.insert("nqn".to_owned(), json!(nqn));
    Connector::from_json(&object)
}

/// Volumes of one page each, as files.
struct Rig {
    home: tempfile::TempDir,
    volume: VolumeSpec,
}

impl Rig {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::write(home.path().join(name), [0; 4096]).unwrap();
        }
        Self {
            home,
            volume: volume(1),
        }
    }

    fn target(&self, kernel: &Emulation) -> NvmetTarget {
        target_with(kernel, options())
    }

    fn export(&self, target: &NvmetTarget, name: &str) -> DriverResult<Export> {
        target.ensure_export(&work(), &self.volume, &self.home.path().join(name))
    }

    fn attach(&self, target: &NvmetTarget, who: &str) -> DriverResult<ConnectionInfo> {
        let export = self.export(target, "a")?;
        target.grant_access(&work(), &self.volume, &export, &connector(who), AttachMode::Rw)
    }

    fn killed_anywhere(&self, begin: impl Fn(&NvmetTarget), verb: impl Fn(&NvmetTarget) -> DriverResult<()>) {
        killed_anywhere(|kernel| self.target(kernel), begin, verb);
    }
}

fn target_with(kernel: &Emulation, options: NvmetOptions) -> NvmetTarget {
    NvmetTarget::over(options, Tree::new(kernel.clone()))
}

fn options() -> NvmetOptions {
    NvmetOptions {
        portals: vec![
            "192.0.2.1:4420".parse().unwrap(),
            "[2001:db8::1]:4420".parse().unwrap(),
        ],
        info_version: InfoVersion::Two,
        configfs: "/nonexistent".into(),
        ..NvmetOptions::new("host@file", "192.0.2.1:4420".parse().unwrap())
    }
}

#[test]
fn killed_anywhere_an_export_is_completed() {
    let rig = Rig::new();
    rig.killed_anywhere(|_| {}, |target| rig.export(target, "a").map(drop));
}

#[test]
fn killed_anywhere_a_host_is_let_in() {
    let rig = Rig::new();
    rig.killed_anywhere(|_| {}, |target| rig.attach(target, GUEST).map(drop));
}

#[test]
fn killed_anywhere_a_host_is_shut_out_and_the_other_may_come_again() {
    let rig = Rig::new();
    let begin = |target: &NvmetTarget| {
        rig.attach(target, GUEST).unwrap();
        rig.attach(target, OTHER).unwrap();
    };
    let shut_out = |target: &NvmetTarget| target.revoke_access(&work(), &rig.volume, Some(&connector(GUEST)));
    rig.killed_anywhere(begin, shut_out);
    let kernel = Emulation::new();
    begin(&rig.target(&kernel));
    shut_out(&rig.target(&kernel)).unwrap();
    let shown = kernel.shown();
    assert!(!kernel.shows(GUEST) && kernel.shows(&format!("allowed_hosts/{OTHER}")));
    let is_on_port = |line: &&String| line.starts_with("nvmet/ports/") && line.contains(" -> ");
    assert_eq!(shown.iter().filter(is_on_port).count(), 2);
    rig.target(&kernel)
        .revoke_access(&work(), &rig.volume, None)
        .unwrap();
    assert!(!kernel.shows(OTHER));
}

#[test]
fn killed_anywhere_an_export_goes_and_leaves_nothing() {
    let rig = Rig::new();
    let begin = |target: &NvmetTarget| drop(rig.attach(target, GUEST).unwrap());
    rig.killed_anywhere(begin, |target| target.remove_export(&work(), &rig.volume));
    let kernel = Emulation::new();
    begin(&rig.target(&kernel));
    rig.target(&kernel).remove_export(&work(), &rig.volume).unwrap();
    assert_eq!(kernel.shown(), Emulation::new().shown());
}

#[test]
fn killed_anywhere_another_file_takes_the_place_of_the_first() {
    let rig = Rig::new();
    rig.killed_anywhere(
        |target| drop(rig.attach(target, GUEST).unwrap()),
        |target| rig.export(target, "b").map(drop),
    );
}

#[test]
fn whom_a_killed_removal_left_is_not_let_in_by_the_next_export() {
    let (rig, kernel) = (Rig::new(), Emulation::new());
    let first = rig.target(&kernel);
    rig.attach(&first, GUEST).unwrap();
    kernel.stop_after(2);
    first.remove_export(&work(), &rig.volume).unwrap_err();
    kernel.go_on();
    rig.attach(&rig.target(&kernel), OTHER).unwrap();
    assert!(!kernel.shows(GUEST));
}

#[test]
fn connection_data_are_cinders() {
    let (rig, kernel) = (Rig::new(), Emulation::new());
    let (id, nqn) = (
        rig.volume.id.to_string(),
        format!("nqn.2010-10.org.openstack:volume-{}", rig.volume.id),
    );
    let info = rig.attach(&rig.target(&kernel), GUEST).unwrap();
    assert_eq!(info.driver_volume_type, "nvmeof");
    assert_eq!(
        Value::Object(info.data()),
        json!({
            "target_nqn": nqn, "vol_uuid": id, "ns_id": "10",
            "portals": [["192.0.2.1", "4420", "tcp"], ["2001:db8::1", "4420", "tcp"]],
            "encrypted": false, "qos_specs": null, "access_mode": "rw", "cacheable": false
        })
    );
    let options = NvmetOptions {
        info_version: InfoVersion::One,
        discard: true,
        ..options()
    };
    let first = target_with(&kernel, options);
    assert_eq!(
        Value::Object(rig.attach(&first, GUEST).unwrap().data()),
        json!({
            "target_portal": "192.0.2.1", "target_port": "4420", "nqn": nqn, "transport_type": "tcp", "ns_id": "10",
            "discard": true, "encrypted": false, "qos_specs": null, "access_mode": "rw", "cacheable": false
        })
    );
    let export = rig.export(&first, "a").unwrap();
    assert_eq!(
        export.provider_location,
        format!("192.0.2.1,[2001:db8::1]:4420 tcp {nqn} 10")
    );
    assert_eq!(export.provider_auth, None);
}

#[test]
fn a_connector_without_a_usable_name_is_refused() {
    let (rig, kernel) = (Rig::new(), Emulation::new());
    let target = rig.target(&kernel);
    let export = rig.export(&target, "a").unwrap();
    let none = Connector::from_json(&Map::new());
    let answer = target.grant_access(&work(), &rig.volume, &export, &none, AttachMode::Rw);
    assert!(matches!(answer, Err(DriverError::Refused { client })
        if client == "Connector doesn't have required information: nqn"));
    for bad in ["..", "nqn.a/b", "nqn.a b", "iqn.x"] {
        let answer = target.grant_access(&work(), &rig.volume, &export, &connector(bad), AttachMode::Rw);
        assert!(matches!(answer, Err(DriverError::Refused { .. })), "{bad}");
        target
            .revoke_access(&work(), &rig.volume, Some(&connector(bad)))
            .unwrap();
    }
}

#[test]
fn a_port_of_somebody_else_is_left_alone() {
    let (rig, kernel) = (Rig::new(), Emulation::new());
    let options = NvmetOptions {
        owner: "somebody".to_owned(),
        portals: vec!["192.0.2.9:4420".parse().unwrap()],
        ..options()
    };
    let other = target_with(&kernel, options);
    let foreign = volume(1);
    other
        .ensure_export(&work(), &foreign, &rig.home.path().join("b"))
        .unwrap();
    let before = kernel.shown();
    let Err(DriverError::Failed { operator, .. }) = rig.export(&rig.target(&kernel), "a") else {
        panic!("the port is taken");
    };
    assert!(operator.contains("nvmet_port_id"), "{operator}");
    assert_eq!(kernel.shown(), before);
    other.remove_export(&work(), &foreign).unwrap();
    rig.export(&rig.target(&kernel), "a").unwrap();
}

#[test]
fn exports_are_listed_by_whose_they_are_and_share_ports_and_hosts() {
    let (rig, kernel) = (Rig::new(), Emulation::new());
    let target = rig.target(&kernel);
    let options = NvmetOptions {
        owner: "host@other".to_owned(),
        ..options()
    };
    let other = target_with(&kernel, options);
    let foreign = volume(1);
    let export = other
        .ensure_export(&work(), &foreign, Path::new(&rig.home.path().join("b")))
        .unwrap();
    other
        .grant_access(&work(), &foreign, &export, &connector(GUEST), AttachMode::Rw)
        .unwrap();
    rig.attach(&target, GUEST).unwrap();
    assert_eq!(target.list_exports(&work()).unwrap(), [rig.volume.storage_name()]);
    assert_eq!(other.list_exports(&work()).unwrap(), [foreign.storage_name()]);
    target.remove_export(&work(), &rig.volume).unwrap();
    assert!(kernel.shows(&format!("allowed_hosts/{GUEST}")));
    assert!(kernel.shown().iter().any(|line| line == "nvmet/ports/1/"));
    other.remove_export(&work(), &foreign).unwrap();
    assert_eq!(kernel.shown(), Emulation::new().shown());
}

#[test]
fn the_kernel_looks_at_the_size_of_what_is_exported() {
    let (rig, kernel) = (Rig::new(), Emulation::new());
    let target = rig.target(&kernel);
    target.resized(&work(), &rig.volume).unwrap();
    assert_eq!(kernel.changes(), 0);
    rig.export(&target, "a").unwrap();
    let before = kernel.changes();
    target.resized(&work(), &rig.volume).unwrap();
    assert_eq!(kernel.changes(), before + 1);
}

/// An export with two hosts.
struct Attached {
    rig: Rig,
    target: NvmetTarget,
}

impl Attached {
    fn fenced() -> Fenced<Self> {
        let (rig, kernel) = (Rig::new(), Emulation::new());
        for host in [GUEST, OTHER] {
            rig.attach(&rig.target(&kernel), host).unwrap();
        }
        std::fs::create_dir(rig.home.path().join("nvmet")).unwrap();
        let options = NvmetOptions {
            configfs: rig.home.path().to_owned(),
            ..options()
        };
        let target = target_with(&kernel, options);
        Fenced::new(kernel, Self { rig, target })
    }

    fn export(&self, work: &Work, volume: &VolumeSpec, name: &str) -> DriverResult<()> {
        let path = self.rig.home.path().join(name);
        self.target.ensure_export(work, volume, &path).map(drop)
    }
}

#[test]
fn no_verb_changes_the_kernel_once_the_lock_is_lost() {
    let verbs: [Verb<Fenced<Attached>>; 10] = [
        ("setup", Effect::Reads, |scene, work| scene.target.setup(work)),
        ("ensure_export", Effect::Changes, |scene, work| {
            scene.export(work, &volume(1), "b")
        }),
        // A replaced file; and the state after everything was cleared.
        ("ensure_export", Effect::Changes, |scene, work| {
            scene.export(work, &scene.rig.volume, "b")
        }),
        ("ensure_export", Effect::Changes, |scene, work| {
            scene.kernel.clear();
            scene.export(work, &scene.rig.volume, "a")
        }),
        ("remove_export", Effect::Changes, |scene, work| {
            scene.target.remove_export(work, &scene.rig.volume)
        }),
        ("grant_access", Effect::Changes, |scene, work| {
            let who = connector("nqn.2014-08.org.nvmexpress:uuid:third");
            let export = Export {
                provider_location: String::new(),
                provider_auth: None,
            };
            scene
                .target
                .grant_access(work, &scene.rig.volume, &export, &who, AttachMode::Rw)
                .map(drop)
        }),
        ("revoke_access", Effect::Changes, |scene, work| {
            let who = connector(GUEST);
            scene.target.revoke_access(work, &scene.rig.volume, Some(&who))
        }),
        ("revoke_access", Effect::Changes, |scene, work| {
            scene.target.revoke_access(work, &scene.rig.volume, None)
        }),
        ("resized", Effect::Changes, |scene, work| {
            scene.target.resized(work, &scene.rig.volume)
        }),
        ("list_exports", Effect::Reads, |scene, work| {
            scene.target.list_exports(work).map(drop)
        }),
    ];
    let required = verbs_of(include_str!("../mod.rs"), "pub trait TargetDriver: Send + Sync");
    all_are_fenced(&required, &verbs, Attached::fenced);
}
