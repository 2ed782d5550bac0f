//! What `lvs` and `vgs` report, read with care: text of another program, which may be cut off, or be no JSON at all.

use serde_json::Value;

/// The columns that [`parse`] reads, for `-o`. One report has what the group and what its volumes are.
pub(super) const COLUMNS: &str = "lv_name,lv_size,origin_size,origin,pool_lv,lv_attr,lv_tags,data_percent,metadata_percent,chunk_size,vg_size,vg_free";

/// The columns of a group without volumes.
pub(super) const GROUP_COLUMNS: &str = "vg_size,vg_free";

/// The tag of a volume into which data is being copied: it is not whole.
pub(super) const COPYING: &str = "pumice.copying";

/// A logical volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lv {
    pub(super) name: String,
    /// Its size as its reader sees it, in bytes.
    pub(super) bytes: u64,
    /// What it was made of, if that is still there.
    pub(super) origin: Option<String>,
    /// The thin pool that it is in.
    pub(super) pool: Option<String>,
    pub(super) kind: Kind,
    pub(super) state: State,
    /// In which pieces a snapshot keeps what its origin loses, in bytes.
    pub(super) chunk: u64,
    /// Whether somebody has its device open.
    pub(super) open: bool,
    /// Whether it is left out when volumes are activated.
    pub(super) skipped: bool,
    pub(super) tags: Vec<String>,
    /// How full it is, if it is a pool or a snapshot.
    pub(super) data_percent: Option<f64>,
    pub(super) metadata_percent: Option<f64>,
}

/// What it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Space of its own.
    #[default]
    Thick,
    /// The changes of a thick volume since.
    Cow,
    /// Space of a thin pool's.
    Thin,
    /// A thin pool, or another kind of pool.
    Pool,
    /// A part of another one.
    Internal,
}

/// How its device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// There is none.
    #[default]
    Inactive,
    Active,
    /// It is there and answers nobody: an LVM command was killed before it let it go on.
    Suspended,
    /// A snapshot that ran full: its content is lost.
    Invalid,
}

impl Lv {
    pub(super) fn is_copying(&self) -> bool {
        self.tags.iter().any(|tag| tag == COPYING)
    }
}

/// A group's space, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) size: u64,
    pub(super) free: u64,
}

/// The volumes of a report, and the group's space as the first of them has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    pub(super) group: Option<Group>,
    pub(super) lvs: Vec<Lv>,
}

impl Report {
    pub(super) fn find(&self, name: &str) -> Option<&Lv> {
        self.lvs.iter().find(|lv| lv.name == name)
    }

    /// The snapshots that go with it when it is removed. Thin ones do not: they stand for themselves.
    pub(super) fn cows_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Lv> {
        self.lvs
            .iter()
            .filter(move |lv| lv.kind == Kind::Cow && lv.origin.as_deref() == Some(name))
    }
}

/// Reads a report.
///
/// # Errors
/// Why it is none.
pub(super) fn parse(text: &str) -> Result<Report, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("the report is no JSON: {error}"))?;
    let parts = value
        .get("report")
        .and_then(Value::as_array)
        .ok_or("the report has no 'report'")?;
    let mut report = Report::default();
    for part in parts {
        for row in rows(part, "lv").chain(rows(part, "vg")) {
            if report.group.is_none() {
                report.group = bytes(row, "vg_size")
                    .zip(bytes(row, "vg_free"))
                    .map(|(size, free)| Group { size, free });
            }
        }
        for row in rows(part, "lv") {
            report.lvs.push(lv(row)?);
        }
    }
    Ok(report)
}

fn rows<'a>(part: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    part.get(kind).and_then(Value::as_array).into_iter().flatten()
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
        // A snapshot's own size is that of the room for changes.
        bytes: origin_size.unwrap_or(size),
        origin: text(row, "origin").map(|name| name.trim_matches(['[', ']']).to_owned()),
        pool: text(row, "pool_lv").map(|name| name.trim_matches(['[', ']']).to_owned()),
        kind,
        state: match at(4) {
            'a' | 'm' | 'M' => State::Active,
            's' | 'd' | 'i' => State::Suspended,
            'I' | 'S' => State::Invalid,
            _ => State::Inactive,
        },
        chunk: bytes(row, "chunk_size").unwrap_or(0),
        open: at(5) == 'o',
        skipped: at(9) == 'k',
        tags: text(row, "lv_tags")
            .map(|tags| tags.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        data_percent: number(row, "data_percent"),
        metadata_percent: number(row, "metadata_percent"),
    })
}

/// A column's text; `None` where it is empty.
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

    use super::{Group, Kind, State, parse};

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
        assert_eq!(
            report.group,
            Some(Group {
                size: 6_438_256_640,
                free: 1 << 20
            })
        );
        let kinds: Vec<_> = report.lvs.iter().map(|lv| lv.kind).collect();
        assert_eq!(
            kinds,
            [Kind::Cow, Kind::Thick, Kind::Thin, Kind::Pool, Kind::Internal]
        );
        let cow = report.find("_snapshot-a").unwrap();
        assert_eq!((cow.bytes, cow.state, cow.open), (1 << 30, State::Active, false));
        let origin = report.find("volume-a").unwrap();
        assert!(origin.open && origin.is_copying());
        let thin = report.find("volume-b").unwrap();
        assert_eq!((thin.state, thin.skipped), (State::Inactive, true));
        assert_eq!(thin.pool.as_deref(), Some("vg-pool"));
        let pool = report.find("vg-pool").unwrap();
        assert_eq!(
            (pool.data_percent, pool.metadata_percent),
            (Some(12.5), Some(10.15))
        );
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
