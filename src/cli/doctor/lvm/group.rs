//! The volume group: whether it exists, is complete, and may be changed.

use super::Subject;
use crate::cli::doctor::finding::Reporter;
use crate::cli::doctor::folder::gib;
use crate::drivers::lvm::checkup::{GroupFacts, Groups};

const CHECK: &str = "lvm.group";

/// The most warnings of LVM that are reported.
const WARNINGS: usize = 5;

/// Where the backend's volumes take their space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// In the group.
    OfGroup,
    /// In a pool that has its space already.
    OfPool,
}

/// Checks the backend's group; returns it, if it is accessible.
pub(super) fn assess(groups: &Groups, subject: &Subject, reporter: &Reporter) -> Option<GroupFacts> {
    for warning in groups.warnings.iter().take(WARNINGS) {
        reporter.warn(
            "lvm.devices",
            format!("LVM says: {warning}"),
            "see which disks are meant: pvs -a -o pv_name,pv_uuid,vg_name; leave one of a double out by devices/global_filter in lvm.conf",
        );
    }
    let name = &subject.group;
    let Some(group) = groups.all.iter().find(|group| group.name == *name) else {
        let names: Vec<&str> = groups.all.iter().map(|group| group.name.as_str()).collect();
        let there = if names.is_empty() {
            "there is none at all".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        reporter.fault(
            CHECK,
            format!("there is no volume group {name}; {there}"),
            format!("vgcreate {name} /dev/DISK, or set {}.volume_group", subject.key),
        );
        return None;
    };
    if group.exported {
        reporter.fault(
            CHECK,
            format!("{name} was exported to another machine"),
            format!("vgimport {name}"),
        );
        return None;
    }
    if !group.writable {
        reporter.fault(
            CHECK,
            format!("{name} is read-only"),
            format!("vgcfgbackup -f /root/{name} {name}, write \"WRITE\" into its status there, vgcfgrestore -f /root/{name} {name}"),
        );
    } else if group.missing > 0 {
        reporter.fault(
            CHECK,
            format!("{name} lacks {} of its disks", group.missing),
            format!("bring them back (pvs -o pv_name,vg_name,pv_missing tells which), then: vgextend --restoremissing {name} /dev/DISK"),
        );
    } else if group.shared {
        reporter.warn(
            CHECK,
            format!("{name} is shared with other machines, which Pumice knows nothing of"),
            format!("vgchange --lock-type none {name}, once no other machine uses it"),
        );
    } else {
        reporter.ok(CHECK, format!("{name} is there and whole"));
    }
    Some(group.clone())
}

/// Checks its free space.
pub(super) fn assess_space(group: &GroupFacts, subject: &Subject, space: Space, reporter: &Reporter) {
    const LEAST: u64 = 1 << 30;
    let (free, size) = (gib(group.free), gib(group.size));
    let what = format!("{free} of {size} are free in {}", subject.group);
    if space == Space::OfGroup && (group.free < LEAST || group.free < group.size / 20) {
        reporter.warn(
            "lvm.space",
            format!("only {what}"),
            format!("vgextend {} /dev/DISK", subject.group),
        );
    } else {
        reporter.ok("lvm.space", what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::subject;
    use super::{GroupFacts, Groups, Space, assess, assess_space};
    use crate::cli::doctor::finding::{Finding, Outcome, Reporter};
    use crate::config::backend::LvmType;

    fn whole() -> GroupFacts {
        GroupFacts {
            name: "vg".to_owned(),
            size: 100 << 30,
            free: 50 << 30,
            writable: true,
            ..GroupFacts::default()
        }
    }

    fn assessed(group: GroupFacts) -> Finding {
        let groups = Groups {
            all: vec![group],
            warnings: Vec::new(),
        };
        Reporter::first(|reporter| drop(assess(&groups, &subject(LvmType::Auto), reporter)))
    }

    #[test]
    fn a_group_must_be_there_whole_and_ours() {
        assert_eq!(assessed(whole()).outcome, Outcome::Ok);
        type Change = fn(&mut GroupFacts);
        let faults: [(Change, &str); 4] = [
            (
                |group| group.name = "other".to_owned(),
                "vgcreate vg /dev/DISK, or set backend.a.volume_group",
            ),
            (|group| group.exported = true, "vgimport vg"),
            (
                |group| group.missing = 1,
                "bring them back (pvs -o pv_name,vg_name,pv_missing tells which), then: vgextend --restoremissing vg /dev/DISK",
            ),
            (
                |group| group.writable = false,
                "vgcfgbackup -f /root/vg vg, write \"WRITE\" into its status there, vgcfgrestore -f /root/vg vg",
            ),
        ];
        for (change, mend) in faults {
            let mut group = whole();
            change(&mut group);
            let finding = assessed(group);
            assert_eq!(finding.outcome, Outcome::Fault);
            assert_eq!(finding.correction(), mend);
        }
        let mut shared = whole();
        shared.shared = true;
        assert_eq!(assessed(shared).outcome, Outcome::Warn);
    }

    #[test]
    fn a_group_that_runs_full_is_warned_of_unless_a_pool_has_it() {
        let full = GroupFacts {
            free: 1 << 20,
            ..whole()
        };
        let outcome = |group: &GroupFacts, space| {
            let subject = subject(LvmType::Auto);
            Reporter::first(|reporter| assess_space(group, &subject, space, reporter)).outcome
        };
        assert_eq!(outcome(&full, Space::OfGroup), Outcome::Warn);
        assert_eq!(outcome(&full, Space::OfPool), Outcome::Ok);
        assert_eq!(outcome(&whole(), Space::OfGroup), Outcome::Ok);
    }
}
