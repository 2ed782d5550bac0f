//! The whole program in hard times: disks that are full, broken, torn or gone, more requests than it can answer, and stops in the
//! middle of work. What it acknowledged is kept, what it refuses it refuses in words, and it comes back.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is killed, not waited for"
)]

#[path = "../support/acknowledged.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod acknowledged;
mod certificates;
#[path = "../process_support/child.rs"]
mod child;
#[path = "../process_support/client.rs"]
#[expect(dead_code, reason = "other tests want more of it")]
mod client;
mod disk;
mod full_disk;
mod load;
mod nodes;
mod other_versions;
mod overload;
mod private;
mod process;
mod read_only_disk;
mod restarts;
mod sparse;
mod store_is_gone;
mod torn_write;
