//! The verbs of quota.

mod repair_usage;

pub use self::repair_usage::{RepairUsage, RepairedUsage, UsageFinding};
use super::RequestVisitor;

pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<RepairUsage>();
}
