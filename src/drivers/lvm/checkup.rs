//! The state of LVM on the host, before a backend uses it: programs, groups, configuration. Facts only, without
//! changes; the caller assesses them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::commands::{Lvm, report_args};
use super::names;
use super::options::LvmOptions;
use super::report::{self, Kind};
use crate::drivers::command::{Command, CommandError};
use crate::drivers::{DriverResult, Work};

/// The programs that every backend calls.
const PROGRAMS: &[&str] = &[
    "lvs",
    "vgs",
    "lvcreate",
    "lvremove",
    "lvextend",
    "lvreduce",
    "lvconvert",
    "lvchange",
    "lvrename",
    "udevadm",
];

/// The programs that LVM itself calls for thin pools, and their package.
const THIN_PROGRAMS: (&[&str], &str) = (&["thin_check", "thin_repair"], "thin-provisioning-tools");

/// The columns that [`parse_groups`] reads.
const COLUMNS: &str = "vg_name,vg_attr,vg_size,vg_free,vg_missing_pv_count";

/// LVM, as one backend would call it.
pub struct Checkup {
    lvm: Lvm,
    group: String,
}

/// A volume group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The free bytes.
    pub free: u64,
    /// Whether it may be changed.
    pub writable: bool,
    /// Whether it was exported to another machine.
    pub exported: bool,
    /// The number of missing disks, including suspected ones.
    pub missing: u64,
    /// Whether several machines use it.
    pub shared: bool,
}

/// All groups, and LVM's warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Every group that LVM sees.
    pub all: Vec<GroupFacts>,
    /// Its warnings, for example of a duplicate disk.
    pub warnings: Vec<String>,
}

/// The content of the backend's group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Content {
    /// The number of all volumes and snapshots.
    pub volumes: usize,
    /// Its thin pool, if there is one: percentage of data and of metadata in use, unknown while it is not active.
    pub pool: Option<(Option<f64>, Option<f64>)>,
    /// Whether that pool zeroes blocks before it allocates them.
    pub pool_zeroes: bool,
    /// Whether a volume that is not a thin pool has the pool's name.
    pub name_taken: bool,
}

/// LVM's configuration, from `section/key` to the value in LVM's notation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Checkup {
    /// A checkup with a backend's options.
    pub fn new(options: &LvmOptions) -> Self {
        Self {
            lvm: Lvm::new(options),
            group: options.volume_group.clone(),
        }
    }

    /// The thin pool's name.
    pub fn pool_name(&self) -> String {
        names::pool(&self.group)
    }

    /// The programs that the driver calls.
    pub fn programs(&self) -> Vec<Command> {
        PROGRAMS.iter().map(|name| self.lvm.command(name)).collect()
    }

    /// The programs that LVM calls for thin pools.
    pub fn thin_programs(&self) -> Vec<Command> {
        let (names, package) = THIN_PROGRAMS;
        names.iter().map(|name| Command::new(*name, package)).collect()
    }

    /// LVM's version.
    ///
    /// # Errors
    /// If it is missing, or does not answer.
    pub fn version(&self, work: &Work) -> Result<String, CommandError> {
        let output = self.lvm.command("lvs").arg("--version").run(work)?;
        Ok(parse_version(&output.stdout.text()).unwrap_or_else(|| "unknown".to_owned()))
    }

    /// Every group, so that a wrong name is detected.
    ///
    /// # Errors
    /// If LVM fails, does not answer, or returns no report.
    pub fn groups(&self, work: &Work) -> Result<Result<Groups, String>, CommandError> {
        let args = report_args("vgs", COLUMNS, "");
        let args = args[1..].iter().filter(|arg| !arg.is_empty());
        let output = self.lvm.command("vgs").args(args).run(work)?;
        let warnings = parse_warnings(&output.stderr.text());
        Ok(parse_groups(&output.stdout.text()).map(|all| Groups { all, warnings }))
    }

    /// The content of the backend's group.
    ///
    /// # Errors
    /// As the driver's report.
    pub fn content(&self, work: &Work) -> DriverResult<Content> {
        let report = self.lvm.look_at_all(work)?;
        let named = report.find(self.lvm.pool());
        let pool = named.filter(|lv| lv.kind == Kind::Pool);
        Ok(Content {
            volumes: report.lvs.iter().filter(|lv| lv.kind != Kind::Internal).count(),
            pool: pool.map(|pool| (pool.data_percent, pool.metadata_percent)),
            pool_zeroes: pool.is_some_and(|pool| pool.zeroes),
            name_taken: named.is_some() && pool.is_none(),
        })
    }

    /// LVM's configuration, including defaults.
    ///
    /// # Errors
    /// If LVM fails or does not answer.
    pub fn settings(&self, work: &Work) -> Result<Settings, CommandError> {
        let command = self.lvm.command("lvmconfig").args(["--typeconfig", "full"]);
        Ok(Settings::parse(&command.run(work)?.stdout.text()))
    }
}

impl Settings {
    /// Parses the output of `lvmconfig`.
    pub fn parse(text: &str) -> Self {
        let mut all = BTreeMap::new();
        let mut path: Vec<&str> = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_suffix('{') {
                path.push(name.trim());
            } else if line == "}" {
                path.pop();
            } else if let Some((key, value)) = line.split_once('=') {
                let mut whole = path.clone();
                whole.push(key.trim());
                all.insert(whole.join("/"), value.trim().to_owned());
            }
        }
        Self(all)
    }

    /// A value in LVM's notation.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Whether a switch is enabled.
    pub fn is_on(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    /// The texts of a list; `None` if it is not set.
    pub fn list(&self, key: &str) -> Option<Vec<&str>> {
        // Each text is between quotes, so every other piece is one.
        let pieces = self.get(key)?.split('"').skip(1).step_by(2);
        Some(pieces.collect())
    }
}

fn parse_version(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("LVM version:"))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn parse_warnings(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("WARNING:") || line.contains("uplicate PV"))
        .map(|line| line.trim_start_matches("WARNING:").trim().to_owned())
        .collect()
}

fn parse_groups(text: &str) -> Result<Vec<GroupFacts>, String> {
    let parts = report::parts(text)?;
    let rows = parts.iter().flat_map(|part| report::rows(part, "vg"));
    Ok(rows.filter_map(group).collect())
}

fn group(row: &Value) -> Option<GroupFacts> {
    let field = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().trim();
    let number = |name: &str| field(name).parse::<u64>().unwrap_or(0);
    // vgs(8): writeable, resizeable, exported, partial, allocation, clustered or shared.
    let attribute = |place: usize| field("vg_attr").chars().nth(place).unwrap_or('-');
    let name = field("vg_name");
    (!name.is_empty()).then(|| GroupFacts {
        name: name.to_owned(),
        size: number("vg_size"),
        free: number("vg_free"),
        writable: attribute(0) == 'w',
        exported: attribute(2) == 'x',
        missing: number("vg_missing_pv_count").max(u64::from(attribute(3) == 'p')),
        shared: matches!(attribute(5), 'c' | 's'),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::{Checkup, GroupFacts, LvmOptions, Settings, parse_groups, parse_version, parse_warnings};
    use crate::drivers::Work;
    use crate::drivers::command::CommandError;

    const VGS: &str = r#"  {
      "report": [
          {
              "vg": [
                  {"vg_name":"cinder-volumes", "vg_attr":"wz--n-", "vg_size":"10733223936", "vg_free":"4290772992", "vg_missing_pv_count":"0"},
                  {"vg_name":"old", "vg_attr":"rzxpns", "vg_size":"10733223936", "vg_free":"0", "vg_missing_pv_count":"2"}
              ]
          }
      ]
  }"#;

    const SETTINGS: &str = "config {\n\tchecks=1\n}\ndevices {\n\tdir=\"/dev\"\n\tscan=\"/dev\"\n\tuse_devicesfile=0\n\tfilter=[\"a|.*|\"]\n\tglobal_filter=[\"r|^/dev/vg/volume-|\",\"a|.*|\"]\n\tscan_lvs=0\n\tissue_discards=0\n}\nactivation {\n\tthin_pool_autoextend_threshold=100\n}\n";

    #[test]
    fn groups_are_read_with_their_attributes() {
        let groups = parse_groups(VGS).unwrap();
        let good = GroupFacts {
            name: "cinder-volumes".to_owned(),
            size: 10_733_223_936,
            free: 4_290_772_992,
            writable: true,
            ..GroupFacts::default()
        };
        assert_eq!(groups[0], good);
        assert!(!groups[1].writable && groups[1].exported && groups[1].shared);
        assert_eq!(groups[1].missing, 2);
        assert!(parse_groups("nothing").is_err());
        assert!(parse_groups("{\"report\": [{\"vg\": [{}]}]}").unwrap().is_empty());
    }

    #[test]
    fn settings_are_read_by_section() {
        let settings = Settings::parse(SETTINGS);
        assert!(settings.is_on("config/checks") && !settings.is_on("devices/scan_lvs"));
        let threshold = settings.get("activation/thin_pool_autoextend_threshold");
        assert_eq!(threshold, Some("100"));
        let filter = settings.list("devices/global_filter").unwrap();
        assert_eq!(filter, ["r|^/dev/vg/volume-|", "a|.*|"]);
        assert_eq!(settings.list("activation/volume_list"), None);
    }

    #[test]
    fn the_version_and_the_warnings_are_picked_out() {
        let printed =
            "  LVM version:     2.03.16(2) (2022-05-18)\n  Library version: 1.02.185 (2022-05-18)\n";
        assert_eq!(parse_version(printed).as_deref(), Some("2.03.16(2)"));
        assert_eq!(parse_version("what?"), None);
        let printed = "File descriptor 10 (/dev/null) leaked on vgs invocation. Parent PID 1: x\n  WARNING: Not using device /dev/sdc for PV Zk0.\n  WARNING: PV Zk0 prefers device /dev/sdb because device is used by LV.\n";
        let warnings = parse_warnings(printed);
        assert_eq!(warnings.len(), 2);
        assert_eq!(warnings[0], "Not using device /dev/sdc for PV Zk0.");
    }

    /// A stub of LVM that has only `vgs` with this script.
    fn checkup(home: &std::path::Path, vgs: &str) -> Checkup {
        let path = home.join("vgs");
        std::fs::write(&path, format!("#!/bin/sh\n{vgs}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Checkup::new(&LvmOptions {
            bin_dir: Some(home.to_owned()),
            ..LvmOptions::new("cinder-volumes", "lvm")
        })
    }

    #[test]
    fn one_report_has_the_groups_and_what_lvm_complains_of() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("report"), VGS).unwrap();
        let report = home.path().join("report");
        let script = format!("echo '  WARNING: twice' >&2; exec cat {}", report.display());
        let checkup = checkup(home.path(), &script);
        let work = Work::within(Duration::from_secs(30));
        let groups = checkup.groups(&work).unwrap().unwrap();
        assert_eq!((groups.all.len(), groups.warnings), (2, vec!["twice".to_owned()]));
        assert!(checkup.programs().iter().any(|program| program.find().is_err()));
        assert_eq!(checkup.pool_name(), "cinder-volumes-pool");
    }

    #[test]
    fn a_report_that_hangs_is_ended() {
        let home = tempfile::tempdir().unwrap();
        let checkup = checkup(home.path(), "exec sleep 600");
        let ended = checkup.groups(&Work::within(Duration::from_millis(100)));
        assert!(matches!(ended, Err(CommandError::TimedOut { .. })));
    }
}
