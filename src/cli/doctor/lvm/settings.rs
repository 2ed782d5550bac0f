//! The settings of LVM that affect guests' data or volumes after a start.

use super::Subject;
use crate::cli::doctor::finding::Reporter;
use crate::drivers::lvm::checkup::Settings;

/// LVM's default filter.
const EVERYTHING: &str = "a|.*|";

/// Checks the settings.
pub(super) fn assess(settings: &Settings, subject: &Subject, is_thin: bool, reporter: &Reporter) {
    scanning(settings, subject, reporter);
    activation(settings, subject, reporter);
    if is_thin {
        autoextend(settings, reporter);
    }
    // Both are valid: the operator decides whether disks are informed of free space.
    reporter.ok(
        "lvm.discards",
        if settings.is_on("devices/issue_discards") {
            "disks are informed of the space that removed volumes give back"
        } else {
            "disks are not informed of the space that removed volumes give back (devices/issue_discards)"
        },
    );
}

/// Guests may write LVM metadata to their volumes: this host must not use it.
fn scanning(settings: &Settings, subject: &Subject, reporter: &Reporter) {
    let filter = settings.list("devices/global_filter").unwrap_or_default();
    let is_set = filter.iter().any(|pattern| *pattern != EVERYTHING);
    let group = &subject.group;
    // Without "a|.*|": a device with one accepted name is not rejected by another name.
    let mend = format!("in lvm.conf: devices {{ global_filter = [ \"r|^/dev/{group}/volume-|\" ] }}");
    if settings.is_on("devices/use_devicesfile") {
        reporter.ok("lvm.scanning", "LVM looks at the disks of its devices file only");
    } else if is_set {
        reporter.ok("lvm.scanning", "devices/global_filter is set");
    } else if settings.is_on("devices/scan_lvs") {
        reporter.warn(
            "lvm.scanning",
            "LVM looks into volumes (devices/scan_lvs), so a guest's own volume groups become this host's, and keep volumes open",
            mend,
        );
    } else {
        reporter.ok(
            "lvm.scanning",
            "LVM does not look into logical volumes (devices/scan_lvs=0)",
        );
    }
}

fn activation(settings: &Settings, subject: &Subject, reporter: &Reporter) {
    let group = &subject.group;
    let leaves_out = |key: &str| settings.list(key).is_some_and(|list| !admits(&list, group));
    if leaves_out("activation/volume_list") {
        reporter.fault(
            "lvm.activation",
            format!("activation/volume_list leaves {group} out: none of its volumes can be used"),
            format!("in lvm.conf: activation {{ volume_list = [ \"{group}\" ] }}, with those that are there"),
        );
    } else if leaves_out("activation/auto_activation_volume_list") {
        reporter.warn(
            "lvm.activation",
            format!("activation/auto_activation_volume_list leaves {group} out: after a start, attached volumes wait for Pumice"),
            format!("in lvm.conf: activation {{ auto_activation_volume_list = [ \"{group}\" ] }}, with those that are there"),
        );
    } else {
        reporter.ok(
            "lvm.activation",
            format!("the volumes of {group} may be activated"),
        );
    }
}

/// Whether a list of groups, volumes and tags has the whole group. Tags are assumed to match.
fn admits(list: &[&str], group: &str) -> bool {
    list.iter().any(|entry| *entry == group || entry.starts_with('@'))
}

fn autoextend(settings: &Settings, reporter: &Reporter) {
    let threshold = settings
        .get("activation/thin_pool_autoextend_threshold")
        .unwrap_or("100");
    if threshold.parse::<u8>().is_ok_and(|percent| percent < 100) {
        reporter.ok(
            "lvm.autoextend",
            format!("a thin pool grows by itself from {threshold} % on"),
        );
    } else {
        reporter.warn(
            "lvm.autoextend",
            "a thin pool does not grow by itself: when it is full, its volumes stop writing",
            "in lvm.conf: activation { thin_pool_autoextend_threshold = 80 }, and leave room in the group",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::subject;
    use super::{Settings, assess};
    use crate::cli::doctor::finding::{Finding, Outcome, Reporter};
    use crate::config::backend::LvmType;

    /// The default configuration of LVM 2.03.16 in Debian.
    const STOCK: &str = "devices {\n\tuse_devicesfile=0\n\tdevicesfile=\"system.devices\"\n\tfilter=[\"a|.*|\"]\n\tglobal_filter=[\"a|.*|\"]\n\tscan_lvs=0\n\tissue_discards=0\n}\nactivation {\n\tthin_pool_autoextend_threshold=100\n\tthin_pool_autoextend_percent=20\n}\n";

    fn assessed(text: &str) -> Vec<Finding> {
        let subject = subject(LvmType::Thin);
        Reporter::collect(None, |reporter| {
            assess(&Settings::parse(text), &subject, true, reporter)
        })
    }

    fn outcome(text: &str, check: &str) -> Outcome {
        let mut findings = assessed(text).into_iter();
        findings.find(|finding| finding.check == check).unwrap().outcome
    }

    #[test]
    fn a_stock_configuration_is_warned_of_for_its_pools_only() {
        let mut findings = assessed(STOCK);
        findings.retain(|finding| finding.outcome != Outcome::Ok);
        let warned: Vec<String> = findings.into_iter().map(|finding| finding.check).collect();
        assert_eq!(warned, ["lvm.autoextend"]);
        let grows = STOCK.replace("threshold=100", "threshold=80");
        assert_eq!(outcome(&grows, "lvm.autoextend"), Outcome::Ok);
    }

    #[test]
    fn a_host_that_looks_into_guests_volumes_is_warned() {
        let looks = STOCK.replace("scan_lvs=0", "scan_lvs=1");
        assert_eq!(outcome(&looks, "lvm.scanning"), Outcome::Warn);
        let filtered = looks.replace(
            "global_filter=[\"a|.*|\"]",
            "global_filter=[\"r|^/dev/vg/volume-|\",\"a|.*|\"]",
        );
        assert_eq!(outcome(&filtered, "lvm.scanning"), Outcome::Ok);
        let listed = looks.replace("use_devicesfile=0", "use_devicesfile=1");
        assert_eq!(outcome(&listed, "lvm.scanning"), Outcome::Ok);
    }

    #[test]
    fn a_group_that_may_not_be_activated_is_reported() {
        let with = |line: &str| STOCK.replace("activation {", &format!("activation {{\n\t{line}"));
        for (line, wanted) in [
            (r#"volume_list=["other"]"#, Outcome::Fault),
            (r#"volume_list=["other","vg"]"#, Outcome::Ok),
            (r#"volume_list=["@tag"]"#, Outcome::Ok),
            ("auto_activation_volume_list=[]", Outcome::Warn),
        ] {
            assert_eq!(outcome(&with(line), "lvm.activation"), wanted, "{line}");
        }
    }
}
