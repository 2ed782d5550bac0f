//! The LVM driver, with programs of our own in the place of LVM's: every verb is broken off before and after each of its commands and
//! run again, and ends as if nothing had happened; and changes nothing more once the lock of the group is lost. And `pumice copy` and
//! `pumice wipe`, as they are.
//!
//! Real logical volumes are `examples/lvm_verbs.rs`'s.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_types,
    reason = "a test's helpers may panic, and it starts the copying program as its parent does"
)]

#[path = "drivers_lvm/copying.rs"]
mod copying;
#[path = "drivers_lvm/faults.rs"]
mod faults;
#[path = "drivers_lvm/fence.rs"]
mod fence;
#[path = "drivers_lvm/group.rs"]
mod group;
#[path = "drivers_lvm/programs.rs"]
mod programs;
