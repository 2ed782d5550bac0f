//! A group of volumes that are not there: see `lvm.py`.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pumice::drivers::Work;
use pumice::drivers::copy::process::CopyOptions;
use pumice::drivers::lvm::{LvmDriver, LvmOptions, LvmType};
use pumice::model::spec::VolumeSource;
use pumice::model::{BackendName, ProjectId, VolumeId, VolumeSpec};
use serde_json::{Value, json};

const PROGRAMS: [&str; 11] = [
    "lvs",
    "vgs",
    "lvcreate",
    "lvremove",
    "lvchange",
    "lvrename",
    "lvextend",
    "lvreduce",
    "lvconvert",
    "udevadm",
    "pumice",
];

/// A folder of programs, and one where devices would be.
pub struct Group {
    bin: tempfile::TempDir,
    devices: tempfile::TempDir,
    kind: LvmType,
}

pub fn work() -> Work {
    Work::within(Duration::from_secs(60))
}

pub fn volume(size: u32) -> VolumeSpec {
    VolumeSpec {
        id: VolumeId::new(),
        project_id: ProjectId::from("p"),
        size,
        pool: BackendName::new("h", "lvm").pool("lvm"),
        multiattach: false,
        readonly: false,
        encrypted: false,
        extra_specs: BTreeMap::new(),
        source: VolumeSource::Raw,
        provider_location: None,
        provider_auth: None,
    }
}

impl Group {
    pub fn new(kind: LvmType) -> Self {
        let bin = tempfile::tempdir().unwrap();
        let devices = tempfile::tempdir_in("/dev/shm").unwrap();
        let script = bin.path().join("lvm.py");
        std::fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers_lvm/lvm.py"),
            &script,
        )
        .unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        for program in PROGRAMS {
            symlink("lvm.py", bin.path().join(program)).unwrap();
        }
        let group = Self { bin, devices, kind };
        group.set_state(&json!({
            "lvs": {}, "devices": group.devices.path(), "free": 100_u64 << 30,
        }));
        group
    }

    /// Puts a script in the place of a program.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.bin.path().join(name);
        let _ = std::fs::remove_file(&path);
        let log = self.bin.path().join("log");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >>{}\n{script}\n", log.display());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn bin(&self) -> PathBuf {
        self.bin.path().to_owned()
    }

    pub fn options(&self) -> LvmOptions {
        // Its devices are in /dev/<group>, so that is what the group is called.
        let group = self.devices.path().strip_prefix("/dev").unwrap();
        LvmOptions {
            lvm_type: self.kind,
            bin_dir: Some(self.bin()),
            copy: CopyOptions {
                pumice: Some(self.bin.path().join("pumice")),
                ..CopyOptions::default()
            },
            ..LvmOptions::new(group.to_str().unwrap(), "lvm")
        }
    }

    /// The thin pool's name.
    pub fn pool(&self) -> String {
        format!("{}-pool", self.options().volume_group)
    }

    /// A volume that another program made.
    pub fn put(&self, name: &str, lv: &Value) {
        let mut state = self.state();
        let mut all = json!({
            "kind": "-", "size": 1_u64 << 30, "origin": "", "pool": "", "tags": [], "active": true, "open": false,
            "skip": false, "virtual": 0,
        });
        for (key, value) in lv.as_object().unwrap() {
            all[key] = value.clone();
        }
        state["lvs"][name] = all;
        self.set_state(&state);
        if !name.contains('/') {
            self.write(name, "");
        }
    }

    pub fn driver(&self) -> LvmDriver {
        LvmDriver::new(self.options())
    }

    pub fn state(&self) -> Value {
        let text = std::fs::read_to_string(self.bin.path().join("state")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub fn set_state(&self, state: &Value) {
        std::fs::write(self.bin.path().join("state"), state.to_string()).unwrap();
    }

    /// Changes one thing about a volume.
    pub fn change(&self, name: &str, key: &str, value: Value) {
        let mut state = self.state();
        state["lvs"][name][key] = value;
        self.set_state(&state);
    }

    /// What is there, with what it holds.
    pub fn contents(&self) -> BTreeMap<String, (Value, String)> {
        let state = self.state();
        let lvs = state["lvs"].as_object().unwrap();
        lvs.iter()
            .map(|(name, lv)| (name.clone(), (lv.clone(), self.read(name))))
            .collect()
    }

    /// Makes it what it was when those were its contents.
    pub fn restore(&self, contents: &BTreeMap<String, (Value, String)>) {
        // A pool has none.
        let has_content = |name: &&String| !name.contains('/');
        for name in self.names().iter().filter(has_content) {
            std::fs::remove_file(self.devices.path().join(name)).unwrap();
        }
        let mut state = self.state();
        state["lvs"] = contents
            .iter()
            .map(|(name, (lv, _))| (name.clone(), lv.clone()))
            .collect();
        self.set_state(&state);
        for (name, (_, content)) in contents.iter().filter(|(name, _)| has_content(name)) {
            self.write(name, content);
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.contents().into_keys().collect()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.devices.path().join(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.devices.path().join(name)).unwrap_or_default()
    }

    /// The `number`th command from now on that changes anything fails, before or after its work. 0: none.
    pub fn fail_at(&self, number: usize, when: &str) {
        std::fs::write(self.bin.path().join("count"), "0").unwrap();
        std::fs::write(self.bin.path().join("fault"), format!("{number} {when}")).unwrap();
    }

    /// Whether it came to that.
    pub fn has_failed(&self, number: usize) -> bool {
        let count = std::fs::read_to_string(self.bin.path().join("count")).unwrap();
        count.trim().parse::<usize>().unwrap() >= number
    }

    /// Forgets what was changed so far, and removes a file when so many commands have changed something.
    pub fn lose_after(&self, changes: usize, lock: &Path) {
        let _ = std::fs::remove_file(self.bin.path().join("changes"));
        let text = format!("{changes} {}", lock.display());
        std::fs::write(self.bin.path().join("lose"), text).unwrap();
    }

    /// The commands since then that changed something.
    pub fn changes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.bin.path().join("changes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What was given back to the group unwiped, since the last time.
    pub fn leaks(&self) -> String {
        let leaks = self.bin.path().join("leaks");
        let text = std::fs::read_to_string(&leaks).unwrap_or_default();
        let _ = std::fs::remove_file(leaks);
        text
    }

    /// The commands since the last time.
    pub fn commands(&self) -> Vec<String> {
        let log = self.bin.path().join("log");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }
}
