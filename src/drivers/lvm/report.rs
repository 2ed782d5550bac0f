//! Parses the reports of `lvs` and `vgs`, which may be truncated, or not JSON at all.
//!
//! **None of the columns in [`COLUMNS`] belongs to segments**: with such a column, `lvs` prints a row for each segment,
//! and a volume with several segments appears several times. The columns of segments, [`SEGMENT_COLUMNS`], are reported
//! separately.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::drivers::{DriverError, DriverResult};

/// The columns that [`parse`] reads, for `-o`. One report contains the group and its volumes.
pub(super) const COLUMNS: &str = "lv_name,lv_size,origin_size,origin,pool_lv,lv_attr,lv_tags,data_percent,metadata_percent,vg_size,vg_free,vg_attr,vg_missing_pv_count";

/// The columns of a group without volumes.
pub(super) const GROUP_COLUMNS: &str = "vg_size,vg_free,vg_attr,vg_missing_pv_count";

/// The columns that [`parse_chunks`] reads: one row for each segment.
pub(super) const SEGMENT_COLUMNS: &str = "lv_name,chunk_size";

/// Overrides of settings in `lvm.conf` or a profile that would change the format of reports.
pub(super) const REPORT_CONFIG: &str = "report { compact_output = 0 compact_output_cols = \"\" aligned = 1 buffered = 1 headings = 1 \
     separator = \" \" list_item_separator = \",\" prefixes = 0 quoted = 1 columns_as_rows = 0 binary_values_as_numeric = 0 \
     mark_hidden_devices = 1 } log { report_command_log = 0 verbose = 0 }";

/// The tag of a volume whose copy is incomplete.
pub(super) const COPYING: &str = "pumice.copying";

/// A logical volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lv {
    pub(super) name: String,
    /// The size of its device, in bytes.
    pub(super) bytes: u64,
    /// The size of its space in bytes: for a snapshot, the space for overwritten data of its origin.
    pub(super) room: u64,
    /// Its origin, if that still exists.
    pub(super) origin: Option<String>,
    /// Its thin pool.
    pub(super) pool: Option<String>,
    pub(super) kind: Kind,
    pub(super) state: State,
    /// Whether a part of it is on a missing disk.
    pub(super) partial: bool,
    /// Whether a pool zeroes blocks before it allocates them.
    pub(super) zeroes: bool,
    /// Whether its device is open.
    pub(super) open: bool,
    /// Whether it is skipped when volumes are activated.
    pub(super) skipped: bool,
    pub(super) tags: Vec<String>,
    /// How full it is, if it is a pool or a snapshot.
    pub(super) data_percent: Option<f64>,
    pub(super) metadata_percent: Option<f64>,
}

/// The kind of a logical volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its own space.
    #[default]
    Thick,
    /// A snapshot of a thick volume: its overwritten data.
    Cow,
    /// Space in a thin pool.
    Thin,
    /// A thin pool, or another kind of pool.
    Pool,
    /// A part of another one.
    Internal,
}

/// The state of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// There is no device.
    #[default]
    Inactive,
    Active,
    /// The device is suspended: an LVM command was killed before it resumed it.
    Suspended,
    /// A snapshot that ran full: its content is lost.
    Invalid,
}

impl Lv {
    /// Whether it is in a thin pool with another name. (For a cached volume the pool column has its cache.)
    pub(super) fn is_in_another_pool(&self, pool: &str) -> bool {
        self.kind == Kind::Thin && self.pool.as_deref().is_some_and(|of| of != pool)
    }

    pub(super) fn is_copying(&self) -> bool {
        self.tags.iter().any(|tag| tag == COPYING)
    }

    #[cfg(test)]
    pub(super) fn named(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            ..Self::default()
        }
    }
}

/// A group's space, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) size: u64,
    pub(super) free: u64,
    /// Why LVM would refuse changes of the group.
    pub(super) fault: Option<String>,
    /// Whether the fault is missing disks.
    pub(super) is_missing_disks: bool,
}

/// The volumes of a report, and the group's space from the first row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    pub(super) group: Option<Group>,
    pub(super) lvs: Vec<Lv>,
}

impl Report {
    /// Checks that LVM allows changes of the group. Called by each verb that does something before LVM changes the
    /// group, so that a refusal leaves nothing incomplete.
    pub(super) fn may_change(&self) -> DriverResult<()> {
        match self.group.as_ref().and_then(|group| group.fault.as_ref()) {
            None => Ok(()),
            Some(fault) => Err(DriverError::backend_unavailable(format!(
                "the volume group cannot be changed: {fault}"
            ))),
        }
    }

    /// Checks that this volume can be wiped and removed: with missing disks LVM allows this for volumes on the others.
    /// A snapshot would have to be split from its origin, which it refuses.
    pub(super) fn may_remove(&self, lv: &Lv) -> DriverResult<()> {
        let is_missing_disks = self.group.as_ref().is_some_and(|group| group.is_missing_disks);
        if is_missing_disks && !lv.partial && lv.kind != Kind::Cow {
            return Ok(());
        }
        self.may_change()
    }

    /// Checks that so many bytes of the group are free.
    pub(super) fn has_room(&self, bytes: u64) -> DriverResult<()> {
        match &self.group {
            Some(group) if group.free < bytes => Err(DriverError::no_space(format!(
                "{bytes} bytes are needed, and {} of the group are free",
                group.free
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Lv> {
        self.lvs.iter().find(|lv| lv.name == name)
    }

    /// The snapshots that are removed with it. Thin ones are not: they are independent.
    pub(super) fn cows_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Lv> {
        self.lvs
            .iter()
            .filter(move |lv| lv.kind == Kind::Cow && lv.origin.as_deref() == Some(name))
    }
}

/// Parses a report.
///
/// # Errors
/// The fault of the report.
pub(super) fn parse(text: &str) -> Result<Report, String> {
    let parts = parts(text)?;
    let mut report = Report::default();
    let mut names = BTreeSet::new();
    for part in &parts {
        for row in rows(part, "lv").chain(rows(part, "vg")) {
            if report.group.is_none() {
                report.group = group(row);
            }
        }
        for row in rows(part, "lv") {
            let lv = lv(row)?;
            // Names are unique in a group: a second row is a second segment.
            if names.insert(lv.name.clone()) {
                report.lvs.push(lv);
            }
        }
    }
    Ok(report)
}

/// Parses a report of [`SEGMENT_COLUMNS`]: the chunk size of each snapshot, in bytes.
///
/// # Errors
/// The fault of the report.
pub(super) fn parse_chunks(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let mut chunks = BTreeMap::new();
    for part in &parts(text)? {
        // `lvs --segments` calls its rows "seg".
        for row in rows(part, "lv").chain(rows(part, "seg")) {
            let name = self::text(row, "lv_name").ok_or("a segment of the report has no name")?;
            if let Some(chunk) = bytes(row, "chunk_size").filter(|chunk| *chunk > 0) {
                chunks.insert(name.trim_matches(['[', ']']).to_owned(), chunk);
            }
        }
    }
    Ok(chunks)
}

pub(super) fn parts(text: &str) -> Result<Vec<Value>, String> {
    let mut value: Value =
        serde_json::from_str(text).map_err(|error| format!("the report is no JSON: {error}"))?;
    match value.get_mut("report").map(Value::take) {
        Some(Value::Array(parts)) => Ok(parts),
        _ => Err("the report has no 'report'".to_owned()),
    }
}

pub(super) fn rows<'a>(part: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    part.get(kind).and_then(Value::as_array).into_iter().flatten()
}

fn group(row: &Value) -> Option<Group> {
    // vgs(8): writeable, resizeable, exported, partial, …
    let attr: Vec<char> = text(row, "vg_attr").unwrap_or_default().chars().collect();
    let is = |place: usize, letter: char| attr.get(place) == Some(&letter);
    let missing = bytes(row, "vg_missing_pv_count").unwrap_or(0);
    let is_missing_disks = missing > 0 || is(3, 'p');
    let fault = if is_missing_disks {
        Some(format!(
            "{} of its disks cannot be found (vgs -o +vg_missing_pv_count, pvs)",
            missing.max(1)
        ))
    } else if is(2, 'x') {
        Some("it was exported to another machine (vgimport)".to_owned())
    } else if is(0, 'r') {
        Some("it is read-only (vgchange -prw)".to_owned())
    } else {
        None
    };
    Some(Group {
        size: bytes(row, "vg_size")?,
        free: bytes(row, "vg_free")?,
        fault,
        is_missing_disks,
    })
}

fn lv(row: &Value) -> Result<Lv, String> {
    let name = text(row, "lv_name").ok_or("a volume of the report has no name")?;
    let attr: Vec<char> = text(row, "lv_attr").unwrap_or_default().chars().collect();
    let at = |index: usize| attr.get(index).copied().unwrap_or('-');
    let hidden = name.starts_with('[');
    let kind = match at(0) {
        _ if hidden => Kind::Internal,
        's' | 'S' => Kind::Cow,
        'V' => Kind::Thin,
        't' | 'd' | 'D' => Kind::Pool,
        // A cached volume and a cache pool have the same letter, but only the pool has no origin.
        'C' if text(row, "origin").is_none() => Kind::Pool,
        'i' | 'I' | 'l' | 'e' | 'T' | 'p' => Kind::Internal,
        _ => Kind::Thick,
    };
    let size = bytes(row, "lv_size").ok_or_else(|| format!("{name} has no size in the report"))?;
    let origin_size = bytes(row, "origin_size").filter(|bytes| *bytes > 0 && kind == Kind::Cow);
    Ok(Lv {
        name: name.trim_matches(['[', ']']).to_owned(),
        // A snapshot's own size is that of its space for changes.
        bytes: origin_size.unwrap_or(size),
        room: size,
        origin: text(row, "origin").map(|name| name.trim_matches(['[', ']']).to_owned()),
        pool: text(row, "pool_lv").map(|name| name.trim_matches(['[', ']']).to_owned()),
        kind,
        state: match at(4) {
            'a' | 'm' | 'M' => State::Active,
            's' | 'd' | 'i' => State::Suspended,
            'I' | 'S' => State::Invalid,
            _ => State::Inactive,
        },
        partial: at(8) == 'p',
        zeroes: kind == Kind::Pool && at(7) == 'z',
        open: at(5) == 'o',
        skipped: at(9) == 'k',
        tags: text(row, "lv_tags")
            .map(|tags| tags.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        data_percent: number(row, "data_percent"),
        metadata_percent: number(row, "metadata_percent"),
    })
}

/// A column's text; `None` if it is empty.
fn text<'a>(row: &'a Value, column: &str) -> Option<&'a str> {
    row.get(column)
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

/// A column's number of bytes, which older versions of LVM put in quotes.
fn bytes(row: &Value, column: &str) -> Option<u64> {
    match row.get(column)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().trim_end_matches('B').parse().ok(),
        _ => None,
    }
}

fn number(row: &Value, column: &str) -> Option<f64> {
    let number = match row.get(column)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Group, Kind, Lv, State, parse, parse_chunks};
    use crate::drivers::DriverError;

    const REPORT: &str = r#"{ "report": [ { "lv": [
        {"lv_name":"_snapshot-a", "lv_size":"1077936128", "origin_size":"1073741824", "origin":"volume-a", "pool_lv":"", "lv_attr":"swi-a-s---", "lv_tags":"", "data_percent":"0.01", "metadata_percent":"", "vg_size":"6438256640", "vg_free":"1048576"},
        {"lv_name":"volume-a", "lv_size":"1073741824", "origin_size":"1073741824", "origin":"", "pool_lv":"", "lv_attr":"owi-aos---", "lv_tags":"x,pumice.copying", "data_percent":"", "metadata_percent":"", "vg_size":"6438256640", "vg_free":"1048576"},
        {"lv_name":"volume-b", "lv_size":"2147483648", "origin_size":"0", "origin":"", "pool_lv":"vg-pool", "lv_attr":"Vwi---tz-k", "lv_tags":"", "data_percent":"", "metadata_percent":"", "vg_size":"6438256640", "vg_free":"1048576"},
        {"lv_name":"vg-pool", "lv_size":"4294967296", "origin_size":"0", "origin":"", "pool_lv":"", "lv_attr":"twi-aotz--", "lv_tags":"", "data_percent":"12.50", "metadata_percent":"10.15", "vg_size":"6438256640", "vg_free":"1048576"},
        {"lv_name":"[lvol0_pmspare]", "lv_size":"4194304", "origin_size":"0", "origin":"", "pool_lv":"", "lv_attr":"ewi-------", "lv_tags":"", "data_percent":"", "metadata_percent":"", "vg_size":"6438256640", "vg_free":"1048576"}
        ] } ] }"#;

    #[test]
    fn a_report_is_understood() {
        let report = parse(REPORT).unwrap();
        let group = Group {
            size: 6_438_256_640,
            free: 1 << 20,
            ..Group::default()
        };
        assert_eq!(report.group, Some(group));
        let kinds = report.lvs.iter().map(|lv| lv.kind);
        let wanted = [Kind::Cow, Kind::Thick, Kind::Thin, Kind::Pool, Kind::Internal];
        assert!(kinds.eq(wanted), "{report:?}");
        let cow = report.find("_snapshot-a").unwrap();
        assert_eq!((cow.bytes, cow.state, cow.open), (1 << 30, State::Active, false));
        let origin = report.find("volume-a").unwrap();
        assert!(origin.open && origin.is_copying());
        let thin = report.find("volume-b").unwrap();
        assert_eq!((thin.state, thin.skipped), (State::Inactive, true));
        assert_eq!(thin.pool.as_deref(), Some("vg-pool"));
        let pool = report.find("vg-pool").unwrap();
        let percents = (pool.data_percent, pool.metadata_percent);
        assert_eq!(percents, (Some(12.5), Some(10.15)));
        assert!(report.find("lvol0_pmspare").is_some());
        assert_eq!(report.cows_of("volume-a").count(), 1);
        assert_eq!(report.cows_of("volume-b").count(), 0);
    }

    #[test]
    fn an_empty_group_has_its_space_in_its_own_report() {
        let text = r#"{"report":[{"vg":[{"vg_size":6438256640,"vg_free":6438256640}]}]}"#;
        let report = parse(text).unwrap();
        assert_eq!(report.group.map(|group| group.free), Some(6_438_256_640));
        assert!(report.lvs.is_empty());
    }

    /// Printed by LVM 2.03.16 for the arguments of `commands.rs`; "by-segment" has a column of segments, too.
    macro_rules! golden {
        ($name:literal) => {
            include_str!(concat!("../../../tests/golden/lvm/", $name, ".json"))
        };
    }

    #[test]
    fn a_volume_in_several_pieces_is_one_volume_even_where_lvm_prints_a_row_for_each() {
        let report = parse(golden!("fragmented")).unwrap();
        assert_eq!(report, parse(golden!("fragmented-by-segment")).unwrap());
        assert_ne!(
            golden!("fragmented-by-segment").matches("lv_name").count(),
            report.lvs.len()
        );
        let mut volumes = report.lvs.iter().filter(|lv| lv.name.starts_with("volume-"));
        let volume = volumes.next().unwrap();
        assert_eq!((volume.bytes, volume.kind), (2 << 30, Kind::Thick));
        assert_eq!(volume.tags, ["a", "b"]);
        let cow = report.cows_of(&volume.name).next().unwrap();
        assert!(cow.bytes == 2 << 30 && cow.room > cow.bytes);
        let chunks = parse_chunks(golden!("fragmented-segments")).unwrap();
        assert_eq!(chunks.get(&cow.name), Some(&4096));
        assert_eq!(chunks.get("f1"), None);
    }

    #[test]
    fn mirrors_and_what_other_tools_made_are_what_they_are() {
        let report = parse(golden!("mirrored")).unwrap();
        let mirror = report.find("volume-mirrored").unwrap();
        assert_eq!((mirror.kind, mirror.bytes), (Kind::Thick, 1 << 30));
        assert!(report.lvs.iter().all(|lv| lv.kind == Kind::Thick), "{report:?}");
        let report = parse(golden!("foreign")).unwrap();
        let kind = |name: &str| report.find(name).map(|lv| lv.kind);
        for (name, wanted) in [
            ("root", Kind::Thick),
            ("theirs-raid5", Kind::Thick),
            ("theirs-striped", Kind::Thick),
            ("wsnap", Kind::Cow),
            ("d0", Kind::Thin),
            ("d0-snap", Kind::Thin),
            ("other", Kind::Pool),
            ("vg1-pool", Kind::Pool),
        ] {
            assert_eq!(kind(name), Some(wanted), "{name}");
        }
        let pool = |name: &str| report.find(name).unwrap().is_in_another_pool("vg1-pool");
        assert!(pool("d0") && pool("d0-snap"));
        assert!(!pool("volume-thin") && !pool("root"), "a cache is no thin pool");
        assert!(report.find("other").unwrap().zeroes);
        assert!(!report.find("vg1-pool").unwrap().zeroes);
    }

    #[test]
    fn what_lvms_configuration_says_of_reports_changes_nothing() {
        let sorted = |text: &str| {
            let mut lvs = parse(text).unwrap().lvs;
            lvs.sort_by(|one, other| one.name.cmp(&other.name));
            lvs
        };
        let (mut before, after) = (sorted(golden!("foreign")), sorted(golden!("hostile")));
        // It was enabled between the two.
        for pool in before.iter_mut().filter(|lv| lv.name == "vg1-pool") {
            pool.zeroes = true;
        }
        assert_eq!(before, after);
    }

    #[test]
    fn a_full_snapshot_is_reported() {
        let report = parse(golden!("overflowed")).unwrap();
        let cow = report.find("_snapshot-x").unwrap();
        assert_eq!((cow.kind, cow.state), (Kind::Cow, State::Invalid));
    }

    #[test]
    fn a_group_with_a_missing_disk_cannot_be_changed_but_what_is_whole_can_be_removed() {
        let report = parse(golden!("broken")).unwrap();
        assert!(report.may_change().is_err());
        let group = parse(golden!("broken-group")).unwrap();
        assert!(
            matches!(group.may_change(), Err(DriverError::Failed { operator, .. })
            if operator.contains("1 of its disks cannot be found"))
        );
        for lv in &report.lvs {
            assert!(report.may_remove(lv).is_err(), "{}", lv.name);
        }
        let whole = Lv {
            partial: false,
            kind: Kind::Thick,
            ..report.lvs[0].clone()
        };
        assert!(report.may_remove(&whole).is_ok());
        for attr in ["rz--n-", "wzx-n-", "wz-pn-"] {
            let text = format!(
                r#"{{"report":[{{"vg":[{{"vg_size":"1","vg_free":"1","vg_attr":"{attr}","vg_missing_pv_count":"0"}}]}}]}}"#
            );
            assert!(parse(&text).unwrap().may_change().is_err(), "{attr}");
        }
        assert!(parse(REPORT).unwrap().may_change().is_ok());
    }

    #[test]
    fn a_report_that_was_cut_off_is_none() {
        for cut in [0, 1, 20, 300, REPORT.len() - 3] {
            assert!(parse(&REPORT[..cut]).is_err(), "{cut}");
        }
        assert!(parse(r#"{"report":[{"lv":[{"lv_name":"a"}]}]}"#).is_err());
        assert!(parse("{}").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = parse(&text);
            let _ = parse_chunks(&text);
        }

        #[test]
        fn no_bent_report_makes_it_panic(at in 0..REPORT.len(), with in ".{0,3}", cut in 0_usize..20) {
            let mut text = REPORT.to_owned();
            let end = (at + cut).min(text.len());
            text.replace_range(at..end, &with);
            let _ = parse(&text);
        }
    }
}
