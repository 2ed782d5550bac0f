//! The thin pool: whether it exists, and how full it is.

use super::Subject;
use crate::cli::doctor::finding::Reporter;
use crate::config::backend::VolumeClear;
use crate::drivers::lvm::checkup::Content;

const CHECK: &str = "lvm.pool";

/// The percentage from which nothing can be written.
const FULL: f64 = 99.9;

/// Checks the thin pool.
pub(super) fn assess(content: &Content, subject: &Subject, reporter: &Reporter) {
    let name = format!("{}/{}", subject.group, subject.pool);
    if content.name_taken {
        reporter.fault(
            CHECK,
            format!("{name} is no thin pool, but has its name"),
            format!("lvrename {} {} other-name", subject.group, subject.pool),
        );
        return;
    }
    let Some((data, metadata)) = content.pool else {
        reporter.ok(
            CHECK,
            format!("{name} is not there; Pumice makes it of 95 % of what is free, with zeroing on"),
        );
        return;
    };
    zeroing(content, subject, &name, reporter);
    let (Some(data), Some(metadata)) = (data, metadata) else {
        reporter.warn(
            CHECK,
            format!("{name} is not active: its usage is unknown"),
            format!("lvchange -ay {name}"),
        );
        return;
    };
    let parts = [
        ("data", data, "-L +10G"),
        ("metadata", metadata, "--poolmetadatasize +1G"),
    ];
    for (part, percent, more) in parts {
        let mend = format!("lvextend {more} {name}");
        let what = format!("{name}: {percent:.1} % of its {part} in use");
        if percent >= FULL {
            reporter.fault(CHECK, format!("{what}: nothing can be written"), mend);
        } else if percent >= f64::from(subject.warn_percent) {
            reporter.warn(CHECK, what, mend);
        } else {
            reporter.ok(CHECK, what);
        }
    }
}

/// Checks that its blocks are zeroed before they are reused.
fn zeroing(content: &Content, subject: &Subject, name: &str, reporter: &Reporter) {
    const CHECK: &str = "lvm.pool.zeroing";
    let mend = format!("lvchange -Zy {name}");
    if content.pool_zeroes {
        reporter.ok(CHECK, format!("{name} zeroes blocks before it hands them out"));
    } else if subject.clear == VolumeClear::None {
        reporter.warn(
            CHECK,
            format!("zeroing is off in {name}: volumes read what deleted ones held, and {}.volume_clear = \"none\" leaves it so", subject.key),
            mend,
        );
    } else {
        reporter.warn(
            CHECK,
            format!("zeroing is off in {name}: volumes may read what deleted ones held; Pumice turns it on when it serves"),
            mend,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::subject;
    use super::{Content, assess};
    use crate::cli::doctor::finding::{Outcome, Reporter};
    use crate::config::backend::LvmType;

    #[test]
    fn a_full_pool_is_reported_by_its_part() {
        let subject = subject(LvmType::Thin);
        let assessed =
            |content: Content| Reporter::collect(None, |reporter| assess(&content, &subject, reporter));
        let pool = |data, metadata| Content {
            pool: Some((data, metadata)),
            pool_zeroes: true,
            ..Content::default()
        };
        let found = assessed(pool(Some(100.0), Some(85.5)));
        assert_eq!(found[0].outcome, Outcome::Ok);
        assert_eq!(found[1].outcome, Outcome::Fault);
        assert_eq!(found[1].correction(), "lvextend -L +10G vg/vg-pool");
        assert_eq!(found[2].outcome, Outcome::Warn);
        assert!(found[2].what.contains("85.5 % of its metadata"));
        assert_eq!(assessed(pool(Some(1.0), Some(2.0)))[2].outcome, Outcome::Ok);
        assert_eq!(assessed(pool(None, None))[1].outcome, Outcome::Warn);
        let unzeroed = assessed(Content {
            pool_zeroes: false,
            ..pool(Some(1.0), Some(2.0))
        });
        assert_eq!(unzeroed[0].outcome, Outcome::Warn);
        assert_eq!(unzeroed[0].correction(), "lvchange -Zy vg/vg-pool");
        assert_eq!(assessed(Content::default())[0].outcome, Outcome::Ok);
        let taken = Content {
            name_taken: true,
            ..Content::default()
        };
        assert_eq!(assessed(taken)[0].outcome, Outcome::Fault);
    }
}
