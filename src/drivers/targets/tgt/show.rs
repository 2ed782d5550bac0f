//! Parses the output of tgtadm. Pure; any text is parsed without a panic.
//!
//! `target show` contains an initiator's *alias* including line breaks, so a guest that is logged in can add lines to
//! it. It must not be trusted alone: [`compare`] checks it against the recorded state, and sessions are read from `conn
//! show`, which contains only names with access.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A target in `target show`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShownTarget {
    pub(super) tid: u32,
    pub(super) iqn: String,
    pub(super) luns: Vec<ShownLun>,
    pub(super) accounts: Vec<String>,
    pub(super) acl: Vec<String>,
}

/// A LUN of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShownLun {
    pub(super) lun: u64,
    pub(super) megabytes: u64,
    pub(super) readonly: bool,
    pub(super) backing_store: PathBuf,
}

/// A connection in `conn show`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShownConnection {
    pub(super) sid: u64,
    pub(super) cid: u32,
    pub(super) initiator: String,
}

/// Parses `target show`.
pub(super) fn targets(text: &str) -> Vec<ShownTarget> {
    let mut targets: Vec<ShownTarget> = Vec::new();
    let mut section = "";
    for line in text.lines() {
        let detail = line.trim_start_matches(' ');
        match line.len() - detail.len() {
            0 => {
                section = "";
                if let Some((tid, iqn)) = detail
                    .strip_prefix("Target ")
                    .and_then(|rest| rest.split_once(": "))
                    && let Ok(tid) = tid.parse()
                {
                    targets.push(ShownTarget {
                        tid,
                        iqn: iqn.to_owned(),
                        ..ShownTarget::default()
                    });
                }
            }
            4 => section = detail,
            indent => {
                if let Some(target) = targets.last_mut() {
                    read_detail(target, section, indent, detail);
                }
            }
        }
    }
    targets
}

fn read_detail(target: &mut ShownTarget, section: &str, indent: usize, detail: &str) {
    match (section, indent) {
        ("LUN information:", 8) => {
            if let Some(lun) = detail.strip_prefix("LUN: ").and_then(|lun| lun.parse().ok()) {
                target.luns.push(ShownLun {
                    lun,
                    ..ShownLun::default()
                });
            }
        }
        ("LUN information:", 12) => {
            if let Some(lun) = target.luns.last_mut()
                && let Some((key, value)) = detail.split_once(": ")
            {
                match key {
                    "Size" => {
                        lun.megabytes = value.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
                    }
                    "Readonly" => lun.readonly = value == "Yes",
                    "Backing store path" => lun.backing_store = PathBuf::from(value),
                    _ => {}
                }
            }
        }
        ("Account information:", 8) => target.accounts.push(detail.to_owned()),
        ("ACL information:", 8) => target.acl.push(detail.to_owned()),
        _ => {}
    }
}

/// Parses `conn show`.
pub(super) fn connections(text: &str) -> Vec<ShownConnection> {
    let mut connections: Vec<ShownConnection> = Vec::new();
    let mut sid = None;
    for line in text.lines().map(str::trim) {
        if let Some(number) = line.strip_prefix("Session: ") {
            sid = number.parse().ok();
        } else if let Some(number) = line.strip_prefix("Connection: ") {
            if let (Some(sid), Ok(cid)) = (sid, number.parse()) {
                connections.push(ShownConnection {
                    sid,
                    cid,
                    initiator: String::new(),
                });
            }
        } else if let Some(name) = line.strip_prefix("Initiator: ")
            && let Some(connection) = connections.last_mut()
        {
            connection.initiator = name.to_owned();
        }
    }
    connections
}

/// Parses `portal show`.
pub(super) fn portals(text: &str) -> Vec<SocketAddr> {
    let portal = |line: &str| line.strip_prefix("Portal: ")?.rsplit_once(',')?.0.parse().ok();
    text.lines().filter_map(portal).collect()
}

/// The megabytes that tgt shows for so many bytes (tgt: `usr/target.c: print_disksize`, whose sum may overflow).
pub(super) fn megabytes(bytes: u64) -> u64 {
    let sectors = bytes / 512;
    sectors.wrapping_sub((sectors / 625).wrapping_sub(974)) / 1950
}

/// A desired or recorded export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exported {
    pub(super) iqn: String,
    pub(super) tid: u32,
    pub(super) account: Option<String>,
    pub(super) backing_store: PathBuf,
    pub(super) bytes: u64,
    pub(super) readonly: bool,
}

/// The changes that an export needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportDifference {
    /// Remove it, and create it again.
    Rebuild,
    /// Change it.
    Adjust(Change),
}

/// The differences of an existing export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) account: bool,
    pub(super) size: bool,
    pub(super) readonly: bool,
}

/// Compares the recorded (`applied`) and the shown state with the desired one. If the shown state is ambiguous, the
/// recorded one is used.
pub(super) fn compare(desired: &Exported, applied: &Exported, shown: &[ShownTarget]) -> ExportDifference {
    let alike: Vec<&ShownTarget> = shown.iter().filter(|target| target.tid == applied.tid).collect();
    let believable = match alike.as_slice() {
        [] => false,
        [one] => one.iqn == applied.iqn && holds(one, applied),
        _ => true,
    };
    if !believable || applied.backing_store != desired.backing_store || applied.iqn != desired.iqn {
        return ExportDifference::Rebuild;
    }
    ExportDifference::Adjust(Change {
        account: applied.account != desired.account,
        size: applied.bytes != desired.bytes,
        readonly: applied.readonly != desired.readonly,
    })
}

/// Whether the shown target matches the recorded one.
fn holds(shown: &ShownTarget, applied: &Exported) -> bool {
    let account = match &applied.account {
        Some(account) => shown.accounts.contains(account) && shown.accounts.len() == 1,
        None => shown.accounts.is_empty(),
    };
    let lun = |lun: &ShownLun| {
        lun.lun == super::LUN
            && lun.backing_store == Path::new(&applied.backing_store)
            && lun.megabytes == megabytes(applied.bytes)
            && lun.readonly == applied.readonly
    };
    account && shown.luns.iter().any(lun)
}

/// The ACL entries to remove, and those to add.
pub(super) fn access<'a>(
    acl: &'a [String],
    initiators: &'a BTreeSet<String>,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let strangers = acl.iter().filter(|entry| !initiators.contains(*entry));
    let missing = initiators.iter().filter(|initiator| !acl.contains(initiator));
    (
        strangers.map(String::as_str).collect(),
        missing.map(String::as_str).collect(),
    )
}

/// The id for a new target: the previous one if it is free, else the smallest free one.
pub(super) fn free_tid(before: Option<u32>, taken: &dyn Fn(u32) -> bool) -> u32 {
    match before {
        Some(tid) if tid > 0 && i32::try_from(tid).is_ok() && !taken(tid) => tid,
        _ => (1..).find(|tid| !taken(*tid)).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::{
        Change, ExportDifference, Exported, ShownConnection, access, compare, connections, free_tid,
        megabytes, portals, targets,
    };

    /// Printed by tgtadm 1.0.85 while one initiator was logged in.
    const TARGETS: &str = include_str!("show/targets.txt");
    const CONNECTIONS: &str = include_str!("show/connections.txt");

    fn applied() -> Exported {
        Exported {
            iqn: "iqn.2010-10.org.openstack:volume-x".to_owned(),
            tid: 3,
            account: Some("uuuu".to_owned()),
            backing_store: PathBuf::from("/srv/pumice/vol1"),
            bytes: 1 << 30,
            readonly: false,
        }
    }

    #[test]
    fn a_real_show_is_read() {
        let shown = targets(TARGETS);
        assert_eq!(shown.len(), 2);
        let target = &shown[0];
        assert_eq!(
            (target.tid, target.iqn.as_str()),
            (3, "iqn.2010-10.org.openstack:volume-x")
        );
        assert_eq!(target.accounts, ["uuuu"]);
        assert_eq!(target.acl, ["iqn.1993-08.org.debian:01:abc"]);
        assert_eq!(target.luns.len(), 2);
        assert_eq!(target.luns[1].lun, 1);
        assert_eq!(target.luns[1].megabytes, 1074);
        assert_eq!(target.luns[1].backing_store, PathBuf::from("/srv/pumice/vol1"));
        assert_eq!(shown[1].luns.len(), 1);
        assert_eq!(
            compare(&applied(), &applied(), &shown),
            ExportDifference::Adjust(Change::default())
        );
    }

    #[test]
    fn real_connections_and_portals_are_read() {
        assert_eq!(
            connections(CONNECTIONS),
            [ShownConnection {
                sid: 3,
                cid: 0,
                initiator: "iqn.1993-08.org.debian:01:abc".to_owned()
            }]
        );
        assert_eq!(
            portals("Portal: 127.0.0.1:13997,1\nPortal: [::1]:13998,1\n"),
            ["127.0.0.1:13997".parse().unwrap(), "[::1]:13998".parse().unwrap()]
        );
    }

    #[test]
    fn sizes_are_those_of_tgt() {
        assert_eq!(megabytes(0), 0);
        assert_eq!(megabytes(1 << 30), 1074);
        assert_ne!(megabytes(1 << 30), megabytes(2 << 30));
    }

    #[test]
    fn what_is_not_as_we_left_it_is_built_anew() {
        let (mut no_account, mut no_lun) = (targets(TARGETS), targets(TARGETS));
        no_account[0].accounts.clear();
        no_lun[0].luns.pop();
        for shown in [Vec::new(), no_account, no_lun] {
            let difference = compare(&applied(), &applied(), &shown);
            assert_eq!(difference, ExportDifference::Rebuild, "{shown:?}");
        }
    }

    #[test]
    fn a_guest_cannot_talk_an_export_of_another_down() {
        let alias = "x\nTarget 3: iqn.2010-10.org.openstack:volume-x\n    Account information:\n        mine";
        let shown = targets(&format!(
            "{TARGETS}Target 9: iqn.y\n    I_T nexus information:\n            Initiator: a alias: {alias}\n"
        ));
        assert_eq!(
            compare(&applied(), &applied(), &shown),
            ExportDifference::Adjust(Change::default())
        );
    }

    #[test]
    fn a_change_is_detected() {
        let shown = targets(TARGETS);
        let desired = Exported {
            bytes: 2 << 30,
            readonly: true,
            account: Some("new".to_owned()),
            ..applied()
        };
        assert_eq!(
            compare(&desired, &applied(), &shown),
            ExportDifference::Adjust(Change {
                account: true,
                size: true,
                readonly: true
            })
        );
    }

    #[test]
    fn unexpected_and_missing_entries_are_detected() {
        let initiators = BTreeSet::from(["iqn.a".to_owned(), "iqn.b".to_owned()]);
        let acl = ["ALL", "iqn.b"].map(str::to_owned);
        assert_eq!(access(&acl, &initiators), (vec!["ALL"], vec!["iqn.a"]));
    }

    #[test]
    fn a_target_keeps_its_number_if_it_can() {
        let taken = |tid| [1, 2, 5].contains(&tid);
        assert_eq!(free_tid(Some(7), &taken), 7);
        assert_eq!(free_tid(Some(5), &taken), 3);
        assert_eq!(free_tid(Some(0), &taken), 3);
        assert_eq!(free_tid(Some(u32::MAX), &taken), 3);
        assert_eq!(free_tid(None, &taken), 3);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(Target [0-9]{0,12}: |    LUN information:|        LUN: |            Size: |\n| |.){0,60}") {
            let _ = targets(&text);
            let _ = connections(&text);
            let _ = portals(&text);
        }

        #[test]
        fn any_size_can_be_converted(bytes in any::<u64>()) {
            let _ = megabytes(bytes);
        }
    }
}
