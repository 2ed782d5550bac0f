//! No verb changes the daemon once the lock of the storage, or of the daemon's folder, is lost: what answers in that folder may be
//! another process's daemon.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pumice::drivers::ownership::{Ownership, Place};
use pumice::drivers::targets::tgt::TgtOptions;
use pumice::drivers::targets::{Export, TargetDriver};
use pumice::drivers::{DriverError, DriverResult, Work};
use pumice::model::volume::Secret;
use pumice::model::{AttachMode, VolumeSpec};

use self::harness::{Effect, Lock, Scene, Verb, all_are_fenced, verbs_of};
use super::{GUEST, Rig, STRANGER, connector, work};

#[path = "../../src/drivers/testing/fence.rs"]
mod harness;

/// Which of the two locks is lost.
#[derive(Clone, Copy)]
enum Lost {
    Storage,
    Folder,
}

/// An export with two initiators, whose tgtadm writes down what it changes.
struct Fenced {
    rig: Rig,
    lock: Lock,
    lost: Lost,
    volume: VolumeSpec,
    export: Export,
}

/// Writes each call that changes something into `changes`; at the number in `lose`, shows everything in `shown` and removes the
/// file that is named there.
fn recording_tgtadm(home: &Path, options: &mut TgtOptions) {
    let script = home.join("tgtadm");
    let text = format!(
        "#!/bin/sh\n\
         tgtadm=/usr/sbin/tgtadm\n\
         $tgtadm \"$@\"\n\
         code=$?\n\
         case \"$*\" in *\"--op show\"*) exit $code;; esac\n\
         cd {0} && echo \"$*\" >> changes && read -r number lock < lose || exit $code\n\
         [ \"$(wc -l < changes)\" = \"$number\" ] || exit $code\n\
         for mode in target account; do $tgtadm -C 1 --lld iscsi --mode $mode --op show; done > shown\n\
         rm $lock\n\
         exit $code\n",
        home.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    options.tgtadm = script.into();
}

impl Fenced {
    fn new(lost: Lost) -> Self {
        let rig = Rig::with(recording_tgtadm).up();
        let mut volume = rig.create(1);
        let export = rig.export(&volume);
        volume.provider_auth.clone_from(&export.provider_auth);
        for initiator in [GUEST, STRANGER] {
            rig.attach(&volume, initiator);
        }
        Self {
            rig,
            lock: Lock::taken(),
            lost,
            volume,
            export,
        }
    }

    fn in_home(&self, name: &str) -> PathBuf {
        self.rig.home.path().join(name)
    }

    fn ensure(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let path = self.rig.path(volume);
        self.rig.target.ensure_export(work, volume, &path).map(drop)
    }

    fn grow(&self) {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(self.rig.path(&self.volume));
        file.unwrap().set_len(2 << 30).unwrap();
    }
}

impl Scene for Fenced {
    fn work(&self) -> Work {
        self.lock.work()
    }

    fn lock(&self) -> PathBuf {
        match self.lost {
            Lost::Storage => self.lock.file(),
            Lost::Folder => self.in_home("tgt/lock"),
        }
    }

    fn record(&self, changes: usize, lock: &Path) {
        let _ = std::fs::remove_file(self.in_home("changes"));
        std::fs::write(self.in_home("lose"), format!("{changes} {}\n", lock.display())).unwrap();
        let shown = self.rig.shown() + &self.rig.accounts();
        std::fs::write(self.in_home("shown"), shown).unwrap();
    }

    fn changes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.in_home("changes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// An account may be made without tgtadm.
    fn assert_untouched(&self) {
        let then = std::fs::read_to_string(self.in_home("shown")).unwrap();
        assert_eq!(self.rig.shown() + &self.rig.accounts(), then);
    }
}

const VERBS: [Verb<Fenced>; 12] = [
    ("setup", Effect::Reads, |scene, work| scene.rig.target.setup(work)),
    ("ensure_export", Effect::Changes, |scene, work| {
        scene.ensure(work, &scene.rig.create(1))
    }),
    ("ensure_export", Effect::Changes, |scene, work| {
        let readonly = VolumeSpec {
            readonly: true,
            ..scene.volume.clone()
        };
        scene.ensure(work, &readonly)
    }),
    ("ensure_export", Effect::Changes, |scene, work| {
        let another = VolumeSpec {
            provider_auth: Some(Secret::new("CHAP another another567890")),
            ..scene.volume.clone()
        };
        scene.ensure(work, &another)
    }),
    ("ensure_export", Effect::Changes, |scene, work| {
        scene.grow();
        scene.ensure(work, &scene.volume)
    }),
    // It is not as it was left: taken down, and built anew.
    ("ensure_export", Effect::Changes, |scene, work| {
        std::fs::rename(scene.in_home("lose"), scene.in_home("kept")).unwrap();
        let changes = scene.changes();
        let gone = ["--mode", "target", "--op", "delete", "--force", "--tid", "1"];
        scene.rig.tgtadm(&gone).unwrap();
        assert_eq!(scene.changes(), changes, "that was not ours");
        std::fs::write(scene.in_home("shown"), scene.rig.shown() + &scene.rig.accounts()).unwrap();
        std::fs::rename(scene.in_home("kept"), scene.in_home("lose")).unwrap();
        scene.ensure(work, &scene.volume)
    }),
    ("remove_export", Effect::Changes, |scene, work| {
        scene.rig.target.remove_export(work, &scene.volume)
    }),
    ("grant_access", Effect::Changes, |scene, work| {
        let who = connector("iqn.1993-08.org.debian:01:third");
        let (volume, export) = (&scene.volume, &scene.export);
        let target = &scene.rig.target;
        target
            .grant_access(work, volume, export, &who, AttachMode::Rw)
            .map(drop)
    }),
    ("revoke_access", Effect::Changes, |scene, work| {
        let who = connector(GUEST);
        let target = &scene.rig.target;
        target.revoke_access(work, &scene.volume, Some(&who))
    }),
    ("revoke_access", Effect::Changes, |scene, work| {
        scene.rig.target.revoke_access(work, &scene.volume, None)
    }),
    ("resized", Effect::Changes, |scene, work| {
        scene.grow();
        scene.rig.target.resized(work, &scene.volume)
    }),
    ("list_exports", Effect::Reads, |scene, work| {
        scene.rig.target.list_exports(work).map(drop)
    }),
];

fn no_verb_changes_a_daemon_once_this_lock_is_lost(lost: Lost) {
    let source = include_str!("../../src/drivers/targets/mod.rs");
    let required = verbs_of(source, "pub trait TargetDriver: Send + Sync");
    all_are_fenced(&required, &VERBS, || Fenced::new(lost));
}

#[test]
fn no_verb_changes_a_daemon_once_the_lock_of_the_storage_is_lost() {
    no_verb_changes_a_daemon_once_this_lock_is_lost(Lost::Storage);
}

#[test]
fn no_verb_changes_a_daemon_once_the_lock_of_its_folder_is_lost() {
    no_verb_changes_a_daemon_once_this_lock_is_lost(Lost::Folder);
}

#[test]
fn who_lost_the_folder_neither_starts_a_daemon_there_nor_tidies_up() {
    let scene = Fenced::new(Lost::Folder);
    scene.record(usize::MAX, &scene.lock());
    std::fs::remove_file(scene.lock()).unwrap();
    let successor = Ownership::of(vec![Place::file(scene.lock(), "folder".to_owned())]);
    successor.take().unwrap();
    let pids = scene.rig.daemons();
    let daemon = pumice::drivers::command::daemon::Process::open(pids[0]).unwrap();
    daemon.kill();
    super::until("the daemon is gone", || scene.rig.target.generation().is_none());
    scene.rig.target.setup(&work()).unwrap_err();
    assert!(scene.rig.daemons().is_empty());
    scene.rig.target.shutdown();
    assert!(scene.changes().is_empty());
    assert!(scene.in_home("tgt/socket.1").exists());
    successor.check().unwrap();
}
